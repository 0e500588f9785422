"""The cookie jar of a session: shared by threads, a mapping for its user, scoped cookies for its requests."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from reqivo_core.cookie_input import (
    check_pair,
    cookies_from_cookiejar,
    cookies_from_json,
    cookies_to_json,
    encode_cookies,
    is_standard_jar,
    named_values,
    scoped,
)
from reqivo_core.cookie_scope import Cookie, CookieURL, is_secure, is_single_label
from reqivo_core.cookie_store import UNBOUND, CookieLimits, CookieStore, Entry, Recipient
from reqivo_core.errors import excerpt
from reqivo_core.forks import ForkSafe
from reqivo_core.set_cookie import receive_cookie

if TYPE_CHECKING:
    import http.cookiejar

__all__ = ["Cookie", "CookieJar", "CookieLimits", "CookieURL", "encode_cookies", "header_of"]

_DEFAULT_LIMITS = CookieLimits()
_SHOWN = 10
_SEPARATOR = "; "


class CookieJar(ForkSafe, MutableMapping[str, str]):
    """A session's cookies: a mapping of names to values for its user, scoped cookies for its requests.

    ``jar["a"] = "b"`` sets a cookie that is *unbound*: it goes with every request that the user addresses, and, since
    the engine then asks for ``header_for(url, include_unbound=False)``, not to where a server redirects to another
    origin. :meth:`set` binds a cookie to a domain. Where an unbound cookie and one of a domain have the same name and
    both fit a request, the one set last is sent. As a mapping, too, a name stands for the cookie set last.

    A jar may be shared by threads. ``bool(jar)`` takes no lock and costs nothing; it may stay true while nothing but
    expired cookies is left.

    Args:
        cookies: Names and values of unbound cookies, or another jar, whose cookies keep their scope.
        now: Gives the time in seconds since 1970.
        is_public_suffix: Says whether a domain (lower case, no dots at its ends) belongs to nobody in particular, so
            that no server may set cookies for it. The default knows only single labels and addresses.
        limits: How much servers may make the jar hold.

    Attributes:
        is_public_suffix: May be replaced, by one that knows the Public Suffix List.

    Raises:
        InvalidRequest: A name or value cannot be sent.
    """

    def __init__(
        self,
        cookies: Mapping[str, str] | None = None,
        *,
        now: Callable[[], float] = time.time,
        is_public_suffix: Callable[[str], bool] = is_single_label,
        limits: CookieLimits = _DEFAULT_LIMITS,
    ) -> None:
        super().__init__()
        self.is_public_suffix = is_public_suffix
        self._now = now
        self._limits = limits
        self._store = CookieStore(limits)
        if cookies is not None:
            self.update(cookies)

    # What the engine asks.

    def extract(self, url: CookieURL, set_cookie_lines: Iterable[str]) -> list[Cookie]:
        """Take in what a response sets (RFC 6265bis §5.7). What a server gets wrong is ignored.

        Args:
            url: The URL that answered.
            set_cookie_lines: The values of its ``Set-Cookie`` lines, decoded as latin-1.

        Returns:
            The cookies that were stored, without those that the response deleted.
        """
        now, is_public_suffix = self._now(), self.is_public_suffix
        lines = itertools.islice(set_cookie_lines, self._limits.per_response)
        received = [cookie for line in lines if (cookie := receive_cookie(line, url, now, is_public_suffix))]
        if not received:
            return []
        secure = is_secure(url)
        with self._lock:
            return self._store.receive(received, now, secure=secure)

    def header_for(self, url: CookieURL, include_unbound: bool = True, *, without: Iterable[str] = ()) -> str | None:
        """Write the ``Cookie`` header of a request (RFC 6265bis §5.8.3).

        Unbound cookies stand first; the others follow with the longest path first, then the earliest created.

        Args:
            url: Where the request goes.
            include_unbound: Whether the user addressed it: whether cookies without a domain go with it.
            without: Names to leave out, because the request brings its own.

        Returns:
            The field value, or None where there is nothing to send.
        """
        if not self._store:
            return None
        recipient, omitted, now = Recipient.of(url, include_unbound), frozenset(without), self._now()
        with self._lock:
            cookies = self._store.choose(recipient, omitted, now)
        return _join(cookies, self._limits.header_size)

    # What the user asks.

    def set(
        self,
        name: str,
        value: str,
        *,
        domain: str | None = None,
        path: str = "/",
        secure: bool = False,
        expires: float | None = None,
        host_only: bool = False,
    ) -> None:
        """Set a cookie.

        Args:
            name: Its name. The prefixes ``__Secure-`` and ``__Host-`` imply ``secure``, the latter ``host_only`` too.
            value: Its value, sent as it is.
            domain: The domain it goes to, with all hosts below it; a public suffix or an address stands for that one
                host. None makes it unbound.
            path: The path it goes to, with all below.
            secure: Send it over ``https`` and ``wss`` alone.
            expires: When it ends, in seconds since 1970; None for never.
            host_only: Do not send it to the hosts below the domain.

        Raises:
            InvalidRequest: One of these cannot be; nothing was set.
        """
        check_pair(name, value)
        now = self._now()
        cookie = Cookie(name, value, domain or UNBOUND, path, expires, secure, False, host_only, None, now)
        self._add([cookie], now)

    def clear(self, domain: str | None = None, name: str | None = None) -> None:
        """Remove cookies.

        Args:
            domain: Only those of exactly this domain; ``""`` for the unbound ones.
            name: Only those of this name.
        """
        wanted = None if domain is None else domain.removeprefix(".").lower()
        with self._lock:
            self._store.remove_where(lambda cookie: wanted in (None, cookie.domain) and name in (None, cookie.name))

    @property
    def cookies(self) -> list[Cookie]:
        """The cookies that have not expired, in order of creation."""
        return self._in_both_orders()[0]

    def __getitem__(self, name: str) -> str:
        """Give the value of the cookie of this name that was set last."""
        return self._values()[name]

    def __setitem__(self, name: str, value: str) -> None:
        """Set an unbound cookie; see :meth:`set`."""
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        """Remove every cookie of this name."""
        with self._lock:
            removed = self._store.remove_where(lambda cookie: cookie.name == name)
        if not removed:
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._values())

    def __len__(self) -> int:
        """Count the names."""
        return len(self._values())

    def __bool__(self) -> bool:
        """Tell whether the jar holds anything, expired cookies included."""
        return bool(self._store)

    def items(self) -> ItemsView[str, str]:
        """Give names and values as they are now."""
        return self._values().items()

    def values(self) -> ValuesView[str]:
        """Give the values as they are now."""
        return self._values().values()

    def update(  # type: ignore[override]  # one signature says more than typeshed's overloads, and takes what they take
        self, other: Mapping[str, str] | Iterable[tuple[str, str]] = (), /, **cookies: str
    ) -> None:
        """Set many cookies: unbound ones from names and values, or another jar's with the scope they have there.

        Args:
            other: A mapping, pairs, or a jar; the standard library's and those derived from it are jars too.
            **cookies: Names and values.

        Raises:
            InvalidRequest: A name or value cannot be sent; nothing was set.
        """
        now = self._now()
        added: list[Cookie] = []
        if isinstance(other, CookieJar):
            created, written = other._in_both_orders()
            added, other = created + written, ()
        elif is_standard_jar(other):
            added, other = [replace(cookie, created=now) for cookie in cookies_from_cookiejar(other)], ()
        for name, value in {**named_values(other), **named_values(cookies)}.items():
            added.append(Cookie(name, value, created=now))
        self._add(added, now)

    def copy(self) -> Self:
        """Make a jar with the same cookies, limits, clock and suffixes, which goes its own way from then on."""
        return type(self)(self, now=self._now, is_public_suffix=self.is_public_suffix, limits=self._limits)

    __copy__ = copy

    def __deepcopy__(self, memo: object) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the cookies with their scope, and the settings, which must pickle too. The octets hold credentials."""
        return _unpickled, (type(self), self._in_both_orders(), self._now, self.is_public_suffix, self._limits)

    def __repr__(self) -> str:
        """Show names and domains; values are credentials."""
        cookies = self.cookies
        shown = [f"{excerpt(cookie.name, 40)} ({cookie.domain or 'any host'})" for cookie in cookies[:_SHOWN]]
        if len(cookies) > _SHOWN:
            shown.append(f"{len(cookies) - _SHOWN} more")
        return f"<{type(self).__name__}: {', '.join(shown) or 'empty'}>"

    # To and from elsewhere.

    def to_json(self) -> str:
        """Write all cookies as JSON, with scope and expiry. The text holds credentials."""
        return cookies_to_json(*self._in_both_orders())

    @classmethod
    def from_json(
        cls,
        text: str | bytes,
        *,
        now: Callable[[], float] = time.time,
        is_public_suffix: Callable[[str], bool] = is_single_label,
    ) -> Self:
        """Make a jar from what :meth:`to_json` wrote; expired cookies are left out.

        Args:
            text: JSON.
            now: As for the class.
            is_public_suffix: As for the class; a cookie of a domain that has become one is sent to that host alone.

        Raises:
            InvalidRequest: The text is not of that form.
        """
        jar = cls(now=now, is_public_suffix=is_public_suffix)
        jar._add(cookies_from_json(text), now())
        return jar

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all cookies to a file that only its owner can read. An older file is replaced as a whole.

        Args:
            path: Where to.

        Raises:
            OSError: The file cannot be written; an older one is left as it was.
        """
        target = os.fspath(path)
        draft = f"{target}.{os.urandom(6).hex()}.tmp"
        try:
            with open(draft, "x", encoding="ascii", opener=_open_private) as file:
                file.write(self.to_json())
            os.replace(draft, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Add the cookies of a file that :meth:`save` wrote, over those of the same scope.

        Args:
            path: Where from.

        Returns:
            The jar itself, so that ``Session(cookies=CookieJar().load(path))`` reads well.

        Raises:
            OSError: The file cannot be read.
            InvalidRequest: It is not of that form; nothing was added.
        """
        with open(path, "rb") as file:
            cookies = cookies_from_json(file.read())
        self._add(cookies, self._now())
        return self

    @classmethod
    def from_cookiejar(
        cls,
        jar: Iterable[http.cookiejar.Cookie],
        *,
        now: Callable[[], float] = time.time,
        is_public_suffix: Callable[[str], bool] = is_single_label,
    ) -> Self:
        """Make a jar from the standard library's ``CookieJar``, or one derived from it as that of ``requests`` is.

        Args:
            jar: Where the cookies are; those that cannot be sent are left out.
            now: As for the class.
            is_public_suffix: As for the class.
        """
        made = cls(now=now, is_public_suffix=is_public_suffix)
        moment = now()
        made._add([replace(cookie, created=moment) for cookie in cookies_from_cookiejar(jar)], moment)
        return made

    def _add(self, cookies: Iterable[Cookie], now: float) -> None:
        """Check and store a user's cookies: all of them, or none where one cannot be."""
        checked = [scoped(cookie, self.is_public_suffix) for cookie in cookies]
        with self._lock:
            self._store.add(checked, now)

    def _live_entries(self) -> list[Entry]:
        now = self._now()
        with self._lock:
            self._store.remove_where(lambda cookie: cookie.is_expired(now))
            return self._store.entries()

    def _values(self) -> dict[str, str]:
        return {cookie.name: cookie.value for cookie in self._in_both_orders()[1]}

    def _in_both_orders(self) -> tuple[list[Cookie], list[Cookie]]:
        """List the cookies as they were created, and as they were last set: together these tell what is sent."""
        entries = self._live_entries()
        created = sorted(entries, key=lambda entry: (entry.cookie.created, entry.order))
        written = sorted(entries, key=lambda entry: entry.written)
        return [entry.cookie for entry in created], [entry.cookie for entry in written]


def _unpickled(
    kind: type[CookieJar],
    cookies: tuple[list[Cookie], list[Cookie]],
    now: Callable[[], float],
    is_public_suffix: Callable[[str], bool],
    limits: CookieLimits,
) -> CookieJar:
    jar = kind(now=now, is_public_suffix=is_public_suffix, limits=limits)
    created, written = cookies
    jar._add(created + written, now())
    return jar


def header_of(cookies: Any, url: CookieURL) -> str | None:
    """Write the ``Cookie`` header of one request from what its ``cookies=`` says.

    Args:
        cookies: A mapping or pairs, all of which are sent; or a jar, whose cookies know where they may go.
        url: Where the request goes.

    Raises:
        InvalidRequest: They are none of these, or one cannot be sent.
    """
    if is_standard_jar(cookies):
        cookies = CookieJar.from_cookiejar(cookies)
    return cookies.header_for(url) if isinstance(cookies, CookieJar) else encode_cookies(cookies)


def _join(cookies: Iterable[Cookie], size: int) -> str | None:
    """Write the header, leaving out what would make it longer than ``size`` octets."""
    pairs: list[str] = []
    free = size + len(_SEPARATOR)
    for cookie in cookies:
        pair = f"{cookie.name}={cookie.value}" if cookie.name else cookie.value
        if len(pair) + len(_SEPARATOR) <= free:
            pairs.append(pair)
            free -= len(pair) + len(_SEPARATOR)
    return _SEPARATOR.join(pairs) or None


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
