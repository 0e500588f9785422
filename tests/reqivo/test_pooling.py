"""Connections that are shared, queued for, lost while idle: whoever asks gets an answer that is theirs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import reqivo
from reqivo import AsyncSession, Limits, PoolTimeout, RemoteProtocolError, ServerDisconnected, SessionClosed, Timeout
from support.certs import Authority
from support.fixtures import Serve
from support.messages import response
from support.scenarios import FOLLOW_UP, PATIENCE, Stage, await_arrival, ok, serve_on, until
from support.scripted import Peer, Script
from support.servers import AsgiServer
from support.world import World

ONE = Limits(max_connections=1)


def answer_then(*more: Callable[[Peer], object]) -> Script:
    """Answer one request well and then do as told."""

    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(ok(b"first"))
        for step in more:
            step(peer)

    return script


# -- idle connections (A5, A6)


@pytest.mark.parametrize("sent", [ok(b"evil"), b"x", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_what_nobody_asked_for_is_never_seen(stage: Stage, codec: str, sent: bytes) -> None:
    may_send, has_sent = threading.Event(), threading.Event()

    def inject(peer: Peer) -> None:
        peer.wait(may_send)
        peer.send(sent)
        has_sent.set()
        serve_on(peer)

    server = stage.server([answer_then(inject), serve_on])
    with stage.client() as client:
        assert client.read(client.get(server.url("/"))) == b"first"
        may_send.set()
        assert has_sent.wait(PATIENCE)
        await_arrival(client)
        assert client.read(client.post(server.url("/"), body=b"x")) == FOLLOW_UP
        assert server.connections == 2
        assert client.session.pool.idle == 1


@pytest.mark.parametrize("leave", [Peer.fin, Peer.abort_tls, Peer.half_close, Peer.rst])
def test_an_idle_connection_that_was_closed_is_noticed(stage: Stage, codec: str, leave: Callable[[Peer], None]) -> None:
    may_leave, has_left = threading.Event(), threading.Event()
    steps = [lambda peer: peer.wait(may_leave), leave, lambda peer: has_left.set()]
    server = stage.server([answer_then(*steps), serve_on])
    with stage.client() as client:
        client.read(client.get(server.url("/")))
        may_leave.set()
        assert has_left.wait(PATIENCE)
        await_arrival(client)
        assert client.read(client.post(server.url("/"), body=b"x")) == FOLLOW_UP, "not even a POST fails"
        assert server.connections == 2


# -- the keep-alive race (A14)


def leave_unanswered(peer: Peer) -> None:
    peer.expect_request()
    peer.fin()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_request_is_sent_again_once_reused(stage: Stage, codec: str, method: str) -> None:
    server = stage.server([answer_then(leave_unanswered), serve_on])
    with stage.client() as client:
        client.read(client.get(server.url("/")))
        assert client.request(method, server.url("/again")).status_code == 200
    assert [request.target for request in server.requests] == ["/", "/again", "/again"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_another_request_is_never_sent_again(stage: Stage, codec: str, method: str) -> None:
    server = stage.server([answer_then(leave_unanswered), serve_on])
    with stage.client() as client:
        client.read(client.get(server.url("/")))
        with pytest.raises(ServerDisconnected):
            client.request(method, server.url("/again"), body=b"x")
        assert client.read(client.get(server.url("/next"))) == FOLLOW_UP
    assert [request.method for request in server.requests] == ["GET", method, "GET"]


def test_a_body_that_can_be_read_once_is_not_sent_again(stage: Stage, codec: str) -> None:
    server = stage.server([answer_then(leave_unanswered), serve_on])
    with stage.client() as client:
        client.read(client.get(server.url("/")))
        with pytest.raises(ServerDisconnected):
            client.put(server.url("/again"), body=iter([b"x"]))
    assert len(server.requests) == 2


def test_nothing_is_sent_again_over_a_fresh_connection(stage: Stage, codec: str) -> None:
    server = stage.server(leave_unanswered)
    with stage.client() as client, pytest.raises(ServerDisconnected):
        client.get(server.url("/"))
    assert len(server.requests) == 1


def test_nothing_is_sent_again_once_an_answer_has_begun(stage: Stage, codec: str) -> None:
    def begin(peer: Peer) -> None:
        peer.expect_request()
        peer.send(b"HTTP/1.1 2")

    server = stage.server([answer_then(begin), serve_on])
    with stage.client() as client:
        client.read(client.get(server.url("/")))
        with pytest.raises(RemoteProtocolError):
            client.get(server.url("/again"))
    assert len(server.requests) == 2


CLOSINGS = 840
"""Requests to each of the twelve servers (three kinds; blocking and async, plain and TLS): ten thousand in all."""


@pytest.mark.thorough
@pytest.mark.parametrize("every", [1, 2, 7])
def test_servers_that_close_at_random_are_never_seen(stage: Stage, every: int) -> None:  # F5
    def script(peer: Peer) -> None:
        for _ in range(every):
            peer.respond(200, peer.expect_request().target.encode())
        if peer.index % 3 == 1:
            peer.expect_head()

    server = stage.server(script)
    with stage.client() as client:
        for number in range(CLOSINGS):
            target = f"/{number}"
            assert client.read(client.get(server.url(target))) == target.encode()
            if number % 4 == 0:
                time.sleep(0.001)  # now and then the FIN comes first
    assert server.connections >= CLOSINGS // (every + 1)


# -- waiting (F3, F6)


def test_more_requests_than_connections_queue_in_order(stage: Stage) -> None:
    server = stage.server(serve_on)
    order: list[int] = []

    with stage.client(limits=ONE) as client:

        def one(number: int, session: Any) -> Any:
            if stage.world.name == "blocking":
                assert session.get(server.url(f"/{number}")).content == FOLLOW_UP
                return order.append(number)

            async def run() -> None:
                assert (await session.get(server.url(f"/{number}"))).content == FOLLOW_UP
                order.append(number)

            return run()

        client.together([partial(one, number) for number in range(30)])
        assert client.session.pool.counts == (0, 1, 0)
    assert len(order) == 30
    assert server.connections == 1
    if stage.world.name == "async":
        assert order == sorted(order)


def test_no_connection_becomes_free_in_time(stage: Stage) -> None:
    server = stage.server(serve_on)
    with stage.client(limits=ONE, timeout=Timeout(timeout=60, pool=0.2)) as client:
        with client.stream("GET", server.url("/")):
            began = time.monotonic()
            with pytest.raises(PoolTimeout, match=r"within 0\.2 s") as caught:
                client.get(server.url("/"))
            assert 0.19 < time.monotonic() - began < PATIENCE
            assert caught.value.phase == "pool"
            assert client.session.pool.waiting == 0
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
    assert server.connections == 1


def test_an_idle_connection_makes_room_for_another_origin(stage: Stage) -> None:
    first, second = stage.server(serve_on), stage.server(serve_on)
    with stage.client(limits=ONE) as client:
        for _ in range(3):
            for server in (first, second):
                assert client.read(client.get(server.url("/"))) == FOLLOW_UP
        assert client.session.pool.counts == (0, 1, 0)
    assert first.connections == second.connections == 3


def test_two_busy_origins_share_one_connection_fairly(world: World, serve: Serve, no_leaks: None) -> None:
    servers = [serve(serve_on), serve(serve_on)]
    with world.client(limits=ONE, timeout=Timeout(timeout=30)) as client:
        urls = [servers[number % 2].url("/") for number in range(60)]
        outcomes = client.together([lambda session, url=url: session.get(url) for url in urls])  # type: ignore[misc]
        assert [outcome.content for outcome in outcomes] == [FOLLOW_UP] * 60
        assert client.session.pool.counts == (0, 1, 0)


@pytest.mark.parametrize("phase", ["queued", "connecting", "handshake", "unanswered", "body"])
def test_a_cancelled_task_gives_its_slot_back(serve: Serve, authority: Authority, no_leaks: None, phase: str) -> None:
    async def main() -> None:
        stalled = {
            "connecting": lambda peer: peer.hold(),
            "handshake": lambda peer: peer.hold(),
            "unanswered": lambda peer: (peer.expect_request(), peer.hold())[0],
            "body": lambda peer: (peer.expect_request(), peer.send(ok(b"x" * 10)[:-1]), peer.hold())[0],
            "queued": serve_on,
        }[phase]
        server = serve([stalled, serve_on])
        scheme = "https" if phase == "handshake" else "http"
        async with AsyncSession(limits=ONE, timeout=30, verify=str(authority.path)) as session:
            holder = await session.get(server.url("/"), stream=True) if phase == "queued" else None
            url = f"{scheme}://127.0.0.1:{server.port}/"
            tasks = [asyncio.ensure_future(session.get(url)) for _ in range(3)]
            expected = 3 if holder else 2
            await until(lambda: session.pool.waiting == expected and server.connections == 1)
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 3
            if holder is not None:
                assert session.pool.counts == (1, 0, 0)
                await holder.aclose()
            assert session.pool.counts[0] == session.pool.counts[2] == 0
            assert (await session.get(server.url("/"))).content == FOLLOW_UP

    asyncio.run(main(), debug=True)


def test_cancelled_at_the_moment_of_being_served(serve: Serve, no_leaks: None) -> None:
    async def main() -> None:
        server = serve(serve_on)
        async with AsyncSession(limits=ONE, timeout=30) as session:
            for turns in range(12):  # one after another, the turns of the loop in which it may hit
                holder = await session.get(server.url("/"), stream=True)
                task = asyncio.ensure_future(session.get(server.url("/")))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await holder.aread()
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert session.pool.active == session.pool.waiting == 0, turns
            assert (await session.get(server.url("/"))).content == FOLLOW_UP

    asyncio.run(main())


def test_a_thousand_tasks_on_ten_connections(plain_server: AsgiServer, no_leaks: None) -> None:
    async def main() -> None:
        async with AsyncSession(limits=Limits(max_connections=10), timeout=120) as session:
            urls = [plain_server.url(f"/echo/{number}") for number in range(1000)]
            got = await asyncio.gather(*map(session.get, urls))
            assert [response.json()["nonce"] for response in got] == [str(number) for number in range(1000)]
            assert session.pool.counts == (0, 10, 0)

    asyncio.run(main())


# -- closing (L5)


def test_close_while_a_hundred_wait(stage: Stage) -> None:
    server = stage.server(serve_on)
    with stage.client(limits=ONE, timeout=120) as client:
        holder = client.get(server.url("/"), stream=True)

        def close(session: Any) -> Any:
            if stage.world.name == "async":

                async def run() -> None:
                    await until(lambda: session.pool.waiting == 100)
                    await asyncio.gather(session.close(), session.aclose())

                return run()
            while session.pool.waiting < 100:
                time.sleep(0.001)
            session.close()
            return session.close()

        calls: list[Any] = [close, *[lambda session: session.get(server.url("/"))] * 100]
        began = time.monotonic()
        outcomes = client.together(calls)
        assert time.monotonic() - began < 60
        assert [type(outcome) for outcome in outcomes[1:]] == [SessionClosed] * 100
        assert client.read(holder) == FOLLOW_UP, "a response outlives its session"
        assert client.session.pool.counts == (0, 0, 0)
        with pytest.raises(SessionClosed, match="closed"):
            client.get(server.url("/"))


# -- loops (F8)


def test_a_session_used_in_one_loop_after_another(serve: Serve, authority: Authority, no_leaks: None) -> None:
    server = serve(serve_on, tls=authority.server_context())
    session = AsyncSession(timeout=30, verify=str(authority.path))

    async def use() -> list[bytes]:
        got = await asyncio.gather(*(session.get(server.url("/")) for _ in range(3)))
        return [response.content for response in got]

    for _ in range(3):
        assert asyncio.run(use(), debug=True) == [FOLLOW_UP] * 3

    asyncio.run(session.close())
    assert session.pool.counts == (0, 0, 0)


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_response_belongs_to_the_loop_in_which_it_came(
    serve: Serve, authority: Authority, no_leaks: None, is_closed: bool
) -> None:
    def half(peer: Peer) -> None:
        peer.expect_request()
        peer.send(ok(b"x" * 10)[:-5])
        peer.expect_close()

    server = serve([half, serve_on], tls=authority.server_context())
    session = AsyncSession(timeout=30, verify=str(authority.path))

    async def start() -> Any:
        return await session.get(server.url("/"), stream=True)

    async def use() -> bytes:
        return bytes((await session.get(server.url("/"))).content)

    with asyncio.Runner() as first:
        left = first.run(start())
        if is_closed:
            first.close()
        with pytest.raises(reqivo.IncompleteBody, match="event loop"):
            asyncio.run(left.aread())
        with pytest.raises(reqivo.ReqivoError):
            asyncio.run(left.aread())
        assert asyncio.run(use()) == FOLLOW_UP
    asyncio.run(session.close())
    server.wait_for_closed(1)
    assert session.pool.counts == (0, 0, 0)


def test_two_loops_at_once(serve: Serve, no_leaks: None) -> None:
    server = serve(lambda peer: serve_on(peer))
    session = AsyncSession(timeout=30)
    failures: list[BaseException] = []

    async def use() -> None:
        for _ in range(40):
            try:
                assert (await session.get(server.url("/"))).content == FOLLOW_UP
            except reqivo.ReqivoError as error:
                failures.append(error)
        await session.close()

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert all(isinstance(error, SessionClosed) for error in failures), failures


def test_responses_go_to_whom_they_belong_after_a_wrong_length(stage: Stage) -> None:
    def short(peer: Peer) -> None:
        request = peer.expect_request()
        body = request.target.encode()
        peer.send(response(200, body + ok(b"/evil"), [("Content-Length", str(len(body)))]))
        serve_on(peer)

    server = stage.server(short)
    with stage.client() as client:
        for number in range(10):
            assert client.read(client.get(server.url(f"/{number}"))) == f"/{number}".encode()
    assert server.connections == 10
