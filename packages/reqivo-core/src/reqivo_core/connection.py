"""What belongs to one exchange over one connection: errors that tell the whole story, and upgraded streams."""

from __future__ import annotations

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
    """A connection that was handed out (after a 101, or a 2xx to CONNECT); closing it gives its slot back."""

    def __init__(self, stream: NetworkStream, lease: Lease) -> None:
        self._stream = stream
        self._lease = lease
        self._is_handed_on = False

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See NetworkStream."""
        return await self._stream.read(max_bytes, timeout)

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See NetworkStream."""
        await self._stream.write(data, timeout)

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
        return self._stream.is_readable()

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
