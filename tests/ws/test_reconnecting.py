"""Reconnecting, in both worlds."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from reqivo_core import Session, hookimpl
from reqivo_core.errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, HandshakeError, ReadTimeout
from reqivo_core.runtime.running import make_runtime
from reqivo_core.testing.failing import MAX_STEPS, Fault, broken_network
from reqivo_ws.reconnecting import Reconnector
from support.fixtures import Serve
from support.frames import PONG, TEXT, accept, answer_close, close_frame, expect_close, expect_frame, frame, text
from support.scripted import Peer, ScriptedServer
from support.servers import WebSocketsServer
from support.sockets import connected, make
from support.world import PATIENCE, World
from ws.scripts import ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")

QUICK = {"auto_reconnect": True, "reconnect_delay": 0.01}


def losing(message: str = "", code: int | None = None) -> Any:
    """A script that sends a message and breaks off, by a close frame or by a reset."""

    def script(peer: Peer) -> None:
        accept(peer, text(message) if message else b"")
        if code is None:
            peer.fin()
        else:
            peer.send(close_frame(code))
            peer.expect_close()

    return script


def staying(message: str) -> Any:
    def script(peer: Peer) -> None:
        accept(peer, text(message) + close_frame(1000))
        peer.expect_close()

    return script


def refusing(status: int) -> Any:
    return lambda peer: (peer.expect_request(), peer.respond(status))


class Observer:
    """Records what happens to reconnections."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    @hookimpl
    def reqivo_trace(self, event: Any) -> None:
        if event.name == "reconnect":
            self.events.append(event)


class Waiting:
    """Tells that somebody waits for an attempt."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()

    @hookimpl
    def reqivo_trace(self, event: Any) -> None:
        if event.name == "reconnect":
            self.has_begun.set()


def test_w24_iteration_goes_on_across_reconnections(world: World, serve: Serve) -> None:
    scripts = [losing("one"), refusing(503), losing("two", 1012), losing("three", 1001), losing(), staying("four")]
    server = serve(scripts)
    observer = Observer()
    with world.client(plugins=[observer]) as client, connected(world, ws_url(server), client.session, **QUICK) as ws:
        assert ws.messages() == ["one", "two", "three", "four"]
    assert [event.state for event in observer.events] == [
        *("started", "failed", "started", "complete"),
        *("started", "complete"),
        *("started", "complete"),
        *("started", "complete"),
    ]
    assert [event.info["attempt"] for event in observer.events] == [1, 1, 2, 2, 1, 1, 1, 1, 2, 2]
    delays = [event.info["delay"] for event in observer.events if event.state == "started"]
    assert 0.005 <= delays[0] < delays[1] <= 0.02
    assert "503" in observer.events[1].info["error"]


def test_w24_after_the_last_attempt_the_original_error_comes_out(world: World, serve: Serve) -> None:
    server = serve([losing("one"), refusing(503)])
    with connected(world, ws_url(server), max_reconnect_attempts=2, **QUICK) as ws:
        assert ws.recv() == "one"
        for _ in range(2):
            with pytest.raises(ConnectionClosedError, match="without a close frame") as caught:
                ws.recv()
            assert caught.value.code == 1006
    assert "503" in caught.value.__notes__[0]
    assert server.connections == 3


@pytest.mark.parametrize("status", [401, 404])
def test_w24_what_will_not_change_is_not_tried_again(world: World, serve: Serve, status: int) -> None:
    server = serve([losing("one"), refusing(status)])
    with connected(world, ws_url(server), **QUICK) as ws:
        assert ws.recv() == "one"
        with pytest.raises(HandshakeError) as caught:
            ws.recv()
    assert (caught.value.response.status_code, server.connections) == (status, 2)


def test_w24_a_server_that_is_down_for_a_while_and_comes_back(world: World) -> None:
    server = WebSocketsServer()
    observer = Observer()
    with world.client(plugins=[observer]) as client, ExitStack() as running:
        running.enter_context(server)
        address = (server.host, server.port)
        ws = make(world, ws_url(server), client.session, max_reconnect_attempts=None, **QUICK)
        ws.connect()
        ws.send("before")
        assert ws.recv() == "before"
        running.close()
        with pytest.raises(ReadTimeout):
            ws.recv(timeout=0.1)
        assert not ws.is_open
        assert "failed" in {event.state for event in observer.events}
        running.enter_context(Restarted(address))
        ws.send("after")
        assert ws.recv(timeout=10) == "after"
        ws.close()
    assert observer.events[-1].state == "complete"


class Restarted(WebSocketsServer):
    """An echo where another server was before."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self._address = address

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen at the address."""
        with socket.create_server(self._address) as sock:
            self.port = self._address[1]
            sock.setblocking(False)
            async with self.on(sock):
                yield


@pytest.mark.parametrize("code", [1000, 1002, 1008, 4000])
def test_w24_what_was_meant_is_accepted(world: World, serve: Serve, code: int) -> None:
    server = serve([losing("one", code)])
    with connected(world, ws_url(server), **QUICK) as ws:
        assert ws.recv() == "one"
        with pytest.raises(ConnectionClosedOK if code == 1000 else ConnectionClosedError):
            ws.recv()
    assert server.connections == 1


def test_send_waits_for_a_new_connection_and_sends_once(world: World, serve: Serve) -> None:
    got: list[Any] = []

    def second(peer: Peer) -> None:
        accept(peer)
        got.append(expect_frame(peer).payload)
        answer_close(peer)

    def first(peer: Peer) -> None:
        accept(peer, close_frame(1012))
        is_closing.set()
        peer.expect_close()

    is_closing = threading.Event()
    server: ScriptedServer = serve([first, second])
    with connected(world, ws_url(server), **QUICK) as ws:
        assert is_closing.wait(PATIENCE)  # the close frame has come, and nobody has read it
        ws.send("once")
    assert got == [b"once"]


def test_send_waits_while_the_server_takes_its_leave(world: World, serve: Serve) -> None:
    """Another is amid the closing handshake, which the server began: that is no other than a moment later."""

    def first(peer: Peer) -> None:
        accept(peer, close_frame(1012))
        expect_close(peer)
        is_leaving.set()
        peer.expect_close()

    def second(peer: Peer) -> None:
        accept(peer)
        peer.send(text("got " + expect_frame(peer).payload.decode()) + close_frame(1000))
        peer.expect_close()

    def send(ws: Any) -> Any:
        if world.name == "blocking":
            assert is_leaving.wait(PATIENCE)
            return ws.send("once")

        async def later() -> None:
            assert await asyncio.to_thread(is_leaving.wait, PATIENCE)
            await ws.send("once")

        return later()

    is_leaving = threading.Event()
    with connected(world, ws_url(serve([first, second])), **QUICK) as ws:
        assert ws.together(lambda w: w.recv(), send) == ["got once", None]


def test_w24_iteration_does_not_end_as_if_all_were_well_when_the_attempts_are_used_up(
    world: World, serve: Serve
) -> None:
    server = serve([losing("one", 1001), refusing(503)])
    with connected(world, ws_url(server), max_reconnect_attempts=1, **QUICK) as ws:
        with pytest.raises(ConnectionClosedError, match="going away") as caught:
            ws.messages()
        assert caught.value.code == 1001
        with pytest.raises(ConnectionClosedError, match="going away"):
            ws.recv()


def test_w23_what_a_lost_connection_had_brought_is_received_first(world: World, serve: Serve) -> None:
    def first(peer: Peer) -> None:
        accept(peer)
        ping = expect_frame(peer)
        peer.send(text("one") + text("two") + frame(TEXT, b"half", fin=False) + frame(PONG, ping.payload))
        peer.fin()
        is_gone.set()

    def second(peer: Peer) -> None:
        accept(peer)
        peer.send(text("three, after " + expect_frame(peer).payload.decode()) + close_frame(1000))
        peer.expect_close()

    is_gone = threading.Event()
    with connected(world, ws_url(serve([first, second])), **QUICK) as ws:
        ws.ping()  # whoever waits for the pong reads what comes before it
        assert is_gone.wait(PATIENCE)
        ws.send("four")  # finds the end, and waits for a new connection
        assert ws.messages() == ["one", "two", "three, after four"]


def test_on_reconnect_may_subscribe_again(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(text("got " + expect_frame(peer).payload.decode()) + close_frame(1000))
        peer.expect_close()

    def subscribe(ws: Any) -> Any:
        return ws.send("subscription")  # in the async world this is awaited

    with connected(world, ws_url(serve([losing("one"), script])), on_reconnect=subscribe, **QUICK) as ws:
        assert ws.messages() == ["one", "got subscription"]


@pytest.mark.parametrize("code", [None, 1012])
def test_on_reconnect_may_find_the_new_connection_lost_as_well(world: World, serve: Serve, code: int | None) -> None:
    def lost_at_once(peer: Peer) -> None:
        losing("", code)(peer)
        gone.set()

    def welcoming(peer: Peer) -> None:
        accept(peer)
        peer.send(text("got " + expect_frame(peer).payload.decode()) + close_frame(1000))
        peer.expect_close()

    def subscribe(ws: Any) -> Any:
        if len(server.requests) == 2:
            return wait_and_receive(ws)
        return ws.send("subscription")

    def wait_and_receive(ws: Any) -> Any:
        gone.wait(10) if code is None else None
        return ws.recv()  # raises here: it does not wait for a connection that only its caller can make

    gone = threading.Event()
    server = serve([losing("one"), lost_at_once, welcoming])
    with connected(world, ws_url(server), on_reconnect=subscribe, **QUICK) as ws:
        assert ws.messages() == ["one", "got subscription"]


@pytest.mark.parametrize("code", [1000, 4001])
def test_on_reconnect_may_be_told_that_it_was_meant(world: World, serve: Serve, code: int) -> None:
    server = serve([losing("one"), losing("", code)])
    with connected(world, ws_url(server), on_reconnect=lambda ws: ws.recv(), **QUICK) as ws:
        assert ws.recv() == "one"
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv()
    assert caught.value.code == code
    assert isinstance(caught.value.__cause__, ConnectionClosedError)


def test_what_on_reconnect_raises_reaches_the_caller_and_the_connection_stays(world: World, serve: Serve) -> None:
    def broken(ws: Any) -> None:
        raise KeyError("subscription")

    with connected(world, ws_url(serve([losing("one"), staying("two")])), on_reconnect=broken, **QUICK) as ws:
        assert ws.recv() == "one"
        with pytest.raises(KeyError):
            ws.recv()
        assert ws.recv() == "two"


def test_a_timeout_ends_the_wait_but_not_the_attempts(world: World, serve: Serve) -> None:
    server = serve([losing("one"), staying("two")])
    with connected(world, ws_url(server), auto_reconnect=True, reconnect_delay=0.4) as ws:
        assert ws.recv() == "one"
        with pytest.raises(ReadTimeout):
            ws.recv(timeout=0.05)
        with pytest.raises(ReadTimeout):
            ws.recv(timeout=0)
        assert ws.recv(timeout=5) == "two"


def test_who_waits_for_an_attempt_of_another_may_give_up_earlier(world: World, serve: Serve) -> None:
    server = serve([losing("one"), staying("two")])
    with connected(world, ws_url(server), auto_reconnect=True, reconnect_delay=0.5) as ws:
        assert ws.recv() == "one"
        patient, hasty = ws.together(lambda w: w.recv(timeout=10), lambda w: w.recv(timeout=0.02))
    assert patient == "two"
    assert isinstance(hasty, ReadTimeout)


def test_close_ends_the_attempts(world: World, serve: Serve) -> None:
    waiting = Waiting()
    url = ws_url(serve([losing("one")]))
    with world.client(plugins=[waiting]) as client:
        with connected(world, url, client.session, auto_reconnect=True, reconnect_delay=60) as ws:
            assert ws.recv() == "one"
            received, _ = ws.together(lambda w: w.recv(), lambda w: _closed_after(world, w, waiting.has_begun))
            assert isinstance(received, ConnectionClosedError)


def _closed_after(world: World, ws: Any, event: threading.Event) -> Any:
    """Close, from another task or thread, once something has happened."""
    if world.name == "async":

        async def later() -> None:
            assert await asyncio.to_thread(event.wait, 10)
            await ws.close()

        return later()
    assert event.wait(10)
    return ws.close()


def test_two_that_find_the_connection_lost_make_one_new(world: World, serve: Serve) -> None:
    def second(peer: Peer) -> None:
        accept(peer, text("a") + text("b"))
        answer_close(peer)

    server = serve([losing(), second])
    with connected(world, ws_url(server), **QUICK) as ws:
        assert sorted(ws.together(lambda w: w.recv(), lambda w: w.recv())) == ["a", "b"]
    assert server.connections == 2


def test_without_it_nothing_is_tried(world: World, serve: Serve) -> None:
    server = serve(losing())
    with connected(world, ws_url(server)) as ws, pytest.raises(ConnectionClosedError):
        ws.recv()
    assert server.connections == 1


def test_a_restarted_server_goes_away_and_comes_back(world: World, serve: Serve) -> None:
    def going_away(peer: Peer) -> None:
        accept(peer)
        assert expect_frame(peer).payload == b"one"
        peer.send(text("one") + close_frame(1001))
        expect_close(peer)

    with connected(world, ws_url(serve([going_away, staying("two")])), **QUICK) as ws:
        ws.send("one")
        assert ws.messages() == ["one", "two"]


def test_numbers_are_checked() -> None:
    with pytest.raises(ValueError, match="reconnect_delay"):
        Reconnector(-1, 5, None)
    with pytest.raises(ValueError, match="max_reconnect_attempts"):
        Reconnector(1, -5, None)


class TestTheFirstConnection:
    """``connect`` tries as often as a reconnection: a server that is being restarted is one case, whenever it is."""

    def test_w24_it_is_tried_again_until_the_server_is_there(self, world: World, serve: Serve) -> None:
        server = serve([refusing(503), lambda peer: peer.fin(), refusing(429), staying("there")])
        observer, told = Observer(), []
        with world.client(plugins=[observer]) as client:
            options = {**QUICK, "on_reconnect": told.append}
            with connected(world, ws_url(server), client.session, **options) as ws:
                assert ws.messages() == ["there"]
        assert [event.state for event in observer.events] == ["started", "failed"] * 2 + ["started", "complete"]
        assert [event.info["url"] for event in observer.events[:4]] == [ws_url(server)] * 4
        assert told == []  # it did not re-connect: whoever called connect goes on by itself

    @pytest.mark.parametrize("leaf", ["resolve", "connect_tcp", "write", "read"])
    def test_w24_a_network_that_is_down_at_first(self, world: World, serve: Serve, leaf: str) -> None:
        def connect(fault: Fault) -> Fault:
            runtime = fault.wrap(make_runtime("blocking" if world.name == "blocking" else "asyncio"))
            with world.client(runtime=runtime) as client:
                with connected(world, ws_url(serve(staying("there"))), client.session, **QUICK) as ws:
                    assert ws.messages() == ["there"]
            return fault

        leaves = connect(Fault(MAX_STEPS, broken_network)).leaves
        assert connect(Fault(leaves.index(leaf) + 1, broken_network)).was_reached

    def test_w24_after_the_last_attempt_the_first_error_comes_out(self, world: World, serve: Serve) -> None:
        server = serve([refusing(503), refusing(429)])
        with pytest.raises(HandshakeError, match="503") as caught:
            make(world, ws_url(server), max_reconnect_attempts=2, **QUICK).connect()
        assert "429" in caught.value.__notes__[0] and "2 attempts" in caught.value.__notes__[0]
        assert server.connections == 3

    @pytest.mark.parametrize("options", [{"max_reconnect_attempts": 0, **QUICK}, {"max_reconnect_attempts": 5}])
    def test_w24_once_where_no_more_is_wanted(self, world: World, serve: Serve, options: Any) -> None:
        server = serve(refusing(503))
        with pytest.raises(HandshakeError, match="503"):
            make(world, ws_url(server), **options).connect()
        assert server.connections == 1

    @pytest.mark.parametrize("status", [401, 404])
    def test_w24_what_will_not_change_is_raised_at_once(self, world: World, serve: Serve, status: int) -> None:
        server = serve([refusing(503), refusing(status)])
        with pytest.raises(HandshakeError, match=str(status)) as caught:
            make(world, ws_url(server), **QUICK).connect()
        assert "503" in str(caught.value.__cause__)
        assert server.connections == 2
        with pytest.raises(HandshakeError, match=str(status)):
            make(world, ws_url(server), **QUICK).connect()
        assert server.connections == 3

    def test_close_ends_the_attempts(self, world: World, serve: Serve) -> None:
        waiting = Waiting()
        with world.client(plugins=[waiting]) as client:
            ws = make(world, ws_url(serve(refusing(503))), client.session, auto_reconnect=True, reconnect_delay=60)
            refused, _ = ws.together(lambda w: w.connect(), lambda w: _closed_after(world, w, waiting.has_begun))
        assert isinstance(refused, HandshakeError)
        assert not ws.is_open


def test_whoever_observes_may_put_an_end_to_it(serve: Serve) -> None:
    class Ending:
        @hookimpl
        def reqivo_trace(self, event: Any) -> None:
            if (event.name, event.state) == ("reconnect", "started"):
                ws.close()

    server = serve([losing()])
    with Session(plugins=[Ending()]) as session:
        ws = session.websocket(ws_url(server), auto_reconnect=True, reconnect_delay=60)
        with ws, pytest.raises(ConnectionClosed):
            ws.recv()
    assert server.connections == 1
