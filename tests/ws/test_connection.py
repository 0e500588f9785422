"""One connection's conversations on a stream of the test's: what happens at the same moment, and what breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reqivo_core.errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ReadTimeout,
)
from reqivo_core.interfaces import Waiter
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_ws.codec import CLOSE
from reqivo_ws.connection import Connection
from reqivo_ws.settings import Settings
from support.frames import PING, close_frame, frame, text
from ws.streams import Clock, FakeStream, Suspending


def test_pongs_and_pings_wait_while_the_peer_takes_nothing() -> None:
    clock, stream = Clock(), FakeStream(frame(PING, b"?"), text("one"), text("two"))
    connection = Connection(stream, clock, None, Settings())
    stream.takes = False
    assert run_blocking(connection.receive()) == "one"
    clock.time = 20.0  # a ping of our own is due as well
    assert run_blocking(connection.receive()) == "two"
    assert stream.written == []
    stream.takes = True
    clock.time = 21.0
    with pytest.raises(ReadTimeout):
        run_blocking(connection.receive(0))
    assert sorted(data[0] for data in stream.written) == [0x89, 0x8A]


def test_closing_a_connection_that_breaks_meanwhile_raises_nothing() -> None:
    stream = FakeStream()
    connection = Connection(stream, Clock(), None, Settings())
    stream.breaks = True
    run_blocking(connection.close())
    assert stream.is_closed
    assert connection.ending is not None
    assert (connection.ending.code, "broken" in connection.ending.story) == (1006, True)


def test_news_that_come_while_one_begins_to_wait_are_not_missed() -> None:
    class Meanwhile(Clock):
        def waiter(self) -> Waiter:
            connection._reading.give_back()  # whoever was reading leaves
            return super().waiter()

    connection = Connection(FakeStream(text("one")), Meanwhile(), None, Settings())
    assert connection._reading.try_take()
    assert run_blocking(connection.receive(5)) == "one"


@pytest.mark.parametrize("what", ["ping", "pong", "keepalive", "message", "fragment"])
def test_a_write_that_breaks_ends_the_connection(what: str) -> None:
    clock, stream = Clock(), FakeStream(*([frame(PING, b"?")] if what == "pong" else []))
    connection = Connection(stream, clock, None, Settings())
    stream.breaks = True
    clock.time = 20.0 if what == "keepalive" else 1.0
    actions: dict[str, Any] = {
        "ping": lambda: connection.ping(None, 1),
        "pong": lambda: connection.receive(0),
        "keepalive": lambda: connection.receive(0),
        "message": lambda: connection.send(b"x", False),
        "fragment": lambda: connection.send_fragment(b"x", False, True, True),
    }
    with pytest.raises(ConnectionClosedError, match="broken") as caught:
        run_blocking(actions[what]())
    assert (caught.value.code, stream.is_closed, connection.is_open) == (1006, True, False)
    run_blocking(connection.close())
    assert connection.ending is not None and connection.ending.code == 1006


@pytest.mark.parametrize("action", ["receive", "look"])
def test_l4_a_signal_that_strikes_whoever_reads_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """It may strike between the octets' arrival and their being understood: those that follow would mean nothing."""

    def interrupted(data: bytes) -> None:
        raise KeyboardInterrupt

    stream = FakeStream(text("half of it is lost"), text("never to be misread"))
    connection = Connection(stream, Clock(), None, Settings())
    monkeypatch.setattr(type(connection._codec), "feed", lambda codec, data: interrupted(data))
    with pytest.raises(KeyboardInterrupt):
        run_blocking(getattr(connection, action)())
    assert (connection.is_open, stream.is_closed) == (False, True)
    with pytest.raises(ConnectionClosedError, match="KeyboardInterrupt was raised") as caught:
        run_blocking(connection.receive())
    assert caught.value.code == 1006


def test_what_is_sent_after_the_close_frame_is_refused() -> None:
    connection = Connection(FakeStream(), Clock(), None, Settings(close_timeout=0))
    connection._writer.is_closed = True
    for action in (connection.look(), connection.send(b"x", False), connection.pong(b"")):
        with pytest.raises(ConnectionClosed, match="closing handshake"):
            run_blocking(action)


def test_a_farewell_that_was_interrupted_is_said_by_the_next() -> None:
    """Cancelled while it waits for somebody who is writing, before a single octet of the close frame."""

    async def main() -> None:
        stream = FakeStream(close_frame(1001, "going"))
        connection = Connection(stream, AsyncioRuntime(), None, Settings())
        frames = connection._writer._frames
        assert frames.try_take()
        receiving = asyncio.create_task(connection.receive())
        while not frames._queue:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        frames.give_back()
        with pytest.raises(ConnectionClosedOK, match="going"):
            await connection.receive()
        assert stream.is_closed

    asyncio.run(main())


def test_what_comes_after_a_message_was_given_up_is_not_told() -> None:
    """Whoever fails the connection (RFC 6455 §7.1.7) is not done with it yet when the reader finds something."""

    async def main() -> None:
        stream = Suspending()
        connection = Connection(stream, AsyncioRuntime(), None, Settings())
        receiving = asyncio.create_task(connection.receive())
        giving_up = asyncio.create_task(connection.give_up_fragments())
        await stream.is_leaving.wait()
        stream.comes.put_nowait(text("late"))
        stream.comes.put_nowait(b"")
        with pytest.raises(ConnectionClosedError, match="given up amid its fragments") as caught:
            await receiving
        assert caught.value.code == 1011
        stream.may_leave.set()
        await giving_up
        assert stream.opcodes == [CLOSE]

    asyncio.run(main())
