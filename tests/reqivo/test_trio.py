"""What reqivo adds to core, in trio: flows, proxies and conversations are the same ones there."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from reqivo import (
    AddressGuard,
    AddressRefused,
    AsyncSession,
    ConcurrencyLimit,
    DigestAuth,
    Proxy,
    RateLimiter,
    ReadTimeout,
    Retry,
    StreamConsumed,
    Timeout,
    TlsConfig,
    TotalTimeout,
)
from reqivo_core.runtime.trio import TrioRuntime
from support.certs import Authority
from support.messages import response
from support.scenarios import head
from support.scripted import Peer, answers
from support.servers import AsgiServer, HttpbinServer
from support.socks import SocksServer

pytestmark = pytest.mark.usefixtures("no_leaks")


def run(main: Callable[[AsyncSession], Awaitable[None]], **options: Any) -> None:
    """Do something with a session in trio; nothing may be left of its connections' use."""

    async def body() -> None:
        async with AsyncSession(runtime=TrioRuntime(), timeout=options.pop("timeout", 50), **options) as session:
            with trio.fail_after(60):
                await main(session)
            assert session.pool.active == session.pool.waiting == 0

    trio.run(body)


def test_retries_redirects_and_limits(serve: Any) -> None:
    server = serve(
        answers(response(503), response(302, b"", [("Location", "/there")]), response(200, b"in"), close=False)
    )

    async def main(session: AsyncSession) -> None:
        assert (await session.get(server.url("/"))).text == "in"

    run(main, retries=Retry(2, backoff=0), plugins=[RateLimiter(1000), ConcurrencyLimit(1)])
    assert [seen.target for seen in server.requests] == ["/", "/", "/there"]


def test_a_limit_is_shared_by_tasks(plain_server: AsgiServer) -> None:
    async def main(session: AsyncSession) -> None:
        async def one() -> None:
            done.append((await session.get(plain_server.url("/echo/1"))).status_code)

        done: list[int] = []
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(one)
        assert done == [200] * 10

    run(main, plugins=[ConcurrencyLimit(2)])


def test_digest(httpbin_server: HttpbinServer) -> None:
    async def main(session: AsyncSession) -> None:
        answer = await session.get(httpbin_server.url("/digest-auth/auth/me/secret/SHA-256"))
        assert answer.json()["user"] == "me"

    run(main, auth=DigestAuth("me", "secret"))


@pytest.mark.parametrize("kind", ["http", "https", "socks5", "socks5h"])
def test_proxies(make_proxy: Any, tls_server: AsgiServer, authority: Authority, kind: str) -> None:
    async def main(session: AsyncSession) -> None:
        for nonce in ("1", "2"):
            assert (await session.get(tls_server.url(f"/echo/{nonce}"))).json()["nonce"] == nonce

    options = {"verify": TlsConfig(str(authority.path), minimum_version="TLSv1.3")}
    if kind.startswith("socks"):
        with SocksServer(auth=("me", "secret")) as socks:
            run(main, proxy=f"{kind}://me:secret@127.0.0.1:{socks.port}", **options)
        return
    proxy = make_proxy(tls=authority.server_context() if kind == "https" else None, auth=("me", "secret"))
    run(main, proxy=Proxy.of(proxy.proxy_url, verify=str(authority.path)), **options)


def test_downloads_events_and_codings(serve: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    validator = ("ETag", '"1"')
    rest = [validator, ("Content-Range", f"bytes 1000-{len(content) - 1}/{len(content)}")]
    whole = head('ETag: "1"', f"Content-Length: {len(content)}")
    server = serve(
        [
            answers(whole + content[:1000]),
            answers(
                response(206, content[1000:], rest),
                response(200, b"data: one\n\n", [("Content-Type", "text/event-stream")]),
                response(200, gzip.compress(b'{"a": 1}\n{"a": 2}'), [("Content-Encoding", "gzip")]),
            ),
        ]
    )

    async def main(session: AsyncSession) -> None:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert await session.download(server.url("/"), tmp_path / "file", digest=digest) == len(content)
        async with session.sse(server.url("/"), reconnect=False) as events:
            assert [event.data async for event in events] == ["one"]
        async with session.stream("GET", server.url("/")) as answer:
            assert [value async for value in answer.aiter_ndjson()] == [{"a": 1}, {"a": 2}]

    run(main, http2=False)
    assert (tmp_path / "file").read_bytes() == content


def silent(peer: Peer) -> None:
    peer.expect_request()
    peer.expect_close()


def test_time_limits_and_cancellations(serve: Any) -> None:
    server = serve(silent)

    async def main(session: AsyncSession) -> None:
        with pytest.raises(ReadTimeout, match=r"GET http://127\.0\.0\.1:\d+/: "):
            await session.get(server.url("/"), timeout=Timeout(timeout=50, read=0.05))
        with pytest.raises(TotalTimeout):
            await session.get(server.url("/"), timeout=0.05)
        with trio.move_on_after(0.05) as scope:
            await session.get(server.url("/"))
        assert scope.cancelled_caught

    run(main)


def test_a_body_has_one_reader(serve: Any) -> None:
    is_refused = threading.Event()

    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(head("Content-Length: 3") + b"a")
        peer.wait(is_refused)
        peer.send(b"bc")
        peer.expect_close()

    server = serve(script)

    async def main(session: AsyncSession) -> None:
        async def read() -> None:
            assert await got.aread() == b"abc"

        got = await session.get(server.url("/"), stream=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(StreamConsumed, match="one reader"):
                await got.aread()
            is_refused.set()

    run(main)


def test_a_guard(serve: Any) -> None:
    server = serve(silent)

    async def main(session: AsyncSession) -> None:
        with pytest.raises(AddressRefused):
            await session.get(server.url("/"))

    run(main, address_guard=AddressGuard())
    assert server.connections == 0
