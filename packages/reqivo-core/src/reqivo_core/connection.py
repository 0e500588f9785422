"""What belongs to one exchange over one connection: errors that tell the whole story, and upgraded streams."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import (
    ReadError,
    RequestError,
    ServerDisconnected,
    TimeoutException,
    TotalTimeout,
    WriteError,
)
from reqivo_core.interfaces import NetworkStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reqivo_core.interfaces import Exchange
    from reqivo_core.messages import Request
    from reqivo_core.pool import Lease
    from reqivo_core.tls_config import TlsConfig

MAX_ATTEMPTS = 6
"""How often a request is sent that servers keep refusing to process (as Go's client does)."""

_MOST_REST = 2**24
"""Octets that are kept of a connection that broke."""


def explained(error: BaseException, request: Request, exchange: Exchange) -> BaseException:
    """Complete an error on its way to the caller: its request, its phase, and whether it was the total that ran out.

    Args:
        error: What was raised.
        request: What was being done.
        exchange: Its circumstances.

    Returns:
        The error to raise: the same one, or a TotalTimeout with the same story.
    """
    if not isinstance(error, RequestError):
        return error
    if isinstance(error, TimeoutException) and not isinstance(error, TotalTimeout) and exchange.deadline.has_passed():
        total = exchange.deadline.expired()
        total.args = (f"{total}, while: {error.args[0]}",)
        total.phase = error.phase
        total.request = error.request
        total.__cause__ = error
        error = total
    if error.request is None:
        error.request = request
    if error.phase is None:
        error.phase = "request"
    return error


def may_send_again(error: BaseException, request: Request, *, is_reused: bool, attempts: int) -> bool:
    """Whether a failed exchange may be repeated without asking anybody.

    Two cases: the server provably did not act (it refused the stream, or was going away), where any method may be
    repeated; or a connection that had idled in the pool was closed under us, unanswered, where the method must be
    idempotent (RFC 9110 §9.2.2). Never on a connection that was opened for this request.

    Args:
        error: What ended it.
        request: What was sent.
        is_reused: Whether the connection had served before.
        attempts: How often it was sent so far.
    """
    if not isinstance(error, RequestError) or attempts >= MAX_ATTEMPTS or not request.content.can_be_sent:
        return False
    if error.unprocessed:
        return True
    is_stale = isinstance(error, ServerDisconnected | ReadError | WriteError) and not error.response_started
    return is_stale and is_reused and request.is_idempotent


class LeasedStream(NetworkStream):
    """A connection that was handed out (after a 101, or a 2xx to CONNECT); closing it gives its slot back.

    Once it is broken there is nothing left to be closed: its slot and its socket are let go of at once, and what came
    before can still be read.
    """

    def __init__(self, stream: NetworkStream, lease: Lease) -> None:
        self._stream = stream
        self._lease = lease
        self._is_handed_on = False
        self._lock = threading.Lock()  # held for what never suspends
        self._is_reading = False
        self._rest = memoryview(b"")
        self._story: str | None = None

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See NetworkStream."""
        with self._lock:
            if self._rest:
                data, self._rest = bytes(self._rest[:max_bytes]), self._rest[max_bytes:]
                return data
            if self._story is not None:
                raise ReadError(self._story, phase="read")
            self._is_reading = True
        try:
            return await self._stream.read(max_bytes, timeout)
        except ReadError as error:
            self._story = str(error.args[0])
            self.close()
            raise
        finally:
            self._is_reading = False

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See NetworkStream."""
        if self._story is not None:
            raise WriteError(self._story, phase="write")
        try:
            await self._stream.write(data, timeout)
        except WriteError as error:
            with self._lock:
                if not self._is_reading:  # else that meets the same
                    self._rest = memoryview(await self._take_rest())
                    self._story = str(error.args[0])
                    self.close()
            raise

    async def _take_rest(self) -> bytes:
        """Take what came before the connection broke. Never suspends."""
        pieces = []
        left = _MOST_REST
        with suppress(RequestError):  # that was all
            while left > 0:
                self._stream.is_readable()  # which may look into the system's buffer
                pieces.append(await self._stream.read(left, 0))
                left -= len(pieces[-1]) or left
        return b"".join(pieces)

    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        """See NetworkStream."""
        try:
            stream = await self._stream.start_tls(config, server_hostname, alpn, timeout)
        except BaseException:
            self.close()
            raise
        self._is_handed_on = True  # what was read and written here is the other's now
        return LeasedStream(stream, self._lease)

    def close(self) -> None:
        """See NetworkStream."""
        try:
            self._stream.close()
        finally:
            self._lease.release()

    def is_readable(self) -> bool:
        """See NetworkStream."""
        return bool(self._rest) or self._stream.is_readable()

    def is_writable(self) -> bool:
        """See NetworkStream."""
        return self._stream.is_writable()

    def get_info(self, name: str) -> Any:
        """See NetworkStream."""
        return self._stream.get_info(name)

    def __del__(self) -> None:
        if not self._is_handed_on:
            self._stream.close()
            self._lease.abandon()
