"""Cookies that come from the user: given by hand, from a saved jar, or from the standard library's jar.

What a server sends wrong is ignored; what a user hands in wrong is an error before anything is sent.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from reqivo_core.cookie_scope import Cookie, has_host_prefix, has_secure_prefix, is_disguised, is_ip_address
from reqivo_core.errors import InvalidRequest, excerpt
from reqivo_core.set_cookie import MAX_PAIR_LENGTH, same_site_of

if TYPE_CHECKING:
    import http.cookiejar
    from collections.abc import Callable, Iterable, Mapping, Sequence

_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f;]|[^\x00-\xff]")
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
_FORMAT_VERSION = 1
_LATEST = 1e12
"""No time is further from 1970 than this many seconds; compared so that NaN and huge integers fail too."""

_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "value": (str,),
    "domain": (str,),
    "path": (str,),
    "expires": (int, float, type(None)),
    "secure": (bool,),
    "http_only": (bool,),
    "host_only": (bool,),
    "same_site": (str, type(None)),
    "created": (int, float),
}


def encode_cookies(cookies: Mapping[str, str]) -> str:
    """Write the value of a ``Cookie`` header from names and values (RFC 6265bis §4.2.1).

    Args:
        cookies: What one request is to carry.

    Returns:
        The field value; empty where there are no cookies.

    Raises:
        InvalidRequest: A name or value cannot be sent as it is.
    """
    return "; ".join(f"{name}={value}" for name, value in named_values(cookies).items())


def named_values(cookies: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Take cookies as users write them.

    Args:
        cookies: A mapping, or pairs of names and values.

    Returns:
        Values by name.

    Raises:
        InvalidRequest: They are neither, or one cannot be sent as it is.
    """
    try:
        named = dict(cookies)
    except (TypeError, ValueError):
        raise InvalidRequest("cookies: give a mapping, pairs of name and value, or a CookieJar") from None
    for name, value in named.items():
        check_pair(name, value)
    return named


def check_pair(name: str, value: str) -> None:
    """Refuse a name and value that cannot be sent, or would be read as something else.

    Args:
        name: The cookie's name.
        value: Its value, which no message shows.

    Raises:
        InvalidRequest: Says which of the two is wrong, and how.
    """
    _check_text("name", name, name)
    _check_text("value", value, name)
    if not name or "=" in name:
        raise InvalidRequest(f"The cookie name {excerpt(name)} cannot be sent: it must not be empty or contain '='.")
    if len(name) + len(value) > MAX_PAIR_LENGTH:
        raise InvalidRequest(
            f"The cookie {excerpt(name)} cannot be sent: name and value have {len(name) + len(value)} bytes, "
            f"at most {MAX_PAIR_LENGTH} are allowed (RFC 6265bis §5.6)."
        )


def _check_text(what: str, text: object, name: object) -> None:
    if not isinstance(text, str):
        raise InvalidRequest(f"The {what} of the cookie {excerpt(str(name))} must be str, not {type(text).__name__}.")
    if _FORBIDDEN.search(text):
        raise InvalidRequest(
            f"The {what} of the cookie {excerpt(str(name))} cannot be sent: it contains a control character, "
            "a semicolon or a character outside latin-1; percent-encode it."
        )
    if text != text.strip():
        raise InvalidRequest(
            f"The {what} of the cookie {excerpt(str(name))} cannot be sent: it begins or ends with white space."
        )


def scoped(cookie: Cookie, is_public_suffix: Callable[[str], bool]) -> Cookie:
    """Check a user's cookie and narrow its scope to what its domain and its name's prefix allow.

    A public suffix or an address as domain makes a cookie of that one host; the prefixes ``__Secure-`` and
    ``__Host-`` make it ``Secure``.

    Args:
        cookie: As the user described it.
        is_public_suffix: Says which domains belong to nobody in particular.

    Raises:
        InvalidRequest: Domain, path, expiry or creation time make no sense.
    """
    domain = _canonical_domain(cookie.domain)
    if not cookie.path.startswith("/") or _FORBIDDEN.search(cookie.path):
        raise InvalidRequest(f"The path {excerpt(cookie.path)} of a cookie must start with '/' and be printable.")
    if has_host_prefix(cookie.name) and cookie.path != "/":
        raise InvalidRequest(f"The cookie {excerpt(cookie.name)} has the prefix __Host-: its path must be '/'.")
    if not _is_moment(cookie.created) or not (cookie.expires is None or _is_moment(cookie.expires)):
        raise InvalidRequest(f"The times of the cookie {excerpt(cookie.name)} must be seconds since 1970.")
    narrow = has_host_prefix(cookie.name) or (domain != "" and _is_single_host(domain, is_public_suffix))
    return replace(
        cookie,
        domain=domain,
        secure=cookie.secure or has_secure_prefix(cookie.name),
        host_only=domain != "" and (cookie.host_only or narrow),
    )


def _is_moment(moment: object) -> bool:
    return isinstance(moment, int | float) and abs(moment) <= _LATEST


def _is_single_host(domain: str, is_public_suffix: Callable[[str], bool]) -> bool:
    return is_ip_address(domain) or is_public_suffix(domain.rstrip("."))


def _canonical_domain(domain: str) -> str:
    canonical = domain.removeprefix(".").lower()
    if domain and not _DOMAIN.fullmatch(canonical):
        raise InvalidRequest(
            f"The domain {excerpt(domain)} of a cookie must be a host name or an address: "
            "no port, no brackets, international names in their xn-- form."
        )
    return canonical


def cookies_to_json(created: Sequence[Cookie], written: Iterable[Cookie]) -> str:
    """Write cookies as JSON text that :func:`cookies_from_json` reads.

    Args:
        created: The cookies in order of creation.
        written: The same in the order in which they were last set.
    """
    numbers = {cookie: number for number, cookie in enumerate(created)}
    document = {
        "version": _FORMAT_VERSION,
        "cookies": [asdict(cookie) for cookie in created],
        "written": [numbers[cookie] for cookie in written],
    }
    return json.dumps(document, indent=1)


def cookies_from_json(text: str | bytes) -> list[Cookie]:
    """Read what :func:`cookies_to_json` wrote.

    Args:
        text: JSON.

    Returns:
        What to set to have the same again: all cookies in order of creation, then once more in the order of writing.

    Raises:
        InvalidRequest: It is not such a text. No part of it is shown, since it holds credentials.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidRequest("The saved cookies cannot be read: they are not JSON.") from None
    if not isinstance(document, dict) or document.get("version") != _FORMAT_VERSION:
        raise InvalidRequest(f"The saved cookies cannot be read: expected an object of version {_FORMAT_VERSION}.")
    items, written = document.get("cookies"), document.get("written", [])
    if not isinstance(items, list) or not isinstance(written, list):
        raise InvalidRequest("The saved cookies cannot be read: expected lists under 'cookies' and 'written'.")
    if not all(type(number) is int and 0 <= number < len(items) for number in written):
        raise InvalidRequest("The saved cookies cannot be read: expected numbers of cookies under 'written'.")
    cookies = [_from_item(number, item) for number, item in enumerate(items)]
    return cookies + [cookies[number] for number in written]


def _from_item(number: int, item: Any) -> Cookie:
    if not isinstance(item, dict) or not all(_has_type(item, name) for name in _TYPES):
        raise InvalidRequest(
            f"The saved cookies cannot be read: number {number} must have {', '.join(_TYPES)}, each of its type."
        )
    cookie = Cookie(**{name: item[name] for name in _TYPES})
    _check_stored(cookie)
    return replace(cookie, same_site=same_site_of(cookie.same_site or ""))


def _has_type(item: dict[str, Any], name: str) -> bool:
    # bool is an int to isinstance, and a flag where a time belongs is a mistake.
    return name in item and type(item[name]) in _TYPES[name]


def _check_stored(cookie: Cookie) -> None:
    """Check name and value of a cookie that was stored before: unlike a user's it may have no name."""
    if cookie.name:
        check_pair(cookie.name, cookie.value)
        return
    check_pair("nameless", cookie.value)
    if not cookie.value or is_disguised(cookie.name, cookie.value):
        raise InvalidRequest("A cookie without a name needs a value, and one that does not pass for a name.")


def is_standard_jar(cookies: object) -> TypeGuard[Iterable[http.cookiejar.Cookie]]:
    """Whether it is a ``http.cookiejar.CookieJar``, such as that of ``requests``, whose cookies know where they may go.

    Whoever has one has imported its module, which is slow to import.
    """
    module = sys.modules.get("http.cookiejar")
    return module is not None and isinstance(cookies, module.CookieJar)


def cookies_from_cookiejar(jar: Iterable[http.cookiejar.Cookie]) -> list[Cookie]:
    """Take over cookies of the standard library's kind; those that could not be sent anyway are left out.

    Args:
        jar: A ``http.cookiejar.CookieJar`` or one derived from it.
    """
    cookies = []
    for item in jar:
        cookie = _from_standard(item)
        try:
            _check_stored(cookie)
        except InvalidRequest:
            continue
        cookies.append(cookie)
    return cookies


def _from_standard(item: http.cookiejar.Cookie) -> Cookie:
    domain = item.domain
    if not item.domain_specified and domain.count(".") == 1:
        # Its way to write a host name without a dot: "localhost.local".
        domain = domain.removesuffix(".local")
    return Cookie(
        # It keeps a cookie without "=" as a name without a value.
        item.name if item.value is not None else "",
        item.value if item.value is not None else item.name,
        domain=domain,
        path=item.path if item.path.startswith("/") else "/",
        expires=item.expires,
        secure=item.secure,
        http_only=item.has_nonstandard_attr("HttpOnly"),
        host_only=domain != "" and not item.domain_specified,
        same_site=same_site_of(item.get_nonstandard_attr("SameSite") or ""),
    )
