"""The reference codec: HPACK in Python, as h2 uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError, OversizedHeaderListError

from reqivo_http2.codec import TABLE_SIZE, Codec, CompressionFault

if TYPE_CHECKING:
    from reqivo_core.headers import RawHeaders
    from reqivo_http2.codec import OutgoingFields


class H2Codec(Codec):
    """See :class:`Codec`.

    Strings are sent without Huffman coding: this engine's takes time that grows with the square of their length.
    """

    name = "h2"

    __slots__ = ("_decoder", "_encoder")

    def __init__(self, max_list_size: int) -> None:
        self._encoder = Encoder()
        self._decoder = Decoder(max_list_size)
        self._decoder.max_allowed_table_size = TABLE_SIZE

    def encode(self, fields: OutgoingFields) -> bytes:
        """See :meth:`Codec.encode`."""
        return self._encoder.encode(fields, huffman=False)

    def decode(self, block: bytes) -> RawHeaders:
        """See :meth:`Codec.decode`."""
        try:
            # The fields are tuples of two octet strings, of a class of their own.
            return cast("RawHeaders", list(self._decoder.decode(block, raw=True)))
        except OversizedHeaderListError as error:
            raise CompressionFault(str(error), is_excess=True) from error
        except (HPACKError, IndexError, ValueError, OverflowError) as error:
            raise CompressionFault(str(error)) from error

    def limit_encoder(self, size: int) -> None:
        """See :meth:`Codec.limit_encoder`."""
        self._encoder.header_table_size = size
