"""The fast codec: llhttp, by way of httptools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from reqivo_http11.codec import Codec, Head
from reqivo_http11.framing import malformed, with_one_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.headers import RawHeaders


class _Sink:
    """Takes the parser's calls. It knows nothing of the parser, so that the two make no cycle."""

    __slots__ = ("content", "fields", "has_head", "on_body", "on_status", "reason")

    on_body: Callable[[bytes], None]
    on_status: Callable[[bytes], None]

    def __init__(self) -> None:
        self.content: list[bytes] = []
        self.on_body = self.content.append
        self.reason: list[bytes] = []
        self.on_status = self.reason.append
        self.fields: RawHeaders = []
        self.has_head = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.has_head = True


class HttptoolsCodec(Codec):
    """Parses with llhttp."""

    __slots__ = ("_parser", "_sink")

    def __init__(self) -> None:
        self._sink = _Sink()
        self._parser = HttpResponseParser(self._sink)

    def receive_head(self, section: bytes) -> Head:
        """Take a head apart."""
        try:
            self._parse_head(section)
        except HttpParserError as error:
            repaired = with_one_length(section)
            if repaired is None:
                raise malformed(f"a head that llhttp refuses ({error})", section) from error
            return self.receive_head(repaired)
        sink = self._sink
        fields = sink.fields
        if b" \r\n" in section or b"\t\r\n" in section:
            fields = [(name, value.rstrip(b" \t")) for name, value in fields]
        parser = self._parser
        return Head(parser.get_http_version(), parser.get_status_code(), b"".join(sink.reason).rstrip(b" \t"), fields)

    def _parse_head(self, section: bytes) -> None:
        # A new parser costs less than bringing one out of whatever body its last head announced.
        sink = self._sink
        sink.fields = []
        sink.reason.clear()
        sink.has_head = False
        parser = self._parser = HttpResponseParser(sink)
        try:
            parser.feed_data(section)
        except (HttpParserError, HttpParserUpgrade):
            # llhttp pauses after a 101 in one of these ways.
            if not sink.has_head:
                raise

    def receive_chunked(self, data: bytes) -> bytes:
        """Decode octets of a chunked body."""
        content = self._sink.content
        try:
            self._parser.feed_data(data)
            return content[0] if len(content) == 1 else b"".join(content)
        except HttpParserError as error:
            raise malformed(f"a chunked body that llhttp refuses ({error})", data) from error
        finally:
            content.clear()
