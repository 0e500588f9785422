"""Redirects in sessions: what reaches whom, however it was given, and what becomes of connections (D1-D6)."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest

from reqivo import InvalidRequest, RedirectLoopError, TooManyRedirects, UnsafeRedirect, hookimpl
from support.messages import response
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
}


@pytest.mark.parametrize("way", WAYS)
def test_secrets_reach_the_first_origin_alone(world: World, serve: Any, way: str) -> None:
    """a → a → b → b → a: the first two requests have the secret, no other has."""
    server: Any = None
    other = serve(lambda peer: other_script(peer))

    def other_script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(to("/again"))
        peer.expect_request()
        peer.send(to(server.url("/back")))
        peer.expect_close()

    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(to("/second"))
        peer.expect_request()
        peer.send(to(other.url("/")))
        peer.expect_request()
        peer.send(OK)
        peer.expect_close()

    server = serve(script)
    session_options, options = WAYS[way]
    with world.client(**session_options) as client:
        answer = client.get(server.url("/first"), **options)
        assert (client.read(answer), len(answer.history)) == (b"ok", 4)
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


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://a/", "data:,x", "javascript:x", "ws://127.0.0.1/"])
def test_an_unsafe_location_is_refused_and_its_response_closed(world: World, serve: Any, location: str) -> None:
    server = serve(answers(to(location, body=b"x" * 100)))
    with world.client() as client:
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
def test_redirects_without_end(world: World, serve: Any, locate: Any, error: Any) -> None:
    server = serve(endless(locate))
    with world.client() as client:
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


def test_an_endless_body_of_a_redirect_is_not_read(world: World, serve: Any) -> None:
    sent = []

    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n")
        sent.append(peer.flood(b"x" * 65536, limit=1 << 26))

    server = serve([script, answers(OK)])
    with world.client() as client:
        assert client.read(client.get(server.url("/"))) == b"ok"
    assert server.connections == 2


def test_the_body_of_a_redirect_is_not_decoded(world: World, serve: Any) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    broken = [("Content-Encoding", "gzip")]
    server = serve(answers(to("/a", 302, *broken, body=bomb), to("/b", 302, *broken, body=b"not gzip"), OK))
    with world.client() as client:
        assert client.read(client.get(server.url("/"))) == b"ok"
    assert server.connections == 1


def test_files_are_rewound_for_a_second_sending(world: World, serve: Any) -> None:
    server = serve(answers(to("/there", 307), OK))
    file = io.BytesIO(b"skipped sent")
    file.seek(8)
    with world.client() as client:
        client.post(server.url("/"), body=file)
    assert [(seen.method, seen.body) for seen in server.requests] == [("POST", b"sent"), ("POST", b"sent")]


def test_what_can_be_read_once_is_not_sent_half(world: World, serve: Any) -> None:
    server = serve(answers(to("/there", 308)))
    with world.client() as client:
        with pytest.raises(InvalidRequest, match="308"):
            client.post(server.url("/"), body=iter([b"once"]))
        assert client.session.pool.active == 0
    assert len(server.requests) == 1


def test_a_post_becomes_a_get_without_a_body(world: World, serve: Any) -> None:
    server = serve(answers(to("/there", 303), OK))
    with world.client() as client:
        client.post(server.url("/"), json={"a": 1})
    seen = server.requests[1]
    assert (seen.method, seen.body) == ("GET", b"")
    assert names(seen).isdisjoint({"content-type", "content-length", "transfer-encoding"})
