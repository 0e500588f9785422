"""One reads for all: whoever else waits neither spins nor misses anything, and what is read for another is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from reqivo_core.errors import ConnectionClosedOK
from reqivo_core.interfaces import Waiter
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_ws.connection import Connection
from reqivo_ws.settings import Settings
from support.frames import CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame
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


async def until(condition: Callable[[], Any]) -> None:
    """Let the others go on until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0)


class TestHalfAMessageHasCome:
    """A message's first fragment lies there, which is no news for anybody who waits for something else."""

    def test_a_ping_waits_for_its_pong(self) -> None:
        async def main() -> None:
            connection, stream = opened()
            receiving = asyncio.create_task(connection.receive())
            stream.comes.put_nowait(frame(TEXT, b"on", fin=False))
            await until(lambda: connection._inbox.has_fragment)
            pinging = asyncio.create_task(connection.ping(b"?", 10))
            await until(lambda: stream.opcodes == [PING])
            stream.comes.put_nowait(frame(PONG, b"?") + frame(CONTINUATION, b"e"))
            assert await pinging >= 0
            assert await receiving == "one"

        asyncio.run(main())

    def test_a_receiver_waits_for_the_rest_that_a_ping_reads(self) -> None:
        async def main() -> None:
            connection, stream = opened()
            pinging = asyncio.create_task(connection.ping(b"?", 10))
            await until(lambda: stream.opcodes == [PING])
            receiving = asyncio.create_task(connection.receive())
            await asyncio.sleep(0)
            stream.comes.put_nowait(frame(TEXT, b"on", fin=False))
            await until(lambda: connection._inbox.has_fragment)
            stream.comes.put_nowait(frame(CONTINUATION, b"e") + frame(PONG, b"?"))
            assert await receiving == "one"
            assert await pinging >= 0

        asyncio.run(main())

    def test_closing_waits_for_the_answer(self) -> None:
        async def main() -> None:
            connection, stream = opened()
            receiving = asyncio.create_task(connection.receive())
            stream.comes.put_nowait(frame(TEXT, b"on", fin=False))
            await until(lambda: connection._inbox.has_fragment)
            closing = asyncio.create_task(connection.close(1000, "enough"))
            await until(lambda: stream.opcodes == [CLOSE])
            stream.comes.put_nowait(close_frame())
            stream.comes.put_nowait(b"")
            await closing
            with pytest.raises(ConnectionClosedOK):
                await receiving

        asyncio.run(main())
