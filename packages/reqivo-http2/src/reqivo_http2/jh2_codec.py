"""The fast codec: jh2's native HPACK."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reqivo_http2.codec import TABLE_SIZE, Codec, CompressionFault

if TYPE_CHECKING:
    from reqivo_core.headers import RawHeaders
    from reqivo_http2.codec import OutgoingFields

_engine: Any = import_module("jh2._hazmat")  # it has no types of its own
_SIZE_UPDATE = 0x20
_ENTRY_OVERHEAD = 32
_MOST_BLOCK_PER_LIST = 4
"""A block may be longer than the list that it makes, if its writer was foolish, but not by much."""
_SHORT_BLOCK = 64
_COUNTS_SIZE = 1024
_counts: dict[bytes, int] = {}
"""Fields of blocks that were found to be well formed; a dict of octets can be shared by threads without a lock."""


class Jh2Codec(Codec):
    """See :class:`Codec`.

    The engine takes what the standard forbids in two places, which are looked after here: a change of the table's size
    behind a field, and lists of more entries than their size should allow.
    """

    name = "jh2"

    __slots__ = ("_decoder", "_encoder", "_max_list_size")

    def __init__(self, max_list_size: int) -> None:
        self._encoder: Any = _engine.Encoder()
        self._decoder: Any = _engine.Decoder(max_list_size)
        self._decoder.max_allowed_table_size = TABLE_SIZE
        self._max_list_size = max_list_size

    def encode(self, fields: OutgoingFields) -> bytes:
        """See :meth:`Codec.encode`."""
        return bytes(self._encoder.encode(fields))

    def decode(self, block: bytes) -> RawHeaders:
        """See :meth:`Codec.decode`."""
        if len(block) > self._max_list_size * _MOST_BLOCK_PER_LIST:
            raise CompressionFault(f"a header block of {len(block)} octets was received", is_excess=True)
        count = _counted(block)
        if count * _ENTRY_OVERHEAD > self._max_list_size:
            raise CompressionFault(f"a header list of {count} fields was received", is_excess=True)
        try:
            return [(name, value) for name, value, _ in self._decoder.decode(block, True)]
        except Exception as error:  # its exceptions share no class of their own
            is_excess = type(error).__name__ == "OversizedHeaderListError"
            raise CompressionFault(str(error), is_excess=is_excess) from error

    def limit_encoder(self, size: int) -> None:
        """See :meth:`Codec.limit_encoder`."""
        self._encoder.header_table_size = size


def _counted(block: bytes) -> int:
    """How many fields a block has, as below: servers send the same short blocks over and over."""
    count = _counts.get(block)
    if count is None:
        count = _count_fields(block)
        if len(_counts) >= _COUNTS_SIZE:
            _counts.clear()
        if len(block) <= _SHORT_BLOCK:
            _counts[block] = count
    return count


def _count_fields(block: bytes) -> int:
    """Walk over a block's fields without decoding them (RFC 7541 §6).

    Returns:
        How many there are.

    Raises:
        CompressionFault: The size of the table changes behind a field, or the block ends inside of one.
    """
    place, size, count = 0, len(block), 0
    while place < size:
        first = block[place]
        if first & 0x80:
            place = _skip_integer(block, place, 0x7F)
        elif first & 0xE0 == _SIZE_UPDATE:
            if count:
                raise CompressionFault("the table's size changes behind a field")
            place = _skip_integer(block, place, 0x1F)
            continue
        else:
            mask = 0x3F if first & 0x40 else 0x0F
            has_name = not first & mask
            place = _skip_integer(block, place, mask)
            if has_name:
                place = _skip_string(block, place)
            place = _skip_string(block, place)
        count += 1
    if place > size:
        raise CompressionFault("the block ends inside a field")
    return count


def _skip_integer(block: bytes, place: int, mask: int) -> int:
    """Where the next thing begins behind an integer."""
    if block[place] & mask == mask:
        place += 1
        while place < len(block) and block[place] & 0x80:
            place += 1
    return place + 1


def _skip_string(block: bytes, place: int) -> int:
    """Where the next thing begins behind a string."""
    if place >= len(block):
        raise CompressionFault("the block ends inside a field")
    length = block[place] & 0x7F
    if length < 0x7F:
        return place + 1 + length
    shift = 0
    place += 1
    while place < len(block):
        octet = block[place]
        place += 1
        length += (octet & 0x7F) << shift
        shift += 7
        if not octet & 0x80 or shift > 35:
            break
    return place + length
