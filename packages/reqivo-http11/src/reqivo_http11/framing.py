"""Framing: the rules of RFC 9112 that stand above every codec. All of it is pure.

What a server sends is held to the grammar before an engine sees it: CRLF ends every line, nothing is folded, no control
character but HTAB stands in a value, no whitespace before a colon. Tolerated beyond the grammar are exactly: a status
line without its reason phrase and the space before it, and a Content-Length that is repeated with the same value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from reqivo_core.errors import HeadersTooLarge, RemoteProtocolError, ServerDisconnected, excerpt
from reqivo_core.headers import Headers
from reqivo_http11.codec import Head

if TYPE_CHECKING:
    from reqivo_core.limits import Limits

READ_SIZE = 64 * 1024
"""Octets asked of the stream at a time."""
LARGE_READ = 256 * 1024
"""Octets asked of the stream at a time while at least as many are known to come."""

MAX_LENGTH = 2**64 - 1
"""The largest Content-Length or chunk-size: what fits into 64 bits."""

# Possessive quantifiers: a line that does not match is given up at once, whatever its length.
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_TEXT = r"[^\x00-\x08\n-\x1f\x7f]*+"
_match_status_line = re.compile(rf"HTTP/(1\.[01]) ([1-9][0-9][0-9])(?: ({_TEXT}))?\r\n").match
_find_fields = re.compile(rf"\n({_NAME}):[ \t]*+({_TEXT})(?=\r\n)").findall
_is_field_line = re.compile(rf"{_NAME}:{_TEXT}").fullmatch
_find_bare = re.compile(rb"\x00|(?<!\r)\n|\r(?=[^\n])").search
_is_length = re.compile(r"[0-9]{1,20}").fullmatch


class Kind(IntEnum):
    """How a response's end is found (RFC 9112 §6.3)."""

    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3
    TUNNEL = 4


_LENGTH = Kind.LENGTH  # an enumeration looks its members up by a call


@dataclass(slots=True)
class Framing:
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
    limit = limits.max_response_headers if what is HEADERS else limits.max_trailers
    bound = start + limit
    end = buffer.find(b"\r\n\r\n", scanned - 3 if scanned > start + 3 else start, bound)
    if end >= 0:
        return end + 4
    if bare := _find_bare(buffer, max(start, scanned - 1), bound):
        raise malformed(
            f"a {what} with a bare CR, LF or NUL", bytes(buffer[max(start, bare.start() - 80) : bare.end()])
        )
    length = len(buffer) - start
    if length >= limit:
        option = "max_response_headers" if what is HEADERS else "max_trailers"
        raise _too_large(what, f"is longer than {limit} octets", option)
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


def parse_head(section: bytes, limits: Limits) -> Head:
    """Take a complete head apart and hold it to the limits and the grammar (RFC 9112 §4, §5).

    Args:
        section: A status line and field lines, up to and with the first empty line.
        limits: The limits.

    Returns:
        What it says, each value without the whitespace around it. One Content-Length stands for several of the same
        value, as RFC 9112 §6.3 allows.

    Raises:
        HeadersTooLarge: Too many lines, or one too long.
        RemoteProtocolError: It is no head of HTTP/1.0 or HTTP/1.1.
    """
    field_count = section.count(b"\n") - 2
    if field_count > limits.max_response_fields or len(section) > limits.max_line:
        _check_section(section, field_count, limits, HEADERS)
    text = section.decode("latin-1")
    version, status, reason = _parse_status_line(text[: text.find("\n") + 1])
    headers = Headers.from_lines(_fields(text, field_count, "header"))
    length = headers.by_name.get("content-length")
    if length is not None and "," in length:
        _unite_lengths(headers, length)
    return Head(version, status, reason, headers)


@lru_cache(maxsize=32)
def _parse_status_line(line: str) -> tuple[str, int, str]:
    """Version, status and reason: the same few lines begin most of all responses."""
    status_line = _match_status_line(line)
    if status_line is None:
        raise malformed("what is no HTTP/1.1 status line", line.encode("latin-1").rstrip(b"\r\n"))
    version, status, reason = status_line.groups()
    return version, int(status), reason.strip(" \t") if reason else ""


def _fields(text: str, count: int, what: str) -> list[tuple[str, str]]:
    """Find the field lines behind a first line, all of them.

    None can hide: each match takes one line end, so there are as many as line ends only if every line is one.

    Raises:
        RemoteProtocolError: One of the lines is malformed.
    """
    fields: list[tuple[str, str]] = _find_fields(text)
    if len(fields) != count:
        lines = text.split("\r\n")[1:-2]
        raise malformed(f"a malformed {what} line", _offender(lines).encode("latin-1"))
    if " \r\n" in text or "\t\r\n" in text:
        return [(name, value.rstrip(" \t")) for name, value in fields]
    return fields


def _offender(lines: list[str]) -> str:
    """The first line that is no field line."""
    return next((line for line in lines if not _is_field_line(line)), "")


def _unite_lengths(headers: Headers, values: str) -> None:
    """Replace several lengths by one, if they are all the same."""
    first, *others = (value.strip(" \t") for value in values.split(","))
    if _is_length(first) and all(other == first for other in others):
        headers["Content-Length"] = first


def parse_trailers(section: bytes, limits: Limits) -> Headers:
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
    field_count = section.count(b"\n") - 1
    _check_section(section, field_count, limits, TRAILERS)
    return Headers.from_lines(_fields("\r\n" + section.decode("latin-1"), field_count, "trailer"))


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
    fields = head.headers.by_name
    coding = fields.get("transfer-encoding")
    announced = fields.get("content-length")
    length = None if announced is None else _parsed_length(announced)
    if coding is not None:
        _check_coding(head, coding, length)
    keeps_alive = _keeps_alive(head.version, fields.get("connection"))
    status = head.status
    if method == "CONNECT" and 200 <= status < 300:
        return Framing(Kind.TUNNEL, 0, False)
    if method == "HEAD" or status == 204 or status == 304 or status < 200:
        return Framing(Kind.NONE, 0, keeps_alive)
    if coding is not None:
        return Framing(Kind.CHUNKED, 0, keeps_alive)
    if length is None:
        return Framing(Kind.UNTIL_CLOSE, 0, False)
    return Framing(_LENGTH, length, keeps_alive)


def _parsed_length(value: str) -> int:
    """The one Content-Length."""
    length = int(value) if _is_length(value) else -1
    if not 0 <= length <= MAX_LENGTH:
        raise malformed(
            "a Content-Length that is no number, too large, or one of several that differ", value.encode("latin-1")
        )
    return length


def _check_coding(head: Head, coding: str, length: int | None) -> None:
    """Refuse a Transfer-Encoding that two recipients could read differently (RFC 9112 §6.1, §11.2)."""
    if coding.lower() != "chunked":
        raise malformed("a Transfer-Encoding other than chunked", coding.encode("latin-1"))
    if head.version != "1.1":
        raise malformed("a Transfer-Encoding in HTTP/1.0", coding.encode("latin-1"))
    if length is not None:
        raise malformed("both Transfer-Encoding and Content-Length (a sign of response splitting)", b"%d" % length)


def _keeps_alive(version: str, connection: str | None) -> bool:
    """Whether the connection persists (RFC 9112 §9.3)."""
    if not connection:
        return version == "1.1"
    options = [option.strip(" \t") for option in connection.lower().split(",")]
    return "close" not in options and (version == "1.1" or "keep-alive" in options)
