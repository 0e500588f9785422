"""How tasks of asyncio wait for each other, and what ends such a wait."""

from __future__ import annotations

import asyncio
import contextlib

from reqivo_core.interfaces import Waiter


def complete(future: asyncio.Future[bool] | None, result: bool) -> None:
    """Wake whoever waits for a future, unless it is awake or cancelled already."""
    if future is not None and not future.done():
        future.set_result(result)


def is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether the caller runs inside a loop (rather than in another thread, or another loop)."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


class AsyncioWaiter(Waiter):
    """A future that is made when somebody waits."""

    __slots__ = ("_future", "_is_awake", "_loop")

    def __init__(self) -> None:
        self._is_awake = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._future: asyncio.Future[bool] | None = None

    def wake(self) -> None:
        """See :meth:`Waiter.wake`."""
        # In this order: wait() makes the future first and looks at the flag afterwards.
        self._is_awake = True
        loop, future = self._loop, self._future
        if loop is None or future is None:
            return
        if is_running_here(loop):
            complete(future, True)
        else:
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(complete, future, True)

    async def wait(self, timeout: float | None) -> bool:
        """See :meth:`Waiter.wait`."""
        self._loop = loop = asyncio.get_running_loop()
        self._future = future = loop.create_future()
        timer = None
        try:
            if self._is_awake or (timeout is not None and timeout <= 0):
                return self._is_awake
            if timeout is not None:
                timer = loop.call_later(timeout, complete, future, False)
            await future
        finally:
            self._future = None
            if timer is not None:
                timer.cancel()
        return self._is_awake
