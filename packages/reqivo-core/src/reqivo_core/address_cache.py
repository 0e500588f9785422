"""AddressCache: which addresses a host had a moment ago. Pure; told the time."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reqivo_core.interfaces import Address


class AddressCache:
    """Remembers addresses for a while, of the hosts asked for last.

    Only answers are kept, never failures, and an address list is forgotten as soon as nobody answered at it. Each step
    is a single operation on the dictionary or tolerates that another thread was quicker, so no lock is needed.
    """

    def __init__(self, max_entries: int, ttl: float) -> None:
        """Make an empty cache.

        Args:
            max_entries: Hosts to remember at most; 0 for none.
            ttl: Seconds to remember them; 0 for none.
        """
        self._max_entries = max_entries if ttl > 0 else 0
        self._ttl = ttl
        self._entries: OrderedDict[str, tuple[float, list[Address]]] = OrderedDict()

    def get(self, host: str, now: float) -> list[Address] | None:
        """The addresses of a host, with whatever port they were asked for; None if they are not known."""
        entry = self._entries.get(host)
        if entry is None:
            return None
        if entry[0] <= now:
            self._entries.pop(host, None)
            return None
        return entry[1]

    def put(self, host: str, addresses: list[Address], now: float) -> None:
        """Remember the addresses of a host."""
        if not self._max_entries:
            return
        self._entries[host] = (now + self._ttl, addresses)
        with suppress(KeyError):  # another thread may empty it meanwhile
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def forget(self, host: str) -> None:
        """Ask the resolver again the next time."""
        self._entries.pop(host, None)

    def __len__(self) -> int:
        return len(self._entries)
