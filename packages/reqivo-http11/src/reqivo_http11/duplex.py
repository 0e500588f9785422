"""Both ways at once: a response that begins while its request is still being sent.

A server may answer as it reads, and read no more until some of its answer was taken. No leaf writes and reads at once,
so the two take turns here: whatever has come is read first, and then as much is written as surely finds room.

Whether a server answers is looked at before each piece of the request is written. So an answer that begins while a
write is stuck is only seen when that is over.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from reqivo_core.errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from reqivo_http11.framing import READ_SIZE
from reqivo_http11.response_body import Http11Body

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.interfaces import Exchange, NetworkStream
    from reqivo_http11.receiving import BodyReceiver
    from reqivo_http11.request_body import Upload

HELD = 64 * 1024
"""Octets of a response that are kept while its request is sent; when more come, whoever reads them sends on."""

ROOM = 2048
"""Octets for which there is room where a socket says that there is any (BSD's SO_SNDLOWAT; others' is larger)."""

PAUSE = 0.01
"""Seconds between two looks for room while nothing comes: no event tells of either of the two."""


class Sending:
    """The rest of a request body, on its way to a server that answers already."""

    __slots__ = ("_exchange", "_rest", "_stream", "upload")

    def __init__(
        self, stream: NetworkStream, exchange: Exchange, upload: Upload, piece: bytes | bytearray | memoryview
    ) -> None:
        """Begin.

        Args:
            stream: The connection.
            exchange: Whose deadline bounds each wait.
            upload: Where further pieces come from.
            piece: What is to be written first.
        """
        self._stream = stream
        self._exchange = exchange
        self.upload = upload
        self._rest = memoryview(piece)

    async def step(self) -> bytes | None:
        """Write what the server takes, until some of its answer has come.

        Returns:
            Octets of the answer, ``b""`` at the connection's end; None once all of the request was sent.

        Raises:
            WriteTimeout: For as long as a write may take, nothing went either way.
            RequestError: What else ends it.
        """
        stream, now = self._stream, self._exchange.runtime.now
        since = now()
        while True:
            if stream.is_readable() and (data := await self._read(0.0)) is not None:
                return data
            if not await self._has_more():
                return None
            if stream.is_writable():
                await self._write(ROOM)
                since = now()
            elif (data := await self._read(self._pause(now() - since))) is not None:
                return data

    async def finish(self) -> None:
        """Write all that is left, whatever comes."""
        while await self._has_more():
            await self._write(len(self._rest))

    async def _has_more(self) -> bool:
        if not self._rest:
            self._rest = memoryview(await self.upload.next_piece())
        return bool(self._rest)

    async def _write(self, count: int) -> None:
        await self._stream.write(self._rest[:count], self._exchange.deadline.write())
        self._rest = self._rest[count:]

    async def _read(self, seconds: float) -> bytes | None:
        """Read what comes within some time; None if nothing does."""
        try:
            return await self._stream.read(READ_SIZE, seconds)
        except ReadTimeout:
            return None

    def _pause(self, waited: float) -> float:
        """How long to wait for octets before the next look for room."""
        deadline = self._exchange.deadline
        limit = deadline.timeout.write
        if limit is not None and waited >= limit:
            raise WriteTimeout(f"the server took no more of the request for {limit:g} s", phase="write")
        return deadline.within(PAUSE) or 0.0


class DuplexBody(Http11Body):
    """A body that comes while the request is still being sent: whoever reads it sends on."""

    def __init__(
        self,
        receiver: BodyReceiver,
        rest: bytes,
        stream: NetworkStream,
        exchange: Exchange,
        on_end: Callable[[bool], None],
        sending: Sending,
    ) -> None:
        """Begin a body.

        Args:
            receiver: Its receiver.
            rest: Octets that have come already.
            stream: Where the others come from.
            exchange: Whose deadline bounds each wait.
            on_end: See :class:`~reqivo_http11.response_body.Http11Body`.
            sending: What is left of the request.
        """
        super().__init__(receiver, b"", stream, exchange, on_end)
        self._came = rest
        self._sending: Sending | None = sending

    async def _read_on(self) -> bytes:
        chunk, sending = b"", self._sending
        if sending is not None:
            try:
                chunk = await self._read_while(sending)
            except BaseException:
                self._sending = None
                await sending.upload.aclose()
                raise
            if self._sending is None:
                await sending.upload.aclose()
        return chunk if chunk or self._is_over else await super()._read_on()

    async def _read_while(self, sending: Sending) -> bytes:
        """Give the next octets; nothing once the request has been sent, or the response is over."""
        receiver = self._receiver
        chunk = b""
        while not chunk and self._sending is not None:
            data, self._came = self._came, b""
            try:
                octets = data or await sending.step()
            except (ReadError, WriteError) as error:
                raise receiver.incomplete(f"the connection broke ({error})") from error
            if octets is None:
                self._sending = None
                break
            if octets:
                chunk = receiver.receive(octets)
                if receiver.is_complete:
                    await sending.finish()
            else:
                receiver.receive_end()
            if receiver.is_complete:
                self._end()
        return chunk

    def _end(self) -> None:
        self._sending = None
        super()._end()

    def _break(self, error: BaseException) -> None:
        super()._break(error)
        sending, self._sending = self._sending, None
        if sending is not None:
            with contextlib.suppress(Exception):  # a generator of the user's; nobody could tell whose error it was
                sending.upload.close()

    async def aclose(self) -> None:
        """Give the body up, and with it the rest of the request."""
        sending = self._sending
        self.close()
        if sending is not None:
            await sending.upload.aclose()
