"""Framing: the rules of RFC 9112 that stand above every codec. All of it is pure.

What a server sends is held to the grammar before an engine sees it: CRLF ends every line, nothing is folded, no control
character but HTAB stands in a value, no whitespace before a colon. Tolerated beyond the grammar are exactly: a status
line without its reason phrase and the space before it, and a Content-Length that is repeated with the same value.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from reqivo_core.errors import HeadersTooLarge, RemoteProtocolError, ServerDisconnected, excerpt

if TYPE_CHECKING:
    from reqivo_core.headers import RawHeaders
    from reqivo_core.limits import Limits
    from reqivo_http11.codec import Head

READ_SIZE = 64 * 1024
"""Octets asked of the stream at a time."""
LARGE_READ = 256 * 1024
"""Octets asked of the stream at a time while at least as many are known to come."""

MAX_LENGTH = 2**64 - 1
"""The largest Content-Length or chunk-size: what fits into 64 bits."""

# Possessive quantifiers: a line that does not match is given up at once, whatever its length.
_TEXT = rb"[^\x00-\x08\n-\x1f\x7f]*+"
_FIELD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:" + _TEXT
_STATUS = rb"HTTP/1\.[01] [1-9][0-9][0-9](?: " + _TEXT + rb")?"
_is_head = re.compile(_STATUS + rb"\r\n(?:" + _FIELD + rb"\r\n)*+\r\n").fullmatch
_is_trailers = re.compile(rb"(?:" + _FIELD + rb"\r\n)++\r\n").fullmatch
_is_status_line = re.compile(_STATUS).fullmatch
_is_field_line = re.compile(_FIELD).fullmatch
_find_bare = re.compile(rb"\x00|(?<!\r)\n|\r(?=[^\n])").search
_split_fields = re.compile(rb"([^:\r\n]++):[ \t]*+([^\r\n]*+)\r\n").findall
_is_length = re.compile(rb"[0-9]{1,20}").fullmatch


class Kind(IntEnum):
    """How a response's end is found (RFC 9112 §6.3)."""

    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3
    TUNNEL = 4


class Framing(NamedTuple):
    """What a head says about its body and its connection.

    Attributes:
        kind: How the end is found.
        length: Octets to come; 0 but for ``Kind.LENGTH``.
        keeps_alive: Whether the server will keep the connection open (RFC 9112 §9.3).
    """

    kind: Kind
    length: int
    keeps_alive: bool


def malformed(what: str, data: bytes) -> RemoteProtocolError:
    """The error for octets that are not HTTP/1.1, which it shows escaped and cut."""
    return RemoteProtocolError(f"the server sent {what}: {excerpt(data)}", phase="read")


def disconnected(message: str, phase: str) -> ServerDisconnected:
    """The error for a connection that ended before the first octet of an answer."""
    error = ServerDisconnected(message, phase=phase)
    error.response_started = False
    return error


HEADERS = "header section"
TRAILERS = "trailer section"
_OPTIONS = {HEADERS: "max_response_headers", TRAILERS: "max_trailers"}


def section_end(buffer: bytes | bytearray, what: str, limits: Limits, start: int = 0, scanned: int = 0) -> int:
    """Find the empty line that ends a header or trailer section.

    Args:
        buffer: What has come.
        what: ``HEADERS`` or ``TRAILERS``.
        limits: The limits.
        start: Where the section begins in the buffer.
        scanned: Up to where the buffer was looked at before.

    Returns:
        The place after the section; -1 while it is not there.

    Raises:
        HeadersTooLarge: It passed the limit, or one of its lines passed ``max_line``.
        RemoteProtocolError: It holds a bare CR or LF or a NUL, so its end may never come.
    """
    limit: int = getattr(limits, _OPTIONS[what])
    bound = start + limit
    end = buffer.find(b"\r\n\r\n", max(start, scanned - 3), bound)
    if end >= 0:
        return end + 4
    if bare := _find_bare(buffer, max(start, scanned - 1), bound):
        raise malformed(
            f"a {what} with a bare CR, LF or NUL", bytes(buffer[max(start, bare.start() - 80) : bare.end()])
        )
    length = len(buffer) - start
    if length >= limit:
        raise _too_large(what, f"is longer than {limit} octets", _OPTIONS[what])
    if length > limits.max_line and len(buffer) - 1 - buffer.rfind(b"\n", start) > limits.max_line:
        raise _too_large(what, f"has a line longer than {limits.max_line} octets", "max_line")
    return -1


def _too_large(what: str, problem: str, limit: str) -> HeadersTooLarge:
    """The error for a section over a limit."""
    return HeadersTooLarge(f"the server's {what} {problem}: if that is expected, raise Limits({limit}=…)", phase="read")


def _check_section(section: bytes, field_count: int, limits: Limits, what: str) -> None:
    """Hold a complete section to the limits on the number and length of its lines."""
    if field_count > limits.max_response_fields:
        raise _too_large(what, f"has more than {limits.max_response_fields} field lines", "max_response_fields")
    if len(section) > limits.max_line and max(map(len, section.split(b"\r\n"))) > limits.max_line:
        raise _too_large(what, f"has a line longer than {limits.max_line} octets", "max_line")


def check_head(section: bytes, limits: Limits) -> None:
    """Hold a complete head, empty line included, to the limits and the grammar (RFC 9112 §4, §5).

    Raises:
        HeadersTooLarge: Too many lines, or one too long.
        RemoteProtocolError: It is no head of HTTP/1.0 or HTTP/1.1.
    """
    _check_section(section, section.count(b"\r\n") - 2, limits, HEADERS)
    if not _is_head(section):
        status_line, *fields = section.split(b"\r\n")
        if not _is_status_line(status_line):
            raise malformed("what is no HTTP/1.1 status line", status_line)
        raise malformed("a malformed header line", _offender(fields))


def parse_trailers(section: bytes, limits: Limits) -> RawHeaders:
    """Take a complete trailer section apart (RFC 9112 §7.1.2).

    Args:
        section: One field line or more, and the empty line.
        limits: The limits.

    Returns:
        The lines. They are never merged into the header section, so none of them can frame, authenticate or route.

    Raises:
        HeadersTooLarge: Too many lines, or one too long.
        RemoteProtocolError: It is malformed.
    """
    _check_section(section, section.count(b"\r\n") - 1, limits, TRAILERS)
    if not _is_trailers(section):
        raise malformed("a malformed trailer line", _offender(section.split(b"\r\n")))
    return field_lines(section)


def _offender(lines: list[bytes]) -> bytes:
    """The first line that is no field line."""
    return next((line for line in lines if not _is_field_line(line)), b"")


def field_lines(section: bytes) -> RawHeaders:
    """The names and values of field lines that have passed the grammar."""
    return [(name, value.rstrip(b" \t")) for name, value in _split_fields(section)]


def with_one_length(section: bytes) -> bytes | None:
    """Let one Content-Length stand for several of the same value, as RFC 9112 §6.3 allows, for an engine that does not.

    Args:
        section: A head that has passed the grammar.

    Returns:
        The head with one Content-Length line; None where they differ, or where nothing was repeated.
    """
    status_line, _, rest = section.partition(b"\r\n")
    fields = field_lines(rest)
    values = [
        member.strip(b" \t")
        for name, value in fields
        if name.lower() == b"content-length"
        for member in value.split(b",")
    ]
    if len(values) < 2 or len(set(values)) > 1:
        return None
    kept = [name + b": " + value for name, value in fields if name.lower() != b"content-length"]
    return b"\r\n".join([status_line, *kept, b"Content-Length: " + values[0], b"", b""])


_FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding", b"connection"})


def decide(method: str, head: Head) -> Framing:
    """Decide how a response is framed (RFC 9112 §6.3).

    Args:
        method: The request's method.
        head: The response's head.

    Returns:
        The decision.

    Raises:
        RemoteProtocolError: Its Content-Length or Transfer-Encoding cannot be relied upon: both are there, one is
            malformed, or the transfer coding is not exactly ``chunked`` on HTTP/1.1.
    """
    length = coding = None
    connection = b""
    for name, value in head.fields:
        lower = name.lower()
        if lower in _FRAMING_FIELDS:
            if lower == b"connection":
                connection += b"," + value
            elif lower == b"content-length":
                length = _parsed_length(length, value)
            else:
                coding = value if coding is None else coding + b", " + value
    if coding is not None:
        _check_coding(head, coding, length)
    keeps_alive = _keeps_alive(head.version, connection)
    status = head.status
    if method == "CONNECT" and 200 <= status < 300:
        return Framing(Kind.TUNNEL, 0, False)
    if method == "HEAD" or status == 204 or status == 304 or status < 200:
        return Framing(Kind.NONE, 0, keeps_alive)
    if coding is not None:
        return Framing(Kind.CHUNKED, 0, keeps_alive)
    if length is None:
        return Framing(Kind.UNTIL_CLOSE, 0, False)
    return Framing(Kind.LENGTH, length, keeps_alive)


def _parsed_length(known: int | None, value: bytes) -> int:
    """A Content-Length, which must agree with one that came before."""
    length = int(value) if _is_length(value) else -1
    if not 0 <= length <= MAX_LENGTH or known not in (None, length):
        raise malformed("a Content-Length that is no number, too large, or one of several that differ", value)
    return length


def _check_coding(head: Head, coding: bytes, length: int | None) -> None:
    """Refuse a Transfer-Encoding that two recipients could read differently (RFC 9112 §6.1, §11.2)."""
    if coding.lower() != b"chunked":
        raise malformed("a Transfer-Encoding other than chunked", coding)
    if head.version != "1.1":
        raise malformed("a Transfer-Encoding in HTTP/1.0", coding)
    if length is not None:
        raise malformed("both Transfer-Encoding and Content-Length (a sign of response splitting)", b"%d" % length)


def _keeps_alive(version: str, connection: bytes) -> bool:
    """Whether the connection persists (RFC 9112 §9.3)."""
    if not connection:
        return version == "1.1"
    options = [option.strip(b" \t") for option in connection.lower().split(b",")]
    return b"close" not in options and (version == "1.1" or b"keep-alive" in options)
