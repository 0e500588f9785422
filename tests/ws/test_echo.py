"""Echoes from real servers: sizes, threads, tasks, many connections."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from reqivo_core import AsyncSession, Session
from reqivo_core.errors import ConnectionClosedError
from reqivo_ws import AsyncWebSocket, Deflate, WebSocket
from support.certs import Authority
from support.fixtures import Serve
from support.frames import CONTINUATION, PING, TEXT, accept, answer_close, expect_frame
from support.leaks import leak_check
from support.scripted import Peer
from support.servers import AiohttpServer, AsgiServer, WebSocketsServer
from support.sockets import connected, mixed
from support.world import World
from ws.scripts import ws_url

pytestmark = pytest.mark.thorough


async def _aiohttp_echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=True, max_msg_size=0)
    await ws.prepare(request)
    async for message in ws:
        if message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
        else:
            await ws.send_bytes(message.data)
    return ws


@pytest.fixture(scope="module")
def aiohttp_server() -> Iterator[AiohttpServer]:
    app = web.Application()
    app.router.add_get("/", _aiohttp_echo)
    with AiohttpServer(app) as server:
        yield server


@pytest.mark.parametrize("compression", [True, False])
def test_a_thousand_messages_up_to_eight_mebibytes(
    world: World, echo_server: WebSocketsServer, compression: bool
) -> None:
    with connected(world, ws_url(echo_server), compression=compression) as ws:
        assert ("sec-websocket-extensions" in ws.response.headers) is compression
        for message in mixed(1000, 8 * 2**20):
            ws.send(message)
            assert ws.recv() == message


@pytest.mark.parametrize("server_forgets", [False, True])
@pytest.mark.parametrize("client_forgets", [False, True])
def test_w13_contexts_are_kept_or_forgotten_as_agreed(world: World, server_forgets: bool, client_forgets: bool) -> None:
    agreed = ServerPerMessageDeflateFactory(
        server_no_context_takeover=server_forgets, client_no_context_takeover=client_forgets
    )
    with WebSocketsServer(extensions=[agreed], compression=None) as server:
        with connected(world, ws_url(server), compression=Deflate(threshold=0)) as ws:
            said = ws.response.headers["sec-websocket-extensions"]
            assert ("server_no_context_takeover" in said, "client_no_context_takeover" in said) == (
                *(server_forgets, client_forgets),
            )
            for message in ["", "again and again", "again and again", b"\x00" * 5000, *mixed(30, 70_000)]:
                ws.send(message)
                assert ws.recv() == message
            ws.send(["again ", "and ", "again"])
            assert ws.recv() == "again and again"


@pytest.mark.parametrize("codec", ["fast", "wsproto"])
def test_both_engines_speak_to_every_server(
    world: World,
    echo_server: WebSocketsServer,
    aiohttp_server: AiohttpServer,
    plain_server: AsgiServer,
    monkeypatch: pytest.MonkeyPatch,
    codec: str,
) -> None:
    monkeypatch.setenv("REQIVO_WS_CODEC", codec)
    for url in (ws_url(echo_server), ws_url(aiohttp_server), ws_url(plain_server, "/ws/echo")):
        with connected(world, url) as ws:
            for message in mixed(40, 70_000):
                ws.send(message)
                assert ws.recv() == message
            ws.send(["frag", "ments ", "ü" * 1000])
            assert ws.recv() == "fragments " + "ü" * 1000
            assert ws.ping() > 0
        assert ws.close_code == 1000


def test_over_tls(world: World, authority: Authority) -> None:
    with (
        WebSocketsServer(tls=authority.server_context(alpn=["http/1.1"])) as server,
        connected(world, ws_url(server), verify=str(authority.path)) as ws,
    ):
        for message in mixed(60, 2**20):
            ws.send(message)
            assert ws.recv() == message


@pytest.mark.parametrize("where", ["HTTP/1.1", "HTTP/1.1 over TLS", "HTTP/2"])
def test_one_thread_or_task_sends_and_another_receives(
    world: World,
    where: str,
    echo_server: WebSocketsServer,
    tls_server: AsgiServer,
    h2_server: AsgiServer,
    authority: Authority,
) -> None:
    if where == "HTTP/2":
        pytest.importorskip("reqivo_http2", reason="this distribution is tested alone here")
    urls = {
        "HTTP/1.1": ws_url(echo_server),
        "HTTP/1.1 over TLS": ws_url(tls_server, "/ws/echo"),
        "HTTP/2": ws_url(h2_server, "/ws/echo"),
    }
    messages = list(mixed(400, 2**20))

    def send_all(ws: Any) -> Any:
        async def later() -> None:
            for message in messages:
                await ws.send(message)

        def now() -> None:
            for message in messages:
                ws.send(message)

        return later() if world.name == "async" else now()

    def receive_all(ws: Any) -> Any:
        async def later() -> list[Any]:
            return [await ws.recv() for _ in messages]

        return later() if world.name == "async" else [ws.recv() for _ in messages]

    with connected(world, urls[where], verify=str(authority.path)) as ws:
        assert ws.response.http_version == where.split()[0]
        sent, received = ws.together(send_all, receive_all)
    assert sent is None
    assert received == messages


def test_w21_twenty_threads_send_and_no_frames_mix(echo_server: WebSocketsServer) -> None:
    with WebSocket(ws_url(echo_server)) as ws, ThreadPoolExecutor(20) as executor:

        def send(number: int) -> None:
            for turn in range(10):
                mark = b"%d.%d|" % (number, turn)
                ws.send([mark] * 5 if turn % 2 else mark * 2000)

        sending = [executor.submit(send, number) for number in range(20)]
        seen = set()
        for _ in range(200):
            message = ws.recv()
            assert isinstance(message, bytes)
            marks = message.split(b"|")[:-1]
            assert len(set(marks)) == 1 and len(marks) in (5, 2000)
            seen.add(marks[0])
        for future in sending:
            future.result(30)
        assert len(seen) == 200


def test_w21_twenty_tasks_send_and_no_frames_mix(echo_server: WebSocketsServer) -> None:
    async def body() -> int:
        async with AsyncWebSocket(ws_url(echo_server)) as ws:

            async def fragments(mark: bytes) -> Any:
                for _ in range(5):
                    await asyncio.sleep(0)
                    yield mark

            async def send(number: int) -> None:
                for turn in range(10):
                    mark = b"%d.%d|" % (number, turn)
                    await ws.send(fragments(mark) if turn % 2 else mark * 2000)

            async with asyncio.TaskGroup() as tasks:
                for number in range(20):
                    tasks.create_task(send(number))
                seen = set()
                for _ in range(200):
                    message = await ws.recv()
                    assert isinstance(message, bytes)
                    marks = message.split(b"|")[:-1]
                    assert len(set(marks)) == 1 and len(marks) in (5, 2000)
                    seen.add(marks[0])
            return len(seen)

    assert asyncio.run(body()) == 200


def test_w21_pings_pass_between_fragments(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        opcodes = []
        while (got := expect_frame(peer)).opcode != CONTINUATION or not got.is_final:
            opcodes.append(got.opcode)
            if got.opcode == PING:
                peer.send(bytes([0x8A, len(got.payload)]) + got.payload)
        assert opcodes == [TEXT, PING, CONTINUATION]
        answer_close(peer)

    async def body() -> float:
        async with AsyncWebSocket(ws_url(serve(script))) as ws:
            latencies = []

            async def fragments() -> Any:
                yield "one"
                latencies.append(await ws.ping())
                yield "two"

            await ws.send(fragments())
            return latencies[0]

    assert asyncio.run(body()) > 0


def test_w21_j8_a_cancelled_fragmented_send_fails_the_connection(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        assert expect_frame(peer).payload == b"one"
        assert int.from_bytes(expect_frame(peer).payload[:2], "big") == 1011

    async def body() -> int:
        async with AsyncWebSocket(ws_url(serve(script))) as ws:

            async def fragments() -> Any:
                yield "one"
                await asyncio.Event().wait()

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.send(fragments()), 0.1)
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.send("more")
            return caught.value.code

    assert asyncio.run(body()) == 1011


def test_w20_j8_a_cancelled_recv_loses_no_message(echo_server: WebSocketsServer) -> None:
    async def body() -> None:
        async with AsyncWebSocket(ws_url(echo_server)) as ws:
            dice = random.Random(3)
            received: list[Any] = []
            for number in range(200):
                await ws.send(f"{number} " * dice.randint(1, 5000))
            while len(received) < 200:
                task = asyncio.create_task(ws.recv())
                for _ in range(dice.randint(0, 5)):
                    await asyncio.sleep(0)
                if not task.cancel():
                    received.append(task.result())
                    continue
                try:
                    received.append(await task)
                except asyncio.CancelledError:
                    pass
            assert [message.split()[0] for message in received] == [str(number) for number in range(200)]

    asyncio.run(body())


def test_j8_a_cancelled_send_of_a_large_message_fails_the_connection(serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), peer.stop_reading()), receive_buffer=4096)

    async def body() -> int:
        async with AsyncWebSocket(ws_url(server), compression=False) as ws:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.send(bytes(30_000_000)), 0.1)
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.send("more")
            return caught.value.code

    assert asyncio.run(body()) == 1006


def test_w31_a_stuck_connection_holds_up_no_other(serve: Serve, echo_server: WebSocketsServer) -> None:
    stuck = serve(lambda peer: (accept(peer), peer.stop_reading()), receive_buffer=4096)

    async def body() -> list[Any]:
        async with AsyncSession(limits={"max_connections": 200}) as session:
            urls = [ws_url(stuck), *[ws_url(echo_server)] * 100]
            sockets = [session.websocket(url, compression=False, close_timeout=0.05) for url in urls]
            await asyncio.gather(*[ws.connect() for ws in sockets])
            assert session.pool.active == 101
            message = bytes(3_000_000)
            sending = [asyncio.create_task(ws.send(message if n == 0 else b"m")) for n, ws in enumerate(sockets)]
            received = await asyncio.wait_for(asyncio.gather(*[ws.recv() for ws in sockets[1:]]), 20)
            assert not sending[0].done()
            sending[0].cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            await asyncio.gather(*[ws.close() for ws in sockets])
            return received

    assert asyncio.run(body()) == [b"m"] * 100


def test_w31_a_stuck_connection_holds_up_no_other_thread(serve: Serve, echo_server: WebSocketsServer) -> None:
    stuck = serve(lambda peer: (accept(peer), peer.stop_reading()), receive_buffer=4096)
    with Session(limits={"max_connections": 200}) as session, ThreadPoolExecutor(1) as executor:
        urls = [ws_url(stuck), *[ws_url(echo_server)] * 100]
        sockets = [session.websocket(url, compression=False, close_timeout=0.05).connect() for url in urls]
        sending = executor.submit(sockets[0].send, bytes(12_000_000))
        for ws in sockets[1:]:
            ws.send("m")
        assert [ws.recv(timeout=10) for ws in sockets[1:]] == ["m"] * 100
        assert all(ws.ping(timeout=10) == ws.latency > 0 for ws in sockets[1:])
        assert not sending.done()
        for ws in sockets:
            ws.close()
        assert isinstance(sending.exception(10), ConnectionClosedError)


def test_requests_and_websockets_share_a_session(plain_server: AsgiServer) -> None:
    with leak_check(), Session() as session:
        with session.websocket(ws_url(plain_server, "/ws/echo")) as ws:
            assert session.get(plain_server.url("/echo/1")).status_code == 200
            ws.send("x")
            assert ws.recv() == "x"
            assert session.pool.active == 1
        assert session.pool.active == 0


def test_k1_nothing_is_left_behind(world: World, echo_server: WebSocketsServer) -> None:
    with leak_check():
        before = threading.active_count()
        for _ in range(5):
            with connected(world, ws_url(echo_server)) as ws:
                ws.send("x")
                assert ws.recv() == "x"
                assert threading.active_count() == before
