"""Every phase ends in time, by an error of its own; the total bounds them all; nothing is swallowed."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import reqivo
from reqivo import AsyncSession, ConnectTimeout, Limits, ReadTimeout, Timeout, TotalTimeout, WriteTimeout
from support.fixtures import Secured, Serve
from support.scenarios import FOLLOW_UP, Stage, head, ok, serve_on
from support.scripted import Peer
from support.world import World

SHORT = 0.25
LONG = 60.0
"""Seconds of the phases that a test is not about; what they bound must come to its end."""
SLACK = 20.0
"""Seconds that a busy machine may add; far from LONG, so that it is clear which of the two has ended a wait."""


def silent(peer: Peer) -> None:
    peer.expect_request()
    peer.expect_close()


def half_a_head(peer: Peer) -> None:
    peer.expect_request()
    peer.send(b"HTTP/1.1 200 OK\r\nX: ")
    peer.expect_close()


def half_a_body(peer: Peer) -> None:
    peer.expect_request()
    peer.send(ok(b"x" * 10)[:-5])
    peer.expect_close()


def half_a_chunk(peer: Peer) -> None:
    peer.expect_request()
    peer.send(head("Transfer-Encoding: chunked") + b"5\r\nab")
    peer.expect_close()


def dripping_head(peer: Peer) -> None:
    peer.expect_request()
    peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 10000, interval=0.02)


def dripping_body(peer: Peer) -> None:
    peer.expect_request()
    peer.send(head("Content-Length: 100000"))
    peer.drip(b"x" * 100000, interval=0.02)


def dripping_interim(peer: Peer) -> None:
    peer.expect_request()
    peer.drip(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, size=27, interval=0.02)


def endless_redirects(peer: Peer) -> None:
    while True:
        request = peer.expect_request()
        peer.sleep(0.06)
        peer.respond(302, b"", [("Location", f"{request.target}x")])


def refuse_to_read(peer: Peer) -> None:
    peer.expect_head()
    peer.hold()


class Timer:
    """Tells that something took as long as it should."""

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        took = time.monotonic() - self.began
        assert SHORT * 0.9 < took < SHORT + SLACK, took


@pytest.mark.parametrize("script", [silent, half_a_head, half_a_body, half_a_chunk])
def test_silence_ends_by_the_read_timeout(stage: Stage, script: Callable[[Peer], None]) -> None:  # G4
    server = stage.server([script, serve_on])
    with stage.client(timeout=Timeout(timeout=LONG, read=SHORT)) as client:
        with Timer(), pytest.raises(ReadTimeout, match="sent nothing for") as caught:
            client.read(client.get(server.url("/")))
        assert not isinstance(caught.value, TotalTimeout)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.phase == "read"
        assert client.read(client.get(server.url("/"), timeout=LONG)) == FOLLOW_UP
        assert client.session.pool.counts == (0, 1, 0)
        server.wait_for_closed(1)


DRIPS = [dripping_head, dripping_body, dripping_interim, endless_redirects, silent, half_a_body]


@pytest.mark.parametrize("script", DRIPS)
def test_the_total_bounds_what_never_falls_silent(stage: Stage, script: Callable[[Peer], None]) -> None:  # G1
    server = stage.server([script, serve_on])
    with stage.client(timeout=Timeout(timeout=LONG, total=SHORT)) as client:
        with Timer(), pytest.raises(TotalTimeout, match=r"total of 0\.25 s") as caught:
            client.read(client.get(server.url("/")))
        assert caught.value.request is not None
        assert client.session.pool.active == 0
        client.session.timeout = LONG
        assert client.read(client.get(server.url("/"), follow_redirects=False)) in (FOLLOW_UP, b"")


def test_a_number_bounds_everything(stage: Stage) -> None:
    server = stage.server(dripping_body)
    with stage.client() as client:
        with Timer(), pytest.raises(TotalTimeout):
            client.read(client.get(server.url("/"), timeout=SHORT))
        with Timer(), pytest.raises(TotalTimeout):
            client.pieces(client.get(server.url("/"), timeout=SHORT, stream=True))


def test_a_server_that_does_not_read(stage: Stage) -> None:  # G3
    server = stage.server([refuse_to_read, serve_on], receive_buffer=4096)
    with stage.client(timeout=Timeout(timeout=LONG, write=SHORT)) as client:
        with Timer(), pytest.raises(WriteTimeout) as caught:
            client.post(server.url("/"), body=b"x" * 2**24)
        assert caught.value.phase == "write"
        with pytest.raises(TotalTimeout):
            client.post(server.url("/"), body=iter([b"x" * 2**20] * 40), timeout=0.0001)
        assert client.read(client.get(server.url("/"), timeout=LONG)) == FOLLOW_UP


def test_nobody_accepts(world: World, deaf_port: int, no_leaks: None) -> None:
    url = f"http://127.0.0.1:{deaf_port}/"
    with world.client(timeout=Timeout(timeout=LONG, connect=SHORT), limits=Limits(max_connections=1)) as client:
        with Timer(), pytest.raises(ConnectTimeout, match=r"within 0\.\d+ s") as caught:
            client.get(url)
        assert caught.value.phase == "connect"
        with Timer(), pytest.raises(TotalTimeout):
            client.get(url, timeout=Timeout(total=SHORT))
        with pytest.raises(ConnectTimeout):
            client.get(url, timeout=Timeout(connect=0))
        outcomes = client.together([lambda session: session.get(url)] * 3)
        assert [type(outcome) for outcome in outcomes] == [ConnectTimeout] * 3
        assert client.session.pool.counts == (0, 0, 0)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x03\x00\x7a\x02\x00", b"\x16"])
def test_a_handshake_that_stalls(world: World, serve: Serve, no_leaks: None, sent: bytes) -> None:  # C4
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(sent)
        peer.expect_close()

    server = serve(script)
    url = f"https://127.0.0.1:{server.port}/"
    with world.client(timeout=Timeout(timeout=LONG, connect=SHORT), verify=False) as client:
        with Timer(), pytest.raises(ConnectTimeout, match="TLS") as caught:
            client.get(url)
        assert caught.value.phase == "tls"
        with Timer(), pytest.raises(TotalTimeout):
            client.get(url, timeout=Timeout(total=SHORT))
        assert client.session.pool.counts == (0, 0, 0)
        server.wait_for_closed(2)


def test_a_slow_lookup(world: World, monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:  # G5
    def slow(*_: Any, **__: Any) -> Any:
        time.sleep(SHORT * 2)
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with world.client(timeout=Timeout(timeout=LONG, connect=SHORT)) as client:
        with Timer(), pytest.raises(ConnectTimeout, match="resolve") as caught:
            client.get("http://slow.example/")
        assert caught.value.phase == "dns"
        with Timer(), pytest.raises(TotalTimeout):
            client.get("http://slow.example/", timeout=Timeout(total=SHORT))
        with pytest.raises(reqivo.DNSError):
            client.get("http://slow.example/", timeout=LONG)


def test_waiting_for_a_connection_counts(stage: Stage) -> None:
    server = stage.server(silent)
    with stage.client(limits=Limits(max_connections=1), timeout=LONG) as client:
        calls: list[Any] = [lambda session: session.get(server.url("/"), timeout=SHORT) for _ in range(4)]
        with Timer():
            outcomes = client.together(calls)
        assert [type(outcome) for outcome in outcomes] == [TotalTimeout] * 4
        assert client.session.pool.counts == (0, 0, 0)


def test_closing_never_waits(stage: Stage) -> None:
    server = stage.server(half_a_body)
    with stage.client(timeout=None) as client:
        response = client.get(server.url("/"), stream=True)
        began = time.monotonic()
        client.close(response)
        client.call(lambda session: session.close())
        assert time.monotonic() - began < SLACK
        server.wait_for_closed(1)


# -- cancellation is the caller's own (G6)


@pytest.mark.parametrize("moment", [0.0, 0.03])
def test_a_cancellation_is_neither_swallowed_nor_renamed(secured: Secured, no_leaks: None, moment: float) -> None:
    server, verify = secured(silent)

    async def main() -> None:
        async with AsyncSession(timeout=LONG, verify=verify) as session:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05 + moment):
                    await session.get(server.url("/"))
            assert not isinstance(caught.value, reqivo.ReqivoError)
            with pytest.raises(TimeoutError) as caught:
                await asyncio.wait_for(session.get(server.url("/")), 0.05)
            assert not isinstance(caught.value, reqivo.ReqivoError)
            with pytest.raises(ExceptionGroup) as group:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(session.get(server.url("/"), timeout=0.05))
                    tasks.create_task(session.get(server.url("/")))
            assert [type(error) for error in group.value.exceptions] == [TotalTimeout]
            assert session.pool.counts == (0, 0, 0)

    asyncio.run(main(), debug=True)


def test_both_in_the_same_tick(secured: Secured, no_leaks: None) -> None:
    server, verify = secured(silent)

    async def one(session: AsyncSession, cancel_at: float) -> str:
        try:
            async with asyncio.timeout(cancel_at):
                await session.get(server.url("/"), timeout=0.05)
        except TimeoutError as error:
            return type(error).__name__
        return "nothing"

    async def main() -> list[str]:
        async with AsyncSession(verify=verify) as session:
            moments = [0.05 + 0.0002 * step for step in range(-10, 11)]
            names = await asyncio.gather(*(one(session, moment) for moment in moments))
            assert session.pool.counts == (0, 0, 0)
            return names

    assert set(asyncio.run(main())) <= {"TimeoutError", "TotalTimeout"}
