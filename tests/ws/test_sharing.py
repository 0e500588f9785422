"""One reads for all: whoever else waits neither spins nor misses anything, and what is read for another is not lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import trio

from reqivo_core.errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ReadError,
    ReadTimeout,
    WriteTimeout,
)
from reqivo_core.interfaces import Waiter
from reqivo_core.runtime.blocking import BlockingRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_ws import Deflate
from reqivo_ws.codec import FrameCodec
from reqivo_ws.connection import Connection
from reqivo_ws.settings import Settings
from support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame, text
from ws.scenes import Patient, opened, play, until
from ws.streams import Clock, FakeStream, Suspending


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

        play(main())

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

        play(main())

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

        play(main())


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

    def test_what_was_read_is_not_lost_where_a_send_was_given_up(self) -> None:
        class Stuck(FakeStream):
            async def write(self, data: Any, timeout: float | None) -> None:
                raise WriteTimeout("it took nothing")

        connection = Connection(Stuck(text("one") + text("two") + text("three")), BlockingRuntime(), None, Settings())
        assert run_blocking(connection.receive()) == "one"
        with pytest.raises(WriteTimeout):
            run_blocking(connection.send(b"x", False))
        assert received(connection) == ["two", "three"]
        assert connection.ending is not None
        assert connection.ending.code == 1006

    def test_the_servers_end_is_found_too(self) -> None:
        class Ended(Breaking):
            async def read(self, max_bytes: int, timeout: float | None) -> bytes:
                return await super().read(max_bytes, timeout) if self.incoming else b""

        connection = Connection(Ended(text("one")), BlockingRuntime(), None, Settings())
        with pytest.raises(ConnectionClosedError, match="broken"):
            run_blocking(connection.send(b"x", False))
        assert received(connection) == ["one"]

    def test_whoever_reads_at_that_moment_is_told(self) -> None:
        class Cut(Suspending):
            def close(self) -> None:
                super().close()
                self.comes.put_nowait(b"")

        async def main() -> None:
            stream = Cut()
            stream.may_leave.set()
            stream.breaks = True
            connection = Connection(stream, Patient(), None, Settings())
            receiving = asyncio.create_task(connection.receive())
            await until(lambda: connection._reading.is_held)
            with pytest.raises(ConnectionClosedError, match="broken"):
                await connection.send(b"x", False)
            with pytest.raises(ConnectionClosedError, match="broken"):
                await receiving

        play(main())

    def test_a_violation_in_it_ends_it(self) -> None:
        stream = Breaking(frame(PING, b"?") + text("one") + frame(TEXT, b"\xff") + text("never"))
        connection = Connection(stream, BlockingRuntime(), None, Settings())
        assert received(connection) == ["one"]


class TestAfterOurCloseFrame:
    """What the server still sends is kept as far as there is room, whole messages only."""

    def test_no_message_has_a_hole(self) -> None:
        async def main() -> None:
            connection, stream = opened(Settings(max_queue=2))
            closing = asyncio.create_task(connection.close())
            await until(lambda: stream.opcodes == [CLOSE])
            stream.comes.put_nowait(text("one") + text("two") + frame(TEXT, b"begin", fin=False))
            await until(lambda: connection.received == 2 and stream.comes.empty())
            assert await connection.receive() == "one"
            stream.comes.put_nowait(frame(CONTINUATION, b"end") + text("three") + close_frame())
            stream.comes.put_nowait(b"")
            await closing
            assert await connection.receive() == "two"
            with pytest.raises(ConnectionClosedOK):
                await connection.receive()

        play(main())

    def test_a_message_given_up_then_leaves_the_handshake_alone(self) -> None:
        async def main() -> None:
            connection, stream = opened()
            await connection.begin_fragments()
            await connection.send_fragment(b"half", True, True, False)
            closing = asyncio.create_task(connection.close(1000, "enough"))
            await until(lambda: stream.opcodes == [TEXT, CLOSE])
            with pytest.raises(ConnectionClosed):
                await connection.send_fragment(b"more", True, False, False)
            await connection.give_up_fragments()
            connection.end_fragments()
            stream.comes.put_nowait(close_frame(1000))
            stream.comes.put_nowait(b"")
            await closing
            assert connection.ending is not None
            assert connection.ending.code == 1000

        play(main())

    def test_who_waits_for_the_end_of_anothers_fragments_is_told(self) -> None:
        async def main() -> None:
            connection, stream = opened()
            await connection.begin_fragments()
            sending = asyncio.create_task(connection.send(b"whole", False))
            beginning = asyncio.create_task(connection.begin_fragments())
            await until(lambda: len(connection._writer._messages._queue) == 2)
            connection.abort()
            for waiting in (sending, beginning):
                with pytest.raises(ConnectionClosedError, match="given up"):
                    await waiting
            assert stream.opcodes == []

        play(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_message_that_was_compressed_and_not_sent_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Those after it would refer to what the server has never seen."""
    agreement = Deflate(threshold=0).accept([])
    connection = Connection(FakeStream(), BlockingRuntime(), agreement, Settings())
    run_blocking(connection.send(b"one", False))

    def struck(*arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(FrameCodec, "encode", struck)
    with pytest.raises(error):
        run_blocking(connection.send(b"two", False))
    monkeypatch.undo()
    with pytest.raises(ConnectionClosedError, match=error.__name__):
        run_blocking(connection.send(b"three", False))


def test_what_could_not_be_encoded_does_no_harm_without_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FakeStream()
    connection = Connection(stream, BlockingRuntime(), None, Settings())

    def struck(*arguments: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(FrameCodec, "encode", struck)
    with pytest.raises(MemoryError):
        run_blocking(connection.send(b"two", False))
    monkeypatch.undo()
    run_blocking(connection.send(b"three", False))
    assert stream.opcodes == [BINARY]


def test_the_close_frame_has_what_is_left_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for whoever is writing takes some of it."""
    clock, given = Clock(), []

    class Recording(FakeStream):
        async def write(self, data: Any, timeout: float | None) -> None:
            given.append(timeout)

    connection = Connection(Recording(close_frame()), clock, None, Settings(close_timeout=10))
    frames = connection._writer._frames

    def handed_over() -> Waiter:
        clock.time += 7.0
        frames.give_back()
        return BlockingRuntime.waiter(clock)

    assert frames.try_take()
    monkeypatch.setattr(clock, "waiter", handed_over, raising=False)
    run_blocking(connection.close())
    assert given == [3.0]


class TestCancelledInTrio:
    """A write in a scope that was cancelled writes nothing: that is no reason to give the connection up."""

    @pytest.mark.parametrize("what", ["receive", "send", "ping", "keepalive"])
    def test_nothing_was_written_so_nothing_is_lost(self, what: str) -> None:
        trio_world = pytest.importorskip("reqivo_core.runtime.trio")

        class Checking(FakeStream):
            """A stream that behaves as those of trio do."""

            async def write(self, data: Any, timeout: float | None) -> None:
                await trio.lowlevel.checkpoint_if_cancelled()
                await super().write(data, timeout)

        async def main() -> None:
            is_due = what == "keepalive"
            stream = Checking(text("one") + (b"" if is_due else frame(PING, b"?")) + text("two"))
            interval = 0.001 if is_due else None
            connection = Connection(stream, trio_world.TrioRuntime(), None, Settings(ping_interval=interval))
            actions: dict[str, Any] = {
                "receive": connection.receive,
                "keepalive": connection.receive,
                "send": lambda: connection.send(b"x", False),
                "ping": lambda: connection.ping(None, 1),
            }
            assert await connection.receive() == "one"
            if is_due:
                assert await connection.receive() == "two"
                await trio.sleep(0.002)
            with trio.CancelScope() as scope:
                scope.cancel()
                await actions[what]()
            assert stream.written == []
            if is_due:
                with pytest.raises(ReadTimeout):
                    await connection.receive(0)
                assert stream.opcodes == [PING]
            else:
                assert await connection.receive() == "two"
                await connection.send(b"x", False)
                assert sorted(stream.opcodes) == [BINARY, PONG]
            assert connection.is_open

        trio.run(main)
