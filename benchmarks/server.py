"""The servers that are measured against: granian in plain and in TLS, and one that answers on a thousand addresses.

Run as a program it starts all three in one process group, prints one line of JSON that tells where they are, and waits
for its standard input to end, which it does when whoever started it is gone. Then it ends the whole group.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SMALL = b"Hello, world!"
PATTERN = bytes(range(256)) * 256
"""64 KiB; bodies are made of it, repeated and cut."""

ORIGINS = 1000
CHUNKS = 10_000
"""Chunks of the body at ``/chunks``, of four octets each."""

HEADER_LINES = 100


@dataclass(frozen=True)
class Places:
    """Where the servers listen.

    Attributes:
        plain: The port of HTTP/1.1 and WebSocket without TLS, on 127.0.0.1.
        tls: The port of HTTP/1.1 and HTTP/2 over TLS, on 127.0.0.1.
        scripted: The port of the fixed answers, on every address of ``origin_host``.
        ca_file: The certificate authority to trust.
    """

    plain: int
    tls: int
    scripted: int
    ca_file: str


def origin_host(number: int) -> str:
    """The address of one of the thousand origins, all of them on the loopback interface."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


def pattern(size: int) -> bytes:
    """The body of that size."""
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


# the application that granian serves


async def app(scope: Any, protocol: Any) -> None:
    """Answer one request or one WebSocket (RSGI)."""
    if scope.proto == "ws":
        await _echo(protocol)
        return
    kind, _, argument = scope.path[1:].partition("/")
    await _ROUTES[kind](scope, protocol, argument)


async def _small(scope: Any, protocol: Any, argument: str) -> None:
    protocol.response_bytes(200, [("content-type", "text/plain"), ("x-a", "b")], SMALL)


_bodies: dict[int, bytes] = {}


async def _bytes(scope: Any, protocol: Any, argument: str) -> None:
    """A body in one piece, with its length."""
    size = int(argument)
    body = _bodies.get(size)
    if body is None:
        body = _bodies[size] = pattern(size)
    protocol.response_bytes(200, [("content-type", "application/octet-stream")], body)


async def _stream(scope: Any, protocol: Any, argument: str) -> None:
    """A body that is nowhere whole."""
    size = int(argument)
    piece = PATTERN * 4
    stream = protocol.response_stream(
        200, [("content-type", "application/octet-stream"), ("content-length", str(size))]
    )
    while size > 0:
        await stream.send_bytes(piece if size >= len(piece) else piece[:size])
        size -= len(piece)


async def _upload(scope: Any, protocol: Any, argument: str) -> None:
    """Tell how much came, and its checksum."""
    size = checksum = 0
    async for piece in protocol:
        size += len(piece)
        checksum = zlib.crc32(piece, checksum)
    protocol.response_bytes(200, [("content-type", "text/plain")], f"{size}:{checksum}".encode())


async def _peer(scope: Any, protocol: Any, argument: str) -> None:
    """Tell over which connection and in which protocol the request came; slowly, so that requests meet."""
    await asyncio.sleep(0.05)
    protocol.response_bytes(200, [("content-type", "text/plain")], f"{scope.http_version} {scope.client}".encode())


async def _echo(protocol: Any) -> None:
    """Send every message back."""
    socket = await protocol.accept()
    with contextlib.suppress(Exception):  # the client has gone: there is nobody to tell
        while (message := await socket.receive()).kind:
            if isinstance(message.data, str):
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)


_ROUTES = {"small": _small, "bytes": _bytes, "stream": _stream, "upload": _upload, "peer": _peer}


# fixed answers, octet for octet


def _fixed(body: bytes, *lines: str) -> bytes:
    head = ["HTTP/1.1 200 OK", "content-type: text/plain", "date: Sat, 21 Nov 2026 04:00:00 GMT", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _answers() -> dict[bytes, bytes]:
    length = f"content-length: {len(SMALL)}"
    fields = [f"x-field-number-{number}: the value of field {number}, of a usual length" for number in range(97)]
    return {
        b"/small": _fixed(SMALL, length),
        b"/headers": _fixed(SMALL, *fields, length),
        b"/chunks": _fixed(b"4\r\nabcd\r\n" * CHUNKS + b"0\r\n\r\n", "transfer-encoding: chunked"),
    }


class Scripted(asyncio.Protocol):
    """Answers each request, which must have come in one piece, with prepared octets."""

    answers = _answers()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = transport.write  # type: ignore[attr-defined]  # it is a Transport

    def data_received(self, data: bytes) -> None:
        self.write(self.answers[data.split(b" ", 2)[1]])


async def serve_scripted(port: int) -> None:
    """Listen on all the addresses until the process is ended."""
    loop = asyncio.get_running_loop()
    for number in range(ORIGINS):
        await loop.create_server(Scripted, origin_host(number), port, backlog=1024)
    await asyncio.Event().wait()


# starting and ending them


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def raise_file_limit() -> None:
    """Allow as many descriptors as the system lets us have."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))


def _certificates(directory: Path) -> str:
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    own = authority.issue_cert("127.0.0.1", "localhost")
    (directory / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))
    own.private_key_pem.write_to_path(str(directory / "key.pem"))
    return str(directory / "ca.pem")


def _granian(port: int, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "granian", "server:app", "--interface", "rsgi", "--port", str(port)]
    command += ["--workers", "1", "--backlog", "4096", "--log-level", "warning", "--no-access-log"]
    # A connection that waits while other clients have their turn is to stay open; this is the longest granian allows.
    command += ["--http1-header-read-timeout", "60000", *options]
    return subprocess.Popen(command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def _await_port(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while True:
        if process.poll() is not None:
            raise SystemExit(f"the server on port {port} ended with {process.returncode}")
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise SystemExit(f"the server on port {port} did not start within 30 s") from None
            time.sleep(0.02)


def _start(directory: Path) -> Places:
    places = Places(free_port(), free_port(), free_port(origin_host(0)), _certificates(directory))
    tls = ["--ssl-certificate", str(directory / "cert.pem"), "--ssl-keyfile", str(directory / "key.pem")]
    last = origin_host(ORIGINS - 1)
    scripted = [sys.executable, __file__, "scripted", str(places.scripted)]
    started = [
        ("127.0.0.1", places.plain, _granian(places.plain, "--http", "1")),
        ("127.0.0.1", places.tls, _granian(places.tls, "--no-ws", *tls)),
        (last, places.scripted, subprocess.Popen(scripted, stdin=subprocess.DEVNULL, stdout=sys.stderr)),
    ]
    for host, port, process in started:
        _await_port(host, port, process)
    return places


def supervise() -> None:
    """Start the servers, tell where they are, and end them with whoever asked for them."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending the others
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            print(json.dumps(asdict(_start(Path(directory)))), flush=True)
            sys.stdin.buffer.read()
    finally:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1:2] == ["scripted"]:
        asyncio.run(serve_scripted(int(sys.argv[2])))
    else:
        supervise()
