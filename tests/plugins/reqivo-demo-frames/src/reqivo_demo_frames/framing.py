"""The protocol: frames of octets, each behind its length in four octets, in network order.

A request is a frame of JSON (``method``, ``target``, ``headers``), frames of its body, and an empty frame. A response
is the same with ``status``, ``headers`` and ``length`` (null where unknown). Either may follow another on a connection.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import HeadersTooLarge, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LARGEST = 1024 * 1024
"""Octets in one frame at most."""


def frame(data: bytes | memoryview) -> bytes:
    """Put octets into a frame."""
    return b"".join((len(data).to_bytes(4, "big"), data))


def head_frame(**head: Any) -> bytes:
    """Put a head into a frame."""
    return frame(json.dumps(head).encode())


def parse_head(data: bytes, limit: int) -> dict[str, Any]:
    """Take a head out of its frame.

    Raises:
        HeadersTooLarge: It is larger than the limit.
        RemoteProtocolError: It is none.
    """
    if len(data) > limit:
        raise HeadersTooLarge(f"the head has {len(data)} octets; at most {limit} are taken", phase="read")
    try:
        head = json.loads(data)
        [(str(name), str(value)) for name, value in head["headers"]]
    except (ValueError, TypeError, KeyError):
        raise RemoteProtocolError("the head is not JSON with headers", phase="read") from None
    return dict(head)


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        """Read by a function that gives octets, ``b""`` at the end."""
        self._read = read
        self._buffer = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies here that nobody has asked for."""
        return not self._buffer

    async def next(self) -> bytes | None:
        """Give the next frame, None where the connection ended before it was whole.

        Raises:
            RemoteProtocolError: It is too large.
        """
        if not await self._fill(4):
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        if size > LARGEST:
            raise RemoteProtocolError(f"a frame of {size} octets; at most {LARGEST} are taken", phase="read")
        if not await self._fill(4 + size):
            return None
        data = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        return data

    async def _fill(self, wanted: int) -> bool:
        while len(self._buffer) < wanted:
            data = await self._read()
            if not data:
                return False
            self._buffer += data
        return True
