"""The fast codec: llhttp, by way of httptools."""

from __future__ import annotations

from httptools import HttpParserError, HttpResponseParser

from reqivo_http11.codec import Codec
from reqivo_http11.framing import malformed

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class _ContentSink:
    """Takes a parser's calls. It knows nothing of its parser, so that the two make no cycle."""

    __slots__ = ("content", "on_body")

    def __init__(self) -> None:
        self.content: list[bytes] = []
        self.on_body = self.content.append


class HttptoolsCodec(Codec):
    """Decodes chunks with llhttp.

    It leaves heads as the grammar has found them: to have llhttp read them once more, with a call for each line, would
    cost twice as much as all the rest that is done about a head.

    Each body gets a parser of its own: making one costs less than to bring the last one into a known state.
    """

    __slots__ = ("_chunk_parser", "_content")

    _chunk_parser: HttpResponseParser
    _content: list[bytes]

    def start_chunked(self) -> None:
        """Expect a chunked body.

        The parser gets a head that leaves no doubt, whatever the real one looked like.
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
