"""WebSockets on streams of HTTP/2 connections (RFC 8441), in both worlds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, RequestReceived, StreamReset
from h2.settings import SettingCodes, Settings

from reqivo_core.errors import ConnectionClosedError, HandshakeError
from support.certs import Authority
from support.fixtures import Serve
from support.frames import BINARY, accept, answer_close, frame, text
from support.scripted import Peer
from support.servers import AsgiServer
from support.sockets import connected, make, mixed
from support.world import World
from ws.scripts import Told, ws_url

pytest.importorskip("reqivo_http2", reason="this distribution is tested alone here")


@pytest.fixture
def trusting(authority: Authority) -> dict[str, Any]:
    return {"verify": str(authority.path)}


class H2Peer:
    """The server's end of an HTTP/2 connection on a scripted peer."""

    def __init__(self, peer: Peer, settings: dict[int, int]) -> None:
        self.peer = peer
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings = Settings(client=False, initial_values=settings)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.peer.send(self.h2.data_to_send())

    def events(self) -> Iterator[Event]:
        """All events until the client leaves; received octets are given back at once."""
        while data := self.peer.receive():
            for event in self.h2.receive_data(data):
                if isinstance(event, DataReceived):
                    assert event.stream_id is not None
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                yield event
                if isinstance(event, ConnectionTerminated):
                    return
            self.flush()

    def expect_request(self) -> tuple[int, dict[str, str]]:
        for event in self.events():
            if isinstance(event, RequestReceived):
                assert event.stream_id is not None and event.headers is not None
                return event.stream_id, {str(name): str(value) for name, value in event.headers}
        raise AssertionError("no request came")


ALLOWED = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}


def test_an_echo_on_a_stream(world: World, h2_server: AsgiServer, trusting: dict[str, Any]) -> None:
    with world.client(**trusting) as client:
        url = ws_url(h2_server, "/ws/echo")
        with connected(world, url, client.session, subprotocols=["a"]) as ws:
            assert (ws.response.http_version, ws.response.status_code, ws.subprotocol) == ("HTTP/2", 200, "a")
            for message in ("text", b"octets", "ü" * 100_000, bytes(2_000_000)):
                ws.send(message)
                assert ws.recv() == message
            ws.send(["frag", "ments"])
            assert ws.recv() == "fragments"
            assert ws.ping() > 0
            assert client.get(h2_server.url("/echo/1")).http_version == "HTTP/2"
        assert ws.close_code == 1000


@pytest.mark.parametrize("compression", [True, False])
def test_a_thousand_messages_up_to_eight_mebibytes(
    world: World, h2_server: AsgiServer, trusting: dict[str, Any], compression: bool
) -> None:
    with connected(world, ws_url(h2_server, "/ws/echo"), compression=compression, **trusting) as ws:
        assert ws.response.http_version == "HTTP/2"
        assert ("sec-websocket-extensions" in ws.response.headers) is compression
        for message in mixed(1000, 8 * 2**20):
            ws.send(message)
            assert ws.recv() == message


def test_w29_ten_websockets_and_fifty_requests_on_one_connection(
    world: World, authority: Authority, trusting: dict[str, Any]
) -> None:
    with AsgiServer(tls=authority.server_context(alpn=["h2", "http/1.1"])) as server:
        with world.client(**trusting) as client:
            client.get(server.url("/echo/0"))
            sockets = [make(world, ws_url(server, "/ws/echo"), client.session) for _ in range(10)]
            for ws in sockets:
                ws.connect()

            def echo(ws: Any) -> Callable[[Any], Any]:
                async def later() -> Any:
                    await ws.send("x" * 50_000)
                    return await ws.recv()

                def now() -> Any:
                    ws.send("x" * 50_000)
                    return ws.recv()

                return lambda session: later() if world.name == "async" else now()

            def ask(number: int) -> Callable[[Any], Any]:
                return lambda session: session.get(server.url(f"/echo/{number}"))

            outcomes = client.together([*[echo(s.ws) for s in sockets], *[ask(number) for number in range(50)]])
            assert outcomes[:10] == ["x" * 50_000] * 10
            assert [outcome.status_code for outcome in outcomes[10:]] == [200] * 50
            for ws in sockets:
                ws.close()
        assert server.connections == 1


def test_w29_what_is_asked(world: World, serve: Serve, authority: Authority, trusting: dict[str, Any]) -> None:
    seen: list[dict[str, str]] = []

    def script(peer: Peer) -> None:
        h2 = H2Peer(peer, ALLOWED)
        stream, headers = h2.expect_request()
        seen.append(headers)
        h2.h2.send_headers(stream, [(":status", "200")])
        h2.h2.send_data(stream, text("hello") + frame(8, b"\x03\xe8"))
        h2.flush()
        list(h2.events())

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with connected(world, ws_url(server, "/chat?room=1"), headers={"Origin": "https://x"}, **trusting) as ws:
        assert ws.messages() == ["hello"]
    headers = seen[0]
    assert [headers[name] for name in (":method", ":protocol", ":scheme", ":path", "sec-websocket-version")] == [
        *("CONNECT", "websocket", "https", "/chat?room=1", "13"),
    ]
    assert headers["origin"] == "https://x"
    assert not {"upgrade", "connection", "sec-websocket-key", "host"} & headers.keys()


def test_w29_without_the_setting_http11_is_spoken(
    world: World, serve: Serve, authority: Authority, trusting: dict[str, Any]
) -> None:
    spoken: list[str | None] = []

    def script(peer: Peer) -> None:
        spoken.append(peer.alpn)
        if peer.alpn != "h2":
            accept(peer, text("by HTTP/1.1"))
            answer_close(peer)
            return
        h2 = H2Peer(peer, {})
        stream, _ = h2.expect_request()
        h2.h2.send_headers(stream, [(":status", "204")], end_stream=True)
        h2.flush()
        list(h2.events())

    server = serve(script, tls=authority.server_context(alpn=["h2", "http/1.1"]))
    with world.client(**trusting) as client:
        for _ in range(2):
            with connected(world, ws_url(server), client.session) as ws:
                assert ws.recv() == "by HTTP/1.1"
        assert client.get(server.url("/")).http_version == "HTTP/2"
    assert spoken == ["h2", "http/1.1", "http/1.1"]


def test_w29_http2_may_be_forbidden(world: World, h2_server: AsgiServer, trusting: dict[str, Any]) -> None:
    with connected(world, ws_url(h2_server, "/ws/echo"), http2=False, **trusting) as ws:
        ws.send("x")
        assert (ws.recv(), ws.response.http_version) == ("x", "HTTP/1.1")


def test_w29_a_refusal_is_readable(world: World, h2_server: AsgiServer, trusting: dict[str, Any]) -> None:
    with pytest.raises(HandshakeError) as caught:
        make(world, ws_url(h2_server, "/nowhere"), **trusting).connect()
    assert (caught.value.response.status_code, caught.value.response.http_version) == (403, "HTTP/2")


def test_w26_w29_a_challenge_is_answered_by_a_second_stream(
    world: World, serve: Serve, authority: Authority, trusting: dict[str, Any]
) -> None:
    reqivo = pytest.importorskip("reqivo", reason="this distribution is tested alone here")
    seen: list[dict[str, str]] = []

    def script(peer: Peer) -> None:
        h2 = H2Peer(peer, ALLOWED)
        stream, headers = h2.expect_request()
        seen.append(headers)
        challenge = ("www-authenticate", 'Digest realm="here", nonce="n", qop="auth", algorithm=SHA-256')
        h2.h2.send_headers(stream, [(":status", "401"), challenge], end_stream=True)
        h2.flush()
        stream, headers = h2.expect_request()
        seen.append(headers)
        h2.h2.send_headers(stream, [(":status", "200")])
        h2.h2.send_data(stream, text("welcome") + frame(8, b"\x03\xe8"))
        h2.flush()
        list(h2.events())

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with connected(world, ws_url(server), auth=reqivo.DigestAuth("user", "password"), **trusting) as ws:
        assert ws.messages() == ["welcome"]
    assert [headers[":protocol"] for headers in seen] == ["websocket", "websocket"]
    assert "authorization" not in seen[0]
    assert seen[1]["authorization"].startswith("Digest ") and 'username="user"' in seen[1]["authorization"]
    assert server.connections == 1


def test_w18_w29_the_closing_handshake_needs_no_end_of_the_stream(
    world: World, serve: Serve, authority: Authority, trusting: dict[str, Any]
) -> None:
    told = Told()

    def script(peer: Peer) -> None:
        h2 = H2Peer(peer, ALLOWED)
        stream, _ = h2.expect_request()
        h2.h2.send_headers(stream, [(":status", "200")])
        h2.flush()
        for event in h2.events():
            if isinstance(event, DataReceived):
                h2.h2.send_data(stream, frame(8, b"\x03\xe8"))  # and the stream stays open
            if isinstance(event, StreamReset):
                told.tell(event.error_code)

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with world.client(**trusting) as client:
        with connected(world, ws_url(server), client.session) as ws:
            pass
        assert ws.close_code == 1000
        assert client.session.pool.active == 0
    assert told.value == ErrorCodes.CANCEL


@pytest.mark.parametrize("how", ["END_STREAM", "RST_STREAM", "EOF"])
def test_w29_the_end_of_the_stream_is_the_end_of_the_connection(
    world: World, serve: Serve, authority: Authority, trusting: dict[str, Any], how: str
) -> None:
    def script(peer: Peer) -> None:
        h2 = H2Peer(peer, ALLOWED)
        stream, _ = h2.expect_request()
        h2.h2.send_headers(stream, [(":status", "200")])
        h2.h2.send_data(stream, text("whole") + frame(BINARY, b"x" * 100)[:50], end_stream=how == "END_STREAM")
        if how == "RST_STREAM":
            h2.flush()
            h2.h2.reset_stream(stream, ErrorCodes.CANCEL)
        h2.flush()
        if how == "EOF":
            return
        list(h2.events())

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with connected(world, ws_url(server), **trusting) as ws:
        with pytest.raises(ConnectionClosedError) as caught:
            for _ in range(2):
                ws.recv()
        assert caught.value.code == 1006


def test_w29_goaway_leaves_it_open(world: World, serve: Serve, authority: Authority, trusting: dict[str, Any]) -> None:
    def script(peer: Peer) -> None:
        h2 = H2Peer(peer, ALLOWED)
        stream, _ = h2.expect_request()
        h2.h2.send_headers(stream, [(":status", "200")])
        h2.h2.send_data(stream, text("before"))
        h2.flush()
        peer.send(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + stream.to_bytes(4, "big") + bytes(4))
        h2.h2.send_data(stream, text("after") + frame(8, b"\x03\xe8"))
        h2.flush()
        list(h2.events())

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with connected(world, ws_url(server), **trusting) as ws:
        assert ws.messages() == ["before", "after"]


def test_w29_a_small_window_is_no_obstacle(
    world: World, serve: Serve, authority: Authority, trusting: dict[str, Any]
) -> None:
    received = bytearray()

    def script(peer: Peer) -> None:
        h2 = H2Peer(peer, {**ALLOWED, SettingCodes.INITIAL_WINDOW_SIZE: 1024})
        stream, _ = h2.expect_request()
        h2.h2.send_headers(stream, [(":status", "200")])
        h2.flush()
        for event in h2.events():
            if isinstance(event, DataReceived):
                assert event.data is not None and len(event.data) <= 1024
                received.extend(event.data)
                if len(received) == 1_000_000 + 14:
                    h2.h2.send_data(stream, text("got it") + frame(8, b"\x03\xe8"))
        assert len(received) >= 1_000_014

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with connected(world, ws_url(server), compression=False, **trusting) as ws:
        ws.send(bytes(1_000_000))
        assert ws.messages() == ["got it"]
