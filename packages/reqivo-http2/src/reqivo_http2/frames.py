"""Frames: cut from what arrives, built for what is sent (RFC 9113 §4 and §6).

The length of a frame is judged as soon as its nine-octet header is there, so that nobody makes us wait for, or hold,
what will be refused anyway. Text of HTTP/1, or a TLS alert, is recognised in the first octets.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

from h2.errors import ErrorCodes

from reqivo_http2.faults import ConnectionFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 0x10

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_FRAME_SIZE = 16384
FRAME_SIZE = 64 * 1024
"""The largest payload that we offer to take: a large body costs by its frames, and no stream waits long for one."""
LARGEST_FRAME_SIZE = 2**24 - 1
LARGEST_WINDOW = 2**31 - 1
HEADER_SIZE = 9
VIEW_SIZE = 1024
"""Octets of DATA from which on a copy costs more than a view."""

Octets: TypeAlias = "bytes | memoryview"
Frame: TypeAlias = "tuple[int, int, int, Octets]"
"""Type, flags, stream id, payload; a view for large DATA only."""

_unpack_header = Struct(">HBBBL").unpack_from
_pack_header = Struct(">HBBBL").pack
_pack_number = Struct(">L").pack
_pack_setting = Struct(">HL").pack
_unpack_number = Struct(">L").unpack_from


class FrameReader:
    """Cuts what arrives into frames.

    Attributes:
        max_frame_size: The largest payload we take.
    """

    __slots__ = ("_has_begun", "_rest", "max_frame_size")

    def __init__(self, max_frame_size: int = FRAME_SIZE) -> None:
        self.max_frame_size = max_frame_size
        self._rest = b""
        self._has_begun = False

    @property
    def has_rest(self) -> bool:
        """Whether part of a frame has come."""
        return bool(self._rest)

    def receive(self, data: bytes) -> Iterator[Frame]:
        """Give the frames that are complete now, one by one: those before a bad one have been given when it raises.

        What large DATA frames hold is given as views of what arrived: to be copied once, and soon, or it would keep all
        of that alive.

        Args:
            data: What has arrived.

        Raises:
            ConnectionFault: A frame is too long, or this is not HTTP/2.
        """
        start = 0
        rest = self._rest
        if rest:
            # No more than the frame that was cut off is put together; those behind it stay where they are.
            start = self._missing(data)
            rest += data[:start]
            self._rest = b""
            yield from self._cut(rest, 0)
            if self._rest:
                return
        yield from self._cut(data, start)

    def _missing(self, data: bytes) -> int:
        """How many of these octets belong to the frame of which the first have come."""
        rest = self._rest
        have = len(rest)
        if not self._has_begun:
            return len(data)
        header = rest if have >= HEADER_SIZE else rest + data[: HEADER_SIZE - have]
        if len(header) < HEADER_SIZE:
            return len(data)
        return HEADER_SIZE + int.from_bytes(header[:3], "big") - have

    def _cut(self, data: bytes, start: int) -> Iterator[Frame]:
        """Give the frames of one piece; what is left of it is kept."""
        if not self._has_begun:
            self._recognise(data)
        size, limit = len(data), self.max_frame_size
        view = memoryview(data)
        while size - start >= HEADER_SIZE:
            high, low, kind, flags, stream_id = _unpack_header(data, start)
            length = high << 8 | low
            if length > limit:
                raise ConnectionFault(
                    ErrorCodes.FRAME_SIZE_ERROR, f"the server announced a frame of {length} octets; {limit} are allowed"
                )
            end = start + HEADER_SIZE + length
            if end > size:
                break
            begin, start = start + HEADER_SIZE, end
            if kind == DATA and length >= VIEW_SIZE:
                yield DATA, flags, stream_id & LARGEST_WINDOW, view[begin:end]
            else:
                yield kind, flags, stream_id & LARGEST_WINDOW, data[begin:end]
        if start < size:
            self._rest = data[start:]

    def _recognise(self, data: bytes) -> None:
        """Look at the first octets of the connection: the first frame has to be SETTINGS (RFC 9113 §3.4)."""
        if data[:5] == b"HTTP/":
            raise ConnectionFault(
                ErrorCodes.PROTOCOL_ERROR, "the peer speaks HTTP/1, not HTTP/2; do not ask for http2=True"
            )
        if data[:2] == b"\x15\x03":
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "the peer sent a TLS alert where HTTP/2 was expected")
        if len(data) >= HEADER_SIZE:
            self._has_begun = True
            if data[3] != SETTINGS or data[4] & ACK:
                raise ConnectionFault(
                    ErrorCodes.PROTOCOL_ERROR, "the server did not begin with SETTINGS: it does not speak HTTP/2"
                )


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Build a frame."""
    length = len(payload)
    return _pack_header(length >> 8, length & 0xFF, kind, flags, stream_id) + payload


def data_header(length: int, flags: int, stream_id: int) -> bytes:
    """Build the header of a DATA frame."""
    return _pack_header(length >> 8, length & 0xFF, DATA, flags, stream_id)


def header_frames(stream_id: int, block: bytes, flags: int, max_frame_size: int) -> bytes:
    """Build HEADERS and, where the block is too long for one frame, CONTINUATION."""
    if len(block) <= max_frame_size:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [block[start : start + max_frame_size] for start in range(0, len(block), max_frame_size)]
    built = [frame(HEADERS, flags, stream_id, parts[0])]
    built += [frame(CONTINUATION, 0, stream_id, part) for part in parts[1:-1]]
    built.append(frame(CONTINUATION, END_HEADERS, stream_id, parts[-1]))
    return b"".join(built)


def settings(values: Mapping[int, int]) -> bytes:
    """Build SETTINGS."""
    return frame(SETTINGS, 0, 0, b"".join(_pack_setting(code, value) for code, value in values.items()))


def window_update(stream_id: int, increment: int) -> bytes:
    """Build WINDOW_UPDATE."""
    return frame(WINDOW_UPDATE, 0, stream_id, _pack_number(increment))


def rst_stream(stream_id: int, code: int) -> bytes:
    """Build RST_STREAM."""
    return frame(RST_STREAM, 0, stream_id, _pack_number(code))


def goaway(last_stream_id: int, code: int) -> bytes:
    """Build GOAWAY."""
    return frame(GOAWAY, 0, 0, _pack_number(last_stream_id) + _pack_number(code))


def priority_update(stream_id: int, priority: bytes) -> bytes:
    """Build PRIORITY_UPDATE (RFC 9218 §7.1)."""
    return frame(PRIORITY_UPDATE, 0, 0, _pack_number(stream_id) + priority)


def number(payload: bytes, offset: int = 0) -> int:
    """Read 32 bits."""
    value: int = _unpack_number(payload, offset)[0]
    return value


def unpadded(payload: bytes, flags: int) -> bytes:
    """Take the padding off (RFC 9113 §6.1).

    Raises:
        ConnectionFault: There is more padding than payload.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "the server padded a frame with more than it holds")
    return payload[1 : len(payload) - payload[0]]
