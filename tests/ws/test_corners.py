"""What happens rarely: at the same moment, at the end of the program, in other worlds."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from array import array
from collections.abc import Coroutine
from typing import Any

import pytest
import trio

from reqivo_core import AsyncSession, NetworkStream, Session
from reqivo_core.errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ReadTimeout,
    ReqivoError,
    TimeoutException,
    WriteError,
)
from reqivo_core.interfaces import Waiter
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_ws import AsyncWebSocket, Deflate, WebSocket
from reqivo_ws.codec import BINARY, CLOSE, PONG, TEXT, FrameCodec
from reqivo_ws.connection import Connection
from reqivo_ws.settings import Settings
from reqivo_ws.writing import Writer, WriterClosed
from support.certs import Authority
from support.fixtures import Serve
from support.frames import PING, accept, answer_close, close_frame, expect_close, expect_frame, frame, text
from support.processes import run_in_child
from support.scripted import Peer
from support.servers import AsgiServer, WebSocketsServer
from support.sockets import connected
from support.world import World
from ws.scripts import ws_url
from ws.streams import Clock, FakeStream, Suspending


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return run_blocking(coroutine)


def test_pongs_and_pings_wait_while_the_peer_takes_nothing() -> None:
    clock, stream = Clock(), FakeStream(frame(PING, b"?"), text("one"), text("two"))
    connection = Connection(stream, clock, None, Settings())
    stream.takes = False
    assert run(connection.receive()) == "one"
    clock.time = 20.0  # a ping of our own is due as well
    assert run(connection.receive()) == "two"
    assert stream.written == []
    stream.takes = True
    clock.time = 21.0
    with pytest.raises(ReadTimeout):
        run(connection.receive(0))
    assert sorted(data[0] for data in stream.written) == [0x89, 0x8A]


def test_closing_a_connection_that_breaks_meanwhile_raises_nothing() -> None:
    stream = FakeStream()
    connection = Connection(stream, Clock(), None, Settings())
    stream.breaks = True
    run(connection.close())
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
    assert run(connection.receive(5)) == "one"


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
        run(actions[what]())
    assert (caught.value.code, stream.is_closed, connection.is_open) == (1006, True, False)
    run(connection.close())
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
        run(getattr(connection, action)())
    assert (connection.is_open, stream.is_closed) == (False, True)
    with pytest.raises(ConnectionClosedError, match="KeyboardInterrupt was raised") as caught:
        run(connection.receive())
    assert caught.value.code == 1006


def test_what_is_sent_after_the_close_frame_is_refused() -> None:
    connection = Connection(FakeStream(), Clock(), None, Settings(close_timeout=0))
    connection._writer.is_closed = True
    for action in (connection.look(), connection.send(b"x", False), connection.pong(b"")):
        with pytest.raises(ConnectionClosed, match="closing handshake"):
            run(action)


def test_a_second_receiver_may_be_too_late(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        expect_frame(peer)
        peer.send(text("for the first"))
        answer_close(peer)

    def second(ws: Any) -> Any:
        if world.name == "blocking":
            threading.Event().wait(0.05)
            try:
                return ws.recv(timeout=0.05)
            except ReadTimeout:
                ws.send("go")
                return "late"

        async def later() -> Any:
            try:
                return await ws.recv(timeout=0.05)
            except ReadTimeout:
                await ws.send("go")
                return "late"

        return later()

    with connected(world, ws_url(serve(script))) as ws:
        assert ws.together(lambda w: w.recv(), second) == ["for the first", "late"]


def test_a_cancelled_close_lets_go_at_once(serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), peer.expect_close()))

    async def body() -> int | None:
        ws = await AsyncWebSocket(ws_url(server)).connect()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.close(), 0.1)
        return ws.close_code

    assert asyncio.run(body()) == 1006
    server.wait_for_closed(1)


def test_closed_while_opening(serve: Serve) -> None:
    asked = threading.Event()
    closed = threading.Event()

    def script(peer: Peer) -> None:
        request = peer.expect_request()
        asked.set()
        peer.wait(closed)
        from support.frames import accepting

        peer.send(accepting(request))
        peer.expect_close()

    server = serve(script)
    ws = WebSocket(ws_url(server))
    errors: list[ReqivoError] = []

    def connect() -> None:
        try:
            ws.connect()
        except ReqivoError as error:
            errors.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    assert asked.wait(10)
    ws.close()
    closed.set()
    thread.join(10)
    assert "while it was being opened" in str(errors[0])
    server.wait_for_closed(1)


def test_closed_amid_its_own_fragments(serve: Serve) -> None:
    async def body() -> None:
        async with AsyncWebSocket(ws_url(serve(lambda peer: (accept(peer), answer_close(peer))))) as ws:

            async def fragments() -> Any:
                yield "one"
                await ws.close()
                yield "two"

            with pytest.raises(ConnectionClosed):
                await ws.send(fragments())
            assert ws.close_code == 1000

    asyncio.run(body())


def test_a_reset_instead_of_the_end_after_closing(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        expect_close(peer)
        peer.send(close_frame())
        peer.rst()

    with connected(world, ws_url(serve(script))) as ws:
        ws.close()
        assert ws.close_code in (1000, 1006)  # the reset may overtake the close frame


def test_w28_all_that_can_be_sent_and_offered(world: World, echo_server: WebSocketsServer) -> None:
    settings = Deflate(level=1, client_no_context_takeover=True, threshold=0)
    with connected(world, ws_url(echo_server), compression=settings, cookies={"a": "b"}) as ws:
        for octets in (b"bytes", bytearray(b"bytearray"), memoryview(b"a view")[::2], array("H", [1, 2, 3])):
            ws.send(octets)
            assert ws.recv() == bytes(octets)
        ws.send("")
        assert ws.recv() == ""
        assert "a=b" in ws.response.request.headers["cookie"]


@pytest.mark.parametrize("face", ["blocking", "async"])
def test_w30_the_program_may_end_with_a_connection_open(echo_server: WebSocketsServer, face: str) -> None:
    programs = {
        "blocking": (
            "from reqivo_ws import WebSocket\nws = WebSocket({url!r}).connect(); ws.send('x'); print(ws.recv())"
        ),
        "async": (
            "import asyncio\nfrom reqivo_ws import AsyncWebSocket\n"
            "async def main():\n"
            "    global ws\n"
            "    ws = await AsyncWebSocket({url!r}).connect(); await ws.send('x'); print(await ws.recv())\n"
            "asyncio.run(main())"
        ),
    }
    program = programs[face].format(url=ws_url(echo_server))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("security", ["plain", "tls"])
def test_w30_l1_a_forked_child_leaves_the_connection_to_its_parent(
    plain_server: AsgiServer, tls_server: AsgiServer, authority: Authority, security: str
) -> None:
    server = plain_server if security == "plain" else tls_server

    def in_the_child() -> None:
        for action in (lambda: ws.send("the child's"), ws.recv):
            with pytest.raises(ConnectionClosed):
                action()
        ws.close()

    with Session(verify=str(authority.path)) as session, session.websocket(ws_url(server, "/ws/echo")) as ws:
        ws.send("before")
        assert ws.recv() == "before"
        run_in_child(in_the_child)
        ws.send("after")
        assert ws.recv() == "after"
    assert ws.close_code == 1000


def test_a_third_world(echo_server: WebSocketsServer) -> None:
    trio_world = pytest.importorskip("reqivo_core.runtime.trio")

    async def body() -> Any:
        async with AsyncSession(runtime=trio_world.TrioRuntime()) as session:
            async with session.websocket(ws_url(echo_server)) as ws:
                await ws.send("x" * 100_000)
                with trio.move_on_after(0):
                    await ws.recv()
                with trio.fail_after(10):
                    message = await ws.recv()
                    await ws.ping()
                return message

    assert trio.run(body) == "x" * 100_000


def test_a_third_world_reconnects_and_is_bounded(serve: Serve) -> None:
    trio_world = pytest.importorskip("reqivo_core.runtime.trio")

    def leaving(peer: Peer) -> None:
        accept(peer, text("one"))

    def staying(peer: Peer) -> None:
        accept(peer, text("two") + close_frame())
        peer.expect_close()

    async def body() -> list[Any]:
        async with AsyncSession(runtime=trio_world.TrioRuntime()) as session:
            with pytest.raises(TimeoutException):
                await session.websocket(ws_url(serve(lambda peer: peer.hold())), timeout=0.1).connect()
            deaf = session.websocket(ws_url(serve(lambda peer: (accept(peer), peer.hold()))), close_timeout=0.1)
            await deaf.connect()
            with trio.move_on_after(0.05):
                await deaf.recv()
            await deaf.close()
            assert deaf.close_code == 1006
            url = ws_url(serve([lambda peer: peer.fin(), leaving, staying]))
            async with session.websocket(url, auto_reconnect=True, reconnect_delay=0.01) as ws:
                return [message async for message in ws]

    assert trio.run(body) == ["one", "two"]


class Reacting(FakeStream):
    """A stream on which something happens at each write."""

    def __init__(self, *reactions: Any) -> None:
        super().__init__()
        self.reactions = list(reactions)

    async def write(self, data: Any, timeout: float | None) -> None:
        await super().write(data, timeout)
        if self.reactions:
            self.reactions.pop(0)()


def writer_on(stream: NetworkStream, is_lost: Any = None) -> Writer:
    return Writer(stream, Clock(), FrameCodec(), None, 5, is_lost or Ignoring().lost)


class Ignoring:
    async def lost(self, error: BaseException) -> None:
        pass


def test_a_ping_that_comes_while_pongs_are_written_is_answered_too() -> None:
    stream = Reacting(lambda: writer.owe_pong(b"1"), lambda: writer.owe_pong(b"2"))
    writer = writer_on(stream)
    run(writer.message(b"x", True))
    assert stream.opcodes == [TEXT, PONG, PONG]
    assert not writer.owes_pong


def test_nothing_follows_a_close_frame() -> None:
    stream = FakeStream()
    writer = writer_on(stream)
    writer.owe_pong(b"1")
    assert run(writer.close_frame(1000, "", 1))
    run(writer.flush())
    writer.owe_pong(b"2")
    assert run(writer.try_control(PING, b"3")) is False
    assert not writer.owes_pong
    assert run(writer.close_frame(1000, "", 1)) is False
    with pytest.raises(WriterClosed):
        run(writer.message(b"x", True))
    assert stream.opcodes == [CLOSE]


def test_a_write_may_break_when_nobody_is_left_to_be_told() -> None:
    stream = FakeStream()
    stream.breaks = True
    writer = writer_on(stream)
    for _ in range(2):  # the baton was given back
        with pytest.raises(WriteError):
            run(writer.message(b"x", True))


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


def test_a_message_waits_for_whoever_is_writing() -> None:
    async def main() -> None:
        stream = Suspending()
        writer = Writer(stream, AsyncioRuntime(), FrameCodec(), None, 5, Ignoring().lost)
        first = asyncio.create_task(writer.message(b"1", True))
        await stream.is_leaving.wait()
        second = asyncio.create_task(writer.message(b"2", False))
        while not writer._frames._queue:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0)
        stream.may_leave.set()
        await asyncio.gather(first, second)
        assert stream.opcodes == [TEXT, BINARY]

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
