"""What a server asks for: from a ``Set-Cookie`` line to a :class:`Cookie` (RFC 6265bis §5.6 and §5.7).

Everything here is a function of its arguments. The steps of the storage model that compare a new cookie with
those already held are the jar's (:mod:`reqivo_core.cookies`).

Where this departs from the text of RFC 6265bis, it is on purpose:

* SameSite is kept as data and never enforced: only a browser knows which site a request comes from. For the same
  reason ``SameSite=None`` without ``Secure`` is not refused.
* ``http://localhost`` is as insecure as any other ``http`` URL.
* A nameless cookie whose value holds ``=`` is refused: on the wire it would pass for a cookie with a name.

Text is latin-1 throughout, as header lines are: one character stands for one octet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reqivo_core.cookie_scope import (
    Cookie,
    CookieURL,
    default_path,
    has_host_prefix,
    has_secure_prefix,
    is_disguised,
    is_domain_match,
    is_ip_address,
    is_secure,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PAIR_LENGTH = 4096
"""How many octets name and value may have together (RFC 6265bis §5.6)."""

MAX_ATTRIBUTE_LENGTH = 1024
"""How many octets the value of an attribute may have; a longer one is as good as absent."""

MAX_AGE = 400 * 24 * 60 * 60
"""The longest life in seconds that a server can ask for: 400 days (RFC 6265bis §5.5)."""

_WHITESPACE = " \t"
_UNUSABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_DELTA_SECONDS = re.compile(r"-?[0-9]+")

_DATE_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_MONTH = re.compile(r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_DATE_PARTS = (("time", _TIME), ("day", _DAY), ("month", _MONTH), ("year", _YEAR))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EARLIEST_YEAR = 1601


def parse_cookie_date(text: str) -> float | None:
    """Read a date as leniently as cookies demand (RFC 6265bis §5.1.1).

    Args:
        text: The value of ``Expires``.

    Returns:
        Seconds since 1970, or None where it is no date.
    """
    found: dict[str, re.Match[str]] = {}
    for token in _DATE_DELIMITERS.split(text):
        for part, pattern in _DATE_PARTS:
            if part not in found and (match := pattern.match(token)):
                found[part] = match
                break
    return _timestamp(found) if len(found) == len(_DATE_PARTS) else None


def _timestamp(found: dict[str, re.Match[str]]) -> float | None:
    year = int(found["year"][1])
    if year <= 99:
        year += 1900 if year >= 70 else 2000
    if year < _EARLIEST_YEAR:
        return None
    month = _MONTHS.index(found["month"][1].lower()) + 1
    hour, minute, second = map(int, found["time"].groups())
    try:
        return datetime(year, month, int(found["day"][1]), hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A ``Set-Cookie`` line taken apart, before any thought of where it came from.

    Attributes:
        name: The name, perhaps empty.
        value: The value.
        attributes: By name in lower case, every value that was given, in order.
    """

    name: str
    value: str = field(repr=False)
    attributes: dict[str, list[str]]

    def last(self, attribute: str) -> str:
        """Give the attribute's last value, which is the one that counts; empty where there is none."""
        return self.attributes.get(attribute, ("",))[-1]


def parse_set_cookie(line: str) -> SetCookie | None:
    """Take a ``Set-Cookie`` line apart (RFC 6265bis §5.6).

    Args:
        line: The field value, decoded as latin-1.

    Returns:
        Its parts, or None where the whole line is to be ignored.
    """
    if _UNUSABLE.search(line):
        return None
    pair, _, rest = line.partition(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", pair
    name, value = name.strip(_WHITESPACE), value.strip(_WHITESPACE)
    if not (name or value) or len(name) + len(value) > MAX_PAIR_LENGTH:
        return None
    return SetCookie(name, value, _parse_attributes(rest))


def _parse_attributes(text: str) -> dict[str, list[str]]:
    attributes: dict[str, list[str]] = {}
    for piece in text.split(";"):
        name, _, value = piece.partition("=")
        value = value.strip(_WHITESPACE)
        if len(value) <= MAX_ATTRIBUTE_LENGTH:
            attributes.setdefault(name.strip(_WHITESPACE).lower(), []).append(value)
    return attributes


def receive_cookie(line: str, url: CookieURL, now: float, is_public_suffix: Callable[[str], bool]) -> Cookie | None:
    """Turn a ``Set-Cookie`` line into the cookie it asks for, if this URL may set it (RFC 6265bis §5.7).

    Args:
        line: The field value, decoded as latin-1.
        url: Where the response came from.
        now: Seconds since 1970.
        is_public_suffix: Says which domains belong to nobody in particular.

    Returns:
        The cookie, perhaps expired already (which is how a server deletes one), or None where it is to be ignored.
    """
    parsed = parse_set_cookie(line)
    scope = None if parsed is None else _domain_scope(parsed.last("domain"), url.host, is_public_suffix)
    if parsed is None or scope is None:
        return None
    path = parsed.last("path")
    cookie = Cookie(
        parsed.name,
        parsed.value,
        domain=scope[0],
        path=path if path.startswith("/") else default_path(url.path),
        expires=_expiry(parsed, now),
        secure="secure" in parsed.attributes,
        http_only="httponly" in parsed.attributes,
        host_only=scope[1],
        same_site=same_site_of(parsed.last("samesite")),
        created=now,
    )
    return cookie if _is_acceptable(cookie, url, has_path="path" in parsed.attributes) else None


def _domain_scope(attribute: str, host: str, is_public_suffix: Callable[[str], bool]) -> tuple[str, bool] | None:
    """Give domain and host-only flag, or None where the host may not set a cookie for that domain."""
    if not host:
        return None
    domain = attribute.removeprefix(".").lower()
    if not domain:
        return host, True
    if not is_domain_match(host, domain):
        return None
    if is_ip_address(host) or is_public_suffix(domain.rstrip(".")):
        return (host, True) if domain == host else None
    return domain, False


def _expiry(parsed: SetCookie, now: float) -> float | None:
    """Read Max-Age before Expires, of each the last that makes sense."""
    for value in reversed(parsed.attributes.get("max-age", ())):
        if _DELTA_SECONDS.fullmatch(value):
            seconds = min(int(value), MAX_AGE)
            return now + seconds if seconds > 0 else float("-inf")
    for value in reversed(parsed.attributes.get("expires", ())):
        if (moment := parse_cookie_date(value)) is not None:
            return min(moment, now + MAX_AGE)
    return None


def same_site_of(value: str) -> str | None:
    """Give ``Strict``, ``Lax`` or ``None`` in this spelling, or the value None for anything else."""
    value = value.capitalize()
    return value if value in ("Strict", "Lax", "None") else None


def _is_acceptable(cookie: Cookie, url: CookieURL, *, has_path: bool) -> bool:
    if is_disguised(cookie.name, cookie.value):
        return False
    if cookie.secure and not is_secure(url):
        return False
    if has_host_prefix(cookie.name):
        return cookie.secure and cookie.host_only and has_path and cookie.path == "/"
    return cookie.secure or not has_secure_prefix(cookie.name)
