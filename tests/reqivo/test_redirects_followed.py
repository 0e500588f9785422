"""Redirects as they should be."""

from __future__ import annotations

from typing import Any

import pytest

from reqivo import RedirectLoopError, ServerDisconnected, TooManyRedirects, UnsafeRedirect
from support.messages import Request, response
from support.scenarios import FOLLOW_UP, Stage, head
from support.scripted import Peer


def redirecting(peer: Peer) -> None:
    """``/302/there`` answers with 302 to ``/there``; all else is answered well."""
    while True:
        request = peer.expect_request()
        first, _, rest = request.target.strip("/").partition("/")
        if first.isdigit():
            fields = [("Location", f"/{rest}"), ("Set-Cookie", f"s{first}=1; Path=/")]
            peer.send(without_body(request, response(int(first), b"moved", fields)))
        else:
            peer.send(without_body(request, response(200, FOLLOW_UP)))


def without_body(request: Request, sent: bytes) -> bytes:
    return sent.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else sent


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_methods_and_bodies(stage: Stage, status: int, method: str) -> None:
    server = stage.server(redirecting)
    body = b"content" if method in ("POST", "PUT") else None
    with stage.client() as client:
        got = client.request(method, server.url(f"/{status}/there?a=b#frag"), body=body)
        assert got.status_code == 200
        assert [past.status_code for past in got.history] == [status]
        assert got.url.path == "/there"
        assert got.url.fragment == "frag"
        assert client.session.pool.counts == (0, 1, 0)
    first, second = server.requests
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    assert second.method == ("GET" if becomes_get else method)
    assert second.body == (b"" if becomes_get or body is None else body)
    assert ("content-length" in dict(second.headers)) is False or not becomes_get
    assert second.header("cookie") == f"s{status}=1", "cookies that were set on the way go along"
    assert server.connections == 1


def test_a_chain_and_its_history(stage: Stage) -> None:
    server = stage.server(redirecting)
    with stage.client() as client:
        got = client.get(server.url("/301/302/307/there"))
        assert client.read(got) == FOLLOW_UP
        assert [past.status_code for past in got.history] == [301, 302, 307]
        assert [len(past.history) for past in got.history] == [0, 1, 2]
        assert set(client.session.cookies) == {"s301", "s302", "s307"}
        got = client.get(server.url("/302/there"), follow_redirects=False)
        assert got.is_redirect
        assert got.next_request.url.path == "/there"
        assert client.read(got) == b"moved"
    assert server.connections == 1


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://x/", "javascript:1", "ws://x/", "http://[", "data:,x"])
def test_unsafe_targets(stage: Stage, where: str) -> None:
    def script(peer: Peer) -> None:
        while True:
            peer.expect_request()
            peer.send(response(302, b"", [("Location", where)]))

    server = stage.server(script)
    with stage.client() as client:
        with pytest.raises(UnsafeRedirect) as caught:
            client.get(server.url("/"))
        assert caught.value.request is not None
        assert client.session.pool.counts == (0, 1, 0)
    assert len(server.requests) == 1


def test_circles_and_long_ways_end(stage: Stage) -> None:
    def script(peer: Peer) -> None:
        while True:
            target = peer.expect_request().target
            peer.send(response(302, b"", [("Location", "/loop" if target == "/loop" else f"{target}x")]))

    server = stage.server(script)
    with stage.client() as client:
        with pytest.raises(RedirectLoopError):
            client.get(server.url("/loop"))
        with pytest.raises(TooManyRedirects, match="20 redirects") as caught:
            client.get(server.url("/far"))
        assert len(caught.value.history) == 21
        with pytest.raises(TooManyRedirects):
            client.get(server.url("/far"), max_redirects=0)
        assert client.session.pool.counts == (0, 1, 0)


def test_credentials_stay_with_their_origin(stage: Stage) -> None:
    other = stage.server(redirecting)
    server = stage.server(
        lambda peer: (peer.expect_request(), peer.send(response(302, b"", [("Location", other.url("/there"))])))[0]
    )
    with stage.client(auth=("user", "secret"), cookies={"session": "1"}) as client:
        got = client.get(server.url("/"), headers={"Cookie": "own=2", "Proxy-Authorization": "x"})
        assert client.read(got) == FOLLOW_UP
    assert server.requests[0].header("authorization").startswith("Basic ")
    assert server.requests[0].header("cookie") == "own=2; session=1"
    leaked = {name.lower() for name, _ in other.requests[0].headers}
    assert not leaked & {"authorization", "cookie", "proxy-authorization"}
    assert other.requests[0].header("host") == f"127.0.0.1:{other.port}"


def test_an_endless_redirect_body_is_left_alone(stage: Stage) -> None:  # D5
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(head("Location: /there", "Transfer-Encoding: chunked", status="HTTP/1.1 302 Found"))
        peer.flood(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    server = stage.server([script, redirecting])
    with stage.client() as client:
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
    assert server.connections == 2


def through(request: Any) -> Any:
    return (yield request)


@pytest.mark.parametrize("auth", [None, through])
def test_an_error_names_the_request_of_its_own_hop(stage: Stage, auth: Any) -> None:
    def leave_at_last(peer: Peer) -> None:
        if peer.expect_request().target == "/first":
            peer.send(response(302, b"", [("Location", "/second")]))
            peer.expect_request()

    server = stage.server(leave_at_last)
    with stage.client() as client:
        with pytest.raises(ServerDisconnected) as caught:
            client.post(server.url("/first"), body=iter([b"x"]), auth=auth)
        assert caught.value.request is not None
        assert caught.value.request.url.path == "/second"
        assert client.session.pool.active == 0
