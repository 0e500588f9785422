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

    Where nobody waits, taking it and giving it back is no more than that of a lock.

    Args:
        runtime: Whose waiters to wait with.
    """

    __slots__ = ("_flag", "_is_dismissed", "_lock", "_queue", "_runtime")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._flag = threading.Lock()
        self._lock = threading.Lock()
        self._queue: deque[_Place] = deque()
        self._is_dismissed = False

    @property
    def is_held(self) -> bool:
        """Whether somebody has it."""
        return self._flag.locked()

    def try_take(self) -> bool:
        """Take it if nobody has it, or waits for it."""
        return not self._queue and self._flag.acquire(False)

    async def take(self, timeout: float | None = None) -> bool:
        """Wait for it.

        Args:
            timeout: Seconds; None for ever.

        Returns:
            Whether it was got.
        """
        if self.try_take():
            return True
        place = _Place(self._runtime.waiter())
        with self._lock:
            self._queue.append(place)
        if self._is_dismissed:
            self.dismiss()
        # It may have been given back before there was anybody in the queue.
        if self._flag.acquire(False):
            self._hand_over()
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
            if place in self._queue:
                self._queue.remove(place)
            return True

    def dismiss(self) -> None:
        """Let nobody wait for it any more: whoever does, or comes later and would have to, goes without."""
        with self._lock:
            self._is_dismissed = True
            places = tuple(self._queue)
            self._queue.clear()
        for place in places:
            place.waiter.wake()

    def give_back(self) -> None:
        """Hand it to the next in the queue. From any thread; never waits."""
        if self._queue:
            self._hand_over()
            return
        self._flag.release()
        # Somebody may have joined the queue meanwhile, and found the baton still held.
        if self._queue and self._flag.acquire(False):
            self._hand_over()

    def _hand_over(self) -> None:
        """Give it, which is held, to the first in the queue; put it down if there is none."""
        with self._lock:
            place = self._queue.popleft() if self._queue else None
            if place is not None:
                place.is_granted = True
        if place is not None:
            place.waiter.wake()
        else:
            self.give_back()
