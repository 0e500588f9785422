"""``echo://anything/``: a transport that dials for itself, and nobody.

It answers with the request's own body and Content-Type; method and target come back as ``X-Method`` and ``X-Target``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reqivo_core import Headers, IncomingResponse, ResponseBody, Transport, TransportSpec, hookimpl
from reqivo_core.errors import BodyTooLarge, StreamClosed

if TYPE_CHECKING:
    from reqivo_core import Exchange, Request, TransportContext
    from reqivo_core.timeouts import Deadline

LARGEST = 1024 * 1024
"""Octets that are echoed at most: an echo holds them all."""


class EchoBody(ResponseBody):
    """What was sent, piece by piece as it came."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.length = sum(map(len, pieces))
        self._pieces = pieces
        self._is_closed = False

    async def read_chunk(self) -> bytes:
        """Give the next piece."""
        if self._is_closed:
            raise StreamClosed("the echo was closed")
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        """Forget the rest."""
        self._is_closed = True


class EchoTransport(Transport):
    """Answers any number of requests at once, since nobody has to be asked."""

    http_version = "echo"
    is_shared = True

    def __init__(self, context: TransportContext) -> None:
        self._is_closed = False

    @property
    def concurrency(self) -> int:
        """How many may be sent at once."""
        return 0 if self._is_closed else 100

    @property
    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def is_usable(self) -> bool:
        """Whether it still answers."""
        return not self._is_closed

    def close(self) -> None:
        """Answer nothing more."""
        self._is_closed = True

    async def send(self, request: Request, exchange: Exchange) -> IncomingResponse:
        """Turn a request into its own response."""
        pieces = []
        size = 0
        reader = request.content.open()
        try:
            while piece := await reader.read_chunk():
                exchange.deadline.left()  # raises when time is up
                size += len(piece)
                if size > LARGEST:
                    raise BodyTooLarge(f"an echo has at most {LARGEST} octets", request=request)
                pieces.append(bytes(piece))
        finally:
            await reader.aclose()
        headers = Headers([("X-Method", request.method), ("X-Target", request.url.target)])
        headers.merge({"Content-Type": request.headers.get("content-type")})
        return IncomingResponse(200, "", self.http_version, headers, EchoBody(pieces))


async def dial(context: TransportContext, deadline: Deadline) -> Transport:
    """Make the transport, without a connection."""
    return EchoTransport(context)


class EchoPlugin:
    """Registers ``echo``."""

    @hookimpl
    def reqivo_register_transports(self) -> list[TransportSpec]:
        """Give the one transport."""
        return [TransportSpec(name="demo-echo", schemes=("echo",), dial=dial)]
