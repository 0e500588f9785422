"""Who asks: authentication, cookies and hooks of the handshake, of the first one and of those that reconnect."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from reqivo_core.errors import HandshakeError
from support.certs import Authority
from support.fixtures import Serve
from support.frames import accept, accepting, answer_close, close_frame, text
from support.h2_peer import H2Peer, H2Request
from support.messages import response
from support.scripted import Peer
from support.servers import AiohttpServer
from support.sockets import connected, make
from support.world import World
from ws.scripts import ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")

USER, PASSWORD = "Mufasa", "Circle of Life"
CHALLENGE = 'Digest realm="here", nonce="{nonce}", qop="auth", algorithm=SHA-256'


def digest_answer(line: str, target: str, method: str = "GET") -> str:
    """What ``response`` has to be, reckoned from the other parts of an Authorization field."""

    def digest(*parts: str) -> str:
        return hashlib.sha256(":".join(parts).encode()).hexdigest()

    given = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', line)}
    secret, what = digest(USER, given["realm"], PASSWORD), digest(method, target)
    return digest(secret, given["nonce"], given["nc"], given["cnonce"], given["qop"], what)


class DigestServer(AiohttpServer):
    """Echoes to whoever answers its challenge, of which every connection gets a new one.

    Attributes:
        lines: The Authorization fields that came.
        keys: The keys of the handshakes.
    """

    def __init__(self) -> None:
        app = web.Application()
        app.router.add_get("/{tail:.*}", self.answer)
        super().__init__(app)
        self.lines: list[str] = []
        self.keys: list[str] = []
        self._nonces = map(str, itertools.count(1))
        self._nonce = next(self._nonces)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        line = request.headers.get("Authorization", "")
        self.lines.append(line)
        self.keys.append(request.headers["Sec-WebSocket-Key"])
        if f'nonce="{self._nonce}"' not in line or digest_answer(line, request.raw_path) not in line:
            challenge = CHALLENGE.format(nonce=self._nonce) + (", stale=true" if line else "")
            return web.Response(status=401, text="who are you?", headers={"WWW-Authenticate": challenge})
        self._nonce = next(self._nonces)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws


@pytest.fixture
def digest() -> Callable[..., Any]:
    module = pytest.importorskip("reqivo.digest", reason="this distribution is tested alone here")
    made: Callable[..., Any] = module.DigestAuth
    return made


@pytest.mark.parametrize("whose", ["the session's", "its own"])
def test_w26_digest_is_answered_by_a_second_handshake(world: World, digest: Any, whose: str) -> None:
    auth = digest(USER, PASSWORD)
    with DigestServer() as server, world.client(auth=auth if whose != "its own" else None) as client:
        options = {"auth": auth} if whose == "its own" else {}
        for _ in range(2):
            with connected(world, ws_url(server, "/a%20b?c=d"), client.session, **options) as ws:
                ws.send("hello")
                assert ws.recv() == "hello"
                assert ws.response.status_code == 101
        # The second time the first answer is given at once, but to a nonce that was good for one connection.
        assert [line != "" for line in server.lines] == [False, True, True, True]
        assert not any(PASSWORD in line for line in server.lines)


def test_w26_over_http2_the_connect_that_is_sent_is_answered_for(
    world: World, serve: Serve, authority: Authority, digest: Any
) -> None:
    """RFC 8441 §4 makes a CONNECT of the handshake, and RFC 7616 §3.4.3 hashes the method that is on the wire."""
    pytest.importorskip("reqivo_http2", reason="this distribution is tested alone here")
    seen: list[H2Request] = []

    def script(peer: Peer) -> None:
        h2 = H2Peer(peer)
        h2.greet({8: 1})  # ENABLE_CONNECT_PROTOCOL
        for is_accepted in (False, True, True):
            seen.append(request := h2.expect_request(whole=False))
            if is_accepted:
                h2.send_frame(h2.head(request, 200), h2.data(request, close_frame(), "END_STREAM"))
            else:
                h2.respond(request, 401, b"", [("www-authenticate", CHALLENGE.format(nonce="n"))])
        h2.expect_close()

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with world.client(auth=digest(USER, PASSWORD), verify=str(authority.path)) as client:
        for _ in range(2):
            with connected(world, ws_url(server, "/a?b"), client.session) as ws:
                assert ws.messages() == []
    assert [request[":method"] for request in seen] == ["CONNECT"] * 3
    first, *answered = [request["authorization"] for request in seen]
    assert first == ""
    assert all(f'response="{digest_answer(line, "/a?b", "CONNECT")}"' in line for line in answered)


def test_w26_a_wrong_password_is_refused_readably(world: World, digest: Any) -> None:
    with DigestServer() as server, world.client(auth=digest(USER, "wrong")) as client:
        with pytest.raises(HandshakeError, match="401") as caught:
            make(world, ws_url(server), client.session).connect()
        assert caught.value.response.text == "who are you?"
        assert client.session.pool.active == 0
        assert PASSWORD not in str(caught.value)


def test_w26_digest_is_not_answered_where_a_redirect_leads(world: World, serve: Serve, digest: Any) -> None:
    def challenging(peer: Peer) -> None:
        peer.expect_request()
        peer.respond(401, b"", [("WWW-Authenticate", CHALLENGE.format(nonce="n"))])

    there = serve(challenging)
    here = serve(lambda peer: (peer.expect_request(), peer.send(response(302, b"", [("Location", ws_url(there))]))))
    with pytest.raises(HandshakeError, match="401"):
        make(world, ws_url(here), auth=digest(USER, PASSWORD)).connect()
    assert [request.header("authorization") for request in there.requests] == [""]


def test_w24_w26_a_reconnection_runs_the_whole_handshake_again(world: World, serve: Serve) -> None:
    """Redirect, cookies, authentication and hooks are those of the moment, not those of the first time."""

    def leading(number: int) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            peer.expect_request()
            location = f"/way/{number}"
            peer.send(response(307, b"", [("Location", location), ("Set-Cookie", f"turn={number}; Path=/")]))
            request = peer.expect_request()
            peer.send(response(401, b"", [("WWW-Authenticate", "Bearer")]))
            request = peer.expect_request()
            seen = [("Set-Cookie", f"opened={number}; Path=/")]
            peer.send(accepting(request, seen) + text(str(number)) + (close_frame() if number == 2 else b""))
            if number == 2:
                peer.expect_close()

        return script

    tokens = map("token-{}".format, itertools.count(1))
    hooked = itertools.count(1)

    def flow(request: Any) -> Any:
        answer = yield request
        if answer.status_code == 401:
            request.headers["Authorization"] = f"Bearer {next(tokens)}"
            answer = yield request
        return answer

    def hook(method: str, url: str, headers: Any) -> Any:
        headers["X-Hooked"] = str(next(hooked))
        return method, url, headers

    server = serve([leading(1), leading(2)])
    with world.client() as client:
        client.session.add_pre_request_hook(hook)
        options = {"auth": flow, "auto_reconnect": True, "reconnect_delay": 0.01}
        with connected(world, ws_url(server), client.session, **options) as ws:
            assert ws.messages() == ["1", "2"]
            assert ws.response.request.url.path == "/way/2"
        assert dict(client.session.cookies.items()) == {"turn": "2", "opened": "2"}
    first, second = server.requests[:3], server.requests[3:]
    assert [request.target for request in first + second] == ["/", *["/way/1"] * 2, "/", *["/way/2"] * 2]
    assert [first[2].header("authorization"), second[2].header("authorization")] == ["Bearer token-1", "Bearer token-2"]
    assert [part.strip() for part in second[0].header("cookie").split(";")] == ["turn=1", "opened=1"]
    assert second[2].header("cookie").startswith("turn=2")
    marks = [request.header("x-hooked") for request in first + second]
    assert len(set(marks[:3]) & set(marks[3:])) == 0 and all(marks)
    keys = {request.header("sec-websocket-key") for request in server.requests}
    assert first[2].header("sec-websocket-key") != second[2].header("sec-websocket-key") and len(keys) >= 4


def test_w26_what_a_cookie_is_for_is_looked_at_as_for_requests(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_request()
        fields = [("Set-Cookie", "narrow=1; Path=/chat"), ("Set-Cookie", "secret=1; Secure; Path=/")]
        peer.send(accepting(request, fields))
        answer_close(peer)

    server = serve(script)
    with world.client() as client:
        for path in ("/chat/1", "/chat/2", "/other"):
            with connected(world, ws_url(server, path), client.session):
                pass
    assert [request.header("cookie") for request in server.requests] == ["", "narrow=1", ""]


def test_w26_none_is_none_and_not_the_sessions(world: World, serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), answer_close(peer)))
    with world.client(auth=("u", "p")) as client:
        for options in ({}, {"auth": None}, {"auth": ("v", "p")}):
            with connected(world, ws_url(server), client.session, **options):
                pass
    assert [request.header("authorization") for request in server.requests] == ["Basic dTpw", "", "Basic djpw"]


def test_hooks_see_the_response_too(world: World, serve: Serve) -> None:
    seen: list[Any] = []
    server = serve(lambda peer: (accept(peer), answer_close(peer)))
    with world.client() as client:
        client.session.add_post_response_hook(lambda response: seen.append(response.status_code))
        with connected(world, ws_url(server), client.session):
            pass
    assert seen == [101]
