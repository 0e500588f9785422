"""What a cookie is and where it goes: domains, paths, prefixes (RFC 6265bis §5.1, §5.4).

A connection is secure under ``https`` and ``wss`` alone. Browsers also trust ``http://localhost``; a library that
others deploy cannot know what listens there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class CookieURL(Protocol):
    """What cookies need to know of a URL."""

    @property
    def scheme(self) -> str:
        """The scheme in lower case."""
        ...

    @property
    def host(self) -> str:
        """The host: ASCII, lower case, an IPv6 address without brackets."""
        ...

    @property
    def path(self) -> str:
        """The path as it is sent, without the query."""
        ...


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie and its scope (RFC 6265bis §5.7). Its ``repr`` leaves the value out.

    Attributes:
        name: The name; empty for what a server sent without ``=``.
        value: The value as it is sent, quotes included.
        domain: The host or domain it belongs to, lower case without a leading dot. Empty where a user set it
            without a domain: it is *unbound* and goes with every request the user addresses.
        path: The path it belongs to, with all below.
        expires: When it ends, in seconds since 1970; None for as long as the jar lives.
        secure: Sent over ``https`` and ``wss`` alone.
        http_only: Not meant for scripts; of no effect here.
        host_only: Sent to ``domain`` itself alone, not to the hosts below it.
        same_site: ``Strict``, ``Lax`` or ``None``, as the server wrote it; the value None where it did not.
        created: When it was first set, in seconds since 1970.
    """

    name: str
    value: str = field(repr=False)
    domain: str = ""
    path: str = "/"
    expires: float | None = None
    secure: bool = False
    http_only: bool = False
    host_only: bool = False
    same_site: str | None = None
    created: float = 0.0

    def is_expired(self, now: float) -> bool:
        """Tell whether its time is over.

        Args:
            now: Seconds since 1970.
        """
        return self.expires is not None and self.expires <= now


def is_secure(url: CookieURL) -> bool:
    """Tell whether a request to this URL may carry and set ``Secure`` cookies."""
    return url.scheme in ("https", "wss")


def is_ip_address(host: str) -> bool:
    """Tell whether a host is an address, as the URL Standard does: an IPv6 one, or a last label made of digits."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def is_single_label(domain: str) -> bool:
    """Say which domains are public suffixes where no list is at hand: top-level names and addresses.

    Args:
        domain: A domain in lower case, without dots at its ends.
    """
    return "." not in domain or is_ip_address(domain)


def is_domain_match(host: str, domain: str) -> bool:
    """Tell whether a host is the domain or lies below it (RFC 6265bis §5.1.3)."""
    return host == domain or (host.endswith("." + domain) and not is_ip_address(host))


def is_path_match(path: str, cookie_path: str) -> bool:
    """Tell whether a request's path is the cookie's path or lies below it (RFC 6265bis §5.1.4)."""
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"


def default_path(path: str) -> str:
    """Give the path of a cookie that names none: the directory of the request's path (RFC 6265bis §5.1.4)."""
    directory = path.rpartition("/")[0]
    return directory if directory.startswith("/") else "/"


def has_secure_prefix(name: str) -> bool:
    """Tell whether the name promises a cookie that only a secure response can set (RFC 6265bis §5.4)."""
    return name.lower().startswith(("__secure-", "__host-"))


def has_host_prefix(name: str) -> bool:
    """Tell whether the name promises, besides, a cookie of exactly one host and its path ``/``."""
    return name.lower().startswith("__host-")


def is_disguised(name: str, value: str) -> bool:
    """Tell whether a nameless cookie would pass on the wire for one with a name or a prefix."""
    return not name and ("=" in value or has_secure_prefix(value))
