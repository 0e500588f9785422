"""The response body of HTTP/1.1, as it is read from the stream."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from reqivo_core.errors import ReadError, RequestError, StreamClosed
from reqivo_core.interfaces import ResponseBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.interfaces import Exchange, NetworkStream
    from reqivo_http11.receiving import BodyReceiver


class CompleteBody(ResponseBody):
    """A body that came whole with its head, and nothing behind it."""

    def __init__(self, content: bytes) -> None:
        """Begin a body.

        Args:
            content: All of it.
        """
        self.length = len(content)
        self._content = content
        self._is_closed = False

    @property
    def is_over(self) -> bool:
        """See :class:`~reqivo_core.interfaces.ResponseBody`."""
        return not self._content and not self._is_closed

    def take_whole(self) -> bytes | None:
        """See :class:`~reqivo_core.interfaces.ResponseBody`."""
        if self._is_closed:
            return None
        whole, self._content = self._content, b""
        return whole

    async def read_chunk(self) -> bytes:
        """Give all of it, once; see :class:`~reqivo_core.interfaces.ResponseBody`."""
        if self._is_closed:
            raise _closed()
        chunk, self._content = self._content, b""
        return chunk

    def close(self) -> None:
        """Give the body up; the connection is free already."""
        if self._content:
            self._is_closed = True
            self._content = b""


def _closed() -> StreamClosed:
    return StreamClosed("the response body was closed before its end")


class Http11Body(ResponseBody):
    """A body that is framed by length, by chunks or by the end of the connection."""

    def __init__(
        self,
        receiver: BodyReceiver,
        rest: bytes,
        stream: NetworkStream,
        exchange: Exchange,
        on_end: Callable[[bool], None],
    ) -> None:
        """Begin a body.

        Args:
            receiver: Its receiver.
            rest: Octets that came with the head.
            stream: Where the others come from.
            exchange: Whose deadline bounds each read.
            on_end: Called once, with whether the body ended where it should and nothing came behind it.
        """
        self.length = receiver.length
        self._receiver = receiver
        self._stream = stream
        self._exchange = exchange
        self._on_end = on_end
        self._ready = b""
        self._error: RequestError | StreamClosed | None = None
        self._is_over = False
        if rest or receiver.is_complete:
            self._begin(rest)

    def _begin(self, rest: bytes) -> None:
        """Take what came with the head. An error in it is the body's, to be raised when that is read."""
        try:
            self._ready = self._receiver.receive(rest)
        except RequestError as error:
            self._break(error)
        else:
            if self._receiver.is_complete:
                self._end()

    @property
    def is_over(self) -> bool:
        """See :class:`~reqivo_core.interfaces.ResponseBody`."""
        return self._is_over and not self._ready and self._error is None

    def take_whole(self) -> bytes | None:
        """See :class:`~reqivo_core.interfaces.ResponseBody`."""
        if not self._is_over or self._error is not None or self.trailers is not None:
            return None
        whole, self._ready = self._ready, b""
        return whole

    async def read_chunk(self) -> bytes:
        """Wait for octets of the body; see :class:`~reqivo_core.interfaces.ResponseBody`."""
        chunk = self._ready
        if chunk:
            self._ready = b""
            return chunk
        if self._is_over:
            if self._error is not None:
                raise copy(self._error)  # a fresh one: a traceback refers to those who refer to this body
            return b""
        try:
            return await self._read_on()
        except BaseException as error:
            if isinstance(self._error, StreamClosed):  # by another thread, and this is what it came to here
                raise copy(self._error) from error
            self._break(error)
            raise

    async def _read_on(self) -> bytes:
        receiver = self._receiver
        while True:
            try:
                data = await self._stream.read(receiver.read_size, self._exchange.deadline.read())
            except ReadError as error:
                raise receiver.incomplete(f"the connection broke ({error})") from error
            if data:
                chunk = receiver.receive(data)
            else:
                receiver.receive_end()
                chunk = b""
            if receiver.is_complete:
                self._end()
                return chunk
            if chunk:
                return chunk

    def _end(self) -> None:
        """The message is complete: its connection is free, even while its last octets wait to be asked for."""
        self._is_over = True
        self.trailers = self._receiver.trailers
        self._on_end(not self._receiver.has_surplus)

    def _break(self, error: BaseException) -> None:
        """No more will come, and nobody may take what came for the whole."""
        self._is_over = True
        if isinstance(error, RequestError | StreamClosed):
            self._error = copy(error)
        else:
            self._error = StreamClosed("the response body was broken off while it was read")
        self._on_end(False)

    def close(self) -> None:
        """Give the body up, and with it the connection, unless all of it has come already."""
        error = _closed()
        if not self._is_over:
            self._break(error)
        elif self._ready:
            self._error = error
        self._ready = b""
