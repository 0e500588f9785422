"""The grammar and the budget of a chunked body (RFC 9112 §7.1), held above every codec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reqivo_core.errors import RemoteProtocolError
from reqivo_http11.framing import TRAILERS, malformed, parse_trailers, section_end

if TYPE_CHECKING:
    from reqivo_core.headers import Headers
    from reqivo_core.limits import Limits

FRAMING_PER_OCTET = 8
"""Octets of framing granted for each octet of content, beyond ``max_chunk_overhead``: chunks of one octet need five."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_QUOTED = rb'"(?:[^\x00-\x08\n-\x1f\x7f"\\]|\\[^\x00-\x08\n-\x1f\x7f])*+"'
_EXTENSION = rb";" + _TOKEN + rb"++(?:=(?:" + _QUOTED + rb"|" + _TOKEN + rb"*+))?+"
_match_size = re.compile(rb"([0-9A-Fa-f]{1,16}+)(?:" + _EXTENSION + rb")*+\r\n").match
_could_grow = re.compile(
    rb"(?:[0-9A-Fa-f]{0,16}+|[0-9A-Fa-f]{1,16}+;[^\x00-\x08\n\x0b-\x0c\x0e-\x1f\x7f]*+)\r?"
).fullmatch


class ChunkScanner:
    """Walks through the framing of one body before an engine decodes it, so that all engines accept the same.

    No whitespace is tolerated around a chunk-size or in extensions; a size has at most 16 digits.

    Attributes:
        is_complete: Whether the body ended, trailers included.
        end: Where in the octets scanned last the last chunk's line ends, once it has come.
        trailers: The trailer section, where there was one.
    """

    __slots__ = ("_budget", "_left", "_limits", "_owes_line_end", "_scanned", "end", "is_complete", "trailers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budget = limits.max_chunk_overhead
        self._left = 0
        self._owes_line_end = False
        self._scanned = -1  # octets of the trailer section that were looked at; -1 before it begins
        self.is_complete = False
        self.end = 0
        self.trailers: Headers | None = None

    def scan(self, buffer: bytes) -> int:
        """Walk on.

        Args:
            buffer: What the scan before did not understand, and what has come since.

        Returns:
            How many octets were understood: whole lines, and content as far as it is there.

        Raises:
            RemoteProtocolError: The framing is malformed, or more of it came than the budget allows.
            HeadersTooLarge: The trailer section passed the limits.
        """
        if self._scanned >= 0:
            self.end = 0
            return self._scan_trailers(buffer, 0)
        position = 0
        while True:
            if self._left or self._owes_line_end:
                position = self._pass_content(buffer, position)
                if self._left or self._owes_line_end:
                    return position
            match = _match_size(buffer, position)
            if match is None:
                self._check_partial_line(buffer, position)
                return position
            self._spend(match.end() - position + 2)
            position = match.end()
            self._left = int(match[1], 16)
            if not self._left:
                self.end = position
                return self._scan_trailers(buffer, position)

    def _pass_content(self, buffer: bytes, position: int) -> int:
        """Step over content and the line end that belongs to it, as far as they are there."""
        if self._left:
            taken = min(self._left, len(buffer) - position)
            self._budget += taken * FRAMING_PER_OCTET
            self._left -= taken
            position += taken
            if self._left:
                return position
            self._owes_line_end = True
        if buffer.startswith(b"\r\n", position):
            self._owes_line_end = False
            return position + 2
        if buffer[position : position + 2] not in (b"", b"\r"):
            raise malformed("a chunk that goes on after its size", buffer[position : position + 80])
        return position

    def _check_partial_line(self, buffer: bytes, position: int) -> None:
        """Refuse the beginning of a chunk-size line that can come to nothing, or costs too much already."""
        if not _could_grow(buffer, position):
            raise malformed("a malformed chunk-size line", buffer[position : position + 80])
        if len(buffer) - position > self._budget:
            self._spend(len(buffer) - position)

    def _spend(self, octets: int) -> None:
        self._budget -= octets
        if self._budget < 0:
            raise RemoteProtocolError(
                "the server sent far more chunk framing than content: if that is expected, raise "
                f"Limits(max_chunk_overhead=…), now {self._limits.max_chunk_overhead} octets",
                phase="body",
            )

    def _scan_trailers(self, buffer: bytes, position: int) -> int:
        if buffer.startswith(b"\r\n", position):
            self.is_complete = True
            return position + 2
        end = section_end(buffer, TRAILERS, self._limits, position, position + max(self._scanned, 0))
        self._scanned = len(buffer) - position
        if end < 0:
            return position
        self.trailers = parse_trailers(buffer[position:end], self._limits)
        self.is_complete = True
        return end
