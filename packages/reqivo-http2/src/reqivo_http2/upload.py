"""Upload: a request body on its way, piece by piece, as the server's windows let it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reqivo_core.errors import LocalProtocolError, WriteTimeout

if TYPE_CHECKING:
    from reqivo_core.content import Content, ContentReader
    from reqivo_core.timeouts import Deadline
    from reqivo_http2.streams import Stream
    from reqivo_http2.wire import Wire

_NOTHING = memoryview(b"")


class Upload:
    """The body of one request. Whoever waits for the response moves it on; it has no task of its own.

    Attributes:
        is_over: Whether nothing is left to be done.
    """

    __slots__ = ("_content", "_declared", "_reader", "_sent", "_stream", "_wire", "is_over")

    def __init__(self, wire: Wire, stream: Stream, content: Content, declared: int | None) -> None:
        """Take a body.

        Args:
            wire: The connection.
            stream: The stream it belongs to.
            content: The body.
            declared: Its declared length; None where unknown.
        """
        self._wire = wire
        self._stream = stream
        self._content = content
        self._declared = declared
        self._reader: ContentReader | None = None
        self._sent = 0
        self.is_over = False

    async def run(self, deadline: Deadline) -> None:
        """Send until all has left, or the server has answered in whatever way.

        An answer of less than 300 only makes a pause, so that the application can read it while the rest is sent.

        Raises:
            LocalProtocolError: The body has not the length that was declared.
            RequestError: The connection broke, or the server took nothing for too long.
        """
        stream = self._stream
        wire = self._wire
        while not self.is_over:
            await wire.drain(stream, deadline, self._has_news)
            if stream.stops_upload or stream.is_local_closed:
                self.is_over = True
            elif stream.has_news:
                return
            else:
                await self._hand_over()

    async def finish(self, deadline: Deadline) -> None:
        """Send the rest after a head of less than 300, before the response is handed over.

        An application that looks at the status alone must not cut its own upload short. But two things are left to be
        sent while the response is read: what the server's windows hold back while octets of the response wait to be
        read (an echo), and a body whose source may itself wait for the response (an asynchronous one).

        Raises:
            LocalProtocolError: The body has not the length that was declared.
            RequestError: The connection broke, or the server took nothing for too long.
        """
        stream = self._stream
        while not self._content.is_async:
            await self.advance(deadline)
            if self.is_over or stream.buffered:
                return
            seconds = deadline.write()
            if not await self._wire.wait(stream.waiters, self.has_reason, seconds, deadline):
                raise took_nothing(seconds)

    def has_reason(self) -> bool:
        """Whether something came, or something can be sent."""
        stream = self._stream
        return stream.has_octets or not stream.has_pending or self._wire.state.outgoing.may_send(stream)

    def _has_news(self) -> bool:
        return self._stream.has_news

    async def advance(self, deadline: Deadline) -> None:
        """Send as much as goes without waiting for the server."""
        stream = self._stream
        while not self.is_over:
            await self._wire.flush(deadline, stream)
            if stream.stops_upload or stream.is_local_closed:
                self.is_over = True
            elif stream.has_pending:
                if not await self._wire.take_turn(stream, deadline):
                    return
            else:
                await self._hand_over()

    async def _hand_over(self) -> None:
        """Put the next piece where it will be sent from."""
        if self._reader is None:
            self._reader = self._content.open()
        piece = await self._reader.read_chunk()
        self._sent += len(piece)
        declared = self._declared
        if declared is not None and (self._sent > declared or (not piece and self._sent < declared)):
            raise LocalProtocolError(
                f"the request body is {'longer' if piece else 'shorter'} than its Content-Length: it has "
                f"{'at least ' if piece else ''}{self._sent} octets, {declared} were declared",
                phase="write",
            )
        self._wire.hand_over(self._stream, piece, ends=not piece)

    async def aclose(self) -> None:
        """End the pass over the body."""
        self.is_over = True
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.aclose()

    def close(self) -> None:
        """End the pass over the body, without waiting."""
        self.is_over = True
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


def took_nothing(seconds: float | None) -> WriteTimeout:
    """The error of a server that keeps its windows shut."""
    return WriteTimeout(
        f"the server took nothing of the request body within {seconds:g} s (its flow-control window is used up)",
        phase="write",
    )
