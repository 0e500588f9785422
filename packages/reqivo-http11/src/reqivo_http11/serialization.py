"""Serialization: a request's head as octets (RFC 9112 §3, §5, §6). One serializer, whatever codec reads the answers.

Lines keep the user's order and spelling; Host comes first. All that could contradict itself is refused here, before an
octet is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from reqivo_core.content import NO_CONTENT
from reqivo_core.errors import InvalidRequest, excerpt
from reqivo_core.headers import Headers, checked_value

if TYPE_CHECKING:
    from reqivo_core.messages import Request

SMALL_BODY = 64 * 1024
"""Octets up to which a body in memory leaves in one write with the head."""

_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH", "QUERY"})
_BODY_FORBIDDEN = frozenset({"CONNECT", "TRACE"})
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
# A trailer section must not frame the message, route it or say who sends it (RFC 9110 §6.5.1).
_NO_TRAILERS = frozenset(
    "content-length transfer-encoding host trailer te connection upgrade expect content-encoding content-type "
    "content-range authorization proxy-authorization cookie cache-control max-forwards range".split()
)
_is_target = re.compile(r"[!-~]+").fullmatch
_is_host = re.compile(r"(?:(?![/?#@\\,])[!-~])*").fullmatch
_is_opening = re.compile(r"[!-~]++ [!-~]++ HTTP/1\.1\r\nHost: [!-~]*+\r\n").fullmatch
_is_length = re.compile(r"[0-9]{1,19}").fullmatch


@dataclass(slots=True)
class Outgoing:
    """A request, ready to be sent.

    Attributes:
        data: The head; with the body behind it if ``is_whole``.
        is_whole: Whether that is all.
        length: Octets of body declared; None if it goes in chunks.
        trailers: What follows a chunked body.
        awaits_continue: Whether the body has to wait for a 100 (RFC 9110 §10.1.1).
        asks_upgrade: Whether it offers to switch protocols.
        closes: Whether it says that the connection shall not be kept.
    """

    data: bytes
    is_whole: bool
    length: int | None
    trailers: Headers | None
    awaits_continue: bool
    asks_upgrade: bool
    closes: bool


class _Fields:
    """What field lines say about framing and connection, and their octets: made once for all requests that share them.

    Attributes:
        octets: All lines but Host, each with its line end.
        host: The value of Host.
        length: The value of Content-Length.
        is_chunked: Whether there is ``Transfer-Encoding: chunked``.
        expects_continue: Whether there is ``Expect: 100-continue``.
        closes: Whether Connection says ``close``.
        upgrades: Whether there is Upgrade.
        has_connection: Whether there is Connection.
        is_plain: Whether they say nothing about Host or a body.
    """

    __slots__ = (
        "closes",
        "expects_continue",
        "has_connection",
        "host",
        "is_chunked",
        "is_plain",
        "length",
        "octets",
        "upgrades",
    )

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.host: str | None = None
        self.length: int | None = None
        self.is_chunked = False
        self.expects_continue = False
        self.closes = False
        self.upgrades = False
        self.has_connection = False
        kept = []
        for name, value in lines:
            lower = name.lower()
            if lower in _SPECIAL:
                _SPECIAL[lower](self, value)
                if lower == "host":
                    continue
            kept.append(f"{name}: {value}")
        self.octets = _encoded(kept)
        self.is_plain = self.host is None and self.length is None and not (self.is_chunked or self.expects_continue)

    def _host(self, value: str) -> None:
        if self.host is not None:
            raise InvalidRequest("header Host: give it once")
        if not _is_host(value):
            raise InvalidRequest(f"header Host: {excerpt(value)} is no host with an optional port")
        self.host = value

    def _content_length(self, value: str) -> None:
        if self.length is not None:
            raise InvalidRequest("header Content-Length: give it once")
        if not _is_length(value):
            raise InvalidRequest(f"header Content-Length: {excerpt(value)} is no number of octets")
        self.length = int(value)

    def _transfer_encoding(self, value: str) -> None:
        if self.is_chunked or value.lower() != "chunked":
            raise InvalidRequest("header Transfer-Encoding: only 'chunked' can be sent, once")
        self.is_chunked = True

    def _connection(self, value: str) -> None:
        self.has_connection = True
        if "close" in [option.strip() for option in value.lower().split(",")]:
            self.closes = True

    def _expect(self, value: str) -> None:
        self.expects_continue = value.lower() == "100-continue"

    def _upgrade(self, value: str) -> None:
        self.upgrades = True


_SPECIAL = {
    "host": _Fields._host,
    "content-length": _Fields._content_length,
    "transfer-encoding": _Fields._transfer_encoding,
    "connection": _Fields._connection,
    "expect": _Fields._expect,
    "upgrade": _Fields._upgrade,
}


def serialize(request: Request, is_forwarded: bool = False) -> Outgoing:
    """Write a request's head.

    Args:
        request: The request.
        is_forwarded: Whether it goes to a proxy, in absolute-form (RFC 9112 §3.2.2).

    Returns:
        What to send.

    Raises:
        InvalidRequest: It contradicts itself, or could not be told from two requests.
    """
    fields = request.headers.derived(_Fields)
    is_plain = fields.is_plain and request.content is NO_CONTENT and request.method in _BODILESS
    if is_plain and not request.extensions and not is_forwarded:
        return _serialize_plain(request, fields)
    added: list[str] = []
    trailers = None
    asks_upgrade = fields.upgrades
    if request.extensions:
        trailers = _trailers(request)
        asks_upgrade = asks_upgrade or _add_upgrade(added, fields, request)
    length = _framed(added, fields, request, trailers)
    method = request.method
    target = request.url.target
    if is_forwarded or request.extensions or method == "CONNECT":
        target = _target(request, is_forwarded)
    host = fields.host
    if host is None:
        host = target if method == "CONNECT" else request.url.authority
    head = _opening(method, target, host) + fields.octets
    if added:
        head += _encoded(added)
    data = request.content.data
    awaits_continue = fields.expects_continue and length != 0
    is_whole = length is not None and data is not None and length <= SMALL_BODY and not awaits_continue
    head += b"\r\n" + data if is_whole and data else b"\r\n"
    return Outgoing(head, is_whole, length, trailers, awaits_continue, asks_upgrade, fields.closes)


def _serialize_plain(request: Request, fields: _Fields) -> Outgoing:
    """Write what most requests are: no body, nothing said about one, straight to the origin."""
    url = request.url
    head = _opening(request.method, url.target, url.authority) + fields.octets + b"\r\n"
    return Outgoing(head, True, 0, None, False, fields.upgrades, fields.closes)


@lru_cache(maxsize=256)
def _opening(method: str, target: str, host: str) -> bytes:
    """The first two lines, which programs that ask the same again and again have made and checked once."""
    opening = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n"
    if not _is_opening(opening):
        raise _dangerous()
    return opening.encode("ascii")


def _encoded(lines: list[str]) -> bytes:
    """Join the lines, each with its end, and make sure that they stay as many as they were.

    Values are checked where they are given; this is the last door, for what came round those.
    """
    lines.append("")
    text = "\r\n".join(lines)
    ends = len(lines) - 1
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise _dangerous()
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidRequest("the request's head holds characters beyond Latin-1: encode them first") from error


def _dangerous() -> InvalidRequest:
    return InvalidRequest("the request's head holds a CR, LF, NUL or space where none may stand: nothing was sent")


def _target(request: Request, is_forwarded: bool) -> str:
    """The request target, in the form that applies (RFC 9112 §3.2)."""
    url = request.url
    given = request.extensions.get("target")
    if given is not None:
        target = given.decode("latin-1") if isinstance(given, bytes) else str(given)
        if not _is_target(target):
            raise InvalidRequest(f"extensions['target']: {excerpt(target)} holds more than visible ASCII")
        return target
    if request.method == "CONNECT":
        host = url.origin.host
        return f"[{host}]:{url.origin.port}" if ":" in host else f"{host}:{url.origin.port}"
    if is_forwarded:
        return f"{_HTTP_SCHEMES.get(url.scheme, url.scheme)}://{url.authority}{url.target}"
    return url.target


def _framed(added: list[str], fields: _Fields, request: Request, trailers: Headers | None) -> int | None:
    """Settle how the body is framed, adding the line that says so where the user has not (RFC 9112 §6).

    Args:
        added: Where to put that line.
        fields: What the request's own lines say.
        request: The request.
        trailers: What follows the body.

    Returns:
        The length to declare; None for chunks.
    """
    known = request.content.length
    declared = fields.length
    if known != 0 and request.method in _BODY_FORBIDDEN:
        raise InvalidRequest(f"a {request.method} request has no body (RFC 9110 §9.3)")
    if fields.is_chunked or trailers is not None:
        if declared is not None:
            raise InvalidRequest("header Content-Length: it cannot stand beside chunks (Transfer-Encoding, trailers)")
        if not fields.is_chunked:
            added.append("Transfer-Encoding: chunked")
        return None
    if declared is not None:
        if known is not None and known != declared:
            raise InvalidRequest(f"header Content-Length: it says {declared}, but the body has {known} octets")
        return declared
    if known is None:
        added.append("Transfer-Encoding: chunked")
    elif known or request.method in _BODY_EXPECTED:
        added.append(f"Content-Length: {known}")
    return known


def _trailers(request: Request) -> Headers | None:
    """The lines to send after the body."""
    given = request.extensions.get("trailers")
    if not given:
        return None
    trailers = given if isinstance(given, Headers) else Headers(given)
    for name in trailers:
        if name in _NO_TRAILERS:
            raise InvalidRequest(f"extensions['trailers']: {name} must not stand there (RFC 9110 §6.5.1)")
    return trailers


def _add_upgrade(added: list[str], fields: _Fields, request: Request) -> bool:
    """Offer the protocol of ``extensions['upgrade']`` (RFC 9110 §7.8), which the headers do not yet.

    Returns:
        Whether there is one.
    """
    protocol = request.extensions.get("upgrade")
    if protocol:
        if not fields.has_connection:
            added.append("Connection: upgrade")
        added.append(f"Upgrade: {checked_value('Upgrade', protocol)}")
    return bool(protocol)


def encode_trailers(trailers: Headers | None) -> bytes:
    """The last chunk, the trailer section and the end of a chunked body (RFC 9112 §7.1)."""
    if trailers is None:
        return b"0\r\n\r\n"
    return b"0\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in trailers.raw) + b"\r\n"
