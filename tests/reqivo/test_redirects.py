"""Redirects in sessions: what reaches whom, however it was given, and what becomes of connections (D1-D6)."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reqivo import (
    BearerAuth,
    InvalidRequest,
    RedirectLoopError,
    ServerDisconnected,
    TooManyRedirects,
    TotalTimeout,
    UnsafeRedirect,
    hookimpl,
)
from support.certs import Authority
from support.h2_peer import CANCEL, H2Peer
from support.messages import response
from support.scenarios import Stage
from support.scripted import Peer, answers
from support.world import World

OK = response(200, b"ok")
SECRETS = {"authorization", "cookie", "proxy-authorization"}


def to(url: str, status: int = 302, *headers: tuple[str, str], body: bytes = b"") -> bytes:
    return response(status, body, [("Location", url), *headers])


def names(seen: Any) -> set[str]:
    return {name.lower() for name, _ in seen.headers}


class Plugin:
    @hookimpl
    def reqivo_prepare_request(self, request: Any) -> None:
        request.headers.add("AUTHORIZATION", "Bearer from-a-plugin")


def hook(method: str, url: str, headers: Any) -> Any:
    headers.add("authorization", "Bearer from-a-hook")
    return method, url, headers


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "headers": ({}, {"headers": [("AuThOrIzAtIoN", "Bearer x"), ("Authorization", "Bearer y"), ("COOKIE", "a=b")]}),
    "proxy-authorization": ({}, {"headers": {"Proxy-Authorization": "Basic x"}}),
    "auth": ({}, {"auth": ("user", "s3cr3t")}),
    "cookies": ({}, {"cookies": {"a": "b"}}),
    "session-headers": ({"headers": {"authorization": "Bearer x", "Cookie": "a=b"}}, {}),
    "session-auth": ({"auth": ("user", "s3cr3t")}, {}),
    "session-cookies": ({"cookies": {"a": "b"}}, {}),
    "plugin": ({"plugins": [Plugin]}, {}),
    "bearer": ({"auth": BearerAuth("s3cr3t")}, {}),
    "userinfo": ({}, {}),
    "netrc": ({}, {}),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Where .netrc is looked for; it knows all hosts of these tests where a test is about it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    if "netrc" in request.node.name:
        path = tmp_path / ".netrc"
        path.write_text("".join(f"machine {host} login a password s3cr3t\n" for host in ("a.test", "b.test", "test")))
        path.chmod(0o600)
    return tmp_path


def url_of(stage: Stage, host: str, path: str, *, secure: bool | None = None, port: int | None = None) -> str:
    """A URL of a made-up host, in the stage's scheme or another."""
    scheme = "https" if (stage.tls is not None if secure is None else secure) else "http"
    return f"{scheme}://{host}{'' if port is None else f':{port}'}{path}"


CROSSINGS: dict[str, Callable[[Stage, str], str]] = {
    "host": lambda stage, path: url_of(stage, "b.test", path),
    "sub-domain": lambda stage, path: url_of(stage, "sub.a.test", path),
    "domain above": lambda stage, path: url_of(stage, "test", path),
    "port": lambda stage, path: url_of(stage, "a.test", path, port=8080),
    "scheme": lambda stage, path: url_of(stage, "a.test", path, secure=stage.tls is None),
}


@pytest.mark.parametrize("crossing", CROSSINGS)
@pytest.mark.parametrize("way", WAYS)
def test_secrets_reach_the_first_origin_alone(
    stage: Stage, authority: Authority, serve: Any, way: str, crossing: str, home: Path
) -> None:  # D1
    """a → a → b → b → a: the first two requests have the secret, no other has."""
    context = authority.server_context("a.test", "b.test", "sub.a.test", "test")
    elsewhere = CROSSINGS[crossing]
    is_secure = elsewhere(stage, "/").startswith("https")

    def other_script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(to("/again"))
        peer.expect_request()
        peer.send(to(url_of(stage, "a.test", "/back")))
        peer.expect_close()

    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(to("/second"))
        peer.expect_request()
        peer.send(to(elsewhere(stage, "/")))
        peer.expect_request()
        peer.send(OK)
        peer.expect_close()

    server = serve(script, tls=context if stage.tls is not None else None)
    other = serve(other_script, tls=context if is_secure else None)
    session_options, options = WAYS[way]
    first = f"a.test:{443 if stage.tls is not None else 80}"
    resolve = {first: server.address, "*": other.address}
    with stage.client(resolve=resolve, verify=str(authority.path), **session_options) as client:
        url = url_of(stage, "user:s3cr3t@a.test" if way == "userinfo" else "a.test", "/first")
        answer = client.get(url, **options)
        assert (client.read(answer), len(answer.history)) == (b"ok", 4)
        assert [past.request.url.host for past in answer.history][:2] == ["a.test"] * 2
    assert [bool(names(seen) & SECRETS) for seen in server.requests] == [True, True, False]
    assert [bool(names(seen) & SECRETS) for seen in other.requests] == [False, False]


def test_a_hook_is_called_once_and_its_secret_stays(world: World, serve: Any) -> None:
    other = serve(answers(OK))
    server = serve(answers(to(other.url("/"))))
    with world.client() as client:
        client.session.add_pre_request_hook(hook)
        client.get(server.url("/"))
    assert [bool(names(seen) & SECRETS) for seen in (*server.requests, *other.requests)] == [True, False]


def test_the_jar_decides_anew_at_each_hop(world: World, serve: Any) -> None:
    other = serve(answers(to("/x", 302, ("Set-Cookie", "theirs=2")), OK))
    location = f"http://localhost:{other.port}/"
    server = serve(answers(to(location, 302, ("Set-Cookie", "ours=1"))))
    with world.client() as client:
        client.session.cookies.set("before", "0", domain="127.0.0.1")
        client.get(server.url("/"))
    assert server.requests[0].header("cookie") == "before=0"
    assert [seen.header("cookie") for seen in other.requests] == ["", "theirs=2"]


UNSAFE = ["file:///etc/passwd", "ftp://a/", "data:,x", "gopher://a/", "ws://a/", "wss://a/", "javascript:x"]
UNSAFE += ["http+unix://%2Fvar%2Frun%2Fdocker.sock/", "unix:/var/run/docker.sock", "mailto:a@b", "about:blank"]


@pytest.mark.parametrize("location", UNSAFE)
def test_an_unsafe_location_is_refused_and_its_response_closed(stage: Stage, location: str) -> None:  # D3
    server = stage.server(answers(to(location, body=b"x" * 100)))
    with stage.client() as client:
        with pytest.raises(UnsafeRedirect) as caught:
            client.get(server.url("/"))
        assert caught.value.request.url == server.url("/")
        assert client.session.pool.active == 0


def endless(locate: Any) -> Any:
    def script(peer: Peer) -> None:
        while True:
            seen = peer.expect_request()
            peer.send(to(locate(seen.target)))

    return script


@pytest.mark.parametrize(
    ("locate", "error"),
    [
        (lambda target: target, RedirectLoopError),
        (lambda target: "/b" if target == "/a" else "/a", RedirectLoopError),
        (lambda target: target + "/x", TooManyRedirects),
    ],
    ids=["itself", "two", "growing"],
)
def test_redirects_without_end(stage: Stage, locate: Any, error: Any) -> None:  # D4
    server = stage.server(endless(locate))
    with stage.client() as client:
        with pytest.raises(error) as caught:
            client.get(server.url("/a"))
        assert client.session.pool.active == 0
    assert len(caught.value.history) == len(server.requests) <= 21
    assert server.connections == 1  # each hop gave its connection back


def test_how_many_are_followed_can_be_said(world: World, serve: Any) -> None:
    server = serve(endless(lambda target: target + "x"))
    with world.client(max_redirects=5) as client:
        for options, hops in (({}, 6), ({"max_redirects": 0}, 1), ({"max_redirects": 30}, 31)):
            with pytest.raises(TooManyRedirects) as caught:
                client.get(server.url("/"), **options)
            assert len(caught.value.history) == hops


@pytest.mark.parametrize("options", [{"follow_redirects": False}, {"allow_redirects": False}])
def test_redirects_need_not_be_followed(world: World, serve: Any, options: Any) -> None:
    server = serve(answers(to("/there", body=b"moved")))
    with world.client() as client:
        answer = client.get(server.url("/x?y"), **options)
        assert (answer.status_code, client.read(answer), answer.is_redirect) == (302, b"moved", True)
        assert str(answer.next_request.url) == server.url("/there")


def test_an_endless_body_of_a_redirect_is_not_read(stage: Stage) -> None:  # D5
    sent = []

    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n")
        sent.append(peer.flood(b"x" * 65536, limit=1 << 26))

    server = stage.server([script, answers(OK)])
    with stage.client() as client:
        assert client.read(client.get(server.url("/"))) == b"ok"
    assert server.connections == 2


def test_nor_over_http2_where_its_stream_alone_is_given_up(
    world: World, serve: Any, authority: Authority, no_leaks: None
) -> None:  # D5
    def script(peer: Peer) -> None:
        server = H2Peer(peer)
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 302, [("location", "/there")]), server.data(request, b"x" * 1000))
        server.expect_reset(request.stream_id, CANCEL)
        following = server.expect_request()
        assert following[":path"] == "/there"
        server.respond(following, 200, b"ok")
        server.expect_close()

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with world.client(http2=True, verify=str(authority.path), timeout=30) as client:
        answer = client.get(server.url("/"))
        assert (client.read(answer), answer.http_version, len(answer.history)) == (b"ok", "HTTP/2", 1)
    assert server.connections == 1


def test_the_body_of_a_redirect_is_not_decoded(stage: Stage) -> None:  # D5
    bomb = gzip.compress(bytes(20_000_000))
    broken = [("Content-Encoding", "gzip")]
    server = stage.server(answers(to("/a", 302, *broken, body=bomb), to("/b", 302, *broken, body=b"not gzip"), OK))
    with stage.client() as client:
        assert client.read(client.get(server.url("/"))) == b"ok"
    assert server.connections == 1


def test_an_error_names_the_hop_that_failed(stage: Stage) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(to("/there", 307))
        peer.expect_request()

    server = stage.server(script)
    with stage.client() as client:
        with pytest.raises(ServerDisconnected) as caught:
            client.post(server.url("/"), body=b"x")
        assert str(caught.value).startswith(f"POST {server.url('/there')}: ")
        with pytest.raises(TotalTimeout) as out_of_time:
            client.get(server.url("/"), timeout=0.000001)
        assert str(out_of_time.value).startswith(f"GET {server.url('/')}: ")


def test_files_are_rewound_for_a_second_sending(stage: Stage) -> None:  # D6
    server = stage.server(answers(to("/there", 307), OK))
    file = io.BytesIO(b"skipped sent")
    file.seek(8)
    with stage.client() as client:
        client.post(server.url("/"), body=file)
    assert [(seen.method, seen.body) for seen in server.requests] == [("POST", b"sent"), ("POST", b"sent")]


def test_what_can_be_read_once_is_not_sent_half(stage: Stage) -> None:  # D6
    server = stage.server(answers(to("/there", 308)))
    with stage.client() as client:
        with pytest.raises(InvalidRequest, match="308"):
            client.post(server.url("/"), body=iter([b"once"]))
        assert client.session.pool.active == 0
    assert len(server.requests) == 1


def test_a_post_becomes_a_get_without_a_body(stage: Stage) -> None:  # D6
    server = stage.server(answers(to("/there", 303), OK))
    with stage.client() as client:
        client.post(server.url("/"), json={"a": 1})
    seen = server.requests[1]
    assert (seen.method, seen.body) == ("GET", b"")
    assert names(seen).isdisjoint({"content-type", "content-length", "transfer-encoding"})
