"""Opening handshakes with real and scripted servers, in both worlds."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from reqivo_core import CookieJar, Response, hookimpl
from reqivo_core.errors import (
    CertificateError,
    ConnectError,
    HandshakeError,
    InvalidRequest,
    InvalidURL,
    ReadTimeout,
    ReqivoError,
    SessionClosed,
    TimeoutException,
    TotalTimeout,
    UnsafeRedirect,
    UnsupportedProtocol,
    WebSocketError,
)
from reqivo_ws import WebSocket
from support.certs import Authority
from support.fixtures import Serve
from support.frames import accept, accepting, answer_close, close_frame, expect_close, frame, text
from support.messages import response
from support.scripted import Peer, ScriptedServer
from support.servers import AsgiServer, WebSocketsServer
from support.sockets import connected, make
from support.world import World
from ws.scripts import ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")


def refused(world: World, url: str, session: Any = None, **options: Any) -> HandshakeError:
    """The error of a handshake that fails."""
    with pytest.raises(HandshakeError) as caught:
        make(world, url, session, **options).connect()
    return caught.value


def echoing(peer: Peer) -> None:
    accept(peer)
    answer_close(peer)


def test_w02_octets_behind_the_handshake_are_not_lost(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer, text("one") + frame(2, b"two") + text("thr")[:3])
        peer.send(text("thr")[3:] + close_frame(1000, "done"))
        peer.expect_close()

    with connected(world, ws_url(serve(script))) as ws:
        assert ws.messages() == ["one", b"two", "thr"]
        assert (ws.close_code, ws.close_reason) == (1000, "done")


@pytest.mark.parametrize("segmentation", ["byte", "random"])
def test_w01_w02_any_segmentation(world: World, serve: Serve, segmentation: Any) -> None:
    def script(peer: Peer) -> None:
        accept(peer, text("ü" * 200) + b"".join(text(str(n)) for n in range(100)) + close_frame())
        peer.expect_close()

    with connected(world, ws_url(serve(script, segmentation=segmentation))) as ws:
        assert ws.messages() == ["ü" * 200, *map(str, range(100))]


@pytest.mark.parametrize(
    "changed",
    [{"accept": "wrong"}, {"accept": None}, {"upgrade": None}, {"upgrade": "h2c"}, {"connection": "keep-alive"}],
)
def test_w03_answers_that_do_not_open(world: World, serve: Serve, changed: dict[str, str | None]) -> None:
    server = serve(lambda peer: (accept(peer, **changed), peer.expect_close()))
    error = refused(world, ws_url(server))
    assert "Sec-WebSocket-Accept" in str(error) or "Upgrade" in str(error) or "101" in str(error)
    server.wait_for_closed(1)


@pytest.mark.parametrize(
    "changed", [{"connection": "keep-alive, UPGRADE"}, {"upgrade": "WebSocket"}, {"connection": "upgrade,close"}]
)
def test_w03_answers_that_open_though_they_look_otherwise(
    world: World, serve: Serve, changed: dict[str, str | None]
) -> None:
    with connected(
        world, ws_url(serve(lambda peer: (accept(peer, text("open"), **changed), answer_close(peer))))
    ) as ws:
        assert ws.recv() == "open"


@pytest.mark.parametrize("status", [400, 401, 403, 429, 503])
def test_w04_http_errors_are_readable(world: World, serve: Serve, status: int) -> None:
    body = b'{"error": "no"}'
    fields = [("Retry-After", "7"), ("Content-Type", "application/json")]
    error = refused(world, ws_url(serve(lambda peer: (peer.expect_request(), peer.respond(status, body, fields)))))
    assert (error.response.status_code, error.response.headers["Retry-After"]) == (status, "7")
    assert error.response.content == body
    assert error.response.json() == {"error": "no"}
    assert str(status) in str(error)


def test_w04_of_an_endless_body_a_mebibyte_is_kept(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 100000000\r\n\r\n")
        peer.flood(b"x" * 65536)

    assert len(refused(world, ws_url(serve(script))).response.content) == 2**20


def redirect(location: str, status: int = 302) -> bytes:
    return response(status, b"", [("Location", location)])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_w04_redirects_are_followed_with_credentials_at_home(world: World, serve: Serve, status: int) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(redirect("/there", status))
        echoing(peer)

    server = serve(script)
    secrets = {"Authorization": "Bearer t", "Cookie": "a=b"}
    with connected(world, ws_url(server), headers=secrets) as ws:
        assert ws.response.history[0].status_code == status
    first, second = server.requests
    assert (second.target, second.header("authorization"), second.header("cookie")) == ("/there", "Bearer t", "a=b")
    assert first.header("sec-websocket-key") != second.header("sec-websocket-key")


def test_w04_credentials_do_not_cross_origins(world: World, serve: Serve) -> None:
    there = serve(echoing)
    here = serve(lambda peer: (peer.expect_request(), peer.send(redirect(ws_url(there, "/x")))))
    url = ws_url(here).replace("ws://", "ws://user:secret@")
    with connected(world, url, headers={"Cookie": "a=b", "X-Plain": "1"}, auth=("user", "secret")) as ws:
        assert ws.response.status_code == 101
    assert here.requests[0].header("authorization").startswith("Basic ")
    request = there.requests[0]
    assert (request.header("authorization"), request.header("cookie"), request.header("x-plain")) == ("", "", "1")


def test_w04_wss_is_never_left_for_ws(world: World, serve: Serve, authority: Authority) -> None:
    plain = serve(echoing)
    secure = serve(
        lambda peer: (peer.expect_request(), peer.send(redirect(ws_url(plain)))),
        tls=authority.server_context(alpn=["http/1.1"]),
    )
    error = refused(world, ws_url(secure), verify=str(authority.path))
    assert isinstance(error.__cause__, UnsafeRedirect)
    assert (plain.connections, error.response.status_code) == (0, 302)


@pytest.mark.parametrize(
    ("location", "why"),
    [("/", "circle|redirects"), ("gopher://x/", "redirect"), ("/#top", "no fragment"), ("http://[/", "redirect")],
)
def test_w04_redirects_that_are_not_followed(world: World, serve: Serve, location: str, why: str) -> None:
    def script(peer: Peer) -> None:
        while True:
            peer.expect_request()
            peer.send(redirect(location))

    with pytest.raises(HandshakeError, match=why):
        make(world, ws_url(serve(script)), max_redirects=3).connect()


def test_w04_following_can_be_switched_off(world: World, serve: Serve) -> None:
    server = serve(lambda peer: (peer.expect_request(), peer.send(redirect("/x"))))
    assert refused(world, ws_url(server), max_redirects=0).response.headers["Location"] == "/x"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(response(200, b"hello"), id="200"),
        pytest.param(b"HTTP/1.0 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="garbage"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgr", id="EOF amid the header"),
        pytest.param(b"", id="EOF"),
        pytest.param(b"HTTP/1.1 101 S\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", id="70 KB of header"),
    ],
)
def test_w05_j2_whatever_else_the_server_says(world: World, serve: Serve, answer: bytes) -> None:
    server = serve(lambda peer: (peer.expect_request(), peer.send(answer), peer.half_close(), peer.expect_close()))
    error = refused(world, ws_url(server))
    assert str(error)
    server.wait_for_closed(1)


def test_w05_j2_ten_megabytes_of_header(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(b"HTTP/1.1 101 S\r\n")
        peer.flood(b"X-Y: " + b"x" * 1000 + b"\r\n", 10_000_000)

    assert "header" in str(refused(world, ws_url(serve(script))))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-WebSocket-Protocol", "unasked"),
        ("Sec-WebSocket-Protocol", "chat, v2"),
        ("Sec-WebSocket-Extensions", "permessage-foo"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=99"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=abc"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=7"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; unknown"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
        ("Sec-WebSocket-Extensions", "permessage-deflate, permessage-deflate"),
        ("Sec-WebSocket-Protocol", "chat\r\nSec-WebSocket-Protocol: v2"),
    ],
)
def test_w06_j2_what_was_not_asked_for(world: World, serve: Serve, name: str, value: str) -> None:
    def script(peer: Peer) -> None:
        peer.send(accepting(peer.expect_request(), [(name, value)]))
        peer.expect_close()

    server = serve(script)
    error = refused(world, ws_url(server), subprotocols=["chat", "v2"])
    assert error.response.status_code == 101
    server.wait_for_closed(1)


def test_w06_a_subprotocol_and_the_smallest_window(world: World, serve: Serve) -> None:
    extra = [
        ("Sec-WebSocket-Protocol", "v2"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8"),
    ]

    def script(peer: Peer) -> None:
        peer.send(accepting(peer.expect_request(), extra) + frame(1, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=0x40))
        answer_close(peer)

    server = serve(script)
    with connected(world, ws_url(server), subprotocols=["chat", "v2"]) as ws:
        assert (ws.subprotocol, ws.recv()) == ("v2", "Hello")
        ws.send("x" * 1000)  # not compressed: zlib has no such window
    assert server.requests[0].header("sec-websocket-protocol") == "chat, v2"


def test_w26_auth_flows_and_cookies_are_the_sessions(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_request()
        peer.send(accepting(request, [("Set-Cookie", "seen=1; Path=/")]))
        answer_close(peer)

    server = serve(script)
    with world.client(cookies={"given": "yes"}, auth=("u", "p")) as client:
        for _ in range(2):
            with connected(world, ws_url(server), client.session):
                pass
        assert client.session.cookies["seen"] == "1"
    first, second = server.requests
    assert first.header("authorization") == "Basic dTpw"
    assert "given=yes" in first.header("cookie") and "seen=1" in second.header("cookie")


def test_a_jar_that_is_given_keeps_its_cookies_where_they_belong(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.send(accepting(peer.expect_request()))
        answer_close(peer)

    server = serve(script)
    jar = CookieJar()
    jar.set("own", "1", domain="127.0.0.1")
    jar.set("others", "2", domain="example.org")
    with connected(world, ws_url(server), cookies=jar):
        pass
    assert server.requests[0].header("cookie") == "own=1"


def test_w26_a_flow_may_answer_a_challenge(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.respond(401, b"", [("WWW-Authenticate", "Bearer")])
        echoing(peer)

    def flow(request: Any) -> Any:
        answer = yield request
        if answer.status_code == 401:
            request.headers["Authorization"] = "Bearer t"
            answer = yield request
        return answer

    server = serve(script)
    with connected(world, ws_url(server), auth=flow):
        pass
    assert server.requests[1].header("authorization") == "Bearer t"


def test_w27_hosts_ports_queries_and_userinfo(world: World, serve: Serve) -> None:
    server = serve(echoing)
    url = f"ws://user:p%40ss@localhost:{server.port}/a%2Fb?q=%7B&x"
    with connected(world, url, params={"n": 1}):
        pass
    request = server.requests[0]
    assert (request.target, request.header("host")) == ("/a%2Fb?q=%7B&x&n=1", f"localhost:{server.port}")
    assert request.header("authorization") == "Basic dXNlcjpwQHNz"
    with pytest.raises(InvalidURL, match="fragment"):
        make(world, f"ws://localhost:{server.port}/#x").connect()


def test_w27_international_names_addresses_and_default_ports(world: World, serve: Serve) -> None:
    four, six = serve(echoing), serve(echoing, host="::1")
    with world.client(resolve={"xn--bcher-kva.example": ("127.0.0.1", four.port)}) as client:
        with connected(world, "ws://bücher.example:80/", client.session):
            pass
        with connected(world, f"ws://[::1]:{six.port}/", client.session):
            pass
    assert four.requests[0].header("host") == "xn--bcher-kva.example"
    assert six.requests[0].header("host") == f"[::1]:{six.port}"


def test_w27_a_relative_url_is_appended_to_the_base(world: World, serve: Serve) -> None:
    server = serve(echoing)
    for base in (server.url("/v1"), ws_url(server, "/v1")):
        with world.client(base_url=base) as client, connected(world, "/feed", client.session):
            pass
    assert [request.target for request in server.requests] == ["/v1/feed", "/v1/feed"]


def test_a_header_of_the_handshakes_own_is_refused(world: World, serve: Serve) -> None:
    with pytest.raises(InvalidRequest, match="subprotocols="):
        make(world, ws_url(serve(echoing)), headers={"Sec-WebSocket-Protocol": "x"}).connect()


def test_hooks_see_the_handshake(world: World, serve: Serve) -> None:
    def amend(method: str, url: str, headers: Any) -> Any:
        headers["X-Hooked"] = "1"
        return method, url, headers

    server = serve(echoing)
    with world.client() as client:
        client.session.add_pre_request_hook(amend)
        with connected(world, ws_url(server), client.session):
            pass
    assert server.requests[0].header("x-hooked") == "1"


def test_the_pool_counts_the_connection_while_it_lasts(world: World, serve: Serve) -> None:
    with world.client() as client:
        with connected(world, ws_url(serve(echoing)), client.session):
            assert client.session.pool.active == 1
        assert client.session.pool.active == 0


def test_g5_a_handshake_that_stalls_is_bounded(world: World, serve: Serve) -> None:
    for script in (lambda peer: peer.hold(), lambda peer: (peer.expect_request(), peer.drip(b"H" * 100, 1, 0.05))):
        with pytest.raises((TimeoutException, HandshakeError)):
            make(world, ws_url(serve(script)), timeout=0.2).connect()
    with pytest.raises(TimeoutException) as caught:
        make(world, ws_url(serve(lambda peer: peer.hold())), timeout=0.1).connect()
    assert isinstance(caught.value, TotalTimeout | ReadTimeout)


def test_tls_and_its_settings(world: World, authority: Authority) -> None:
    with WebSocketsServer(tls=authority.server_context(alpn=["http/1.1"])) as server:
        with connected(world, ws_url(server), verify=str(authority.path)) as ws:
            ws.send("over TLS")
            assert ws.recv() == "over TLS"
        with pytest.raises(CertificateError):
            make(world, ws_url(server)).connect()


def test_refused_connections_and_closed_sessions(world: World) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError):
            make(world, f"ws://127.0.0.1:{unused.getsockname()[1]}/").connect()
    with world.client() as client:
        session = client.session
    with pytest.raises(SessionClosed):
        make(world, "ws://127.0.0.1:1/", session).connect()


def test_requests_to_ws_urls_are_told_what_to_do(world: World) -> None:
    with world.client() as client, pytest.raises(UnsupportedProtocol, match=r"session\.websocket\(url\)"):
        client.get("ws://127.0.0.1:1/")


def test_j2_raise_for_status_changes_the_words_only(world: World, serve: Serve) -> None:
    server = serve(lambda peer: (peer.expect_request(), peer.respond(403)))
    with world.client(raise_for_status=True) as client:
        assert refused(world, ws_url(server), client.session).response.status_code == 403


def test_options_are_checked(world: World) -> None:
    with pytest.raises(TypeError, match="subprotocols"):
        make(world, "ws://x/", subprotocol=["chat"])
    for wrong in ({"ping_interval": 0}, {"max_message_size": -1}, {"reconnect_delay": -1}, {"close_timeout": "1"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make(world, "ws://x/", **wrong)
    with pytest.raises(TypeError, match="compression"):
        make(world, "ws://x/", compression=["deflate"])
    with pytest.raises(ValueError, match="max_reconnect_attempts"):
        make(world, "ws://x/", max_reconnect_attempts=-1)
    with pytest.raises(WebSocketError, match="connect"):
        make(world, "ws://x/").recv()
    unconnected = make(world, "ws://user:secret@x/")
    assert (unconnected.close_code, unconnected.latency, unconnected.subprotocol, unconnected.response) == (None,) * 4
    assert "secret" not in repr(unconnected.ws) and "not connected" in repr(unconnected.ws)
    unconnected.close()


def test_connect_again_after_closing(world: World, echo_server: WebSocketsServer) -> None:
    ws = make(world, ws_url(echo_server), compression=False)
    for message in ("first", "second"):
        assert ws.connect() is ws.ws
        ws.connect()
        ws.send(message)
        assert ws.recv() == message
        ws.close()
        ws.close()


def test_hypercorn_and_subprotocols(world: World, plain_server: AsgiServer) -> None:
    with connected(world, ws_url(plain_server, "/ws/echo"), subprotocols=["a", "b"]) as ws:
        ws.send("hello")
        assert (ws.recv(), ws.subprotocol) == ("hello", "a")
    assert refused(world, ws_url(plain_server, "/nowhere")).response.status_code == 403


def test_scripts_may_close_at_once(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer, close_frame(4000, "not today"))
        assert expect_close(peer) == (4000, "not today")

    server: ScriptedServer = serve(script)
    with connected(world, ws_url(server)) as ws:
        with pytest.raises(WebSocketError, match="not today"):
            ws.recv()


def test_a_refusal_that_a_plugin_made_is_shown_with_its_body(world: World) -> None:
    class Plugin:
        @hookimpl
        def reqivo_register_flows(self, session: Any) -> list[Any]:
            return [self.flow]

        def flow(self, request: Any) -> Any:
            return Response.build(403, body="not from here", request=request)
            yield request

    with world.client(plugins=[Plugin()]) as client:
        ws = make(world, "ws://nowhere.example/", client.session)
        with pytest.raises(HandshakeError, match="the server answered 403") as caught:
            ws.connect()
        assert (caught.value.response.status_code, caught.value.response.text) == (403, "not from here")


def test_closed_while_opening(serve: Serve) -> None:
    asked = threading.Event()
    closed = threading.Event()

    def script(peer: Peer) -> None:
        request = peer.expect_request()
        asked.set()
        peer.wait(closed)
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
