"""One reads for all: whoever else waits neither spins nor misses anything, and what is read for another is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from reqivo_core.errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, ReadError
from reqivo_core.interfaces import Waiter
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_core.runtime.blocking import BlockingRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_ws.connection import Connection
from reqivo_ws.settings import Settings
from support.frames import CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame, text
from ws.streams import FakeStream, Suspending


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


class Breaking(FakeStream):
    """A stream that breaks as something is written, while octets that came before lie there."""

    def __init__(self, *incoming: bytes) -> None:
        super().__init__(*incoming)
        self.breaks = True

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        if self.is_closed:
            raise ReadError("it was closed here")
        if not self.incoming:
            raise ReadError("reset")
        return await super().read(max_bytes, timeout)


def received(connection: Connection) -> list[Any]:
    """The messages that are left."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(run_blocking(connection.receive()))
    return messages


class TestAWriteBreaks:
    """What had come before the connection broke is received nevertheless, the close frame too."""

    def test_what_was_read_with_a_message_is_not_lost(self) -> None:
        stream = Breaking(frame(PING, b"?") + text("one") + text("two") + text("three") + close_frame(1008, "why"))
        connection = Connection(stream, BlockingRuntime(), None, Settings())
        assert received(connection) == ["one", "two", "three"]
        assert connection.ending is not None
        assert connection.ending[:2] == (1008, "why")

    def test_what_arrived_behind_a_ping_is_not_lost(self) -> None:
        stream = Breaking(frame(PING, b"?"), text("one"), text("two") + close_frame(1008, "why"))
        connection = Connection(stream, BlockingRuntime(), None, Settings())
        assert received(connection) == ["one", "two"]
        assert connection.ending is not None
        assert connection.ending[:2] == (1008, "why")

    @pytest.mark.parametrize("action", ["send", "ping", "pong", "send_fragment"])
    def test_what_had_arrived_is_not_lost(self, action: str) -> None:
        stream = Breaking(text("one"), text("two") + close_frame(1013, "later"))
        connection = Connection(stream, BlockingRuntime(), None, Settings())
        arguments = {
            "send": (b"x", False),
            "ping": (None, 1),
            "pong": (b"",),
            "send_fragment": (b"x", True, True, True),
        }
        with pytest.raises(ConnectionClosedError, match="later") as caught:
            run_blocking(getattr(connection, action)(*arguments[action]))
        assert caught.value.code == 1013
        assert received(connection) == ["one", "two"]
        assert stream.is_closed

    def test_what_had_arrived_is_bounded(self) -> None:
        stream = Breaking(*[text("x")] * 1000)
        connection = Connection(stream, BlockingRuntime(), None, Settings())
        with pytest.raises(ConnectionClosedError, match="broken"):
            run_blocking(connection.send(b"x", False))
        assert len(received(connection)) <= 17

    def test_a_violation_in_it_ends_it(self) -> None:
        stream = Breaking(frame(PING, b"?") + text("one") + frame(TEXT, b"\xff") + text("never"))
        connection = Connection(stream, BlockingRuntime(), None, Settings())
        assert received(connection) == ["one"]
