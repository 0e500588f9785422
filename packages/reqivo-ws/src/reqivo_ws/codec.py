"""The frame codec (RFC 6455 §5): octets to pieces of frames, frames to octets. Rules about messages are elsewhere.

There are two engines behind one door. ``FrameCodec`` is ours and thin; ``reqivo_ws.wsproto_codec.WsprotoCodec`` is the
reference. ``REQIVO_WS_CODEC`` (``fast`` or ``wsproto``) chooses; a differential test holds them together.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from struct import Struct
from typing import Final, NamedTuple

from reqivo_ws.closing import PROTOCOL_ERROR, TOO_BIG, Violation
from reqivo_ws.masking import MaskSource, mask

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MAX_CONTROL = 125
"""Octets in a control frame (RFC 6455 §5.5)."""

VARIABLE = "REQIVO_WS_CODEC"

JOINED = 64 * 1024
"""Payloads up to this size leave in one piece with their header; larger ones are not copied for that."""

_FIN = 0x80
_RSV1 = 0x40
_RSV23 = 0x30
_OPCODE = 0x0F
_MASKED = 0x80
_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_SHORT = Struct("!BB")
_MEDIUM = Struct("!BBH")
_LONG = Struct("!BBQ")


class Piece(NamedTuple):
    """Some octets of one frame, in order.

    Attributes:
        opcode: The frame's.
        data: The octets; maybe none. Control frames come whole.
        starts: Whether they are the frame's first.
        ends: Whether they are its last.
        is_final: Whether the frame is the last of its message (FIN).
        is_compressed: Whether the frame has RSV1 set, which only the first of a compressed message has (RFC 7692 §6).
    """

    opcode: int
    data: bytes
    starts: bool
    ends: bool
    is_final: bool
    is_compressed: bool


class Codec(ABC):
    """What both engines do.

    Attributes:
        max_payload: The longest data frame to be taken now; a longer one is refused when its header has come.
        left: Octets still missing of the frame at hand, as far as known.
    """

    __slots__ = ("left", "max_payload")

    max_payload: int | None
    left: int

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take octets from the network; to be called when ``next_piece`` has nothing more to give."""

    @abstractmethod
    def next_piece(self) -> Piece | None:
        """The next piece; None when more octets are needed.

        Raises:
            Violation: The peer broke the protocol, or ``max_payload``.
        """

    @abstractmethod
    def encode(self, opcode: int, payload: bytes, is_final: bool = True, is_compressed: bool = False) -> list[bytes]:
        """Make a masked frame.

        Args:
            opcode: What kind.
            payload: What it carries; at most 125 octets for a control frame.
            is_final: Whether to set FIN.
            is_compressed: Whether to set RSV1.

        Returns:
            What to write, one after the other: a single item if the frame is small.
        """


def too_big(length: int, limit: int) -> Violation:
    """The verdict on a frame that announces more than is left of the limit."""
    return Violation(TOO_BIG, f"frame of {length} octets, of which {max(limit, 0)} would do")


class FrameCodec(Codec):
    """Our own engine: a few comparisons and one slice per frame.

    Args:
        has_deflate: Whether permessage-deflate was agreed upon, so that RSV1 means something.
    """

    __slots__ = (
        "_at",
        "_data",
        "_is_compressed",
        "_is_final",
        "_keys",
        "_opcode",
        "_rsv1",
        "_starts",
    )

    def __init__(self, has_deflate: bool = False) -> None:
        self._data: bytes = b""
        self._at = 0
        self._opcode = CONTINUATION
        self._is_final = False
        self._is_compressed = False
        self._starts = False
        self._keys = MaskSource()
        self._rsv1 = _RSV1 if has_deflate else 0
        self.left = 0
        self.max_payload: int | None = None

    def feed(self, data: bytes) -> None:
        """See :meth:`Codec.feed`. What may lie here still is less than a header or a control frame."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next_piece(self) -> Piece | None:
        """See :meth:`Codec.next_piece`."""
        if self.left:
            return self._rest_of_frame()
        data, at = self._data, self._at
        available = len(data) - at
        if available < 2:
            return None
        first, second = data[at], data[at + 1]
        if second < 126:
            length, start = second, at + 2
        else:
            header = self._long_header(second)
            if header is None:
                self._check(first, second, 0)
                return None
            length, start = header
        self._check(first, second, length)
        end = start + length
        opcode = first & _OPCODE
        if end <= len(data):
            self._at = end
            return Piece(opcode, data[start:end], True, True, first >= _FIN, first & _RSV1 != 0)
        if opcode >= CLOSE:
            return None
        self._opcode = opcode
        self._is_final = first >= _FIN
        self._is_compressed = first & _RSV1 != 0
        self._starts = True
        self.left = length
        self._at = start
        return self._rest_of_frame()

    def _rest_of_frame(self) -> Piece | None:
        """What has come of a data frame that did not come whole."""
        data, at = self._data, self._at
        chunk = data[at : at + self.left]
        if not chunk:
            return None
        self._at = at + len(chunk)
        self.left -= len(chunk)
        piece = Piece(self._opcode, chunk, self._starts, not self.left, self._is_final, self._is_compressed)
        self._starts = False
        return piece

    def _long_header(self, second: int) -> tuple[int, int] | None:
        """Length and start of a payload of more than 125 octets; None if they have not come yet."""
        data, at = self._data, self._at + 2
        is_medium = second & ~_MASKED == 126
        start = at + (2 if is_medium else 8)
        if len(data) < start:
            return None
        length = int.from_bytes(data[at:start], "big")
        if length < (126 if is_medium else 65536):
            raise Violation(PROTOCOL_ERROR, "frame length not in its shortest form")
        if length >> 63:
            raise Violation(PROTOCOL_ERROR, "frame length of 2^63 or more")
        return length, start

    def _check(self, first: int, second: int, length: int) -> None:
        """Refuse a header that must not be sent (RFC 6455 §5.2)."""
        opcode = first & _OPCODE
        if second >= _MASKED:
            raise Violation(PROTOCOL_ERROR, "masked frame from a server")
        if opcode not in _OPCODES:
            raise Violation(PROTOCOL_ERROR, f"reserved opcode {opcode:#x}")
        if first & 0x70 and (first & _RSV23 or not self._rsv1 or opcode >= CLOSE or opcode == CONTINUATION):
            raise Violation(PROTOCOL_ERROR, "reserved bit set")
        if opcode >= CLOSE:
            if first < _FIN:
                raise Violation(PROTOCOL_ERROR, "fragmented control frame")
            if second > MAX_CONTROL:
                raise Violation(PROTOCOL_ERROR, "control frame of more than 125 octets")
        elif self.max_payload is not None and length > self.max_payload:
            raise too_big(length, self.max_payload)

    def encode(self, opcode: int, payload: bytes, is_final: bool = True, is_compressed: bool = False) -> list[bytes]:
        """See :meth:`Codec.encode`."""
        first = opcode | (_FIN if is_final else 0) | (_RSV1 if is_compressed else 0)
        length = len(payload)
        if length < 126:
            header = _SHORT.pack(first, _MASKED | length)
        elif length < 65536:
            header = _MEDIUM.pack(first, _MASKED | 126, length)
        else:
            header = _LONG.pack(first, _MASKED | 127, length)
        key = self._keys.key()
        if length <= JOINED:
            return [header + key + mask(payload, key)]
        return [header + key, mask(payload, key)]


def load_codec(name: str | None = None) -> type[Codec]:
    """Choose an engine.

    Args:
        name: ``fast`` or ``wsproto``; None for the value of ``REQIVO_WS_CODEC``, else ``fast``.

    Raises:
        ValueError: There is no engine of this name.
    """
    chosen = name or os.environ.get(VARIABLE) or "fast"
    if chosen == "fast":
        return FrameCodec
    if chosen == "wsproto":
        from reqivo_ws.wsproto_codec import WsprotoCodec

        return WsprotoCodec
    raise ValueError(f"{VARIABLE}={chosen!r}: give 'fast' or 'wsproto'")
