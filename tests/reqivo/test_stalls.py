"""Whoever stops answering, wherever on the way: the total bounds the wait, and nothing is left behind (G5).

Names that resolve slowly are in test_timeouts.py; the handshakes of WebSockets are with their own tests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from reqivo import Limits, Proxy, Timeout, TotalTimeout
from support.certs import Authority
from support.fixtures import MakeProxy
from support.messages import response
from support.scenarios import FOLLOW_UP, PATIENCE, Stage, head, serve_on
from support.scripted import Peer
from support.socks import SocksServer
from support.world import World

SHORT = 0.2
LONG = 60.0
PATIENT = Timeout(timeout=LONG, total=SHORT)
"""Every phase by itself would wait for longer than any test may last."""


class Bounded:
    """Tells that something took as long as the total, and was over soon after."""

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        assert SHORT * 0.9 < time.monotonic() - self.began < LONG / 2


def is_over(client: Any, url: str, **options: Any) -> TotalTimeout:
    """Send a request that comes to nothing."""
    with Bounded(), pytest.raises(TotalTimeout, match=r"total of [\d.]+ s") as caught:
        client.read(client.get(url, **options))
    assert caught.value.request is not None
    assert client.session.pool.counts == (0, 0, 0)
    return caught.value


# -- proxies


@pytest.mark.parametrize("secure", [False, True], ids=["http-proxy", "https-proxy"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_does_not_answer(
    world: World, make_proxy: MakeProxy, authority: Authority, no_leaks: None, secure: bool, scheme: str
) -> None:
    proxy = make_proxy(tls=authority.server_context() if secure else None, stall=True)
    described = Proxy.of(proxy.proxy_url, verify=str(authority.path))
    with world.client(proxy=described, timeout=PATIENT, verify=str(authority.path)) as client:
        error = is_over(client, f"{scheme}://example.com/")
    # On a busy machine the time may be over before the proxy has read anything.
    assert {seen.method for seen in proxy.requests} <= {"CONNECT" if scheme == "https" else "GET"}
    assert error.phase


def interim(peer: Peer) -> None:
    peer.expect_request()
    peer.drip(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, size=27, interval=0.05)


def dripped(peer: Peer) -> None:
    peer.expect_request()
    peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 10000, interval=0.02)


def halved(peer: Peer) -> None:
    peer.expect_request()
    peer.send(b"HTTP/1.1 200 Conn")
    peer.hold()


@pytest.mark.parametrize("script", [interim, dripped, halved])
def test_a_tunnel_that_never_stands(stage: Stage, script: Callable[[Peer], None]) -> None:
    proxy = stage.server(script)
    with stage.client(proxy=Proxy.of(proxy.url(), verify=stage.verify), timeout=PATIENT) as client:
        is_over(client, "https://example.com/")


@pytest.mark.parametrize("hello", [b"", b"\x16\x03\x03\x00\x7a\x02\x00"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_secure_proxy_that_stalls_in_its_handshake(
    world: World, serve: Any, no_leaks: None, hello: bytes, scheme: str
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(hello)
        peer.expect_close()

    proxy = serve(script)
    with world.client(proxy=f"https://127.0.0.1:{proxy.port}", timeout=PATIENT) as client:
        is_over(client, f"{scheme}://example.com/")
        proxy.wait_for_closed(1)


@pytest.mark.parametrize("secure", [False, True], ids=["http-proxy", "https-proxy"])
def test_an_origin_that_stalls_behind_a_tunnel(
    world: World, make_proxy: MakeProxy, serve: Any, authority: Authority, no_leaks: None, secure: bool
) -> None:
    server = serve(lambda peer: peer.expect_close())
    proxy = make_proxy({"example.com": server.address}, tls=authority.server_context() if secure else None)
    described = Proxy.of(proxy.proxy_url, verify=str(authority.path))
    with world.client(proxy=described, timeout=PATIENT, verify=str(authority.path)) as client:
        is_over(client, "https://example.com/")


@pytest.mark.parametrize("step", ["greeting", "password", "request"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_socks_proxy_that_stalls(world: World, no_leaks: None, step: str, scheme: str) -> None:
    with (
        SocksServer(auth=("me", "secret"), stall=step) as proxy,
        world.client(proxy=f"socks5h://me:secret@127.0.0.1:{proxy.port}", timeout=PATIENT) as client,
    ):
        is_over(client, f"{scheme}://example.com/")


# -- requests


def silent(peer: Peer) -> None:
    peer.expect_head()
    peer.expect_close()


def unreading(peer: Peer) -> None:
    """Asks for the body and does not take it."""
    peer.expect_head()
    peer.send(head(status="HTTP/1.1 100 Continue"))
    peer.hold()


@pytest.mark.parametrize("script", [silent, unreading, interim])
def test_an_expectation_that_is_not_met(stage: Stage, script: Callable[[Peer], None]) -> None:
    server = stage.server([script, serve_on], receive_buffer=4096)
    with stage.client(timeout=PATIENT) as client:
        is_over(client, server.url("/"), headers={"Expect": "100-continue"}, body=b"x" * (1 << 24))
        server.wait_for_connections(1)
        assert client.read(client.get(server.url("/"), timeout=LONG)) == FOLLOW_UP


@pytest.mark.parametrize("hop", [1, 2, 3])
@pytest.mark.parametrize("where", ["head", "body"])
def test_each_hop_of_a_redirect(stage: Stage, hop: int, where: str) -> None:
    """A machine that is too busy to get as far as that hop in time is given more of it."""
    for total in (SHORT, 10 * SHORT, 50 * SHORT):
        if stalls_at(stage, hop, where, total):
            return
    pytest.fail("that hop was never reached")


def stalls_at(stage: Stage, hop: int, where: str, total: float) -> bool:
    """Follow redirects until one stalls; tell whether it was that one."""

    def script(peer: Peer) -> None:
        for number in range(1, hop):
            peer.expect_request()
            peer.send(response(302, b"", [("Location", f"/{number}")]))
        peer.expect_request()
        if where == "body":
            peer.send(head("Content-Length: 10") + b"abc")
        peer.expect_close()

    server = stage.server([script, serve_on])
    with stage.client(timeout=Timeout(timeout=LONG, total=total)) as client:
        is_over(client, server.url("/0"))
        server.wait_for_connections(1)
        assert client.read(client.get(server.url("/"), timeout=LONG)) == FOLLOW_UP
    return len(server.requests) == hop + 1


def test_a_redirect_whose_body_stalls_is_followed(stage: Stage) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(head("Location: /there", "Content-Length: 10", status="HTTP/1.1 302 Found") + b"abc")
        peer.expect_close()

    server = stage.server([script, serve_on])
    with stage.client(timeout=LONG) as client:
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
        server.wait_for_closed(1)


def test_the_wait_for_a_connection(stage: Stage) -> None:
    """Whoever holds the only connection may take its time; who waits for it has a total of its own."""
    is_held, may_end = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.expect_request()
        is_held.set()
        peer.wait(may_end)
        peer.send(response(200, b"at last"))
        serve_on(peer)

    server = stage.server(script)
    with stage.client(limits=Limits(max_connections=1), timeout=LONG) as client:
        outcomes = client.together(
            [
                lambda session: session.get(server.url("/")),
                lambda session: _after(client.world, is_held, session, server.url("/"), may_end),
            ]
        )
        assert isinstance(outcomes[1], TotalTimeout) and outcomes[1].phase == "pool"
        assert client.read(outcomes[0]) == b"at last"
        assert client.session.pool.counts == (0, 1, 0)


def _after(world: World, is_held: threading.Event, session: Any, url: str, may_end: threading.Event) -> Any:
    """Ask for the connection that somebody else has, in vain."""
    if world.name == "blocking":
        assert is_held.wait(PATIENCE)
        try:
            with Bounded():
                return session.get(url, timeout=PATIENT)
        finally:
            may_end.set()

    async def in_a_task() -> Any:
        from support.scenarios import until

        await until(is_held.is_set)
        try:
            with Bounded():
                return await session.get(url, timeout=PATIENT)
        finally:
            may_end.set()

    return in_a_task()


# -- closing


def flooding(peer: Peer) -> None:
    """Sends without end and reads nothing: not even a farewell is taken."""
    peer.expect_request()
    peer.send(head("Content-Length: 1000000000"))
    peer.flood(b"x" * 65536)


def half_a_body(peer: Peer) -> None:
    peer.expect_request()
    peer.send(head("Content-Length: 10") + b"abc")
    peer.expect_close()


@pytest.mark.parametrize("script", [flooding, half_a_body])
@pytest.mark.parametrize("what", ["response", "session"])
def test_closing(stage: Stage, script: Callable[[Peer], None], what: str) -> None:
    server = stage.server(script)
    with stage.client(timeout=None) as client:
        began = time.monotonic()
        got = client.get(server.url("/"), stream=True)
        if what == "response":
            client.close(got)
            assert client.session.pool.counts == (0, 0, 0)
        client.call(lambda session: session.close())
        if what == "session":
            client.close(got)
        assert time.monotonic() - began < LONG / 2
