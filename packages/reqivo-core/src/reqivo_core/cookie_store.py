"""What a cookie jar holds, apart from threads and users: storing, choosing and evicting (RFC 6265bis §5.7, §5.8).

Nothing here calls what a user gave (a clock, a list of suffixes, a URL), since the jar works on its store under a lock.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from reqivo_core.cookie_scope import Cookie, CookieURL, is_domain_match, is_ip_address, is_path_match, is_secure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

UNBOUND = ""
"""Stands as domain of the cookies that a user set without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieLimits:
    """How much a jar holds and sends. Unbound cookies are the user's own, and not counted.

    Attributes:
        per_response: ``Set-Cookie`` lines that are looked at in one response.
        per_domain: Cookies of one domain.
        total: Cookies of all domains together.
        header_size: Octets of a ``Cookie`` header; cookies that do not fit are left out.
    """

    per_response: int = 50
    per_domain: int = 180
    total: int = 3000
    header_size: int = 8192


class Key(NamedTuple):
    """What tells cookies apart: at most one of each kind is stored."""

    domain: str
    name: str
    path: str
    host_only: bool

    @classmethod
    def of(cls, cookie: Cookie) -> Key:
        """Give a cookie's key."""
        return cls(cookie.domain, cookie.name, cookie.path, cookie.host_only)


@dataclass(slots=True)
class Entry:
    """A cookie in the store. Ticks count what happens to it, since a clock may stand still or go back.

    Attributes:
        cookie: The cookie.
        order: The tick of its creation, kept when it is replaced; decides between equal times of creation.
        written: The tick at which it was last set.
        used: The tick at which it was last set or sent.
    """

    cookie: Cookie
    order: int
    written: int
    used: int


class Recipient(NamedTuple):
    """What decides which cookies a request gets.

    Attributes:
        host: The request's host.
        path: Its path.
        secure: Whether it goes over a secure connection.
        domains: Where to look: the host, the domains above it, and the unbound cookies if they are to go with it.
    """

    host: str
    path: str
    secure: bool
    domains: list[str]

    @classmethod
    def of(cls, url: CookieURL, include_unbound: bool) -> Recipient:
        """Read a URL."""
        host = url.host
        domains = [UNBOUND] if include_unbound else []
        domain = host
        while domain:
            domains.append(domain)
            domain = "" if is_ip_address(host) else domain.partition(".")[2]
        return cls(host, url.path or "/", is_secure(url), domains)

    def gets(self, cookie: Cookie) -> bool:
        """Tell whether a cookie found under one of ``domains`` is for this request."""
        if cookie.host_only and cookie.domain != self.host:
            return False
        return (self.secure or not cookie.secure) and is_path_match(self.path, cookie.path)


_NOTHING: Mapping[Key, Entry] = {}


class CookieStore:
    """Cookies by domain.

    Args:
        limits: How many.
    """

    def __init__(self, limits: CookieLimits) -> None:
        self._limits = limits
        self._ticks = itertools.count(1)
        self._buckets: dict[str, dict[Key, Entry]] = {}

    def __bool__(self) -> bool:
        """Tell whether anything is stored; safe without the lock, because no empty bucket is kept."""
        return bool(self._buckets)

    def entries(self, domains: Iterable[str] | None = None) -> list[Entry]:
        """List what is stored.

        Args:
            domains: Only these.
        """
        buckets = self._buckets if domains is None else domains
        return [entry for domain in buckets for entry in self._buckets.get(domain, _NOTHING).values()]

    def remove_where(self, is_unwanted: Callable[[Cookie], bool]) -> int:
        """Remove cookies by a rule.

        Args:
            is_unwanted: The rule.

        Returns:
            How many were removed.
        """
        unwanted = [entry for entry in self.entries() if is_unwanted(entry.cookie)]
        for entry in unwanted:
            self._remove(Key.of(entry.cookie))
        return len(unwanted)

    def receive(self, cookies: list[Cookie], now: float, *, secure: bool) -> list[Cookie]:
        """Store what a response sets, but let an insecure one replace no ``Secure`` cookie, nor get in its way.

        Args:
            cookies: What it sets; an expired one deletes.
            now: Seconds since 1970.
            secure: Whether the response came over a secure connection.

        Returns:
            What was stored.
        """
        if not secure:
            guarded = self._secure_cookies(now)
            cookies = [cookie for cookie in cookies if not _overlays(cookie, guarded.get(cookie.name, ()))]
        return self.add(cookies, now)

    def add(self, cookies: Iterable[Cookie], now: float) -> list[Cookie]:
        """Store cookies in turn, an expired one by removing its forerunner; then evict what is too much.

        Args:
            cookies: What to store.
            now: Seconds since 1970.

        Returns:
            What was stored.
        """
        stored: dict[Key, Cookie] = {}
        for cookie in cookies:
            key = Key.of(cookie)
            if cookie.is_expired(now):
                self._remove(key)
                stored.pop(key, None)
            else:
                stored[key] = self._put(key, cookie)
        self._evict_excess({key.domain for key in stored}, now)
        return list(stored.values())

    def choose(self, recipient: Recipient, without: AbstractSet[str], now: float) -> list[Cookie]:
        """Choose the cookies of a request and note that they were used.

        Unbound cookies come first; the others follow with the longest path first, then the earliest created.

        Args:
            recipient: The request.
            without: Names to leave out.
            now: Seconds since 1970.
        """
        entries = self._live([entry for entry in self.entries(recipient.domains) if recipient.gets(entry.cookie)], now)
        if UNBOUND in recipient.domains and UNBOUND in self._buckets:
            entries = _unshadowed(entries)
        if without:
            entries = [entry for entry in entries if entry.cookie.name not in without]
        entries.sort(key=_sending_order)
        tick = next(self._ticks)
        for entry in entries:
            entry.used = tick
        return [entry.cookie for entry in entries]

    def _live(self, entries: list[Entry], now: float) -> list[Entry]:
        """Remove the expired ones and give the others."""
        expired = [entry for entry in entries if entry.cookie.is_expired(now)]
        if not expired:
            return entries
        for entry in expired:
            self._remove(Key.of(entry.cookie))
        return [entry for entry in entries if not entry.cookie.is_expired(now)]

    def _put(self, key: Key, cookie: Cookie) -> Cookie:
        """Store one, which takes over the creation of the one it replaces."""
        bucket = self._buckets.setdefault(key.domain, {})
        order = tick = next(self._ticks)
        if old := bucket.get(key):
            order = old.order
            cookie = replace(cookie, created=old.cookie.created)
        bucket[key] = Entry(cookie, order, tick, tick)
        return cookie

    def _remove(self, key: Key) -> None:
        bucket = self._buckets.get(key.domain)
        if bucket is None:
            return
        bucket.pop(key, None)
        if not bucket:
            del self._buckets[key.domain]

    def _secure_cookies(self, now: float) -> dict[str, list[Cookie]]:
        found: dict[str, list[Cookie]] = {}
        for entry in self.entries():
            if entry.cookie.secure and not entry.cookie.is_expired(now):
                found.setdefault(entry.cookie.name, []).append(entry.cookie)
        return found

    def _evict_excess(self, domains: Iterable[str], now: float) -> None:
        """Keep to the limits: expired cookies go first, in a full domain then insecure ones, then any."""
        for domain in domains:
            if domain != UNBOUND:
                self._evict(
                    self.entries([domain]), self._limits.per_domain, lambda c: (not c.is_expired(now), c.secure)
                )
        bound = [domain for domain in self._buckets if domain != UNBOUND]
        if sum(len(self._buckets[domain]) for domain in bound) > self._limits.total:
            self._evict(self.entries(bound), self._limits.total, lambda c: (not c.is_expired(now), False))

    def _evict(self, entries: list[Entry], keep: int, worth: Callable[[Cookie], tuple[bool, bool]]) -> None:
        """Remove the least worthy of too many, among equals the one that was not used for longest."""
        if len(entries) > keep:
            entries.sort(key=lambda entry: (*worth(entry.cookie), entry.used))
            for entry in entries[: len(entries) - keep]:
                self._remove(Key.of(entry.cookie))


def _overlays(cookie: Cookie, guarded: Iterable[Cookie]) -> bool:
    """Tell whether a cookie set over an insecure connection would be sent where a ``Secure`` namesake is meant."""
    return any(
        is_path_match(cookie.path, secure.path)
        and (
            secure.domain == UNBOUND
            or is_domain_match(secure.domain, cookie.domain)
            or is_domain_match(cookie.domain, secure.domain)
        )
        for secure in guarded
    )


def _unshadowed(entries: list[Entry]) -> list[Entry]:
    """Where unbound cookies and those of a domain share a name, keep the side that was set last."""
    newest: dict[tuple[str, bool], int] = {}
    for entry in entries:
        side = (entry.cookie.name, entry.cookie.domain == UNBOUND)
        newest[side] = max(entry.written, newest.get(side, 0))
    return [
        entry
        for entry in entries
        if newest[entry.cookie.name, entry.cookie.domain == UNBOUND]
        >= newest.get((entry.cookie.name, entry.cookie.domain != UNBOUND), 0)
    ]


def _sending_order(entry: Entry) -> tuple[bool, int, float, int]:
    return entry.cookie.domain != UNBOUND, -len(entry.cookie.path), entry.cookie.created, entry.order
