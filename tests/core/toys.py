"""A toy protocol for tests that need a transport but none in particular: ``METHOD target`` out, one line back."""

from __future__ import annotations

from typing import Any

from reqivo_core import Headers, IncomingResponse, NetworkStream, ResponseBody, Transport, TransportSpec, hookimpl
from reqivo_core.errors import IncompleteBody, ServerDisconnected
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.streams import MemoryStream

URL = "toy://example.org:7000"


class ToyTransport(Transport):
    """One request at a time; ``GET /coding/<name>`` is answered with that content-coding, ``/status/<n>`` with that."""

    http_version = "toy"

    def __init__(self, stream: NetworkStream, context: Any = None) -> None:
        self.stream = stream
        self.is_closed = False
        self.is_busy = False

    @property
    def concurrency(self) -> int:
        return 0 if self.is_closed else 1

    @property
    def is_closing(self) -> bool:
        return self.is_closed

    def is_usable(self) -> bool:
        return not (self.is_closed or self.is_busy or self.stream.is_readable())

    def close(self) -> None:
        self.is_closed = True
        self.stream.close()

    async def send(self, request: Any, exchange: Any) -> IncomingResponse:
        self.is_busy = True
        try:
            await self.stream.write(f"{request.method} {request.url.target}\n".encode(), exchange.deadline.write())
            line = await self.stream.read(65536, exchange.deadline.read())
            if not line:
                raise ServerDisconnected("the toy was taken away")
        except BaseException:
            self.close()
            raise
        _, kind, value, *_ = f"{request.url.path}//".split("/")
        headers = Headers({"Content-Encoding": value} if kind == "coding" else {})
        status = int(value) if kind == "status" else 200
        return IncomingResponse(status, "", self.http_version, headers, ToyBody(self, line, exchange))


class ToyBody(ResponseBody):
    """The line, without its end."""

    def __init__(self, transport: ToyTransport, line: bytes, exchange: Any) -> None:
        self.transport = transport
        self.line = line
        self.exchange = exchange

    async def read_chunk(self) -> bytes:
        line, self.line = self.line, b""
        if not line.endswith(b"\n") and self.transport.is_busy:
            self.transport.close()
            raise IncompleteBody("the line has no end")
        self.transport.is_busy = bool(line.strip())
        self.line = b"\n" if line.strip() else b""
        return line.strip()

    def close(self) -> None:
        if self.transport.is_busy:
            self.transport.close()


class Toys:
    """Registers it."""

    @hookimpl
    def reqivo_register_transports(self) -> list[TransportSpec]:
        return [TransportSpec(name="toy", schemes=("toy",), open=ToyTransport)]


async def serve(stream: MemoryStream) -> None:
    """Say back what is asked; upon ``/cut`` forget the end of the line, upon ``/leave`` leave."""
    while line := await stream.read(65536, None):
        if b"/leave" in line:
            return
        await stream.write(line.strip() if b"/cut" in line else line, None)


def world() -> MemoryRuntime:
    """A world in which ``URL`` is served."""
    runtime = MemoryRuntime()
    runtime.listen("example.org", 7000, serve)
    return runtime
