"""Forks: a process forks while no thread is half-way through a step, and the child finds every lock free.

``fork`` copies the memory, but only the thread that forks. A lock that another thread held at that moment stays held in
the child, where nobody is left to release it; and what it guards may be half-changed. So whoever forks first waits for
all such steps, which never wait themselves.

The same holds for locks that are not ours: of OpenSSL's random numbers, for instance, and of modules that are being
imported. What takes those is done under one of our locks, so that a fork waits for it. Threads that use TLS by other
means than this library are out of its reach.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, Self

PATIENCE = 1.0
"""Seconds that a fork waits at the most: the thread that forks may itself be what holds a lock."""


class ForkSafe:
    """Has a lock that a fork waits for; a child gets a new one.

    Attributes:
        _lock: For the subclass to use; to be held for steps only, never across a wait.
    """

    _lock: Any

    def __init__(self) -> None:
        self._lock = threading.Lock()
        with _adding:
            _fork_safe[id(self)] = self

    def _enter_child(self) -> None:
        """Begin anew in a forked child, where this thread is the only one."""
        self._lock = threading.Lock()


class Section(ForkSafe):
    """A piece of code that one thread at a time passes, and no fork interrupts. It may be entered again from within."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    def _enter_child(self) -> None:
        self._lock = threading.RLock()


_adding = threading.Lock()
_fork_safe: weakref.WeakValueDictionary[int, ForkSafe] = weakref.WeakValueDictionary()  # some compare by value
_held: list[Any] = []

importing = Section()
"""Held by whoever imports in the middle of a request: a fork half-way would leave the child with a module that nobody
finishes, and whose lock nobody releases."""


def _before() -> None:
    """Wait until nobody is half-way through anything, and keep new things from being made.

    Whoever makes one may hold the lock of another; so the list is closed last, when nothing has come since the last
    look at it.
    """
    end = time.monotonic() + PATIENCE
    asked: set[int] = set()
    while True:
        _hold(_adding, end)
        new = [thing for number, thing in _fork_safe.items() if number not in asked]
        if not new:
            return
        if _held and _held[-1] is _adding:
            _held.pop().release()
        for thing in new:
            asked.add(id(thing))
            _hold(thing._lock, end)


def _hold(lock: Any, end: float) -> None:
    """Take a lock, to be released after the fork, if it can be had in time."""
    if lock.acquire(timeout=max(0.0, end - time.monotonic())):
        _held.append(lock)


def _after_in_parent() -> None:
    """Go on."""
    while _held:
        _held.pop().release()


def _after_in_child() -> None:
    """Forget who held what."""
    global _adding
    _held.clear()
    _adding = threading.Lock()
    for thing in list(_fork_safe.values()):
        thing._enter_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # only Windows has none
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
