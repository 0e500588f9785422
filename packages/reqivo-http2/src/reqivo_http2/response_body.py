"""Http2Body: a response's body, as the application takes it from its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from reqivo_core.errors import ReadTimeout, RequestError
from reqivo_core.interfaces import ResponseBody
from reqivo_core.timeouts import Deadline, Timeout

if TYPE_CHECKING:
    from reqivo_core.interfaces import Exchange
    from reqivo_http2.streams import Stream
    from reqivo_http2.upload import Upload
    from reqivo_http2.wire import Wire

FAREWELL_TIME = 1.0
"""Seconds that RST_STREAM may take to be written."""


class Http2Body(ResponseBody):
    """See :class:`ResponseBody`. What is left of the request's own body is sent on while this one is read."""

    __slots__ = ("_exchange", "_is_over", "_stream", "_taken", "_upload", "_wire", "length", "trailers")

    def __init__(self, wire: Wire, stream: Stream, exchange: Exchange, upload: Upload | None = None) -> None:
        """Make a body.

        Args:
            wire: The connection.
            stream: The stream.
            exchange: Its deadline.
            upload: The request's body, if some of it is still to be sent.
        """
        # A response that is there already has a length, said or not.
        self.length = stream.received if stream.is_remote_closed and stream.failure is None else stream.length
        self.trailers = None
        self._wire = wire
        self._stream = stream
        self._exchange = exchange
        self._upload = upload
        self._taken = 0
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """See :class:`ResponseBody`."""
        return self._is_over

    def take_whole(self) -> bytes | None:
        """See :class:`ResponseBody`."""
        stream = self._stream
        if self._is_over or self._upload is not None or not stream.is_remote_closed:
            return None
        with self._wire.guard:
            if stream.failure is not None or stream.trailers is not None or not stream.is_local_closed:
                return None
            self._is_over = True
            return stream.take()

    async def read_chunk(self) -> bytes:
        """See :meth:`ResponseBody.read_chunk`."""
        if self._is_over:
            return b""
        try:
            chunk = await self._next()
            if not chunk:
                await self._end()
        except BaseException:
            self.close()
            self._wire.flush_now()
            raise
        return chunk

    async def _next(self) -> bytes:
        wire, stream = self._wire, self._stream
        upload = self._upload
        while True:
            with wire.guard:
                if self._taken:
                    wire.state.consume(stream, self._taken)
                    self._taken = 0
                if not stream.has_octets:
                    wire.state.await_octets(stream)
                elif stream.buffered:
                    chunk = stream.take()
                    self._taken = len(chunk)
                    return chunk
                elif stream.failure is not None:
                    raise stream.failure.body_error(stream.received, stream.length)
                else:
                    return b""
            deadline = self._exchange.deadline
            if upload is not None and not upload.is_over:
                await upload.advance(deadline)
            elif wire.state.outgoing.has_control:
                await wire.flush(deadline)
            seconds = deadline.read()
            if not await wire.wait(stream.waiters, self._has_reason, seconds, deadline):
                raise ReadTimeout(
                    f"the server sent nothing of the body for {seconds:g} s ({stream.received} octets had come)",
                    phase="body",
                )

    def _has_reason(self) -> bool:
        """Whether there is something to do: octets to take, or to send."""
        upload = self._upload
        return self._stream.has_octets or (upload is not None and not upload.is_over and upload.has_reason())

    async def _end(self) -> None:
        """The response is whole: whatever of the request has not been sent is not wanted (RFC 9113 §8.1)."""
        self._is_over = True
        self.trailers = self._stream.trailers
        if self._upload is not None:
            await self._upload.aclose()
        if not self._stream.is_local_closed:
            self._wire.cancel(self._stream, ErrorCodes.NO_ERROR)
            await self._say_farewell()

    def close(self) -> None:
        """See :meth:`ResponseBody.close`. RST_STREAM leaves with the connection's next write."""
        if not self._is_over:
            self._is_over = True
            if self._upload is not None:
                self._upload.close()
            self._wire.cancel(self._stream)

    async def aclose(self) -> None:
        """See :meth:`ResponseBody.aclose`."""
        if self._is_over:
            return
        upload = self._upload
        self.close()
        if upload is not None:
            await upload.aclose()
        await self._say_farewell()

    async def _say_farewell(self) -> None:
        try:
            patience = Timeout(timeout=FAREWELL_TIME)
            await self._wire.flush(Deadline(patience, self._wire.runtime.now))
        except RequestError:
            pass  # the connection is gone, and with it the stream
