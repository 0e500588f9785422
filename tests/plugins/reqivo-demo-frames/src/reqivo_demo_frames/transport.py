"""FramesTransport: one connection, one exchange at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reqivo_core import Headers, IncomingResponse, ResponseBody, Transport
from reqivo_core.errors import IncompleteBody, LocalProtocolError, RemoteProtocolError, ServerDisconnected, StreamClosed
from reqivo_demo_frames.framing import FrameReader, frame, head_frame, parse_head

if TYPE_CHECKING:
    from reqivo_core import Exchange, NetworkStream, Request, TransportContext


class FramesTransport(Transport):
    """Speaks frames over a connection that reqivo made."""

    http_version = "frames/1"

    def __init__(self, stream: NetworkStream, context: TransportContext) -> None:
        self._stream = stream
        self._reader = FrameReader(self._read)
        self._exchange: Exchange | None = None
        self._is_closed = False

    @property
    def concurrency(self) -> int:
        """One request at a time; none once it is closed."""
        return 0 if self._is_closed else 1

    @property
    def is_closing(self) -> bool:
        """Whether it will take no more requests."""
        return self._is_closed

    def is_usable(self) -> bool:
        """Whether nothing has arrived that nobody asked for, be it the end."""
        is_busy = self._is_closed or self._exchange is not None
        return not is_busy and self._reader.is_empty and not self._stream.is_readable()

    def close(self) -> None:
        """Let go of the connection."""
        self._is_closed = True
        self._stream.close()

    async def send(self, request: Request, exchange: Exchange) -> IncomingResponse:
        """Send a request and wait for the head of its response."""
        if self._exchange is not None:
            raise LocalProtocolError("frames carry one exchange at a time")
        self._exchange = exchange
        try:
            await self._send(request, exchange)
            head = await self.next_frame()
            if head is None:
                raise ServerDisconnected("the server closed the connection instead of answering", phase="read")
            return self._respond(parse_head(head, exchange.limits.max_response_headers or len(head)))
        except BaseException:  # a cancellation too: nobody knows how much was sent
            self.close()
            raise

    async def _send(self, request: Request, exchange: Exchange) -> None:
        """Write head and body; what is small leaves in one write."""
        out = [head_frame(method=request.method, target=request.url.target, headers=request.headers.lines)]
        reader = request.content.open()
        try:
            while piece := await reader.read_chunk():
                out.append(frame(piece))
                if len(piece) > 1024:
                    await self._stream.write(b"".join(out), exchange.deadline.write())
                    out.clear()
        finally:
            await reader.aclose()
        out.append(frame(b""))
        await self._stream.write(b"".join(out), exchange.deadline.write())

    def _respond(self, head: dict[str, object]) -> IncomingResponse:
        status, length = head.get("status"), head.get("length")
        if not isinstance(status, int) or not 200 <= status <= 999 or not isinstance(length, int | None):
            raise RemoteProtocolError("the head has no status or no proper length", phase="read")
        lines: list[tuple[str, str]] = head["headers"]  # type: ignore[assignment]  # parse_head has looked
        return IncomingResponse(status, "", self.http_version, Headers(lines), FramesBody(self, length))

    async def _read(self) -> bytes:
        assert self._exchange is not None
        return await self._stream.read(65536, self._exchange.deadline.read())

    async def next_frame(self) -> bytes | None:
        """Give the next frame, None at the end of the connection."""
        return await self._reader.next()

    def end_exchange(self) -> None:
        """The response was read to its end: the next request may come."""
        self._exchange = None


class FramesBody(ResponseBody):
    """A body, frame by frame."""

    def __init__(self, transport: FramesTransport, length: int | None) -> None:
        self.length = length
        self._transport = transport
        self._received = 0
        self._has_ended = False
        self._is_closed = False

    async def read_chunk(self) -> bytes:
        """Wait for a frame."""
        if self._has_ended:
            return b""
        if self._is_closed:
            raise StreamClosed("the response was closed")
        try:
            data = await self._transport.next_frame()
            if data is None or (not data and self.length not in (None, self._received)):
                raise IncompleteBody("the body is short", received=self._received, expected=self.length)
        except BaseException:
            self.close()
            raise
        self._received += len(data)
        if not data:
            self._has_ended = True
            self._transport.end_exchange()
        return data

    def close(self) -> None:
        """Give the rest up, and with it the connection: there is no other way to say «enough»."""
        if not self._has_ended:
            self._is_closed = True
            self._transport.close()
