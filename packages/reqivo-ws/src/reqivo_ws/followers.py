"""Followers: those who wait for news from whoever reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.interfaces import Runtime, Waiter


class Followers:
    """They are woken by all news: each looks by itself whether that is what it waits for.

    Args:
        runtime: Whose waiters to wait with.

    Attributes:
        waiters: Theirs.
    """

    __slots__ = ("_runtime", "waiters")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.waiters: list[Waiter] = []

    def wake(self) -> None:
        """Tell all of them that there is news. From any thread; never waits."""
        for waiter in tuple(self.waiters):
            waiter.wake()

    async def wait(self, until: float | None, is_needless: Callable[[], bool]) -> None:
        """Wait for news.

        Args:
            until: The instant at which to give up; None for never.
            is_needless: Whether there is nothing to wait for. What comes after it was asked is not missed.
        """
        waiter = self._runtime.waiter()
        self.waiters.append(waiter)
        try:
            if not is_needless():
                await waiter.wait(None if until is None else max(0.0, until - self._runtime.now()))
        finally:
            self.waiters.remove(waiter)
