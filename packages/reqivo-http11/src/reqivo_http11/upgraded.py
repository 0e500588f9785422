"""What becomes of a connection that left HTTP/1.1: after a 101, or a 2xx to CONNECT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core.errors import RemoteProtocolError, excerpt
from reqivo_core.interfaces import NetworkStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reqivo_core.tls_config import TlsConfig


class UpgradedStream(NetworkStream):
    """A stream whose first octets came with the response's head."""

    __slots__ = ("_rest", "_stream")

    def __init__(self, stream: NetworkStream, rest: bytes) -> None:
        """Put octets back.

        Args:
            stream: The connection.
            rest: What was read from it already.
        """
        self._stream = stream
        self._rest = rest

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Give the left-over octets first; see :meth:`NetworkStream.read`."""
        if self._rest:
            data = self._rest[:max_bytes]
            self._rest = self._rest[max_bytes:]
            return data
        return await self._stream.read(max_bytes, timeout)

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See :meth:`NetworkStream.write`."""
        await self._stream.write(data, timeout)

    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        """Start TLS; octets that came before it are in the clear and cannot be the server's part of it.

        Raises:
            RemoteProtocolError: There are such octets.
        """
        if self._rest:
            self.close()
            raise RemoteProtocolError(f"octets came before TLS was started: {excerpt(self._rest)}", phase="tls")
        return await self._stream.start_tls(config, server_hostname, alpn, timeout)

    def close(self) -> None:
        """See :meth:`NetworkStream.close`."""
        self._stream.close()

    def is_readable(self) -> bool:
        """See :meth:`NetworkStream.is_readable`."""
        return bool(self._rest) or self._stream.is_readable()

    def is_writable(self) -> bool:
        """See :meth:`NetworkStream.is_writable`."""
        return self._stream.is_writable()

    def get_info(self, name: str) -> Any:
        """See :meth:`NetworkStream.get_info`."""
        return self._stream.get_info(name)
