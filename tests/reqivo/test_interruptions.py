"""A request interrupted at its k-th wait, for every k: the pool stays whole, and the next request succeeds."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import reqivo
from reqivo import AsyncSession, Limits, Session
from reqivo_core.interfaces import Address, NetworkStream
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_core.runtime.blocking import BlockingRuntime
from support.certs import Authority
from support.fixtures import Serve
from support.messages import chunked, response
from support.scenarios import FOLLOW_UP, head
from support.scripted import Peer

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("no_leaks")]


class Interrupt(BaseException):
    """What a signal handler may raise anywhere."""


class Fuse:
    """Goes off at the k-th step.

    Attributes:
        left: Steps before it does; None for never.
        strike: What it does then.
    """

    def __init__(self, strike: Callable[[], Any]) -> None:
        self.left: int | None = None
        self.strike = strike

    async def burn(self) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            outcome = self.strike()
            if outcome is not None:
                await outcome


class Fused(NetworkStream):
    """A stream whose leaf calls burn a fuse, before they wait or after it."""

    def __init__(self, stream: NetworkStream, fuse: Fuse, is_late: bool) -> None:
        self._stream = stream
        self._fuse = fuse
        self._is_late = is_late

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        if not self._is_late and timeout != 0:
            await self._fuse.burn()
        data = await self._stream.read(max_bytes, timeout)
        if self._is_late and timeout != 0:
            await self._fuse.burn()
        return data

    async def write(self, data: Any, timeout: float | None) -> None:
        if not self._is_late and timeout != 0:
            await self._fuse.burn()
        await self._stream.write(data, timeout)
        if self._is_late and timeout != 0:
            await self._fuse.burn()

    async def start_tls(self, config: Any, server_hostname: str, alpn: Sequence[str], timeout: Any) -> NetworkStream:
        from reqivo_core.runtime.tls import start_tls

        return await start_tls(self, config, server_hostname, alpn, timeout)

    def close(self) -> None:
        self._stream.close()

    def is_readable(self) -> bool:
        return self._stream.is_readable()

    def get_info(self, name: str) -> Any:
        return self._stream.get_info(name)


def fused(runtime: Any, fuse: Fuse, is_late: bool) -> Any:
    """A runtime whose every wait burns the fuse."""
    connect, resolve = runtime.connect_tcp, runtime.resolve

    async def connect_tcp(addresses: Sequence[Address], timeout: float | None, **options: Any) -> NetworkStream:
        await fuse.burn()
        stream = await connect(addresses, timeout, **options)
        return Fused(stream, fuse, is_late)

    async def looked_up(host: str, port: int, timeout: float | None) -> Any:
        await fuse.burn()
        return await resolve(host, port, timeout)

    runtime.connect_tcp, runtime.resolve = connect_tcp, looked_up
    return runtime


SQUEEZED = gzip.compress(b"abc" * 10000)


def script(peer: Peer) -> None:
    """Redirect with a body, an interim response and a gzipped, chunked body in pieces."""
    while True:
        request = peer.expect_request()
        if request.target == "/302":
            peer.send(response(302, b"moved", [("Location", "/there"), ("Set-Cookie", "a=b")]))
        elif request.target == "/there":
            peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            peer.sleep(0.001)
            peer.send(head("Transfer-Encoding: chunked", "Content-Encoding: gzip"))
            for piece in (SQUEEZED[:20], SQUEEZED[20:]):
                peer.sleep(0.001)
                peer.send(chunked(piece).removesuffix(b"0\r\n\r\n"))
            peer.send(b"0\r\n\r\n")
        else:
            peer.send(response(200, FOLLOW_UP))


def pieces() -> Any:
    yield b"x" * 70000
    yield b"y"


def raising(error: type[BaseException]) -> Callable[[], None]:
    def strike() -> None:
        raise error("struck")

    return strike


@pytest.mark.parametrize("security", ["plain", "tls"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [Interrupt, reqivo.ReadError])
def test_blocking(
    serve: Serve, authority: Authority, security: str, is_late: bool, error: type[BaseException]
) -> None:  # F2, L4
    server = serve(script, tls=authority.server_context() if security == "tls" else None)
    fuse = Fuse(raising(error))
    runtime = fused(BlockingRuntime(), fuse, is_late)
    survived = 0
    verify, limits = str(authority.path), Limits(max_connections=1)
    for step in range(100):
        with Session(runtime=runtime, limits=limits, timeout=30, verify=verify) as session:
            fuse.left = step
            try:
                with session.stream("PUT", server.url("/302"), body=[b"x" * 70000, b"y"]) as got:
                    assert got.read() == b"abc" * 10000
                assert session.post(server.url("/up"), body=pieces()).content == FOLLOW_UP
                survived += 1
            except (Interrupt, reqivo.NetworkError, reqivo.IncompleteBody):
                pass
            is_over, fuse.left = fuse.left is not None, None
            assert session.pool.active == session.pool.waiting == 0, step
            assert session.get(server.url("/next")).content == FOLLOW_UP, step
        if is_over:
            break
    assert step > 10
    assert survived == 1 or error is reqivo.ReadError, "only what a connection that broke costs is made good"


@pytest.mark.parametrize("security", ["plain", "tls"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_asynchronous(serve: Serve, authority: Authority, security: str, is_late: bool) -> None:  # F2
    server = serve(script, tls=authority.server_context() if security == "tls" else None)

    def strike() -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return asyncio.sleep(0)

    async def work(session: AsyncSession) -> None:
        async with session.stream("PUT", server.url("/302"), body=[b"x" * 70000, b"y"]) as got:
            assert await got.aread() == b"abc" * 10000
        assert (await session.post(server.url("/up"), body=pieces())).content == FOLLOW_UP

    async def main() -> int:
        fuse = Fuse(strike)
        runtime = fused(AsyncioRuntime(), fuse, is_late)
        for step in range(100):
            limits = Limits(max_connections=1)
            async with AsyncSession(runtime=runtime, limits=limits, timeout=30, verify=str(authority.path)) as session:
                fuse.left = step
                (outcome,) = await asyncio.gather(work(session), return_exceptions=True)
                is_over, fuse.left = fuse.left is not None, None
                assert isinstance(outcome, asyncio.CancelledError) or (is_over and outcome is None), (step, outcome)
                assert session.pool.active == session.pool.waiting == 0, step
                assert (await session.get(server.url("/next"))).content == FOLLOW_UP, step
            if is_over:
                return step
        return 0

    assert asyncio.run(main(), debug=True) > 10
