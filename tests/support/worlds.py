"""One test body for every runtime: written as a coroutine, run to its end by each world in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import trio

from reqivo_core.interfaces import Runtime
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_core.runtime.blocking import BlockingRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.runtime.trio import TrioRuntime


def run_trio(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in a trio run of its own."""

    async def main() -> Any:
        return await coroutine

    return trio.run(main)


@dataclass(frozen=True)
class World:
    """A runtime and what runs coroutines for it."""

    name: str
    make_runtime: Callable[[], Runtime]
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    @property
    def runtime(self) -> Runtime:
        return self.make_runtime()


BLOCKING = World("blocking", BlockingRuntime, run_blocking)
ASYNCIO = World("asyncio", AsyncioRuntime, asyncio.run)
TRIO = World("trio", TrioRuntime, run_trio)
WORLDS = [BLOCKING, ASYNCIO, TRIO]
