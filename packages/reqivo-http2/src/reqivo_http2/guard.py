"""Guard: the one lock of a connection, held for pure steps only.

Whoever lets go of it does what the steps left to be done: wakes those who have got something, tells the pool and the
observers. So nobody can change the state and forget to wake.

Finalizers may run anywhere, also on the thread that holds the lock. They never wait for it: what they want done goes
into a queue (appending to a deque is atomic), and whoever lets go of the lock looks there. They tell nobody but those
who wait, since pool and observers have locks of their own.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from reqivo_core.forks import ForkSafe

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.interfaces import Trace
    from reqivo_http2.connection_state import ConnectionState


class Guard(ForkSafe):
    """A lock around a connection's state; use it as a context manager."""

    def __init__(self, state: ConnectionState, on_change: Callable[[], None], trace: Trace | None) -> None:
        """Make a guard.

        Args:
            state: What it guards.
            on_change: Tells the pool that the number of streams has changed.
            trace: Tells the observers; None where there are none.
        """
        super().__init__()
        self._state = state
        self._on_change = on_change
        self._trace = trace
        self._deferred: deque[Callable[[], None]] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        state = self._state
        woken = state.woken
        if woken:
            state.woken = []
        changed, state.has_changed = state.has_changed, False
        events = state.events
        if events:
            state.events = []
        after = state.after
        if after:
            state.after = []
        self._lock.release()
        for waiter in woken:
            waiter.wake()
        if changed:
            self._on_change()
        if events and self._trace is not None:
            for name, phase, info in events:
                self._trace(name, phase, info)
        for action in after:
            action()
        if self._deferred:
            self._run_deferred()

    def defer(self, action: Callable[[], None]) -> None:
        """Have something done under the lock: now if it is free, else by whoever holds it. Never waits."""
        self._deferred.append(action)
        self._run_deferred()

    def _run_deferred(self) -> None:
        while self._deferred and self._lock.acquire(blocking=False):
            try:
                while self._deferred:
                    self._deferred.popleft()()
                woken, self._state.woken = self._state.woken, []
            finally:
                self._lock.release()
            for waiter in woken:
                waiter.wake()
