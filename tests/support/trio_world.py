"""The third world: tasks of trio. Its run lives in a thread of its own, for as long as the test's connections do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio

from reqivo_core.runtime.trio import TrioRuntime

from .world import PATIENCE, Async, _awaited, _listed


class Trio(Async):
    """The world of trio's tasks."""

    name = "trio"

    def __init__(self) -> None:
        self._is_up = threading.Event()
        self._token: Any = None
        self._end: Any = None
        self._thread = threading.Thread(target=trio.run, args=[self._live], name="trio")
        self._thread.start()
        self._is_up.wait()

    async def _live(self) -> None:
        self._token, self._end = trio.lowlevel.current_trio_token(), trio.Event()
        self._is_up.set()
        await self._end.wait()

    def _call(self, conversation: Callable[[], Any]) -> Any:
        """Run a coroutine function in the world's run, for a bounded time."""

        async def bounded() -> Any:
            with trio.fail_after(PATIENCE):
                return await conversation()

        return trio.from_thread.run(bounded, trio_token=self._token)

    def run(self, value: Any) -> Any:
        """Await in the world's run."""
        return self._call(partial(_awaited, value))

    def collect(self, iterable: Any) -> list[Any]:
        """Iterate in the world's run; plain iterables are taken too."""
        if not hasattr(iterable, "__aiter__"):
            return list(iterable)
        return list(self._call(partial(_listed, iterable)))

    def together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run each call's awaitable in a task."""
        outcomes: list[Any] = [None] * len(calls)

        async def one(number: int, call: Callable[[], Any]) -> None:
            try:
                outcomes[number] = await _awaited(call())
            except Exception as error:  # given back as a result, as asyncio.gather does
                outcomes[number] = error

        async def all_of_them() -> None:
            async with trio.open_nursery() as nursery:
                for number, call in enumerate(calls):
                    nursery.start_soon(one, number, call)

        self._call(all_of_them)
        return outcomes

    def find(self, name: str, module: str = "reqivo_core") -> Any:
        """Return a class; sessions are given trio's runtime."""
        found = super().find(name, module)
        return partial(found, runtime=TrioRuntime()) if name in ("Session", "Reqivo") else found

    def close(self) -> None:
        """End the run."""
        self._token.run_sync_soon(self._end.set)
        self._thread.join()
