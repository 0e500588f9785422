"""Credentials appear in no repr, message, log or trace; what servers sent is escaped and cut in messages (M1)."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import reqivo
from reqivo import (
    BasicAuth,
    BearerAuth,
    DigestAuth,
    InvalidRequest,
    NetrcAuth,
    Reqivo,
    ReqivoError,
    Request,
    RequestError,
    Session,
    Timeout,
    hookimpl,
)
from reqivo.curl import curl_command
from support.certs import Authority
from support.h2_peer import INTERNAL_ERROR, H2Peer
from support.messages import response
from support.scenarios import Stage
from support.scripted import Peer, answers
from support.world import World

SECRET = "s3cr3t"
AUTHORIZED = {"Authorization": f"Bearer {SECRET}", "Cookie": f"a={SECRET}", "X-API-Key": SECRET}


class Ear:
    """A plugin that keeps all that it hears, as text."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @hookimpl
    def reqivo_trace(self, event: Any) -> None:
        self.heard.append(repr(event))

    @hookimpl
    def reqivo_request_failed(self, request: Any, error: Any) -> None:
        self.heard.append(f"{request!r} {request.headers!r} {error!r} {error}")

    @hookimpl
    def reqivo_response_received(self, request: Any, response: Any) -> None:
        self.heard.append(f"{request!r} {response!r} {response.headers!r}")


def told(error: BaseException) -> str:
    """Everything that an error tells: itself, its causes, the source lines of its traceback."""
    lines = "".join(traceback.format_exception(error))
    return f"{error} {error!r} {error.args!r} {getattr(error, 'request', None)!r} {lines}"


def cut(peer: Peer) -> None:
    peer.expect_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")


FAILURES: dict[str, Callable[[Peer], Any]] = {
    "disconnected": lambda peer: peer.expect_request(),
    "cut": cut,
    "garbage": answers(b"garbage\r\n\r\n"),
    "status": answers(response(500, b"broken")),
    "echo": lambda peer: peer.respond(500, str(peer.expect_request().headers).encode()),
    "echo of a value": answers(response(500, f'{{"a": "{SECRET}"}}'.encode())),
    "reason": answers(f"HTTP/1.1 500 no {SECRET} here\r\nContent-Length: 0\r\n\r\n".encode()),
    "unsafe": answers(response(302, headers=[("Location", "file:///etc/passwd")])),
    "loop": lambda peer: [
        (peer.expect_request(), peer.send(response(302, headers=[("Location", "/")]))) for _ in range(50)
    ],
    "coding": answers(response(200, b"x", [("Content-Encoding", "gzip")])),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_no_failure_tells_a_secret(stage: Stage, codec: str, failure: str, caplog: pytest.LogCaptureFixture) -> None:
    ear = Ear()
    server = stage.server(FAILURES[failure])
    url = server.url("/").replace("://", f"://user:{SECRET}@")
    with (
        caplog.at_level(logging.DEBUG),
        stage.client(plugins=[ear], headers=AUTHORIZED, raise_for_status=True) as client,
    ):
        client.session.cookies.set("jar", SECRET, domain="127.0.0.1")
        with pytest.raises(RequestError) as caught:
            client.read(client.get(url))
        shown = [told(caught.value), repr(client.session), repr(client.session.pool), repr(client.session.cookies)]
    assert str(caught.value).startswith(f"GET {server.url('/')}: ")
    assert caught.value.request is not None
    shown.append(curl_command(caught.value.request))
    assert ear.heard and server.requests[0].header("authorization") == f"Bearer {SECRET}"
    assert SECRET not in "\n".join([*shown, *ear.heard, caplog.text])


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
def test_no_proxy_failure_tells_a_secret(world: World, scheme: str) -> None:
    ear = Ear()
    proxy = f"{scheme}://user:{SECRET}@127.0.0.1:1"
    with world.client(plugins=[ear], proxy=proxy) as client:
        with pytest.raises(RequestError) as caught:
            client.get(f"https://user:{SECRET}@example.com/")
        assert str(caught.value).startswith("GET https://example.com/: ")
        assert SECRET not in "\n".join([told(caught.value), repr(client.session), *ear.heard])
    assert ear.heard


@pytest.mark.parametrize(
    "thing",
    [
        lambda: BasicAuth("user", SECRET),
        lambda: BearerAuth(SECRET),
        lambda: DigestAuth("user", SECRET),
        lambda: NetrcAuth(),
        lambda: Request("GET", f"http://user:{SECRET}@a/", headers=AUTHORIZED),
        lambda: Request("GET", "http://a/", headers={"Authorization": SECRET, "Proxy-Authorization": SECRET}).headers,
        lambda: Session(auth=("user", SECRET), proxy=f"http://user:{SECRET}@a/"),
        lambda: Reqivo(base_url=f"https://user:{SECRET}@a/").bearer_token(SECRET),
        lambda: Session(cert=(__file__, __file__, SECRET))._route,
        lambda: Session(proxy=f"http://user:{SECRET}@a/")._plan.router.select_proxy(None),  # type: ignore[misc, arg-type]  # the session's one proxy
    ],
)
def test_no_repr_shows_a_secret(thing: Callable[[], Any]) -> None:
    made = thing()
    assert SECRET not in repr(made) and SECRET not in str(made)


@pytest.mark.parametrize(
    "name",
    ["AUTHORIZATION", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "Private-Token", "X-Vault-Token"]
    + ["X-Client-Secret", "X-Password", "ApiKey", "X-Amz-Security-Token", "X-Auth-Key"],
)
def test_fields_that_hold_credentials_are_known_by_their_names(name: str) -> None:
    request = reqivo.Request("GET", "http://a/", headers={name: SECRET, "WWW-Authenticate": "Basic", "Accept": "b/c"})
    for text in (repr(request.headers), request.curl()):
        assert SECRET not in text and "***" in text and "b/c" in text and "Basic" in text


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Bearer {SECRET}\r\nX: y"}},
        {"headers": {"X-Key": f"{SECRET}\N{SNOWMAN}"}},
        {"cookies": {"a": f"{SECRET}\n"}},
        {"auth": (f"us:er-{SECRET}", SECRET)},
        {"auth": ("user", f"{SECRET}\n")},
    ],
)
def test_what_cannot_be_sent_is_not_shown(world: World, options: dict[str, Any]) -> None:
    with world.client() as client, pytest.raises((InvalidRequest, ReqivoError)) as caught:
        client.get("http://127.0.0.1:1/", **options)
    shown = f"{caught.value} {caught.value!r}"
    assert SECRET not in shown


@pytest.mark.parametrize("poison", [b"\x1b[31m", b"\x00", b"\r", "\u202e".encode(), b"A" * 5000])
def test_octets_of_servers_are_escaped_and_cut(stage: Stage, codec: str, poison: bytes) -> None:
    servers = [answers(b"HTTP/1.1 " + poison + b"\r\n\r\n"), answers(response(500, poison, reason="Bad"))]
    server = stage.server(servers)
    with stage.client(raise_for_status=True) as client:
        for _ in servers:
            with pytest.raises(RequestError) as caught:
                client.read(client.get(server.url("/")))
            message = str(caught.value)
            assert message.replace("…", "").isascii() and message.isprintable() and len(message) < 600


@pytest.mark.parametrize("poison", [b"\x1b[31m", b"\x00", b"A" * 5000])
def test_so_are_the_reasons_of_http2(world: World, serve: Any, authority: Authority, poison: bytes) -> None:
    def script(peer: Peer) -> None:
        server = H2Peer(peer)
        server.greet()
        request = server.expect_request()
        server.goaway(request.stream_id, INTERNAL_ERROR, poison)

    ear = Ear()
    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    options: dict[str, Any] = {"http2": True, "verify": str(authority.path), "timeout": 30}
    with world.client(plugins=[ear], headers=AUTHORIZED, **options) as client:
        with pytest.raises(RequestError) as caught:
            client.get(server.url("/"))
    message = str(caught.value)
    assert message.replace("…", "").isascii() and message.isprintable() and len(message) < 600
    assert SECRET not in "\n".join([told(caught.value), *ear.heard])


# -- every error says what was tried

STALLED = Timeout(timeout=5, read=0.1)
TRIED: dict[type[RequestError], tuple[Callable[[Peer], Any], dict[str, Any]]] = {
    reqivo.ReadTimeout: (lambda peer: (peer.expect_request(), peer.expect_close()), {"timeout": STALLED}),
    reqivo.TotalTimeout: (lambda peer: (peer.expect_request(), peer.expect_close()), {"timeout": 0.1}),
    reqivo.ServerDisconnected: (FAILURES["disconnected"], {}),
    reqivo.IncompleteBody: (cut, {}),
    reqivo.RemoteProtocolError: (FAILURES["garbage"], {}),
    reqivo.HeadersTooLarge: (answers(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 201 + b"\r\n"), {}),
    reqivo.DecodeError: (FAILURES["coding"], {}),
    reqivo.BodyTooLarge: (answers(response(200, b"x" * 100)), {"limits": {"max_body": 10}}),
    reqivo.UnsafeRedirect: (FAILURES["unsafe"], {}),
    reqivo.RedirectLoopError: (answers(response(302, headers=[("Location", "/a?b=c")])), {}),
    reqivo.TooManyRedirects: (FAILURES["loop"], {"max_redirects": 0}),
    reqivo.HTTPStatusError: (FAILURES["status"], {}),
    reqivo.InvalidRequest: (FAILURES["status"], {"headers": {"Content-Length": "x"}, "body": b"a"}),
    reqivo.TlsError: (lambda peer: (peer.receive(), peer.send(b"no TLS")), {"scheme": "https"}),
    reqivo.ProxyError: (FAILURES["disconnected"], {"proxy": "http://127.0.0.1:1"}),
    reqivo.UnsupportedProtocol: (FAILURES["status"], {"scheme": "gopher"}),
    reqivo.DNSError: (FAILURES["status"], {"host": "nowhere.test"}),
}


@pytest.mark.parametrize("kind", TRIED, ids=lambda kind: kind.__name__)
def test_every_error_says_what_was_tried(stage: Stage, kind: type[RequestError]) -> None:
    script, options = TRIED[kind]
    server = stage.serve(script) if "scheme" in options else stage.server(script)
    options = {"body": b"x", **options}
    url = server.url("/a?b=c", host=options.pop("host", None), scheme=options.pop("scheme", None))
    # A name with a space in it is one that no system asks anybody for.
    resolve = {"nowhere.test": "no such host.test"}
    with stage.client(raise_for_status=True, trust_env=False, resolve=resolve) as client:
        expected: Any = (kind, reqivo.ConnectError) if kind is reqivo.ProxyError else kind
        with pytest.raises(expected) as caught:
            client.read(client.put(url, **options))
    message = str(caught.value)
    assert message.startswith(f"PUT {url}: ")
    assert message.count("PUT ") == 1
    assert caught.value.phase
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.phase) == (message, caught.value.phase)


def test_a_long_url_is_cut() -> None:
    error = RequestError("it broke", request=Request("GET", "http://a/" + "b" * 5000))
    assert len(str(error)) < 250 and str(error).endswith("b…: it broke")
