"""The fast codec: llhttp, by way of httptools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from reqivo_http11.codec import Codec, Head
from reqivo_http11.framing import malformed, with_one_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.headers import RawHeaders

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class _HeadSink:
    """Takes a parser's calls about heads. Sinks know nothing of their parsers, so that the two make no cycle."""

    __slots__ = ("fields", "is_complete", "on_status", "reason")

    on_status: Callable[[bytes], None]

    def __init__(self) -> None:
        self.reason: list[bytes] = []
        self.on_status = self.reason.append
        self.clear()

    def clear(self) -> None:
        """Make ready for the next head."""
        self.reason.clear()
        self.fields: RawHeaders = []
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.is_complete = True


class _ContentSink:
    """Takes a parser's calls about content."""

    __slots__ = ("content", "on_body")

    on_body: Callable[[bytes], None]

    def __init__(self) -> None:
        self.content: list[bytes] = []
        self.on_body = self.content.append


class HttptoolsCodec(Codec):
    """Parses with llhttp.

    Each head and each body gets a parser of its own: making one costs less than to bring the last one into a known
    state.
    """

    __slots__ = ("_chunk_parser", "_content", "_head")

    _chunk_parser: HttpResponseParser

    def __init__(self) -> None:
        self._head = _HeadSink()
        self._content: list[bytes] = []

    def receive_head(self, section: bytes) -> Head:
        """Take a head apart."""
        try:
            parser = self._parse_head(section)
        except HttpParserError as error:
            repaired = with_one_length(section)
            if repaired is None:
                raise malformed(f"a head that llhttp refuses ({error})", section) from error
            return self.receive_head(repaired)
        head = self._head
        fields = head.fields
        head.fields = []
        if b" \r\n" in section or b"\t\r\n" in section:
            fields = [(name, value.rstrip(b" \t")) for name, value in fields]
        return Head(parser.get_http_version(), parser.get_status_code(), b"".join(head.reason).strip(b" \t"), fields)

    def _parse_head(self, section: bytes) -> HttpResponseParser:
        head = self._head
        head.clear()
        parser = HttpResponseParser(head)
        try:
            parser.feed_data(section)
        except (HttpParserError, HttpParserUpgrade):
            # llhttp pauses after a 101 in one of these ways.
            if not head.is_complete:
                raise
        return parser

    def start_chunked(self) -> None:
        """Expect a chunked body.

        llhttp overlooks ``chunked`` when a HTAB follows it and would take the chunks for content, so this parser gets
        a head that leaves no doubt.
        """
        sink = _ContentSink()
        self._content = sink.content
        self._chunk_parser = HttpResponseParser(sink)
        self._chunk_parser.feed_data(_CHUNKED)

    def receive_chunked(self, data: bytes) -> bytes:
        """Decode octets of a chunked body."""
        content = self._content
        try:
            self._chunk_parser.feed_data(data)
            return content[0] if len(content) == 1 else b"".join(content)
        except HttpParserError as error:
            raise malformed(f"a chunked body that llhttp refuses ({error})", data) from error
        finally:
            content.clear()
