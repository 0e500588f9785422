"""Body: reading a response body, from the transport's octets to the caller's, within the limits.

A body ends once: read to the end, closed, broken or dropped. However it ends, the connection goes back to the pool,
whole or dead, and the transport knows which.
"""

from __future__ import annotations

import warnings
from copy import copy
from typing import TYPE_CHECKING

from reqivo_core.connection import explained
from reqivo_core.errors import ReqivoError, StreamClosed, StreamConsumed
from reqivo_core.timeouts import Deadline, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.codings import DecodedBudget, Decoder
    from reqivo_core.headers import Headers
    from reqivo_core.interfaces import Exchange, ResponseBody
    from reqivo_core.messages import Request
    from reqivo_core.pool import Lease

DECODE_STEP = 64 * 1024
"""How many octets one decoding step may produce, so that a bomb never takes more than that before it is noticed."""

KEPT_RAW = 1024 * 1024
"""How many octets of an encoded body are kept as they came."""

_NO_WAIT = Timeout(timeout=0.0)


class Body:
    """A response body that is still to be read.

    Attributes:
        is_finished: Whether it has ended, in whatever way.
        is_plain: Whether it is neither to be decoded nor counted, so that it is the same however it is read.
        warns: Whether dropping it unread deserves a ResourceWarning (the caller asked for a stream).
    """

    __slots__ = (
        "__weakref__",
        "_at_end",
        "_budget",
        "_counted",
        "_decoder",
        "_exchange",
        "_failure",
        "_is_reading",
        "_kept",
        "_lease",
        "_received",
        "_request",
        "_source",
        "_started",
        "is_finished",
        "is_plain",
        "warns",
    )

    def __init__(
        self,
        source: ResponseBody,
        lease: Lease,
        exchange: Exchange,
        request: Request,
        decoder: Decoder | None,
        budget: DecodedBudget | None,
    ) -> None:
        """Take over a body.

        Args:
            source: Where it comes from.
            lease: The hold on its connection, released at the end.
            exchange: Its deadline and limits.
            request: What it answers, for errors.
            decoder: Undoes the content-codings; None where there are none.
            budget: Counts octets against the limits; None where the body is known to be small.
        """
        self._source = source
        self._lease = lease
        self._exchange = exchange
        self._request = request
        self._decoder = decoder
        self._budget = budget
        if budget is not None:
            budget.is_whole = False  # until read_all says so
        self._received = 0
        self._counted = 0
        self._started: float | None = None
        self._failure: ReqivoError | None = None
        self._is_reading = False
        self._at_end: list[Callable[[], None]] = []
        self._kept: list[bytes] | None = None if decoder is None else []
        self.is_finished = False
        self.is_plain = decoder is None and budget is None
        self.warns = False

    @property
    def length(self) -> int | None:
        """Octets announced, before decoding; None where the framing does not say."""
        return self._source.length

    @property
    def trailers(self) -> Headers | None:
        """The trailer section, once the end was read."""
        return self._source.trailers

    async def read_raw(self) -> bytes:
        """Wait for octets, not decoded; ``b""`` at the end.

        Raises:
            StreamClosed: The body was closed before its end.
            StreamConsumed: Another thread or task is reading it.
            RequestError: It broke.
        """
        self.raise_failure()
        if self.is_finished:
            return b""
        if self._is_reading:
            raise _shared()
        if self._started is None:
            self._started = self._exchange.runtime.now()
        self._is_reading = True
        try:
            chunk = await self._source.read_chunk()
        except BaseException as error:
            raise self._fail(error) from error.__cause__
        finally:
            self._is_reading = False
        if not chunk:
            self._end()
        else:
            self._received += len(chunk)
            if self._kept is not None:
                self._keep(self._kept, chunk)
        return chunk

    def raise_failure(self) -> None:
        """Raise what the body ended in, if it was no good end."""
        if self._failure is not None:
            raise copy(self._failure)

    def _fail(self, error: BaseException) -> BaseException:
        """End in an error, which whoever asks again gets again: what came may never be taken for the whole.

        It is kept as a copy, since the error itself refers by its traceback to those who refer to this body.
        """
        told = explained(error, self._request, self._exchange)
        broken_off = StreamClosed("the response was broken off while it was read")
        self._failure = copy(told) if isinstance(told, ReqivoError) else broken_off
        if not self.is_finished:
            self._source.close()
            self._end()
        return told

    def _keep(self, kept: list[bytes], chunk: bytes) -> None:
        """Keep an encoded body as it came, as long as it is small, for whoever asks for it undecoded afterwards."""
        kept.append(chunk)
        if self._received > KEPT_RAW:
            self._kept = None

    @property
    def kept_raw(self) -> bytes | None:
        """The whole body as it came, where it is encoded and small; None where that was not kept."""
        return None if self._kept is None else b"".join(self._kept)

    async def read_chunk(self) -> bytes:
        """Wait for octets, decoded; ``b""`` at the end.

        Raises:
            StreamClosed: The body was closed before its end.
            StreamConsumed: Another thread or task is reading it, and goes on doing so.
            DecodeError: It does not decode.
            BodyTooLarge: It passed ``max_body``.
            RequestError: It broke.
        """
        if self._is_reading:
            raise _shared()
        try:
            if self._decoder is None:
                data = await self.read_raw()
            else:
                data = await self._decode_some(self._decoder)
            if data and self._budget is not None:
                self._budget.add(self._received - self._counted, len(data))
                self._counted = self._received
        except BaseException as error:
            if self._failure is not None:
                raise
            raise self._fail(error) from error.__cause__  # the wire is fine, but what it carries is not
        return data

    async def _decode_some(self, decoder: Decoder) -> bytes:
        """Decode until there is something to give, one bounded step at a time."""
        self.raise_failure()
        while True:
            if decoder.pending:
                self._exchange.deadline.left()  # a body that swells inside its codings must not outlast the total
                data = decoder.decode(b"", DECODE_STEP)
            elif raw := await self.read_raw():
                data = decoder.decode(raw, DECODE_STEP)
            else:
                self._decoder = None
                return decoder.flush()
            if data:
                return data

    async def read_all(self) -> bytes:
        """Read what is left, decoded."""
        if self._budget is not None:
            self._budget.is_whole = True
        chunks = []
        while chunk := await self.read_chunk():
            chunks.append(chunk)
            if self._decoder is None and self._source.is_over:
                self._end()
                break
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def aclose(self) -> None:
        """Give the body up. What has already arrived is read, to save the connection, but nothing is waited for."""
        await self._give_up(Deadline(_NO_WAIT, self._exchange.runtime.now))

    async def drain(self) -> None:
        """Give the body up, but wait a moment for the rest of a short one (a redirect's), to save the connection."""
        seconds = self._exchange.limits.drain_time
        patience = Timeout(timeout=seconds, total=seconds)
        await self._give_up(Deadline(patience, self._exchange.runtime.now))

    async def _give_up(self, deadline: Deadline) -> None:
        if self.is_finished:
            return
        try:
            if not self._is_reading:  # by another thread or task, whom this is to stop
                await self._drain(deadline)
        finally:
            self._failure = _closed()
            try:
                await self._source.aclose()
            finally:
                self._end()

    async def _drain(self, deadline: Deadline) -> None:
        """Read the rest, as far as it is short and comes by the deadline."""
        limit = self._exchange.limits.max_drain
        self._exchange.deadline, kept = deadline, self._exchange.deadline
        try:
            drained = 0
            while drained <= limit and (self.length is None or self.length - self._received <= limit):
                chunk = await self._source.read_chunk()
                if not chunk:
                    break
                drained += len(chunk)
                self._received += len(chunk)
        except ReqivoError:
            pass  # it has not come, or is broken, which nobody asked: the connection goes
        finally:
            self._exchange.deadline = kept

    def close(self) -> None:
        """Give the body up at once."""
        if not self.is_finished:
            self._failure = _closed()
            self._source.close()
            self._end()

    def at_end(self, callback: Callable[[], None]) -> None:
        """Have something called when the body ends, in whatever way; now if it has.

        Args:
            callback: It must not raise, wait or take a lock: it may be called by a finalizer.
        """
        if self.is_finished:
            callback()
        else:
            self._at_end.append(callback)

    def _end(self) -> None:
        if self._started is not None:
            self._exchange.timings["body"] = self._exchange.runtime.now() - self._started
        self._lease.release()
        self.is_finished = True  # not before: should a signal strike, close() or the finalizer does it again
        self._tell_end()

    def _tell_end(self) -> None:
        while self._at_end:
            self._at_end.pop()()

    def __del__(self) -> None:
        """A dropped body gives its connection back. This may run anywhere: it waits for nothing and for no lock."""
        if getattr(self, "is_finished", True):  # a signal may have struck where it was made
            return
        self.is_finished = True
        if not self.warns and not self._lease.transport.is_shared:
            self._drain_at_once()
        self._source.close()
        self._lease.abandon()
        self._tell_end()
        if self.warns:
            warnings.warn(
                f"a streamed response to {self._request!r} was dropped unread: read it, close() it or use 'with'",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )

    def _drain_at_once(self) -> None:
        """Read what has arrived of a body that a blocking call left on the wire.

        Reading with a time limit of 0 never suspends. Nobody else uses the connection, as it is not shared.
        """
        draining = self._drain(Deadline(_NO_WAIT, self._exchange.runtime.now))
        try:
            draining.send(None)
        except StopIteration:
            pass
        finally:
            draining.close()


def _shared() -> StreamConsumed:
    return StreamConsumed("another thread or task is reading this response: give a body one reader, or read it whole")


def _closed() -> StreamClosed:
    return StreamClosed("the response was closed before its body was read")
