"""Slow servers: every phase ends in its time, and all of them together in theirs (G)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from reqivo import (
    AsyncSession,
    ConnectTimeout,
    PoolTimeout,
    ReadTimeout,
    Retry,
    Timeout,
    TimeoutException,
    TotalTimeout,
    WriteTimeout,
)
from support.fixtures import Secured
from support.messages import response
from support.scripted import Peer, answers
from support.world import World

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
LONG = 60.0  # seconds of what a test is not about
PATIENT = 20.0  # seconds after which something else than the time limit has ended a wait, however slow the machine


def dripping_head(peer: Peer) -> None:
    peer.expect_request()
    peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, interval=0.02)


def dripping_body(peer: Peer) -> None:
    peer.expect_request()
    peer.send(HEAD)
    peer.drip(b"x" * 1000, interval=0.02)


def silent(peer: Peer) -> None:
    peer.expect_request()
    peer.sleep(30)


def stalled(peer: Peer) -> None:
    peer.expect_request()
    peer.send(HEAD + b"abc")
    peer.sleep(30)


def redirecting(peer: Peer) -> None:
    for number in range(1000):
        peer.expect_request()
        peer.sleep(0.02)
        peer.send(response(302, headers=[("Location", f"/{number}")]))


def refusing(peer: Peer) -> None:
    for _ in range(1000):
        peer.expect_request()
        peer.sleep(0.02)
        peer.send(response(503))


TOTALS: dict[str, tuple[Any, dict[str, Any]]] = {
    "head drips": (dripping_head, {}),
    "body drips": (dripping_body, {}),
    "silence": (silent, {}),
    "stall in the body": (stalled, {}),
    "redirects": (redirecting, {"max_redirects": 1000}),
    "expectation": (silent, {"headers": {"Expect": "100-continue"}, "body": b"x" * 10}),
}


@pytest.mark.parametrize("name", TOTALS)
def test_the_total_ends_what_no_phase_would(world: World, serve: Any, name: str) -> None:
    script, options = TOTALS[name]
    server = serve(script)
    began = time.monotonic()
    with world.client(timeout=Timeout(timeout=LONG, total=0.2)) as client:
        with pytest.raises(TotalTimeout) as caught:
            client.read(client.request("POST" if "body" in options else "GET", server.url("/"), **options))
        assert client.session.pool.active == 0
    assert 0.15 < time.monotonic() - began < PATIENT
    assert "0.2 s" in str(caught.value) and caught.value.request is not None


def test_the_total_ends_retries_with_what_there_is(world: World, serve: Any) -> None:
    server = serve(refusing)
    began = time.monotonic()
    with world.client(timeout=Timeout(timeout=LONG, total=0.2), retries=Retry(1000, backoff=0)) as client:
        try:
            assert client.get(server.url("/")).status_code == 503
        except TotalTimeout as error:
            assert error.request is not None
        assert client.session.pool.active == 0
    assert time.monotonic() - began < PATIENT


@pytest.mark.parametrize("script", [silent, stalled])
def test_a_silent_server_is_given_up(world: World, serve: Any, script: Any) -> None:
    server = serve([script, answers(response(200, b"next"))])
    with world.client(timeout=LONG) as client:
        with pytest.raises(ReadTimeout) as caught:
            client.read(client.get(server.url("/"), timeout=Timeout(timeout=LONG, read=0.1)))
        assert caught.value.phase is not None
        assert client.read(client.get(server.url("/"))) == b"next"


def test_a_server_that_takes_nothing_is_given_up(world: World, serve: Any) -> None:
    def deaf(peer: Peer) -> None:
        peer.expect_head()
        peer.sleep(30)

    server = serve(deaf, receive_buffer=4096)
    with world.client(timeout=Timeout(timeout=LONG, write=0.1)) as client:
        with pytest.raises(WriteTimeout):
            client.post(server.url("/"), body=b"x" * 50_000_000)
        assert client.session.pool.active == 0


def test_waiting_for_a_connection_is_bounded(world: World, serve: Any) -> None:
    server = serve(stalled)
    with world.client(limits={"max_connections": 1}, timeout=Timeout(pool=0.1)) as client:
        with client.stream("GET", server.url("/")):
            with pytest.raises(PoolTimeout):
                client.get(server.url("/"))
            with pytest.raises(TimeoutException) as caught:
                client.get(server.url("/"), timeout=Timeout(timeout=LONG, total=0.1))
            assert isinstance(caught.value, TotalTimeout)


def test_a_handshake_that_stalls_is_bounded(world: World, serve: Any) -> None:
    server = serve(lambda peer: peer.sleep(30))
    with world.client(timeout=Timeout(connect=0.1)) as client, pytest.raises(ConnectTimeout):
        client.get(server.url("/").replace("http:", "https:"))


def test_a_timeout_of_one_request_is_its_own(world: World, serve: Any) -> None:
    server = serve([silent, answers(response(200, b"fine"))])
    with world.client(timeout=LONG) as client:
        with pytest.raises(TotalTimeout):
            client.get(server.url("/"), timeout=0.1)
        server.wait_for_connections(1)
        assert client.read(client.get(server.url("/"))) == b"fine"


# -- G6: whose time ran out


def test_the_callers_time_stays_the_callers(secured: Secured) -> None:
    server, verify = secured(silent)

    async def main() -> str:
        async with AsyncSession(timeout=LONG, verify=verify) as session:
            with pytest.raises(asyncio.TimeoutError) as caught:
                async with asyncio.timeout(0.1):
                    await session.get(server.url("/"))
            assert session.pool.active == 0
            return type(caught.value).__module__

    assert asyncio.run(main()) == "builtins"


def test_a_cancelled_request_is_cancelled_and_no_timeout(secured: Secured) -> None:
    server, verify = secured(silent)

    async def main() -> bool:
        async with AsyncSession(timeout=LONG, verify=verify) as session:
            task = asyncio.ensure_future(session.get(server.url("/")))
            await asyncio.to_thread(server.wait_for_requests, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return session.pool.active == 0

    assert asyncio.run(main())


def test_both_at_once_end_one_way_or_the_other(secured: Secured) -> None:
    server, verify = secured(silent)

    async def one(session: AsyncSession, seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                await session.get(server.url("/"), timeout=seconds)
        except TimeoutException:
            return "ours"
        except TimeoutError:
            return "theirs"
        return "none"

    async def main() -> set[str]:
        async with AsyncSession(verify=verify) as session:
            ends = await asyncio.gather(*(one(session, 0.05 + 0.001 * number) for number in range(10)))
            assert session.pool.active == 0
            return set(ends)

    assert asyncio.run(main()) <= {"ours", "theirs"}
