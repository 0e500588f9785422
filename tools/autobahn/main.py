"""Run the Autobahn cases against both WebSockets, plain and over TLS, and count how they went.

``python tools/autobahn/main.py [case or glob ...] [--worlds blocking,async] [--schemes ws,wss]``. Exits with 1 unless
every case was passed strictly and closed cleanly.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trustme
from kosoku import FailureError, run_fuzzingserver

from reqivo_core import AsyncSession, Session
from reqivo_core.errors import WebSocketError
from reqivo_ws import Deflate

GOOD = {"OK", "INFORMATIONAL", "UNIMPLEMENTED"}
OPTIONS: dict[str, Any] = {
    "max_message_size": 32 * 1024 * 1024,
    "ping_interval": None,
    # Small messages are compressed too, for the cases of group 12 do not expect any that is not; the second offer lets
    # the cases of group 13 have their way that ask for it.
    "compression": (Deflate(threshold=0), Deflate(threshold=0, client_no_context_takeover=True)),
}


def run_blocking(base: str, verify: Any) -> None:
    """Go through all cases with the blocking face."""
    with Session(verify=verify) as session:
        with session.websocket(f"{base}/getCaseCount", **OPTIONS) as ws:
            count = int(ws.recv())
        for number in range(1, count + 1):
            try:
                with session.websocket(f"{base}/runCase?case={number}&agent=reqivo", **OPTIONS) as ws:
                    for message in ws:
                        ws.send(message)
            except WebSocketError:
                pass  # what the case was about
        with (
            contextlib.suppress(WebSocketError),  # the server just goes
            session.websocket(f"{base}/updateReports?agent=reqivo", **OPTIONS) as ws,
        ):
            ws.recv()


async def run_async(base: str, verify: Any) -> None:
    """Go through all cases with the asynchronous face."""
    async with AsyncSession(verify=verify) as session:
        async with session.websocket(f"{base}/getCaseCount", **OPTIONS) as ws:
            count = int(await ws.recv())
        for number in range(1, count + 1):
            try:
                async with session.websocket(f"{base}/runCase?case={number}&agent=reqivo", **OPTIONS) as ws:
                    async for message in ws:
                        await ws.send(message)
            except WebSocketError:
                pass  # what the case was about
        with contextlib.suppress(WebSocketError):  # the server just goes
            async with session.websocket(f"{base}/updateReports?agent=reqivo", **OPTIONS) as ws:
                await ws.recv()


@contextlib.asynccontextmanager
async def tls_in_front(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Listen with TLS and pass everything on to a port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        tasks.append(asyncio.ensure_future(pump(reader, inner_writer)))
        tasks.append(asyncio.ensure_future(pump(inner_reader, writer)))

    tasks: list[asyncio.Future[None]] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait(tasks)


async def run(world: str, scheme: str, cases: list[str] | None, authority: trustme.CA, ca_file: str) -> list[Any]:
    """Run all cases in one way."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(run_fuzzingserver(cases=cases, port=0))
        port = server.port
        if scheme == "wss":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("localhost").configure_cert(context)
            port = await stack.enter_async_context(tls_in_front(port, context))
        base = f"{scheme}://localhost:{port}"
        if world == "blocking":
            await asyncio.to_thread(run_blocking, base, ca_file)
        else:
            await run_async(base, ca_file)
        try:
            return list(await server.get_result())
        except FailureError as error:
            return list(error.results)


def report(world: str, scheme: str, results: list[Any], seconds: float) -> int:
    """Print the counts; return how many cases did not go as they should."""
    behaviour = collections.Counter(result.behavior.value for result in results)
    closing = collections.Counter(result.behavior_close.value for result in results)
    unclean = [r for r in results if not r.was_clean and r.behavior_close.value not in ("OK", "INFORMATIONAL")]
    bad = [
        r
        for r in results
        if r.behavior.value not in GOOD or r.behavior_close.value not in ("OK", "INFORMATIONAL") or r in unclean
    ]
    print(f"{world}, {scheme}: {len(results)} cases in {seconds:.0f} s: {dict(behaviour)}; closing: {dict(closing)}")
    for r in bad:
        print(f"  {r.case_id}: {r.behavior.value} / {r.behavior_close.value}: {r.result} {r.result_close}")
    for r in results:
        if r.behavior.value == "UNIMPLEMENTED":
            print(f"  {r.case_id} is not implemented by us: {r.result}")
    return len(bad)


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help="case ids or globs; all by default")
    parser.add_argument("--worlds", default="blocking,async")
    parser.add_argument("--schemes", default="ws,wss")
    given = parser.parse_args()
    failures = 0
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as directory:
        ca_file = str(Path(directory, "ca.pem"))
        authority.cert_pem.write_to_path(ca_file)
        for scheme in given.schemes.split(","):
            for world in given.worlds.split(","):
                began = time.monotonic()
                results = asyncio.run(run(world, scheme, given.cases or None, authority, ca_file))
                failures += report(world, scheme, results, time.monotonic() - began)
    print("0 failed, 0 non-strict, 0 unclean" if not failures else f"{failures} cases are not as they should be")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
