"""Baton: the right to do something that only one may do at a time, for threads and for tasks."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reqivo_core.interfaces import Runtime, Waiter


class _Place:
    """A place in the queue."""

    __slots__ = ("is_granted", "waiter")

    def __init__(self, waiter: Waiter) -> None:
        self.waiter = waiter
        self.is_granted = False


class Baton:
    """Held by one at a time and handed over in the order of asking; who gives up waiting passes it on.

    Args:
        runtime: Whose waiters to wait with.
    """

    __slots__ = ("_is_held", "_lock", "_queue", "_runtime")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._queue: deque[_Place] = deque()
        self._is_held = False

    @property
    def is_held(self) -> bool:
        """Whether somebody has it."""
        return self._is_held

    def try_take(self) -> bool:
        """Take it if nobody has it."""
        with self._lock:
            if self._is_held:
                return False
            self._is_held = True
            return True

    async def take(self, timeout: float | None = None) -> bool:
        """Wait for it.

        Args:
            timeout: Seconds; None for ever.

        Returns:
            Whether it was got.
        """
        with self._lock:
            if not self._is_held:
                self._is_held = True
                return True
            place = _Place(self._runtime.waiter())
            self._queue.append(place)
        try:
            await place.waiter.wait(timeout)
        except BaseException:
            if not self._leave(place):
                self.give_back()
            raise
        return not self._leave(place)

    def _leave(self, place: _Place) -> bool:
        """Leave the queue; False if the baton was handed over already."""
        with self._lock:
            if place.is_granted:
                return False
            self._queue.remove(place)
            return True

    def give_back(self) -> None:
        """Hand it to the next in the queue. From any thread; never waits."""
        with self._lock:
            if not self._queue:
                self._is_held = False
                return
            place = self._queue.popleft()
            place.is_granted = True
        place.waiter.wake()
