"""Large bodies in little memory, measured from outside: the peak of a process that does nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import tracemalloc
from typing import Any

import pytest

import reqivo
from reqivo import HeadersTooLarge, Session
from support.certs import Authority
from support.fixtures import Secured, Serve
from support.scenarios import head
from support.scripted import Peer

MIB = 1024 * 1024
PIECE = b"0123456789abcdef" * 4096
PROGRAM = """
import asyncio, hashlib, sys, reqivo

URL, SIZE, WORLD, WAY = {url!r}, {size}, {world!r}, {way!r}
PIECE = b"0123456789abcdef" * 4096

def status(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024

def pieces():
    for _ in range(SIZE // len(PIECE)):
        yield PIECE

async def async_pieces():
    for piece in pieces():
        yield piece

def blocking():
    with reqivo.Session(timeout=60) as session:
        session.get(URL + "small").content
        yield
        if WAY == "down":
            with session.stream("GET", URL + "large") as response:
                yield sum(map(len, response.iter_bytes()))
        elif WAY == "file":
            yield session.get(URL + "large", stream=True).save("/dev/null")
        else:
            yield int(session.post(URL + "large", body=pieces()).text)

async def asynchronous():
    async with reqivo.AsyncSession(timeout=60) as session:
        (await session.get(URL + "small")).content
        yield
        if WAY == "down":
            async with session.stream("GET", URL + "large") as response:
                total = 0
                async for piece in response.aiter_bytes():
                    total += len(piece)
                yield total
        elif WAY == "file":
            yield await (await session.get(URL + "large", stream=True)).asave("/dev/null")
        else:
            yield int((await session.post(URL + "large", body=async_pieces())).text)

def reset():
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    return status("VmRSS")

def report(before, got):
    print(got, status("VmHWM") - before)

if WORLD == "blocking":
    steps = blocking()
    next(steps)
    before = reset()
    report(before, next(steps))
    list(steps)
else:
    async def main():
        steps = asynchronous()
        await anext(steps)
        before = reset()
        report(before, await anext(steps))
        await steps.aclose()
    asyncio.run(main())
"""


def bulk(size: int) -> Any:
    """A server of large bodies, in both directions."""

    def script(peer: Peer) -> None:
        while True:
            request = peer.expect_head()
            if request.target.endswith("small"):
                peer.respond(200, b"small")
            elif request.method == "POST":
                peer.respond(200, str(count_chunks(peer)).encode())
            else:
                peer.send(head(f"Content-Length: {size}"))
                for _ in range(size // len(PIECE)):
                    peer.send(PIECE, "whole")

    return script


def count_chunks(peer: Peer) -> int:
    total = 0
    while size := int(peer.expect_until(b"\r\n"), 16):
        assert len(peer.expect(size + 2)) == size + 2
        total += size
    peer.expect(2)
    return total


@pytest.mark.parametrize("world", ["blocking", "async"])
@pytest.mark.parametrize("way", ["down", "up", "file"])
@pytest.mark.parametrize(("security", "size"), [("plain", 200 * MIB), ("tls", 48 * MIB)])
def test_a_large_body_in_little_memory(
    serve: Serve, authority: Authority, world: str, way: str, security: str, size: int
) -> None:
    server = serve(bulk(size), tls=authority.server_context() if security == "tls" else None)
    program = PROGRAM.format(url=server.url("/"), size=size, world=world, way=way)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "SSL_CERT_FILE": str(authority.path)},
        check=False,
    )
    assert done.stderr == ""
    got, grown = map(int, done.stdout.split())
    assert got == size
    assert grown < 16 * MIB, f"{grown / MIB:.1f} MiB"


def flood_of_fields(peer: Peer) -> None:
    peer.expect_request()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.flood(b"X: " + b"1" * 100 + b"\r\n")


def one_long_field(peer: Peer) -> None:
    peer.expect_request()
    peer.send(b"HTTP/1.1 200 OK\r\nX: ")
    peer.flood(b"1" * 65536)


def chunk_extensions(peer: Peer) -> None:
    peer.expect_request()
    peer.send(head("Transfer-Encoding: chunked") + b"1;a=")
    peer.flood(b"1" * 65536)


@pytest.mark.parametrize("script", [flood_of_fields, one_long_field, chunk_extensions])
@pytest.mark.parametrize("world", ["blocking", "async"])
def test_floods_take_little_memory(secured: Secured, no_leaks: None, script: Any, world: str) -> None:  # A8
    server, verify = secured(script)

    async def asynchronous() -> None:
        async with reqivo.AsyncSession(timeout=60, verify=verify) as session:
            await session.get(server.url("/"))

    def blocking() -> None:
        with Session(timeout=60, verify=verify) as session:
            _ = session.get(server.url("/")).content

    peaks = []
    for _ in range(20):  # servers of other tests, in this process too, may still be sending to who has left
        tracemalloc.start()
        try:
            with pytest.raises(reqivo.RemoteProtocolError) as caught:
                blocking() if world == "blocking" else asyncio.run(asynchronous())
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert isinstance(caught.value, HeadersTooLarge) or script is chunk_extensions
        if peaks[-1] < 4 * 64 * 1024 + MIB:
            break
    assert min(peaks) < 4 * 64 * 1024 + MIB, f"{peaks} octets"


def test_a_promised_length_is_not_allocated(secured: Secured, no_leaks: None) -> None:  # A4
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(head(f"Content-Length: {2**60}") + b"abc")

    server, verify = secured(script)
    peaks = []
    with Session(timeout=60, verify=verify) as session:
        for _ in range(20):  # the first time modules are loaded, and what other threads do counts as well
            tracemalloc.start()
            try:
                with pytest.raises(reqivo.IncompleteBody):
                    _ = session.get(server.url("/")).content
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
            if peaks[-1] < MIB:
                break
    assert min(peaks) < MIB, f"{peaks} octets"
