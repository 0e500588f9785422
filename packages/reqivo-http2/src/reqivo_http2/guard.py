"""Guard: the one lock of a connection, held for pure steps only.

Whoever lets go of it does what the steps left to be done: wakes those who have got something, tells the pool and the
observers. So nobody can change the state and forget to wake.

Finalizers may run anywhere, also on the thread that holds the lock. They never wait for it: what they want done goes
into a queue (appending to a deque is atomic), and whoever lets go of the lock looks there. They tell nobody but those
who wait, since pool and observers have locks of their own.

A step that raises anything but this library's own errors was struck by a signal, or by a fault of somebody's window
manager, and is half done: header sections may be compressed and not queued, octets counted and not kept. Nothing that
comes over such a connection can be trusted, so it ends.

A signal may even strike where the lock is let go of, which then stays taken. But steps are never nested: a thread that
is about to begin one and has the lock was struck, and lets go of it first. Should it never come back, the others wait
for ``PATIENCE`` and go on without it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import ReadError, ReqivoError
from reqivo_core.forks import ForkSafe
from reqivo_http2.faults import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from reqivo_core.interfaces import Trace
    from reqivo_http2.connection_state import ConnectionState


PATIENCE = 30.0
"""Seconds after which whoever holds the lock has not been busy but struck: steps take microseconds."""


class Guard(ForkSafe):
    """A lock around a connection's state; use it as a context manager."""

    def __init__(
        self,
        state: ConnectionState,
        on_change: Callable[[], None],
        trace: Trace | None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a guard.

        Args:
            state: What it guards.
            on_change: Tells the pool that the number of streams has changed.
            trace: Tells the observers; None where there are none.
            close: Lets go of the connection, once its state cannot be trusted any more.
        """
        super().__init__()
        self._lock = threading.RLock()  # that knows who has it
        self._state = state
        self._on_change = on_change
        self._trace = trace
        self._close = close
        self._deferred: deque[Callable[[], None]] = deque()
        self._is_busy = False

    def _enter_child(self) -> None:
        self._lock = threading.RLock()
        self._is_busy = False

    def __enter__(self) -> None:
        lock = self._lock
        try:
            # Without a wait, where it is free, or this very thread has it still.
            if not lock.acquire(False) and not lock.acquire(True, PATIENCE):
                self._go_on_without(lock)
        except BaseException:
            if lock._is_owned():
                lock.release()
            raise
        if self._is_busy:
            self._abandon_step()
        self._is_busy = True

    def _abandon_step(self) -> None:
        """End the connection, since a signal struck a step of this thread's, which is half done."""
        self._lock.release()  # once for the step that was struck, which leaves it taken for the one that begins
        self._tear(None)
        self._close()

    def _go_on_without(self, lost: Any) -> None:
        """Take a new lock, the thread that has the old one being lost, and end the connection: a step is half done."""
        if self._lock is lost:
            self._lock = threading.RLock()
            self._is_busy = False
        self._lock.acquire()
        self._tear(None)
        self._close()

    def _tear(self, error: BaseException | None) -> None:
        """End what cannot be trusted any more. The lock is held."""
        self._state.outgoing.clear()
        self._state.fail(_torn(error))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        state = self._state
        if kind is None and not (state.woken or state.has_changed or state.events or state.after):
            self._is_busy = False
            self._lock.release()
        else:
            self._carry_out(kind, error)
        if self._deferred:
            self._run_deferred()

    def _carry_out(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        """Let go of the lock, and do what the steps left to be done."""
        state = self._state
        is_torn = kind is not None and not issubclass(kind, ReqivoError)
        if is_torn:
            self._tear(error)
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
        try:
            self._is_busy = False
            self._lock.release()
            for waiter in woken:
                waiter.wake()
        except BaseException:  # a signal's: nobody else would wake them
            for waiter in woken:
                waiter.wake()
            raise
        if is_torn:
            self._close()
        if changed:
            self._on_change()
        if after or events:
            self._tell(events, after)

    def _tell(self, events: list[tuple[str, str, Mapping[str, Any]]], after: list[Callable[[], None]]) -> None:
        """Tell the observers, and do what was left to be done without the lock, even where an observer fails."""
        try:
            if self._trace is not None:
                for name, phase, info in events:
                    self._trace(name, phase, info)
        finally:
            for action in after:
                action()

    def defer(self, action: Callable[[], None]) -> None:
        """Have something done under the lock: now if it is free, else by whoever holds it. Never waits."""
        self._deferred.append(action)
        self._run_deferred()

    def _run_deferred(self) -> None:
        while self._deferred and not self._lock._is_owned() and self._lock.acquire(blocking=False):
            try:
                while self._deferred:
                    self._deferred.popleft()()
                woken, self._state.woken = self._state.woken, []
            finally:
                self._lock.release()
            for waiter in woken:
                waiter.wake()


def _torn(error: BaseException | None) -> Failure:
    """Why a connection is over in whose state a step is half done."""
    struck = "an exception" if error is None else type(error).__name__
    what = f"{struck} was raised in the middle of work on this connection, which had to be closed"
    return Failure(ReadError, what, is_cut=True)
