"""Tunnels through a stream: CONNECT (RFC 9113 §8.5) and extended CONNECT, which carries WebSocket (RFC 8441)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core.errors import ReadError, ReadTimeout, UnsupportedProtocol, WriteError, WriteTimeout
from reqivo_core.forks import importing
from reqivo_core.interfaces import NetworkStream
from reqivo_core.timeouts import Deadline, Timeout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reqivo_core.tls_config import TlsConfig
    from reqivo_http2.faults import Failure
    from reqivo_http2.streams import Stream
    from reqivo_http2.wire import Wire


def no_extended_connect() -> UnsupportedProtocol:
    """The error of a server that does not know extended CONNECT; another connection, in HTTP/1.1, may serve."""
    error = UnsupportedProtocol(
        "the server does not offer extended CONNECT (RFC 8441) on its HTTP/2 connection; use http2=False", phase="write"
    )
    error.unprocessed = True
    error.requires_http11 = True
    return error


class TunnelStream(NetworkStream):
    """The octets of a stream, both ways."""

    def __init__(self, wire: Wire, stream: Stream) -> None:
        self._wire = wire
        self._stream = stream
        self._taken = 0
        self._is_closed = False

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(Timeout(timeout=timeout), self._wire.runtime.now)

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See :meth:`NetworkStream.read`."""
        wire, stream = self._wire, self._stream
        deadline = self._deadline(timeout)
        if timeout == 0 and not stream.has_octets:
            wire.look()  # which never suspends: TLS above asks so from where nothing can be awaited
        while True:
            with wire.guard:
                if self._is_closed:
                    raise ReadError("the tunnel was closed on this side", phase="read")
                if self._taken:
                    wire.state.consume(stream, self._taken)
                    self._taken = 0
                if stream.buffered:
                    return self._take(max_bytes)
                if stream.failure is not None:
                    raise ReadError(f"the tunnel broke: {stream.failure.message}", phase="read")
                if stream.is_remote_closed:
                    return b""
                wire.state.await_octets(stream)
            if timeout == 0:
                wire.flush_now()
                raise ReadTimeout("nothing has come through the tunnel", phase="read")
            if wire.state.outgoing.has_control:
                await wire.flush(self._deadline(None if timeout is None else max(timeout, 1.0)))
            if not await wire.wait(stream.waiters, lambda: stream.has_octets, timeout, deadline):
                raise ReadTimeout(f"nothing came through the tunnel within {timeout:g} s", phase="read")

    def _take(self, max_bytes: int) -> bytes:
        """Take some of what is there. The guard is held."""
        data = self._stream.take()
        if len(data) > max_bytes:
            self._stream.put_back(data[max_bytes:])
            data = data[:max_bytes]
        self._taken = len(data)
        return data

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See :meth:`NetworkStream.write`."""
        stream = self._stream
        if self._is_closed or stream.is_local_closed:
            failure = None if self._is_closed else self._failure
            why = "it was closed" if failure is None else failure.message
            raise WriteError(f"nothing can be written to the tunnel: {why}", phase="write")
        if not len(data):
            return
        self._wire.hand_over(stream, bytes(data), ends=False)
        try:
            if timeout == 0:
                self._send_now()
            else:
                await self._wire.drain(stream, self._deadline(timeout), lambda: stream.is_local_closed)
        except BaseException:
            self.close()  # nobody knows how much has left
            raise
        if (failure := self._failure) is not None:
            raise WriteError(f"the tunnel broke: {failure.message}", phase="write")

    @property
    def _failure(self) -> Failure | None:
        """Why nothing can be written any more."""
        return self._stream.failure or self._wire.state.severed

    def _send_now(self) -> None:
        """Send what was handed over, if that takes no time."""
        self._wire.flush_now(self._stream)
        if self._stream.has_pending:
            raise WriteTimeout("the tunnel takes nothing at the moment", phase="write")

    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        """See :meth:`NetworkStream.start_tls`."""
        with importing:
            from reqivo_core.runtime import tls  # here, since ssl is slow to import

        return await tls.start_tls(self, config, server_hostname, alpn, timeout)

    def close(self) -> None:
        """End our side; where the server has not ended its own, reset the stream."""
        if self._is_closed:
            return
        self._is_closed = True
        wire, stream = self._wire, self._stream

        def end() -> None:
            if stream.is_remote_closed and not stream.is_local_closed and not stream.has_pending:
                wire.state.send(stream, b"", ends=True)
            else:
                wire.state.cancel(stream, 8, wire.runtime.now())
                stream.discard()

        wire.guard.defer(end)

    def is_readable(self) -> bool:
        """See :meth:`NetworkStream.is_readable`."""
        if not self._stream.has_octets and not self._is_closed:
            self._wire.look()
        return self._is_closed or self._stream.has_octets

    def is_writable(self) -> bool:
        """See :meth:`NetworkStream.is_writable`: the windows are open, and so is the connection below."""
        if self._is_closed or self._stream.is_local_closed:
            return True  # a write fails at once
        with self._wire.guard:
            may_send = self._wire.state.may_send_octets(self._stream)
        return may_send and self._wire.stream.is_writable()

    def get_info(self, name: str) -> Any:
        """See :meth:`NetworkStream.get_info`: facts about the connection below."""
        return self._stream.id if name == "stream_id" else self._wire.stream.get_info(name)
