"""G5: wherever a server stalls, the opening ends within its total, and the closing within ``close_timeout``."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from reqivo_core.errors import (
    ConnectionClosedError,
    HandshakeError,
    PoolTimeout,
    SessionClosed,
    TimeoutException,
    TotalTimeout,
)
from reqivo_core.timeouts import Timeout
from support.certs import Authority
from support.fixtures import Secured, Serve
from support.frames import BINARY, PING, accept, frame, text
from support.h2_peer import H2Peer
from support.messages import response
from support.scripted import Peer
from support.servers import AsgiServer
from support.sockets import connected, make
from support.world import World
from ws.scripts import ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")

TOTAL = 0.3
TOTALS = (TOTAL, 3.0)
"""The second is for machines that are too busy to get where a test wants to be within the first."""
AMPLE = 9.0
"""Seconds that only something unbounded takes: the default limits are 10 and more."""


@contextmanager
def within_bounds() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AMPLE


def silent(peer: Peer) -> None:
    peer.hold()


def asked_and_silent(peer: Peer) -> None:
    peer.expect_request()
    peer.hold()


def dripping(peer: Peer) -> None:
    peer.expect_request()
    peer.drip(b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 1000, 1, 0.02)


def redirecting_first(peer: Peer) -> None:
    peer.expect_request()
    peer.send(response(302, b"", [("Location", "/there")]))
    asked_and_silent(peer)


def challenging_first(peer: Peer) -> None:
    peer.expect_request()
    peer.respond(401, b"", [("WWW-Authenticate", "Bearer")])
    asked_and_silent(peer)


def answering_twice(request: Any) -> Any:
    """A flow that answers a challenge."""
    answer = yield request
    return (yield request) if answer.status_code == 401 else answer


@pytest.mark.parametrize("script", [silent, asked_and_silent, dripping, redirecting_first, challenging_first])
def test_g5_an_opening_handshake_that_stalls(world: World, secured: Secured, script: Any) -> None:
    server, verify = secured(script)
    ws = make(world, ws_url(server), timeout=TOTAL, auth=answering_twice, verify=verify)
    with within_bounds(), pytest.raises(TimeoutException):
        ws.connect()
    assert not ws.is_open


def test_g5_it_is_the_total_that_ends_it(world: World, serve: Serve) -> None:
    server = serve(dripping)
    with world.client(timeout=Timeout(read=60, total=TOTAL)) as client, within_bounds(), pytest.raises(TotalTimeout):
        make(world, ws_url(server), client.session).connect()


def test_g5_a_handshake_of_tls_that_stalls(world: World, serve: Serve) -> None:
    server = serve(silent)
    with within_bounds(), pytest.raises(TimeoutException):
        make(world, ws_url(server).replace("ws://", "wss://"), timeout=TOTAL).connect()


def test_g5_a_refusal_whose_body_never_ends(world: World, secured: Secured) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 1000\r\n\r\nnot ")
        peer.hold()

    server, verify = secured(script)
    for total in TOTALS:
        with within_bounds(), pytest.raises((HandshakeError, TotalTimeout)) as caught:
            make(world, ws_url(server), timeout=total, verify=verify).connect()
        if isinstance(caught.value, HandshakeError):
            break
    assert "403" in str(caught.value)
    assert caught.value.response.content == b"not "


def test_g5_a_pool_without_room(world: World, serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), peer.expect_close()))
    with world.client(limits={"max_connections": 1}) as client:
        with connected(world, ws_url(server), client.session, close_timeout=TOTAL):
            with within_bounds(), pytest.raises((PoolTimeout, TotalTimeout)):
                make(world, ws_url(server), client.session, timeout=TOTAL).connect()
        assert client.session.pool.active == 0


@pytest.mark.parametrize("says_settings", [False, True])
def test_g5_a_stream_of_http2_that_stalls(
    world: World, serve: Serve, authority: Authority, says_settings: bool
) -> None:
    pytest.importorskip("reqivo_http2", reason="this distribution is tested alone here")

    def script(peer: Peer) -> None:
        server = H2Peer(peer)
        if says_settings:
            server.greet({8: 1})  # ENABLE_CONNECT_PROTOCOL (RFC 8441 §3)
            seen.append(server.expect_request(whole=False)[":protocol"])
        else:
            server.expect_preface()
        peer.hold()

    seen: list[str] = []
    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    for total in TOTALS:
        with world.client(verify=str(authority.path)) as client:
            with within_bounds(), pytest.raises(TimeoutException):
                make(world, ws_url(server), client.session, timeout=total).connect()
        if seen or not says_settings:
            break
    assert set(seen) == ({"websocket"} if says_settings else set())


def pinging(peer: Peer) -> None:
    accept(peer)
    while True:
        peer.send(frame(PING, b"still here"))
        peer.sleep(0.02)


def amid_a_frame(peer: Peer) -> None:
    accept(peer)
    peer.drip(frame(BINARY, b"x" * 100_000), 1, 0.02)


def flooding(peer: Peer) -> None:
    accept(peer)
    peer.flood(text("x" * 1000) * 60)


def taking_nothing(peer: Peer) -> None:
    accept(peer)
    peer.stop_reading()


@pytest.mark.parametrize("script", [pinging, amid_a_frame, flooding, taking_nothing])
def test_g5_w19_a_closing_handshake_that_is_not_answered(world: World, secured: Secured, script: Any) -> None:
    server, verify = secured(script)
    ws = make(world, ws_url(server), close_timeout=TOTAL, verify=verify)
    ws.connect()
    with within_bounds():
        ws.close()
    assert (ws.close_code, ws.is_open) == (1006, False)


def test_g5_a_close_frame_that_finds_no_room(world: World, serve: Serve) -> None:
    is_sending = threading.Event()

    def script(peer: Peer) -> None:
        accept(peer)
        peer.expect(1000)  # of a long message
        is_sending.set()
        peer.stop_reading()

    server = serve(script, receive_buffer=4096)
    ws = make(world, ws_url(server), close_timeout=TOTAL, compression=False)
    ws.connect()

    def close(w: Any) -> Any:
        if world.name == "blocking":
            is_sending.wait(10)
        return w.close()

    def send(w: Any) -> Any:
        return w.send(bytes(20_000_000))

    with within_bounds():
        sent, closed = ws.together(send, close)
    assert isinstance(sent, ConnectionClosedError) and closed is None
    assert ws.close_code == 1006


@pytest.mark.parametrize("where", ["HTTP/1.1", "HTTP/2"])
def test_g5_closing_the_session_waits_for_no_websocket_nor_ends_it(
    world: World, where: str, tls_server: AsgiServer, h2_server: AsgiServer, authority: Authority
) -> None:
    if where == "HTTP/2":
        pytest.importorskip("reqivo_http2", reason="this distribution is tested alone here")
    server = tls_server if where == "HTTP/1.1" else h2_server
    with world.client(verify=str(authority.path)) as client:
        ws = make(world, ws_url(server, "/ws/echo"), client.session, auto_reconnect=True)
        ws.connect()
        with within_bounds():
            client.call(lambda session: session.close())
        ws.send("still open")
        assert (ws.recv(timeout=AMPLE), ws.response.http_version) == ("still open", where)
        with within_bounds():
            ws.close()
        assert (ws.close_code, client.session.pool.active) == (1000, 0)
        with pytest.raises(SessionClosed):
            ws.connect()
