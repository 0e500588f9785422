"""What is remembered of DNS, and for how long."""

from __future__ import annotations

from reqivo_core.address_cache import AddressCache
from reqivo_core.interfaces import Address

HERE = [Address("192.0.2.1", 80)]


def test_addresses_are_remembered_for_their_time() -> None:
    cache = AddressCache(10, 30.0)
    cache.put("a.example", HERE, 100.0)
    assert cache.get("a.example", 129.9) == HERE
    assert cache.get("a.example", 130.0) is None
    assert len(cache) == 0
    assert cache.get("b.example", 100.0) is None


def test_only_so_many_hosts_are_remembered() -> None:
    cache = AddressCache(2, 30.0)
    for host in ("a", "b", "c"):
        cache.put(host, HERE, 0.0)
    assert [cache.get(host, 1.0) for host in ("a", "b", "c")] == [None, HERE, HERE]


def test_what_is_forgotten_is_asked_again() -> None:
    cache = AddressCache(2, 30.0)
    cache.put("a", HERE, 0.0)
    cache.forget("a")
    cache.forget("a")
    assert cache.get("a", 0.0) is None


def test_no_time_or_no_room_means_no_memory() -> None:
    for cache in (AddressCache(0, 30.0), AddressCache(10, 0.0)):
        cache.put("a", HERE, 0.0)
        assert cache.get("a", 0.0) is None
