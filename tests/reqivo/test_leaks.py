"""What fails or is forgotten leaves nothing behind: no descriptor, no memory, nothing that waits for the collector."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import reqivo
from reqivo import AsyncSession, Limits, Session
from reqivo_core.runtime.driving import run_blocking
from support.certs import Authority
from support.fixtures import Serve
from support.leaks import leak_check
from support.scenarios import FOLLOW_UP, Stage, head, ok, serve_on
from support.scripted import Peer, ScriptedServer
from support.world import Client

pytestmark = pytest.mark.thorough

ROUNDS = {"refused": 2000, "certificate": 250, "dns": 1250, "proxy": 1000, "answer": 500}
"""Failures of each kind in a round, half of them blocking; there are three rounds, so ten thousand are measured."""
ALLOWANCE = 100_000
"""Octets by which memory may differ after another round: of a thousand failures, none may leave even a small object."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def refused() -> Iterator[str]:
    """The URL of a port at which nobody listens, and nobody else may."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"


def unresolved(host: str, port: int) -> Any:
    return "no such host.invalid" if host == "nowhere.test" else None


@pytest.mark.parametrize("kind", ROUNDS)
def test_thousands_of_failures_leave_nothing(
    serve: Serve, authority: Authority, refused: str, no_leaks: None, kind: str
) -> None:  # K2
    rounds = ROUNDS[kind]
    options: dict[str, Any] = {"timeout": 60, "resolve": unresolved, "verify": str(authority.path)}
    server = serve(lambda peer: None)
    match kind:
        case "refused":
            url, error = refused, reqivo.ConnectError
        case "certificate":
            server = serve(lambda peer: None, tls=authority.untrusted().server_context())
            url, error = server.url("/"), reqivo.CertificateError
        case "dns":
            url, error = "http://nowhere.test/", reqivo.DNSError
        case "proxy":
            options["proxy"] = refused
            url, error = "https://example.com/", reqivo.ConnectError
        case _:
            server = serve(lambda peer: (peer.expect_request(), peer.send(b"nonsense"))[0])
            url, error = server.url("/"), reqivo.RemoteProtocolError

    async def asynchronous() -> None:
        async with AsyncSession(**options) as session:

            async def some() -> None:
                for _ in range(rounds // 20):
                    with pytest.raises(error):
                        await session.get(url)

            await asyncio.gather(*(some() for _ in range(10)))

    def blocking() -> None:
        with Session(**options) as session:
            for _ in range(rounds // 2):
                with pytest.raises(error):
                    session.get(url)

    def measured() -> tuple[int, int]:
        blocking()
        asyncio.run(asynchronous())
        if server.connections:
            server.wait_until_idle()
        for memory in (server.requests, server.disconnects, server.tls_errors):
            memory.clear()
        gc.collect()
        return descriptors(), tracemalloc.get_traced_memory()[0]

    measured()  # warms caches up
    tracemalloc.start()
    try:
        before = measured()
        after = measured()
        if after[1] > before[1] + ALLOWANCE:  # what was made once, by any thread of this process, is not made again
            before, after = after, measured()
    finally:
        tracemalloc.stop()
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + ALLOWANCE, "memory grows"


def wait_until_left(client: Client, server: ScriptedServer) -> None:
    """Wait until the server has noticed that the client closed its connection."""
    if client.world.name == "async":
        client.world.run(asyncio.sleep(0.001))  # a loop that does not run closes nothing
    server.wait_until_idle()


def dropped(script: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def first(peer: Peer) -> None:
        peer.expect_request()
        script(peer)
        peer.expect_close()

    return first


@pytest.mark.parametrize("is_read", ["not", "in part"])
def test_a_dropped_response_is_closed_at_once(stage: Stage, is_read: str) -> None:  # K3
    server = stage.server([dropped(lambda peer: peer.send(ok(b"x" * 1000000)[:-1])), serve_on])
    gc.disable()
    try:
        with stage.client() as client:
            response = client.get(server.url("/"), stream=True)
            if is_read == "in part":
                client.world.run(getattr(response, client.world.method("read"))(10))
            ghosts = [weakref.ref(response), weakref.ref(response.body_reader)]
            with pytest.warns(ResourceWarning, match=r"dropped unread.*close\(\)"):
                del response
            assert [ghost() for ghost in ghosts] == [None, None]
            assert client.session.pool.counts == (0, 0, 0)
            wait_until_left(client, server)
            assert client.read(client.get(server.url("/next"))) == FOLLOW_UP
    finally:
        gc.enable()


def test_a_dropped_iterator_is_closed_at_once(stage: Stage) -> None:
    server = stage.server([dropped(lambda peer: peer.send(ok(b"x" * 1000000)[:-1])), serve_on])
    with stage.client() as client, leak_check(collect=False):
        response = client.get(server.url("/"), stream=True)
        pieces = getattr(response, client.world.method("iter_bytes"))(1000)
        first = next(pieces) if client.world.name == "blocking" else client.world.run(anext(pieces))
        assert first == b"x" * 1000
        with pytest.warns(ResourceWarning, match="dropped"):
            del pieces, response
        wait_until_left(client, server)
        assert client.session.pool.counts == (0, 0, 0)


@pytest.mark.parametrize("sent", [head("Content-Length: 10") + b"abc", b"nonsense\r\n\r\n", b""])
def test_errors_keep_nothing_alive(serve: Serve, no_leaks: None, sent: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(sent)

    server = serve(script)
    ghosts: list[weakref.ref[Any]] = []

    def blocking(session: Session) -> None:
        response = session.get(server.url("/"), stream=True)
        ghosts.extend([weakref.ref(response), weakref.ref(response.body_reader)])
        response.read()

    async def asynchronous(session: AsyncSession) -> None:
        response = await session.get(server.url("/"), stream=True)
        ghosts.extend([weakref.ref(response), weakref.ref(response.body_reader)])
        await response.aread()

    async def main() -> None:
        async with AsyncSession() as session:
            try:
                await asynchronous(session)
            except reqivo.ReqivoError as error:
                assert error.request is not None
            assert [ghost() for ghost in ghosts] == [None] * len(ghosts)

    gc.disable()
    try:
        with Session() as session:
            try:
                blocking(session)
            except reqivo.ReqivoError as error:
                assert error.request is not None
            assert [ghost() for ghost in ghosts] == [None] * len(ghosts)
        asyncio.run(main())
    finally:
        gc.enable()
    assert len(ghosts) == (4 if b"200" in sent else 0)


def test_a_call_that_is_never_awaited_warns(no_leaks: None) -> None:
    async def main() -> AsyncSession:
        session = AsyncSession()
        with pytest.warns(RuntimeWarning, match="'AsyncSession.request' was never awaited"):
            session.get("http://127.0.0.1:9/")
        await session.close()
        return session

    assert asyncio.run(main()).is_closed


def test_an_upgraded_connection_is_closed_with_its_stream(stage: Stage) -> None:
    def switch(peer: Peer) -> None:
        peer.expect_request()
        peer.send(head("Upgrade: echo", "Connection: upgrade", status="HTTP/1.1 101 Switching Protocols") + b"hello")
        peer.send(peer.expect(4).upper())
        peer.expect_close()

    server = stage.server([switch, switch, switch, serve_on])
    with stage.client(limits=Limits(max_connections=1)) as client:

        def upgrade() -> Any:
            response = client.get(server.url("/"), extensions={"upgrade": "echo"})
            assert response.status_code == 101
            assert client.session.pool.active == 1
            return response.extensions["network_stream"]

        def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return run_blocking(coroutine) if client.world.name == "blocking" else client.world.run(coroutine)

        stream = upgrade()
        run(stream.write(b"ping", 2.0))
        got = b""
        while len(got) < 9:
            got += run(stream.read(100, 2.0))
        assert got == b"helloPING"
        stream.close()
        wait_until_left(client, server)
        stream = upgrade()
        del stream  # its last reference
        wait_until_left(client, server)
        client.session.add_post_response_hook(no)
        with pytest.raises(KeyError):
            upgrade()
        client.session._engine.response_hooks.clear()
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
        assert client.session.pool.counts == (0, 1, 0)


def no(_: Any) -> None:
    raise KeyError("no")


def test_resolver_threads_end(no_leaks: None) -> None:
    before = threading.active_count()
    with Session(timeout=60, resolve=unresolved) as session:
        for _ in range(5):
            with pytest.raises(reqivo.DNSError):
                session.get("http://nowhere.test/")
    with leak_check():
        assert threading.active_count() <= before + 5
