"""One request and the head of its response, over one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from reqivo_core.errors import ReadError, ReadTimeout, RequestError, WriteError, WriteTimeout
from reqivo_http11.duplex import HELD, Sending
from reqivo_http11.framing import READ_SIZE, Kind, disconnected

if TYPE_CHECKING:
    from reqivo_core.interfaces import Exchange, NetworkStream
    from reqivo_core.messages import Request
    from reqivo_http11.codec import Head
    from reqivo_http11.receiving import HeadReceiver
    from reqivo_http11.request_body import Upload
    from reqivo_http11.serialization import Outgoing

CONTINUE_WAIT = 1.0
"""Seconds that a body waits for ``100 Continue`` (RFC 9110 §10.1.1: not for ever)."""

_JOINED = 64 * 1024
_WITH_AN_ANSWER = "it has answered with {} before the request was over"
_CONTINUE = 100
_SWITCHING_PROTOCOLS = 101


class Conversation:
    """Sends a request and reads until the head of its final response has come.

    Attributes:
        is_sent: Whether the request was sent whole; if not, the connection cannot carry another.
        sending: What is left of the request, where the response has to be read in order that it can be sent.
    """

    __slots__ = ("_exchange", "_may_continue", "_receiver", "_request", "_stream", "is_sent", "sending")

    def __init__(self, stream: NetworkStream, receiver: HeadReceiver, request: Request, exchange: Exchange) -> None:
        self._stream = stream
        self._receiver = receiver
        self._request = request
        self._exchange = exchange
        self._may_continue = False
        self.is_sent = False
        self.sending: Sending | None = None

    async def hold(self, outgoing: Outgoing, upload: Upload | None) -> Head:
        """Have the whole conversation.

        Args:
            outgoing: The request.
            upload: Its body, where that does not leave with the head.

        Returns:
            The final head.

        Raises:
            ServerDisconnected: The server closed the connection instead of answering.
            RequestError: What else went wrong.
        """
        head = None
        if upload is None:
            try:
                await self._stream.write(outgoing.data, self._exchange.deadline.write())
            except (WriteError, WriteTimeout) as error:
                return await self._unwritten(error)
        elif outgoing.awaits_continue:
            head = await self._write_first(outgoing.data) or await self._await_continue()
            if head is None:
                head = await self._upload(upload, await upload.next_piece())
        else:
            head = await self._open_upload(outgoing.data, upload)
        if head is not None:
            return head
        self.is_sent = True
        return await self._read_head()

    async def _write_first(self, data: bytes) -> Head | None:
        """Write the head. A connection that is gone by then is one that the server closed.

        Returns:
            The final head, if the server had sent it before it broke the connection.
        """
        try:
            await self._stream.write(data, self._exchange.deadline.write())
        except (WriteError, WriteTimeout) as error:
            return await self._unwritten(error)
        return None

    async def _unwritten(self, error: WriteError | WriteTimeout) -> Head:
        """Find the answer to what could not be written, or say why there is none."""
        head = await self._answer_to(error)
        if head is not None:
            return head
        if isinstance(error, WriteTimeout) or self._receiver.has_begun:
            raise error
        raise disconnected(f"the server closed the connection without answering ({error})", "write") from error

    async def _open_upload(self, head: bytes, upload: Upload) -> Head | None:
        """Write the head with the first piece of the body, where that is not too large to be copied."""
        piece = await upload.next_piece()
        if len(piece) <= _JOINED:
            early = await self._write_first(b"".join((head, piece)))
            return early or await self._upload(upload, await upload.next_piece())
        return await self._write_first(head) or await self._upload(upload, piece)

    async def _upload(self, upload: Upload, piece: bytes | memoryview) -> Head | None:
        """Write the rest of the body, looking before each piece whether the server has answered.

        An answer of 300 or more ends it. With a lesser one the server may well go on reading, so it gets the rest.

        Returns:
            The final head, if it came before the end of the body.
        """
        while piece:
            if self._stream.is_readable():
                early = await self._look()
                if early is not None:
                    return early if early.status >= 300 else await self._upload_beside(early, upload, piece)
            try:
                await self._stream.write(piece, self._exchange.deadline.write())
            except (WriteError, WriteTimeout) as error:
                if answer := await self._answer_to(error):
                    return answer
                raise
            piece = await upload.next_piece()
        self.is_sent = True
        return None

    async def _upload_beside(self, early: Head, upload: Upload, piece: bytes | memoryview) -> Head:
        """Write the rest of the body to a server that answers meanwhile, and keep what it says.

        When that is too much to be kept, ``sending`` is left to whoever reads the response.
        """
        sending = Sending(self._stream, self._exchange, upload, piece)
        receiver = self._receiver
        try:
            while self._expects_body() and (octets := await sending.step()):
                receiver.rest += octets
                if len(receiver.rest) > HELD and self._expects_body():
                    self.sending = sending
                    return early
            await sending.finish()
        except (ReadError, WriteError, WriteTimeout) as error:
            error.args = (f"{error.args[0]}; {_WITH_AN_ANSWER.format(early.status)}",)
            error.response_started = True
            raise
        self.is_sent = True
        return early

    def _expects_body(self) -> bool:
        """Whether more of a response's body is to come, as far as can be told without taking it apart."""
        framing, kind = self._receiver.framing, self._receiver.framing.kind
        if kind is Kind.LENGTH:
            return len(self._receiver.rest) < framing.length
        return kind is Kind.CHUNKED or kind is Kind.UNTIL_CLOSE

    async def _answer_to(self, error: WriteError | WriteTimeout) -> Head | None:
        """Read the answer that a server may have sent before it stopped reading."""
        if self._stream.is_readable():
            try:
                return await self._read_head()
            except RequestError:
                pass  # there is no answer: the error to raise is the first one
        error.response_started = self._receiver.has_begun
        return None

    async def _await_continue(self) -> Head | None:
        """Wait until the body may be sent.

        Returns:
            The final head, if the server answered instead.
        """
        now = self._exchange.runtime.now
        until = now() + CONTINUE_WAIT
        while not self._may_continue and (left := until - now()) > 0:
            limit = self._exchange.deadline.read()
            try:
                head = await self._read_some(left if limit is None else min(left, limit))
            except ReadTimeout:
                return None
            if head is not None:
                return head
        return None

    async def _look(self) -> Head | None:
        """Take what has arrived, without waiting. It may be nothing: TLS has records of its own."""
        try:
            return await self._read_some(0.0)
        except ReadTimeout:
            return None

    async def _read_head(self) -> Head:
        """Wait for the final head."""
        read, deadline = self._stream.read, self._exchange.deadline
        while True:
            try:
                data = await read(READ_SIZE, deadline.read())
            except ReadError as error:
                self._raise_broken(error)
            head = self._take(data)
            if head is not None:
                return head

    async def _read_some(self, timeout: float) -> Head | None:
        """Take what comes within some seconds; raises ReadTimeout if nothing does."""
        try:
            data = await self._stream.read(READ_SIZE, timeout)
        except ReadError as error:
            self._raise_broken(error)
        return self._take(data)

    def _raise_broken(self, error: ReadError) -> NoReturn:
        """Tell that the connection broke before the head was there."""
        if self._receiver.has_begun:
            error.response_started = True
            raise error
        raise disconnected(f"the server closed the connection without answering ({error})", "read") from error

    def _take(self, data: bytes) -> Head | None:
        """Take octets, and hand over the interim responses in them.

        Args:
            data: What was read; nothing at the connection's end.

        Returns:
            The final head, if it is there.
        """
        if not data:
            raise self._receiver.end()
        receiver = self._receiver
        while data:
            head = receiver.receive(data)
            if head is None or head.status >= 200 or head.status == _SWITCHING_PROTOCOLS:
                return head
            if head.status == _CONTINUE:
                self._may_continue = True
            inform = self._request.extensions.get("on_informational")
            if inform is not None:
                inform(head.status, head.headers)
            data = receiver.rest
        return None
