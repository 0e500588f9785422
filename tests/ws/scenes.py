"""Scenes of tasks around one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from reqivo_core.interfaces import Waiter
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_ws.connection import Connection
from reqivo_ws.settings import Settings
from ws.streams import Suspending


class Patient(AsyncioRuntime):
    """A runtime in which nobody may begin to wait again and again for nothing: that would never let the loop go on."""

    waits = 0

    def waiter(self) -> Waiter:
        self.waits += 1
        assert self.waits < 1000, "somebody spins instead of waiting"
        return super().waiter()


def opened(settings: Settings | None = None) -> tuple[Connection, Suspending]:
    """A connection whose octets come when the test says so, and leave at once."""
    stream = Suspending()
    stream.may_leave.set()
    return Connection(stream, Patient(), None, settings or Settings()), stream


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene to its end, unless somebody in it waits for what never comes."""
    asyncio.run(asyncio.wait_for(scene, 10))


async def until(condition: Callable[[], Any]) -> None:
    """Let the others go on until something is so."""
    while not condition():  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0)
