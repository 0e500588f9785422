"""Splitters: cut a stream of octets into what a caller wants to iterate over. Pure; fed chunk by chunk."""

from __future__ import annotations

import codecs
import re
from typing import Protocol, TypeVar

from reqivo_core.errors import BodyTooLarge, InvalidRequest

_line_end = re.compile("\r\n|\n|\r")
T = TypeVar("T")

MAX_LINE = 16 * 1024 * 1024
"""Characters of one line: where no end comes, what is held must have one."""


class Splitter(Protocol[T]):
    """What all of them do."""

    def feed(self, data: bytes) -> list[T]:
        """Take octets; give what is complete."""

    def end(self) -> list[T]:
        """Give what is left."""


class AsTheyCome:
    """Chunks as the connection delivered them."""

    def feed(self, data: bytes) -> list[bytes]:
        """See Splitter."""
        return [data]

    def end(self) -> list[bytes]:
        """See Splitter."""
        return []


class ExactChunks:
    """Chunks of one size; the last may be shorter."""

    def __init__(self, size: int) -> None:
        """Make one.

        Args:
            size: Octets in a chunk.

        Raises:
            InvalidRequest: It is no whole number of at least 1.
        """
        if not isinstance(size, int) or size < 1:
            raise InvalidRequest(f"chunk_size={size!r}: give a whole number of at least 1")
        self._size = size
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """See Splitter."""
        size = self._size
        if self._rest:
            data = self._rest + data
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        return [data[start : start + size] for start in range(0, whole, size)]

    def end(self) -> list[bytes]:
        """See Splitter."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class TextChunks:
    """Text as its octets come; a character is never cut."""

    def __init__(self, encoding: str) -> None:
        """Make one.

        Args:
            encoding: A codec of Python's. What it cannot decode becomes U+FFFD.
        """
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")

    def feed(self, data: bytes) -> list[str]:
        """See Splitter."""
        text = self._decode(data)
        return [text] if text else []

    def end(self) -> list[str]:
        """See Splitter."""
        text = self._decode(b"", True)
        return [text] if text else []

    def _decode(self, data: bytes, is_last: bool = False) -> str:
        try:
            return self._decoder.decode(data, is_last)
        except UnicodeError:  # UTF-16 or UTF-32 without a byte order mark: little-endian, as nearly everybody means it
            held, _ = self._decoder.getstate()
            self._decoder = codecs.getincrementaldecoder(f"{codecs.lookup(self._encoding).name}-le")("replace")
            return self._decoder.decode(held + data, is_last)


class Lines:
    """Lines of text, cut at CR LF, LF or CR wherever the chunks were cut; given without their ends."""

    def __init__(self, encoding: str) -> None:
        """Make one.

        Args:
            encoding: See TextChunks.
        """
        self._text = TextChunks(encoding)
        self._pieces: list[str] = []
        self._held = 0
        self._ended_with_cr = False

    def feed(self, data: bytes) -> list[str]:
        """Take octets; give the lines that they complete.

        Raises:
            BodyTooLarge: A line has more than MAX_LINE characters.
        """
        return [line for text in self._text.feed(data) for line in self._cut(text)]

    def _cut(self, text: str) -> list[str]:
        """Take a piece that is not empty; give the lines that end in it."""
        if self._ended_with_cr and text[0] == "\n":  # the LF of a CR LF that was cut in two
            text = text[1:]
            self._ended_with_cr = False
            if not text:
                return []
        self._ended_with_cr = text[-1] == "\r"
        *complete, rest = _line_end.split(text)
        lines = []
        for line in complete:
            self._pieces.append(line)
            lines.append("".join(self._pieces))
            self._pieces = []
            self._held = 0
        if rest:
            self._pieces.append(rest)
            self._held += len(rest)
            if self._held > MAX_LINE:
                raise BodyTooLarge(
                    f"a line of the body has more than {MAX_LINE} characters; read it with iter_text or iter_bytes",
                    phase="body",
                )
        return lines

    def end(self) -> list[str]:
        """See Splitter."""
        lines = [line for text in self._text.end() for line in self._cut(text)]
        last, self._pieces = "".join(self._pieces), []
        return [*lines, last] if last else lines


_not_of_texts = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape"})
"""Codecs of names and of literals: they cannot put U+FFFD for what they do not know, or warn of it."""


def known_encoding(name: str) -> str | None:
    """The name if Python has a codec for texts by it, else None."""
    try:
        "".encode(name)  # refuses the codecs that do not make octets of text
    except (LookupError, ValueError):
        return None
    return None if codecs.lookup(name).name in _not_of_texts else name
