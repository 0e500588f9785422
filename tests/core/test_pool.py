"""The conversation around the pool's decisions: what threads, finalizers, signals and new worlds do to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reqivo_core.errors import SessionClosed
from reqivo_core.interfaces import Exchange
from reqivo_core.limits import Limits
from reqivo_core.pool import Lease, Pool
from reqivo_core.routes import ConnectionKey, Route
from reqivo_core.runtime.blocking import BlockingRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.timeouts import Deadline, Timeout
from reqivo_core.tls_config import TlsConfig
from reqivo_core.urls import URL


class Wire:
    """As much of a transport as the pool looks at. What it is told at its end may do anything."""

    is_shared = False
    is_closing = False

    def __init__(self, at_end: Callable[[], None] = lambda: None) -> None:
        self.at_end = at_end
        self.is_open = True

    @property
    def concurrency(self) -> int:
        return int(self.is_open)

    def is_usable(self) -> bool:
        return self.is_open

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.at_end()

    async def aclose(self) -> None:
        self.close()


class Runtime(BlockingRuntime):
    """A runtime that can be in another world, at another time, and interrupted when it looks at the clock."""

    here: Hashable = "one world"
    time = 0.0
    looks_left: int | None = None

    def world(self) -> Hashable:
        return self.here

    def now(self) -> float:
        if self.looks_left is not None:
            self.looks_left -= 1
            if self.looks_left < 0:
                self.looks_left = None
                raise KeyboardInterrupt
        return self.time


class Setting:
    """A pool, its runtime, and how to get something of it."""

    def __init__(self, **limits: Any) -> None:
        self.runtime = Runtime()
        self.limits = Limits(**limits)
        self.pool = Pool(self.runtime, self.limits, self.dial)
        self.dials: dict[Exchange, tuple[Wire, Callable[[Any], None]]] = {}

    async def dial(self, origin: Any, route: Any, exchange: Exchange, on_change: Callable[[], None]) -> Any:
        wire, before = self.dials.pop(exchange)
        before(on_change)
        return wire

    def acquire(
        self, host: str = "a", wire: Wire | None = None, before: Callable[[Any], None] = lambda on_change: None
    ) -> Lease:
        exchange = Exchange(self.runtime, Deadline(Timeout(pool=5), self.runtime.now), self.limits)
        self.dials[exchange] = wire or Wire(), before
        key = ConnectionKey(URL.parse(f"http://{host}/").origin, Route(TlsConfig()))
        key.may_share = False
        return run_blocking(self.pool.acquire(key, exchange))


def test_a_connection_may_change_while_it_is_being_opened() -> None:
    """The first SETTINGS of a server may come before the one who dials has the connection."""
    setting = Setting(max_connections=1)
    lease = setting.acquire(before=lambda on_change: on_change())
    assert setting.pool.counts == (1, 0, 0)
    lease.release()
    assert setting.pool.counts == (0, 1, 0)


@pytest.mark.parametrize(("looks", "is_kept"), [(0, False), (1, True)])
def test_an_interrupt_after_dialing_loses_nothing(looks: int, is_kept: bool) -> None:
    setting = Setting(max_connections=1)
    wire = Wire()

    def interrupt(on_change: Any) -> None:
        setting.runtime.looks_left = looks

    with pytest.raises(KeyboardInterrupt):
        setting.acquire(wire=wire, before=interrupt)
    assert (wire.is_open, setting.pool.counts) == (is_kept, (0, int(is_kept), 0))
    setting.acquire().release()
    assert setting.pool.counts == (0, 1, 0), "its slot was given back"


def test_a_connection_is_given_back_once_though_two_come_to_do_so() -> None:
    setting = Setting(max_connections=1)
    lease = setting.acquire()
    lease.release()
    setting.pool.give_back(lease)  # by another thread, that had come as far
    assert setting.pool.counts == (0, 1, 0)


def test_a_closed_pool_gives_out_nothing() -> None:
    setting = Setting()
    setting.acquire().release()
    run_blocking(setting.pool.aclose())
    with pytest.raises(SessionClosed, match="make a new one"):
        setting.acquire()
    assert setting.pool.counts == (0, 0, 0)


def test_a_place_may_be_settled_before_anybody_waits_in_it() -> None:
    setting = Setting(max_connections_per_host=1, idle_timeout=10)
    busy = setting.acquire("a")
    setting.acquire("b", Wire(at_end=busy.release)).release()
    setting.runtime.time = 11.0
    lease = setting.acquire("a")  # which closes what idled too long, and that gives back what is waited for
    assert (lease.is_reused, lease.transport) == (True, busy.transport)
    assert setting.pool.counts == (1, 0, 0)


def test_what_finalizers_give_back_of_another_world_is_closed_without_the_lock() -> None:
    setting = Setting()
    pool = setting.pool
    counts: list[Any] = []
    wire = Wire(at_end=lambda: counts.append(pool.counts))  # as a transport that tells the pool of its change
    left = setting.acquire(wire=wire)
    setting.runtime.here = "another world"
    setting.acquire().release()
    with pool._lock:
        left.abandon()  # by a finalizer, in the midst of a step
        assert wire.is_open
    assert pool.counts == (0, 1, 0)
    assert (wire.is_open, counts) == (False, [(0, 1, 0)])


class Gate:
    """A lock at which two threads arrive together, the first time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.both = threading.Barrier(2)
        self.seen: set[int] = set()

    def acquire(self, *args: Any, **options: Any) -> bool:
        return self.lock.acquire(*args, **options)

    def release(self) -> None:
        self.lock.release()

    def __enter__(self) -> None:
        if threading.get_ident() not in self.seen:
            self.seen.add(threading.get_ident())
            self.both.wait(10)
        self.lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self.lock.release()


def test_two_that_enter_a_new_world_at_once_share_it() -> None:
    setting = Setting()
    old = Wire()
    setting.acquire(wire=old).release()
    setting.runtime.here = "another world"
    setting.pool._lock = Gate()
    with ThreadPoolExecutor(2) as executor:
        leases = [future.result(20) for future in [executor.submit(setting.acquire) for _ in range(2)]]
    setting.pool._lock = threading.Lock()
    assert not old.is_open
    assert all(lease.transport.is_open for lease in leases)
    assert setting.pool.counts == (2, 0, 0)


def test_two_that_settle_at_once_do_each_thing_once() -> None:
    setting = Setting(max_connections_per_host=4)
    closings: list[int] = []
    leases = [setting.acquire(wire=Wire(at_end=lambda: closings.append(1))) for _ in range(4)]
    for lease in leases:
        lease.transport.is_closing = True
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(Lease.release, leases))
    assert (len(closings), setting.pool.counts) == (4, (0, 0, 0))
