"""Receiving: a connection's incoming half, without I/O. Octets go in; heads, content and ends come out.

Three receivers, one for each way to find a body's end, have the same face; :class:`HeadReceiver` chooses one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reqivo_core.errors import IncompleteBody, RemoteProtocolError
from reqivo_http11.chunked import ChunkScanner
from reqivo_http11.framing import (
    HEADERS,
    LARGE_READ,
    READ_SIZE,
    Framing,
    Kind,
    decide,
    disconnected,
    malformed,
    parse_head,
    section_end,
)

if TYPE_CHECKING:
    from reqivo_core.headers import Headers
    from reqivo_core.limits import Limits
    from reqivo_http11.codec import Codec, Head

_BEGINNING = b"HTTP/1."
_SWITCHING_PROTOCOLS = 101


class HeadReceiver:
    """Receives the heads of the responses on one connection, interim and final.

    Attributes:
        rest: Octets after the head that was received last.
        framing: The decision on it.
    """

    __slots__ = ("_asks_upgrade", "_buffer", "_codec", "_interim", "_limits", "_method", "_scanned", "framing", "rest")

    _buffer: bytes | bytearray
    _limits: Limits
    framing: Framing

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._buffer = b""
        self.rest = b""

    def start(self, method: str, limits: Limits, asks_upgrade: bool = False) -> None:
        """Expect the response to a request.

        Args:
            method: The request's method.
            limits: The limits to hold it to.
            asks_upgrade: Whether the request offers to switch protocols.
        """
        self._method = method
        self._limits = limits
        self._asks_upgrade = asks_upgrade
        self._interim = 0
        self._scanned = 0
        self._buffer = b""

    @property
    def has_begun(self) -> bool:
        """Whether any octet of an answer has come."""
        return bool(self._buffer or self._interim)

    def receive(self, data: bytes) -> Head | None:
        """Take octets.

        Args:
            data: What came. To look for a head behind an interim one, pass ``rest``.

        Returns:
            A head, interim or final, once it is there.

        Raises:
            HeadersTooLarge: It passed the limits, however it was cut into segments.
            RemoteProtocolError: It is malformed or not asked for, or one interim response too many.
        """
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
        end = section_end(buffer, HEADERS, self._limits, 0, self._scanned)
        if end < 0:
            if not buffer.startswith(_BEGINNING) and not _BEGINNING.startswith(buffer[:7]):
                raise malformed("what is no HTTP/1.1 response", bytes(buffer[:256]))
            self._buffer = bytearray(buffer) if buffer is data else buffer
            self._scanned = len(buffer)
            self.rest = b""
            return None
        if buffer is not data:
            data = bytes(buffer)
            self._buffer = b""
            self._scanned = 0
        section = data[:end]
        self.rest = data[end:]
        head = self._codec.receive_head(section, parse_head(section, self._limits))
        self.framing = decide(self._method, head)
        if head.status < 200:
            self._check_interim(head)
        return head

    def _check_interim(self, head: Head) -> None:
        if head.status == _SWITCHING_PROTOCOLS:
            if not self._asks_upgrade:
                raise RemoteProtocolError("the server switched protocols (101), which was not asked for", phase="read")
            return
        self._interim += 1
        if self._interim > self._limits.max_informational:
            raise RemoteProtocolError(
                f"the server sent more than {self._limits.max_informational} interim responses (1xx): "
                "if that is expected, raise Limits(max_informational=…)",
                phase="read",
            )

    def end(self) -> Exception:
        """The error for a connection that ended before the head did."""
        if self._buffer:
            return malformed("an incomplete header section and closed the connection", bytes(self._buffer[-256:]))
        if self._interim:
            return RemoteProtocolError("the server closed the connection after an interim response (1xx)", phase="read")
        return disconnected("the server closed the connection without answering", "read")

    def body(self) -> BodyReceiver:
        """The receiver of the body that follows the head received last."""
        framing = self.framing
        if framing.kind is Kind.CHUNKED:
            return ChunkedReceiver(self._codec, self._limits)
        if framing.kind is Kind.UNTIL_CLOSE:
            return BodyReceiver()
        return LengthReceiver(framing.length)


class BodyReceiver:
    """Receives a body that ends with the connection (RFC 9112 §6.3, rule 8); what the others have in common.

    Attributes:
        length: Octets announced; None where the framing does not say.
        received: Octets of content so far.
        is_complete: Whether it ended.
        has_surplus: Whether octets came after its end.
        trailers: The trailer section, where there was one.
    """

    __slots__ = ("has_surplus", "is_complete", "length", "received", "trailers")

    def __init__(self, length: int | None = None) -> None:
        self.length = length
        self.received = 0
        self.is_complete = False
        self.has_surplus = False
        self.trailers: Headers | None = None

    @property
    def read_size(self) -> int:
        """How many octets to ask of the stream."""
        return LARGE_READ if self.received >= LARGE_READ else READ_SIZE

    def receive(self, data: bytes) -> bytes:
        """Take octets.

        Returns:
            The content in them; maybe none.

        Raises:
            RemoteProtocolError: They are malformed.
        """
        self.received += len(data)
        return data

    def receive_end(self) -> None:
        """Take note that the connection ended cleanly.

        Raises:
            IncompleteBody: The body had not.
        """
        self.is_complete = True

    def incomplete(self, why: str) -> IncompleteBody:
        """The error for a body that ended early."""
        of = "" if self.length is None else f" of {self.length}"
        return IncompleteBody(
            f"{why} after {self.received}{of} octets of the body: what came is not the whole response",
            received=self.received,
            expected=self.length,
        )


class LengthReceiver(BodyReceiver):
    """Receives a body of known length. No engine is asked: it could but count."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self._left = length
        self.is_complete = not length

    @property
    def read_size(self) -> int:
        """How many octets to ask of the stream."""
        return LARGE_READ if self._left >= LARGE_READ else READ_SIZE

    def receive(self, data: bytes) -> bytes:
        """Take octets."""
        left = self._left
        if len(data) >= left:
            self.is_complete = True
            if len(data) > left:
                self.has_surplus = True
                data = data[:left]
        self._left -= len(data)
        self.received += len(data)
        return data

    def receive_end(self) -> None:
        """Take note that the connection ended cleanly."""
        raise self.incomplete("the server closed the connection")


class ChunkedReceiver(BodyReceiver):
    """Receives a chunked body: scanned above, decoded by the codec."""

    __slots__ = ("_codec", "_held", "_scanner")

    def __init__(self, codec: Codec, limits: Limits) -> None:
        super().__init__()
        self._codec = codec
        codec.start_chunked()
        self._scanner = ChunkScanner(limits)
        self._held = b""

    def receive(self, data: bytes) -> bytes:
        """Take octets."""
        scanner = self._scanner
        buffer = self._held + data if self._held else data
        understood = scanner.scan(buffer)
        self._held = buffer[understood:]
        if scanner.is_complete:
            # Trailers were taken apart above; for the engine there were none.
            content = self._codec.receive_chunked(buffer[: scanner.end] + b"\r\n")
            self.is_complete = True
            self.has_surplus = bool(self._held)
            self.trailers = scanner.trailers
        else:
            content = self._codec.receive_chunked(buffer[:understood]) if understood else b""
        self.received += len(content)
        return content

    def receive_end(self) -> None:
        """Take note that the connection ended cleanly."""
        raise self.incomplete("the server closed the connection")
