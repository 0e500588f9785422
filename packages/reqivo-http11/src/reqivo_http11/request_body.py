"""Request bodies on their way: read piece by piece, framed, counted against what was declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reqivo_core.content import ContentReader
from reqivo_core.errors import LocalProtocolError
from reqivo_http11.serialization import encode_trailers

if TYPE_CHECKING:
    from reqivo_core.content import Content
    from reqivo_http11.serialization import Outgoing

SLICE = 256 * 1024
"""Octets of a body in memory written at a time; between two writes we look whether the server has answered already."""


class _MemoryReader(ContentReader):
    """Reads a large body in memory without copying it."""

    __slots__ = ("_place", "_view")

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)
        self._place = 0

    async def read_chunk(self) -> memoryview:
        chunk = self._view[self._place : self._place + SLICE]
        self._place += SLICE
        return chunk


class Upload:
    """One body being sent."""

    __slots__ = ("_declared", "_is_over", "_reader", "_sent", "_trailers")

    def __init__(self, outgoing: Outgoing, content: Content) -> None:
        """Open a body.

        Args:
            outgoing: How it is framed.
            content: The body.

        Raises:
            InvalidRequest: It cannot be opened.
        """
        self._reader = content.open() if content.data is None else _MemoryReader(content.data)
        self._declared = outgoing.length
        self._trailers = outgoing.trailers
        self._sent = 0
        self._is_over = False

    async def next_piece(self) -> bytes | memoryview:
        """Make ready what is to be written next.

        Returns:
            Octets; ``b""`` when all have been given.

        Raises:
            LocalProtocolError: The body is longer or shorter than its Content-Length.
        """
        if self._is_over:
            return b""
        chunk = await self._reader.read_chunk()
        self._sent += len(chunk)
        if self._declared is not None:
            self._check_length(self._declared, not chunk)
            return chunk
        if chunk:
            return b"".join((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
        self._is_over = True
        return encode_trailers(self._trailers)

    def _check_length(self, declared: int, is_over: bool) -> None:
        if self._sent > declared or (is_over and self._sent < declared):
            raise LocalProtocolError(
                f"the request body is {'shorter' if is_over else 'longer'} than its Content-Length: it has "
                f"{'' if is_over else 'at least '}{self._sent} octets, {declared} were declared",
                phase="write",
            )

    def close(self) -> None:
        """End the pass over the body, as far as that takes no waiting."""
        self._reader.close()

    async def aclose(self) -> None:
        """End the pass over the body."""
        await self._reader.aclose()
