"""URLs: parsed once, kept as given, compared by text.

Parsing follows RFC 3986 and takes from the WHATWG URL Standard what real pages need (spaces, non-ASCII text). It never
repairs what parsers disagree on, because there one program checks a host and another one dials it: such text is
refused with :class:`~reqivo_core.errors.InvalidURL`. Percent-encodings that are there stay as they are, letter for
letter, so that signed URLs survive.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import quote, unquote

from reqivo_core.errors import InvalidURL, excerpt
from reqivo_core.hosts import bracketed, normalise_host
from reqivo_core.params import QueryParams, encode_params

__all__ = [
    "DEFAULT_PORTS",
    "HTTP_EQUIVALENTS",
    "URL",
    "Origin",
    "QueryParams",
    "encode_params",
    "merge_base",
    "parse_url",
]

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443, "socks5": 1080, "socks5h": 1080}
"""Ports of the schemes that name a host to connect to; any other scheme has port 0 unless its URL gives one."""

HTTP_EQUIVALENTS: Final = {"ws": "http", "wss": "https"}
"""The scheme in which the opening handshake of a WebSocket is sent (RFC 6455 §4.1)."""

_CACHED_URLS = 1024
_CACHED_LENGTH = 4096  # longer ones are parsed each time, so that the cache stays within a few MiB

# RFC 3986 appendix B; no part of it can match in two ways, so the time is linear.
_SPLIT = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HIERARCHICAL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PORT_AHEAD = re.compile(r"[0-9]+(?:/|$)")
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_USERINFO_REFUSED = re.compile(r"[@\s]")
# What may stand in a request target as it is. "[" and "]" are not in RFC 3986's list, but every client sends them.
_TARGET_SAFE = "%!$&'()*+,;=:@/?[]-._~"
_TARGET_UNSAFE = re.compile(r"[^%!$&'()*+,;=:@/?\[\]\-._~A-Za-z0-9]")

_set = object.__setattr__


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454 §4): who is asked, and the first part of every pool key.

    Attributes:
        scheme: In lower case.
        host: Normalised, IPv6 without brackets.
        port: The port to connect to; 0 where the scheme has no default and the URL gave none.
    """

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The value of a Host field (RFC 9110 §7.2): IPv6 in brackets, no default port."""
        host = bracketed(self.host)
        return host if self.port == DEFAULT_PORTS.get(self.scheme, 0) else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Write it as ``https://host:port``, without a default port (RFC 6454 §6.2)."""
        return f"{self.scheme}://{self.authority}"


class URL:
    """An absolute URL; immutable, hashable, equal to a URL or string of the same text.

    Attributes:
        scheme: In lower case.
        username: Percent-decoded; None where the URL has no userinfo.
        password: Percent-decoded; None where the userinfo has no colon.
        host: Normalised to ASCII (:func:`~reqivo_core.hosts.normalise_host`), IPv6 without brackets; empty for URLs
            that name none, such as ``file:///x`` or ``data:,x``.
        port: As given, else the default of the scheme, else 0.
        path: As given; ``/`` where it is empty.
        query: As given, without ``?``; None where there is none.
        fragment: As given, without ``#``; None where there is none.
        target: Path and query as they are sent (RFC 9112 §3.2.1): what may not stand there is percent-encoded as
            UTF-8; what is percent-encoded already, and dot segments, are left alone.
        origin: Scheme, host and port.
        authority: The value of the Host field; holds no userinfo.
        is_absolute: Whether it names a host.
    """

    __slots__ = (
        "_root",
        "_text",
        "authority",
        "fragment",
        "host",
        "is_absolute",
        "origin",
        "password",
        "path",
        "port",
        "query",
        "scheme",
        "target",
        "username",
    )

    _text: str
    _root: str  # everything before the path, as given
    scheme: str
    username: str | None
    password: str | None
    host: str
    port: int
    path: str
    query: str | None
    fragment: str | None
    target: str
    origin: Origin
    authority: str
    is_absolute: bool

    def __init__(self, text: str | URL) -> None:
        """Parse a URL (RFC 3986, see the module).

        Args:
            text: An absolute URL.

        Raises:
            InvalidURL: It is not one; the message says why and shows it escaped, with its userinfo masked.
        """
        text = _checked_text(text)
        scheme, authority, path, query, fragment = _split(text)
        if scheme is None or (authority is None and _PORT_AHEAD.match(path)):
            raise _no_scheme(text)
        scheme = scheme.lower()
        username, password, host, port = _split_authority(text, scheme, authority)
        path = path or "/"
        origin = Origin(scheme, host, port)
        _set(self, "_text", text)
        _set(self, "_root", f"{text[: len(scheme)]}:" if authority is None else f"{text[: len(scheme)]}://{authority}")
        _set(self, "scheme", scheme)
        _set(self, "username", username)
        _set(self, "password", password)
        _set(self, "host", host)
        _set(self, "port", port)
        _set(self, "path", path)
        _set(self, "query", query)
        _set(self, "fragment", fragment)
        _set(self, "target", _target(path, query))
        _set(self, "origin", origin)
        _set(self, "authority", origin.authority)
        _set(self, "is_absolute", host != "")

    @staticmethod
    def parse(text: str | URL) -> URL:
        """Parse a URL, or take it from the cache of the last 1024 ones.

        Raises:
            InvalidURL: See :meth:`__init__`.
        """
        if isinstance(text, str) and len(text) <= _CACHED_LENGTH:
            return _parse_cached(text)
        return text if isinstance(text, URL) else URL(text)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: a URL may be shared by threads and stands in caches."""
        raise AttributeError(f"a URL is immutable; make another one instead of setting {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse, as for setting."""
        raise AttributeError(f"a URL is immutable; {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by text."""
        return URL, (self._text,)

    def __str__(self) -> str:
        """Give the text as it was parsed, userinfo included; see :attr:`redacted` for logs."""
        return self._text

    def __repr__(self) -> str:
        """Show it with the userinfo masked."""
        return f"URL({self.redacted!r})"

    def __eq__(self, other: object) -> bool:
        """Compare by text, with URLs and strings."""
        if isinstance(other, URL):
            return self._text == other._text
        return self._text == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        """Hash as the text does, to which it is equal."""
        return hash(self._text)

    @property
    def redacted(self) -> str:
        """The text for logs and messages: ``https://user:***@host/``; a lone user name may be a token and is masked."""
        if self.is_absolute and self.username is None:
            return self._text
        if not self.is_absolute:
            return _masked(self._text)
        return _masked(self._root) + self._text[len(self._root) :]

    def join(self, reference: str | URL) -> URL:
        """Resolve a reference, such as a Location field, against this URL (RFC 3986 §5.2).

        As browsers do, ``http:g`` against an ``http`` URL counts as ``g``, and spaces around the reference are dropped.
        Userinfo of this URL stays with references to the same authority; its fragment is not carried over.

        Args:
            reference: An absolute URL or a relative reference.

        Returns:
            The URL it refers to; dot segments are removed from the path of a relative reference.

        Raises:
            InvalidURL: It does not resolve to a URL that may be used.
        """
        text = _checked_text(reference.strip(" ") if isinstance(reference, str) else reference)
        scheme, authority, path, query, fragment = _split(text)
        is_hierarchical = "//" in self._root
        if scheme and scheme.lower() == self.scheme and authority is None and is_hierarchical:
            scheme = None
        if scheme is not None:
            return parse_url(text)
        if authority is not None:
            return parse_url(_compose(f"{self.scheme}://{authority}", _without_dots(path), query, fragment))
        if not is_hierarchical and (path or query is not None):
            raise _refusal(text, f"is relative, and a {self.scheme!r} URL without a host is no base for it")
        if not path:
            path, query = self.path, self.query if query is None else query
        elif path.startswith("/"):
            path = _without_dots(path)
        else:
            path = _without_dots(self.path[: self.path.rfind("/") + 1] + path)
        return parse_url(_compose(self._root, path, query, fragment))

    def with_query(self, params: QueryParams) -> URL:
        """Append parameters to the query that is there (see :func:`encode_params`).

        Raises:
            InvalidURL: The parameters cannot be encoded.
        """
        added = encode_params(params)
        if not added:
            return self
        query = f"{self.query}&{added}" if self.query else added
        return parse_url(_compose(self._root, self.path, query, self.fragment))

    def with_fragment(self, fragment: str | None) -> URL:
        """Replace the fragment; None takes it away."""
        return parse_url(_compose(self._root, self.path, self.query, fragment))

    def with_scheme(self, scheme: str) -> URL:
        """Replace the scheme, as in ``url.with_scheme(HTTP_EQUIVALENTS[url.scheme])`` for a WebSocket's handshake.

        A port that the URL gives stays; one that it does not give becomes the new scheme's default.

        Raises:
            InvalidURL: That is no scheme, or the URL has no host and the new scheme needs one.
        """
        if not _SCHEME.fullmatch(scheme):
            raise InvalidURL(f"{excerpt(scheme)} is not a URL scheme (RFC 3986 §3.1)")
        return parse_url(scheme + self._text[len(self.scheme) :])

    def without_userinfo(self) -> URL:
        """Leave out user name and password."""
        root, at, rest = self._root.rpartition("@")
        if not at:
            return self
        return parse_url(f"{root[: len(self.scheme)]}://{rest}{self._text[len(self._root) :]}")


_parse_cached = lru_cache(_CACHED_URLS)(URL)

parse_url = URL.parse
"""The same as :meth:`URL.parse`."""


def merge_base(base: URL | None, text: str | URL) -> URL:
    """Find the URL that a session means by what it was given.

    With a base, anything that does not start with ``scheme://`` is appended to the base's path: ``/v1`` and ``/users``
    or ``users`` give ``/v1/users``. The base's query comes first, then the given one; its fragment is dropped. Dot
    segments stay as they are.

    Args:
        base: The session's ``base_url``.
        text: What the call was given.

    Returns:
        The absolute URL; an absolute ``text`` wins over the base.

    Raises:
        InvalidURL: It is not a URL; it is relative and there is no base; or it starts with ``//``, which would leave
            the base's host without showing it.
    """
    if base is None or isinstance(text, URL):
        return parse_url(text)
    text = _checked_text(text)
    if _HIERARCHICAL.match(text):
        return parse_url(text)
    if text.startswith("//"):
        raise _refusal(text, "starts with '//', which would leave the host of base_url; give the scheme too")
    _, _, path, query, fragment = _split(f"/{text.removeprefix('/')}")
    path = f"{base.path.removesuffix('/')}{path}" if text[:1] not in ("", "?", "#") else base.path
    both = [part for part in (base.query, query) if part is not None]
    return parse_url(_compose(base._root, path, "&".join(both) if both else None, fragment))


def _split(text: str) -> tuple[str | None, str | None, str, str | None, str | None]:
    """Take a URI reference apart: scheme, authority, path, query, fragment (RFC 3986 appendix B)."""
    parts = _SPLIT.match(text).groups()  # type: ignore[union-attr]  # every string matches: all parts may be empty
    scheme, authority, path, query, fragment = parts
    # Here, before dot segments are removed: "\\/.." would take its backslash along, and a browser another host.
    if "\\" in text and ("\\" in path or "\\" in (authority or "")):
        raise _refusal(text, "has a backslash before its query; some programs read it as a slash, others do not")
    return scheme, authority, path, query, fragment


def _split_authority(text: str, scheme: str, authority: str | None) -> tuple[str | None, str | None, str, int]:
    """Take the authority of a URL apart: user name, password, host, port."""
    default = DEFAULT_PORTS.get(scheme)
    if not authority:
        if default is not None:
            raise _refusal(text, f"has no host; it should read like {scheme}://host/path")
        return None, None, "", 0
    username = password = None
    if "@" in authority:
        userinfo, _, authority = authority.rpartition("@")
        username, password = _split_userinfo(text, userinfo)
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise _refusal(text, "has a host and port that are not host or host:port with a port of up to 65535")
    host, digits = match.groups()
    port = int(digits) if digits else default or 0
    if port > 65535:
        raise _refusal(text, "has a port above 65535")
    try:
        return username, password, normalise_host(host), port
    except InvalidURL as error:
        raise _refusal(text, f"cannot be used: {error}") from None


def _split_userinfo(text: str, userinfo: str) -> tuple[str | None, str | None]:
    """Take user name and password apart and decode them."""
    if _USERINFO_REFUSED.search(userinfo):
        raise _refusal(text, "has '@' or white space in its userinfo; write them as %40 and %20")
    name, colon, secret = userinfo.partition(":")
    try:
        username, password = unquote(name, errors="strict"), unquote(secret, errors="strict")
    except UnicodeDecodeError:
        raise _refusal(text, "has percent-encoded bytes in its userinfo that are not UTF-8") from None
    return (username, password if colon else None) if userinfo else (None, None)


def _target(path: str, query: str | None) -> str:
    """Write path and query as a request target in origin-form (RFC 9112 §3.2.1)."""
    target = path if query is None else f"{path}?{query}"
    return quote(target, safe=_TARGET_SAFE) if _TARGET_UNSAFE.search(target) else target


def _compose(root: str, path: str, query: str | None, fragment: str | None) -> str:
    """Put a URL together again (RFC 3986 §5.3)."""
    text = root + path if query is None else f"{root}{path}?{query}"
    return text if fragment is None else f"{text}#{fragment}"


def _without_dots(path: str) -> str:
    """Remove dot segments in one pass (RFC 3986 §5.2.4); an empty path stays empty."""
    if "." not in path:
        return path
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _checked_text(text: object) -> str:
    """Refuse what is no text, or holds characters that no URL may."""
    if isinstance(text, URL):
        return text._text
    if not isinstance(text, str):
        raise InvalidURL(f"A URL must be a string, not {type(text).__name__}.")
    if _UNUSABLE.search(text):
        raise _refusal(text, "has a control character (such as a tab or line break) or a lone surrogate")
    if text != text.strip():
        raise _refusal(text, "has white space around it; strip it first")
    return text


def _no_scheme(text: str) -> InvalidURL:
    if not text:
        return InvalidURL("The URL is empty.")
    if text[0] in "/?#." and not text.startswith("//"):
        return _refusal(text, "is relative; add a base_url to the session, or give the whole URL")
    meant = _shown(f"https://{text.removeprefix('//')}")
    return _refusal(text, f"has no scheme (did you mean {meant}?); a relative URL needs a session with a base_url")


def _refusal(text: str, why: str) -> InvalidURL:
    return InvalidURL(f"URL {_shown(text)} {why}.")


def _shown(text: str) -> str:
    """Mask, escape and cut what may be anything."""
    return excerpt(_masked(text))


def _masked(text: str) -> str:
    """Hide whatever may be userinfo: in broken text that is everything up to the last ``@``."""
    before, at, after = text.rpartition("@")
    if not at:
        return text
    match = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//", before)
    start = match.end() if match else 0
    name, colon, _ = before[start:].partition(":")
    return f"{before[:start]}{f'{name}:***' if colon else '***'}@{after}"
