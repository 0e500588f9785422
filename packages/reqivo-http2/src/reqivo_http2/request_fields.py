"""The fields of requests (RFC 9113 §8.3.1): what a Request says, as HTTP/2 says it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reqivo_core.errors import InvalidRequest, excerpt
from reqivo_core.headers import Headers, checked_value
from reqivo_http2.response_fields import is_name

if TYPE_CHECKING:
    from reqivo_core.messages import Request
    from reqivo_http2.codec import OutgoingFields

_SCHEMES = {"ws": b"http", "wss": b"https"}
_BODY_FORBIDDEN = frozenset({"TRACE", "CONNECT"})
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})
_DROPPED = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host", "http2-settings"}
)
_SECRET = frozenset({"authorization", "proxy-authorization"})
_HANDSHAKE_ONLY = frozenset({b"sec-websocket-key"})
_NO_TRAILERS = frozenset({"content-length", "host", "authorization", "content-type", "content-encoding", "te"})
_SHORT_COOKIE = 20
"""Octets of a cookie so short that it could be guessed through what compression makes of it (RFC 7541 §7.1.3)."""
_is_length = re.compile(r"[0-9]{1,19}").fullmatch
_is_host = re.compile(r"(?:(?![/?#@\\,])[!-~])+").fullmatch
_is_target = re.compile(r"[\x21-\x7e]+").fullmatch
_ENTRY_OVERHEAD = 32
_LONG_PATH = 64


class OutgoingHead:
    """A request's head, ready to be compressed.

    Attributes:
        fields: The fields.
        length: The body's declared length; None where unknown.
        awaits_continue: Whether the body waits for ``100 Continue``.
        trailers: To be sent after the body; None for none.
        is_tunnel: Whether a 2xx opens a tunnel (CONNECT).
        protocol: The protocol of an extended CONNECT; None otherwise.
        size: Its size as a header list.
    """

    __slots__ = ("awaits_continue", "fields", "is_tunnel", "length", "protocol", "size", "trailers")

    def __init__(self) -> None:
        self.fields: OutgoingFields = []
        self.length: int | None = None
        self.awaits_continue = False
        self.trailers: OutgoingFields | None = None
        self.is_tunnel = False
        self.protocol: str | None = None
        self.size = 0


class _Fields:
    """What a request's own field lines say; made once for all requests that share them.

    Attributes:
        fields: The fields to send.
        size: Their size as a header list.
        host: The value of Host.
        declared: The value of Content-Length.
        awaits_continue: Whether ``Expect: 100-continue`` is among them.
    """

    __slots__ = ("awaits_continue", "declared", "fields", "host", "size")

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.fields: OutgoingFields = []
        self.host: str | None = None
        self.declared: str | None = None
        self.awaits_continue = False
        for name, value in lines:
            self._take(name.lower(), value)
        self.size = _size(self.fields)

    def _take(self, name: str, value: str) -> None:
        if name == "host":
            if self.host is not None:
                raise InvalidRequest("header Host: give it once")
            if not _is_host(value):
                raise InvalidRequest(f"header Host: {excerpt(value)} is no host with an optional port")
            self.host = value
        elif name == "content-length":
            if self.declared is not None:
                raise InvalidRequest("header Content-Length: give it once")
            self.declared = value
        else:
            self.awaits_continue |= name == "expect" and value.lower() == "100-continue"
            self.fields += _encoded(name, value)


def build_head(request: Request) -> OutgoingHead:
    """Say a request's head in HTTP/2.

    Args:
        request: The request.

    Raises:
        InvalidRequest: It contradicts itself or cannot be sent.
    """
    head = OutgoingHead()
    given = request.headers.derived(_Fields)
    fields = given.fields
    extensions = request.extensions
    upgrade = extensions.get("upgrade") if extensions else None
    if upgrade:
        fields = [field for field in fields if field[0] not in _HANDSHAKE_ONLY]
    if extensions and extensions.get("trailers"):
        head.trailers = _trailers(extensions["trailers"])
    own = _pseudo_fields(request, head, given.host, upgrade)
    length = head.length = _length(request, given.declared)
    head.awaits_continue = given.awaits_continue and length != 0
    head.size = given.size + _size(own)
    head.fields = own + fields
    if length is not None and (length or request.method in _BODY_EXPECTED):
        head.fields.append((b"content-length", b"%d" % length, False))
        head.size += _size(head.fields[-1:])
    return head


def _size(fields: OutgoingFields) -> int:
    """The size of a header list (RFC 9113 §10.5.1)."""
    return _ENTRY_OVERHEAD * len(fields) + sum([len(name) + len(value) for name, value, _ in fields])


def _encoded(name: str, value: str) -> OutgoingFields:
    """A line as octets; several for a cookie, which compresses better in crumbs (RFC 9113 §8.2.3)."""
    if name in _DROPPED or (name == "te" and value.lower() != "trailers"):
        return []
    try:
        octets = value.encode("latin-1")
        label = name.encode("ascii")
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"header {excerpt(name)}: it holds characters that cannot be sent; encode them") from error
    if _has_control(octets) or not is_name(label):  # the last door, for what came round Headers' own check
        raise InvalidRequest(f"header {excerpt(name)}: a control character, or a name that is none; nothing was sent")
    if name == "cookie":
        return [(label, crumb, len(crumb) < _SHORT_COOKIE) for crumb in octets.split(b"; ") if crumb]
    return [(label, octets, name in _SECRET)]


_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


def _length(request: Request, declared: str | None) -> int | None:
    """Settle the length to declare."""
    known = request.content.length
    if known != 0 and request.method in _BODY_FORBIDDEN:
        raise InvalidRequest(f"a {request.method} request has no body (RFC 9110 §9.3)")
    if declared is None:
        return known
    if not _is_length(declared):
        raise InvalidRequest(f"header Content-Length: {excerpt(declared)} is no number of octets")
    if known is not None and known != int(declared):
        raise InvalidRequest(f"header Content-Length: it says {declared}, but the body has {known} octets")
    return int(declared)


def _pseudo_fields(request: Request, head: OutgoingHead, host: str | None, upgrade: object) -> OutgoingFields:
    """Method, scheme, authority and path, or what CONNECT has of them."""
    url = request.url
    authority = (host if host is not None else url.authority).encode("ascii")
    scheme = _SCHEMES.get(url.scheme) or url.scheme.encode()
    if request.method == "CONNECT":
        head.is_tunnel = True
        return [(b":method", b"CONNECT", False), (b":authority", _connect_target(request), False)]
    path = _path(request)
    if upgrade:
        head.is_tunnel = True
        head.protocol = checked_value("upgrade", upgrade)
        method = b"CONNECT"
    else:
        method = request.method.encode()
    fields = [
        (b":method", method, False),
        (b":scheme", scheme, False),
        (b":authority", authority, False),
        # A path that comes only once would drive out of the table what comes again.
        (b":path", path, len(path) > _LONG_PATH or b"?" in path),
    ]
    if head.protocol is not None:
        fields.insert(1, (b":protocol", head.protocol.encode(), False))
    return fields


def _connect_target(request: Request) -> bytes:
    """The authority that a tunnel leads to (RFC 9113 §8.5)."""
    given = request.extensions.get("target") if request.extensions else None
    if given is not None:
        return _checked_target(given)
    origin = request.url.origin
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{host}:{origin.port}".encode("ascii")


def _path(request: Request) -> bytes:
    given = request.extensions.get("target") if request.extensions else None
    return request.url.target.encode("ascii") if given is None else _checked_target(given)


def _checked_target(given: object) -> bytes:
    target = given.decode("latin-1") if isinstance(given, bytes) else str(given)
    if not _is_target(target):
        raise InvalidRequest(f"extensions['target']: {excerpt(target)} holds more than visible ASCII")
    return target.encode("ascii")


def _trailers(given: object) -> OutgoingFields:
    """The fields to send after the body (RFC 9110 §6.5)."""
    trailers = given if isinstance(given, Headers) else Headers(given)  # type: ignore[arg-type]  # checked by Headers
    encoded: OutgoingFields = []
    for name, value in trailers.lines:
        lower = name.lower()
        if lower in _NO_TRAILERS or lower in _DROPPED:
            raise InvalidRequest(f"extensions['trailers']: {lower} must not stand there (RFC 9110 §6.5.1)")
        encoded += _encoded(lower, value)
    return encoded
