"""Content-codings beyond core's: ``br`` (RFC 7932) and ``zstd`` (RFC 8878), and request bodies sent encoded.

The libraries that do the work are imported when the first body needs them. Decoders keep to core's contract: as many
octets at a time as are wanted, whatever the input would swell to.
"""

from __future__ import annotations

import sys
import zlib
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol

from reqivo_core.content import BytesContent, Content, ContentReader
from reqivo_core.errors import DecodeError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from reqivo_core import Request

_ZSTD: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_WINDOW_LOG: Final = 23
"""8 MiB, the most that a zstd body may make its receiver remember (RFC 9659 §3)."""
_SLICE: Final = 16 * 1024
"""Octets that a decoder is given at a time; what it cannot take yet waits here, not in its own buffers."""


class BrotliDecoder:
    """Undoes ``br``; used as ``reqivo_core.codings.Decoder`` says."""

    def __init__(self) -> None:
        self._brotli: Any = import_module("brotli").Decompressor()
        self._input = b""
        self._output = b""
        self._is_full = False

    @property
    def pending(self) -> bool:
        """Whether there may be more to get from what was given already."""
        return self._is_full or bool(self._output or self._input)

    def decode(self, data: bytes, max_length: int, /) -> bytes:
        """Take octets and give decoded ones."""
        self._input += data
        while len(self._output) < max_length and self._step(max_length):
            pass
        piece, self._output = self._output[:max_length], self._output[max_length:]
        return piece

    def _step(self, max_length: int) -> bool:
        """Decode a little; it may give somewhat more than it was asked for. Tells whether there was anything to do."""
        part = b""
        if not self._is_full:
            part, self._input = self._input[:_SLICE], self._input[_SLICE:]
            if not part:
                return False
        limit = max_length - len(self._output)
        piece = self._brotli.process(part, output_buffer_limit=limit)
        # Where it stopped for want of room it may still hold input, whatever can_accept_more_data() says.
        self._is_full = len(piece) >= limit and not self._brotli.is_finished()
        self._output += piece
        return True

    def flush(self) -> bytes:
        """Mark the end of the body."""
        if not self._brotli.is_finished():
            raise DecodeError("br: the body ended before its coding did; it was cut short", phase="body")
        return b""


class ZstdDecoder:
    """Undoes ``zstd``: one frame or several; used as ``reqivo_core.codings.Decoder`` says."""

    def __init__(self) -> None:
        self._zstd = import_module(_ZSTD)
        self._input = b""
        self._frame: Any = None

    @property
    def pending(self) -> bool:
        """Whether there may be more to get from what was given already."""
        return bool(self._input) or (self._frame is not None and not self._frame.needs_input)

    def decode(self, data: bytes, max_length: int, /) -> bytes:
        """Take octets and give decoded ones."""
        self._input += data
        pieces: list[bytes] = []
        room = max_length
        while room > 0 and self.pending:
            pieces.append(self._step(room))
            room -= len(pieces[-1])
        return b"".join(pieces)

    def _step(self, room: int) -> bytes:
        """Decode a little."""
        if self._frame is None:
            limit = {self._zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
            self._frame = self._zstd.ZstdDecompressor(options=limit)
        part = b""
        if self._frame.needs_input:
            part, self._input = self._input[:_SLICE], self._input[_SLICE:]
        piece: bytes = self._frame.decompress(part, room)
        if self._frame.eof:
            self._input = self._frame.unused_data + self._input
            self._frame = None
        return piece

    def flush(self) -> bytes:
        """Mark the end of the body."""
        if self._frame is not None:
            raise DecodeError("zstd: the body ended before its coding did; it was cut short", phase="body")
        return b""


def installed_codings() -> Mapping[str, Callable[[], Any]]:
    """The decoders whose libraries are there: what is not cannot be asked for."""
    known = {"br": (BrotliDecoder, "brotli"), "zstd": (ZstdDecoder, _ZSTD)}
    return {name: decoder for name, (decoder, library) in known.items() if _is_installed(library)}


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


class Encoder(Protocol):
    """Applies a coding."""

    def compress(self, data: Any, /) -> bytes:
        """Take octets; give encoded ones, perhaps none yet."""

    def flush(self) -> bytes:
        """Give what is left."""


class _BrotliEncoder:
    def __init__(self) -> None:
        self._brotli: Any = import_module("brotli").Compressor(quality=5)  # 11, the default, takes seconds for a MiB

    def compress(self, data: Any, /) -> bytes:
        return bytes(self._brotli.process(bytes(data)))

    def flush(self) -> bytes:
        return bytes(self._brotli.finish())


def _zstd_encoder() -> Encoder:
    encoder: Encoder = import_module(_ZSTD).ZstdCompressor()
    return encoder


_ENCODERS: Final[Mapping[str, Callable[[], Encoder]]] = {
    "gzip": lambda: zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS),
    "deflate": zlib.compressobj,
    "br": _BrotliEncoder,
    "zstd": _zstd_encoder,
}


def compress_flow(coding: str | None) -> Callable[[Request], Generator[Any, Any, Any]] | None:
    """Make the flow of ``compress=``: it encodes the bodies of requests that have no Content-Encoding of their own.

    Args:
        coding: ``gzip``, ``deflate``, ``br`` or ``zstd``. Only the caller can know whether the server takes it (RFC
            9110 §8.4): a server that does not answers 415. None encodes nothing.

    Raises:
        InvalidRequest: It is none of these.
    """
    if coding is None:
        return None
    make = _ENCODERS.get(coding) if isinstance(coding, str) else None
    if make is None:
        raise InvalidRequest(f"compress={coding!r}: give one of {', '.join(_ENCODERS)}")

    def flow(request: Request) -> Generator[Any, Any, Any]:
        if request.content.length == 0 or "content-encoding" in request.headers:
            return (yield request)
        encoded = request.copy()
        encoded.content = encoded_content(request.content, make)
        encoded.headers["Content-Encoding"] = coding
        encoded.headers.discard("content-length")
        return (yield encoded)

    return flow


def encoded_content(content: Content, make: Callable[[], Encoder]) -> Content:
    """A body, encoded: at once if it lies in memory, else while it is sent, when its length is not known."""
    if content.data is None:
        return _EncodedContent(content, make)
    encoder = make()
    return BytesContent(encoder.compress(content.data) + encoder.flush(), content.content_type)


class _EncodedContent(Content):
    """A body that is encoded while it is sent."""

    def __init__(self, content: Content, make: Callable[[], Encoder]) -> None:
        self._content = content
        self._make = make
        self.content_type = content.content_type
        self.is_replayable = content.is_replayable
        self.is_async = content.is_async

    def open(self) -> ContentReader:
        """Begin a pass over the body."""
        return _EncodedReader(self._content.open(), self._make())


class _EncodedReader(ContentReader):
    def __init__(self, reader: ContentReader, encoder: Encoder) -> None:
        self._reader = reader
        self._encoder: Encoder | None = encoder

    async def read_chunk(self) -> bytes:
        while self._encoder is not None:
            chunk = await self._reader.read_chunk()
            if chunk:
                encoded = self._encoder.compress(chunk)
            else:
                encoded = self._encoder.flush()
                self._encoder = None
            if encoded:
                return encoded
        return b""

    def close(self) -> None:
        self._reader.close()

    async def aclose(self) -> None:
        await self._reader.aclose()
