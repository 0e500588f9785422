"""Pings of a connection, the application's and the keep-alive's: when they leave, and what counts as an answer."""

from __future__ import annotations

import asyncio

import pytest

from reqivo_core.errors import ConnectionClosedError, InvalidRequest, ReadTimeout
from reqivo_core.interfaces import Waiter
from reqivo_core.runtime.blocking import BlockingRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_ws.connection import Connection
from reqivo_ws.keepalive import MAX_OUTSTANDING
from reqivo_ws.settings import Settings
from support.frames import BINARY, PING, PONG, TEXT, frame, text
from ws.scenes import opened, play, until
from ws.streams import Clock, FakeStream


class TestPingsOfOurs:
    def test_the_time_runs_while_somebody_else_is_writing(self) -> None:
        async def main() -> None:
            connection, stream = opened()
            stream.may_leave.clear()
            sending = asyncio.create_task(connection.send(b"long", False))
            await stream.is_leaving.wait()
            with pytest.raises(ReadTimeout, match="no pong"):
                await connection.ping(None, 0.01)
            stream.may_leave.set()
            await sending
            assert stream.opcodes == [BINARY]

        play(main())

    def test_the_round_trip_begins_when_the_ping_is_written(self) -> None:
        clock = Clock()

        class Slow(FakeStream):
            async def read(self, max_bytes: int, timeout: float | None) -> bytes:
                clock.time += 1.0
                return frame(PONG, b"?")

        connection = Connection(Slow(), clock, None, Settings())

        def handed_over() -> Waiter:
            clock.time += 100.0  # until the other one has written
            connection._writer._frames.give_back()
            return BlockingRuntime.waiter(clock)

        assert connection._writer._frames.try_take()
        clock.waiter = handed_over  # type: ignore[method-assign]  # for once
        assert run_blocking(connection.ping(b"?", None)) == 1.0 == connection.latency

    def test_the_same_octets_cannot_be_under_way_twice(self) -> None:
        async def main() -> None:
            connection, stream = opened()
            pinging = asyncio.create_task(connection.ping(b"?", 10))
            await until(lambda: stream.opcodes == [PING])
            with pytest.raises(InvalidRequest, match="under way"):
                await connection.ping(b"?", 10)
            stream.comes.put_nowait(frame(PONG, b"?"))
            assert await pinging >= 0
            stream.comes.put_nowait(frame(PONG, b"?"))
            assert await connection.ping(b"?", 10) >= 0

        play(main())

    def test_any_number_may_be_waited_for(self) -> None:
        async def main() -> None:
            connection, stream = opened()
            count = MAX_OUTSTANDING + 2
            pinging = [asyncio.create_task(connection.ping(b"%d" % number, 10)) for number in range(count)]
            await until(lambda: len(stream.written) == count)
            stream.comes.put_nowait(frame(PONG, b"0"))
            await pinging[0]
            stream.comes.put_nowait(frame(PONG, b"%d" % (count - 1)))
            assert min(await asyncio.gather(*pinging)) >= 0

        play(main())


def test_silence_is_not_death_where_octets_came_at_the_last_moment() -> None:
    """Some loops ring their timers before they look at their sockets; a process may have slept."""
    clock = Clock()

    class Late(FakeStream):
        """What came while it waited is not looked at once time is up."""

        async def read(self, max_bytes: int, timeout: float | None) -> bytes:
            if clock.time == 20.0:  # the ping was written; its pong comes as time is up
                clock.time = 40.0
                self.incoming.append(frame(PONG, self.written[0][6:]) + text("alive"))
                raise ReadTimeout("nothing")
            return await super().read(max_bytes, timeout)

    stream = Late()
    connection = Connection(stream, clock, None, Settings())
    clock.time = 20.0
    assert run_blocking(connection.receive()) == "alive"
    assert PING in stream.opcodes


def test_a_limit_of_nothing_leaves_empty_messages_and_pongs() -> None:
    stream = FakeStream(frame(TEXT, b""), frame(PONG, b"?"))
    connection = Connection(stream, Clock(), None, Settings(max_message_size=0))
    assert run_blocking(connection.ping(b"?", 1)) == 0
    assert run_blocking(connection.receive()) == ""


def test_a_server_that_takes_not_even_a_ping_is_noticed() -> None:
    """What was sent fills all buffers on the way; nobody is writing any more whose time-out would tell."""
    clock = Clock()

    class Silent(FakeStream):
        async def read(self, max_bytes: int, timeout: float | None) -> bytes:
            assert timeout is not None, "nobody would ever notice"
            assert clock.time < 60, "nobody has noticed"
            clock.time += max(timeout, 0.01)
            raise ReadTimeout("nothing")

    stream = Silent()
    stream.takes = False
    connection = Connection(stream, clock, None, Settings(close_timeout=0))
    with pytest.raises(ConnectionClosedError, match="keepalive") as caught:
        run_blocking(connection.receive())
    assert caught.value.code == 1011
    assert 40.0 <= clock.time < 41.0


def test_while_somebody_is_writing_its_time_out_tells() -> None:
    clock = Clock()

    class Silent(FakeStream):
        async def read(self, max_bytes: int, timeout: float | None) -> bytes:
            clock.time += 1.0
            return text("at last") if clock.time >= 60 else await super().read(max_bytes, timeout)

    connection = Connection(Silent(), clock, None, Settings())
    assert connection._writer._frames.try_take()
    assert run_blocking(connection.receive()) == "at last"
