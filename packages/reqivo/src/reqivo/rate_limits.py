"""RateLimiter and ConcurrencyLimit: how often, and how many at once; flows for both worlds.

Each is a plugin as well, so that ``Session(plugins=[RateLimiter(10)])`` is all it takes; given to several sessions,
blocking and async ones mixed, it bounds them together. Redirects and retries count like any other request.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from reqivo_core import Sleep, WaitFor, hookimpl
from reqivo_core.errors import InvalidRequest, PoolTimeout
from reqivo_core.forks import ForkSafe

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from reqivo_core import Flow, Request, Runtime, Waiter

_MAX_HOSTS: Final = 1024
"""Hosts above which those that need no memory are forgotten."""


class _Bucket:
    """Tokens that come back at a rate; below zero are those of requests that wait already, in their order."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._time = now

    def take(self, now: float) -> float:
        """Take a token; give the seconds until it is there."""
        self._tokens = min(self._burst, self._tokens + (now - self._time) * self._rate) - 1
        self._time = now
        return max(0.0, -self._tokens / self._rate)

    def put_back(self) -> None:
        """Return a token that was not used."""
        self._tokens += 1

    def is_idle(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return self._tokens + (now - self._time) * self._rate >= self._burst


class _Gate(ForkSafe):
    """Slots, and a queue of those who wait for one.

    Slots come back when bodies end, which may be in a finalizer, inside anybody's locks, this one's too: so returning
    one never waits for the lock. Whoever holds it hands the slot on after letting go of it.
    """

    def __init__(self, slots: int) -> None:
        super().__init__()
        self._free = slots
        self._slots = slots
        self._queue: deque[_Ticket] = deque()
        self._returned: deque[None] = deque()

    def enter(self, ticket: _Ticket) -> bool:
        """Take a slot, or queue for one; tells whether it was taken."""
        with self._lock:
            ticket.has_slot = self._free > 0
            if ticket.has_slot:
                self._free -= 1
            else:
                self._queue.append(ticket)
        self._settle()
        return ticket.has_slot

    def withdraw(self, ticket: _Ticket) -> None:
        """Stop waiting: give up the place in the queue, or the slot if it has just been handed over."""
        with self._lock:
            if not ticket.has_slot:
                self._queue.remove(ticket)
        self._settle()
        if ticket.has_slot:
            self.leave()

    def leave(self) -> None:
        """Return a slot. Never waits."""
        self._returned.append(None)
        self._settle()

    def _settle(self) -> None:
        """Hand returned slots on, unless somebody holds the lock, who will do it then."""
        while self._returned and self._lock.acquire(blocking=False):
            woken: list[_Ticket] = []
            try:
                while self._returned:
                    self._returned.popleft()
                    if self._queue:
                        woken.append(self._queue.popleft())
                        woken[-1].has_slot = True
                    else:
                        self._free = min(self._free + 1, self._slots)
            finally:
                self._lock.release()
            for ticket in woken:
                ticket.wake()

    def _enter_child(self) -> None:
        """Begin anew in a forked child: who is inside or waits is a thread of the parent. At most, one's own is not."""
        super()._enter_child()
        self._free = self._slots
        self._queue.clear()
        self._returned.clear()

    def is_idle(self) -> bool:
        """Whether nobody is inside or waits."""
        return self._free == self._slots


class _Ticket:
    """A place in the queue. Its waiter is made by the runtime of whoever waits, later than the place is taken."""

    __slots__ = ("_waiter", "has_slot")

    def __init__(self) -> None:
        self.has_slot = False
        self._waiter: Waiter | None = None

    def make_waiter(self, runtime: Runtime) -> Waiter:
        """Make what is waited for."""
        waiter = self._waiter = runtime.waiter()
        if self.has_slot:  # handed over meanwhile; waking twice does no harm
            waiter.wake()
        return waiter

    def wake(self) -> None:
        if self._waiter is not None:
            self._waiter.wake()


T = TypeVar("T", _Bucket, _Gate)


class _PerHost(ForkSafe, Generic[T]):
    """One thing for all hosts, or one for each."""

    def __init__(self, per_host: bool, make: Callable[[], T], is_idle: Callable[[T], bool]) -> None:
        super().__init__()
        self._is_per_host = per_host
        self._make: Callable[[], T] = make
        self._is_idle: Callable[[T], bool] = is_idle
        self._by_host: dict[str, T] = {}

    def find(self, request: Request) -> T:
        host = request.url.host if self._is_per_host else ""
        with self._lock:
            found = self._by_host.get(host)
            if found is None:
                if len(self._by_host) >= _MAX_HOSTS:
                    self._by_host = {name: kept for name, kept in self._by_host.items() if not self._is_idle(kept)}
                found = self._by_host[host] = self._make()
            return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class RateLimiter(ForkSafe):
    """Lets so many requests pass in a second, and the others wait in their order (a token bucket).

    Waiting ends with the request's deadline: what would have to wait longer fails at once with TotalTimeout.

    Example::

        with Session(plugins=[RateLimiter(5, per_host=True)]) as session:
            ...
    """

    def __init__(
        self,
        rate: float,
        *,
        burst: int | None = None,
        per_host: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a limiter.

        Args:
            rate: Requests per second; ``100 / 60`` for a hundred in a minute.
            burst: How many may pass at once after a pause; None for as many as in a second, at least one.
            per_host: Count each host by itself.
            now: The clock, in seconds.

        Raises:
            InvalidRequest: ``rate`` is not positive, or ``burst`` is less than 1.
        """
        is_rate = _is_number(rate) and 0 < rate < float("inf")
        if burst is None and is_rate:
            burst = max(1, int(rate))
        if not is_rate or burst is None or not _is_number(burst) or burst < 1:
            raise InvalidRequest(
                f"RateLimiter({rate!r}, burst={burst!r}): give a rate above 0 and a burst of at least 1"
            )
        super().__init__()
        self._now = now
        self._buckets: _PerHost[_Bucket] = _PerHost(
            per_host, lambda: _Bucket(rate, burst, now()), lambda bucket: bucket.is_idle(now())
        )

    def __call__(self, request: Request) -> Generator[Any, Any, Any]:
        """Wait for a token, and send."""
        bucket = self._buckets.find(request)
        with self._lock:
            seconds = bucket.take(self._now())
        if seconds > 0:
            try:
                yield Sleep(seconds)
            except BaseException:  # cancelled, or no time to wait so long: whoever comes next need not wait for us
                with self._lock:
                    bucket.put_back()
                raise
        return (yield request)

    @hookimpl
    def reqivo_register_flows(self, session: Any) -> list[Flow]:
        """Be a flow of the session."""
        return [self]


class ConcurrencyLimit:
    """Lets so many requests be under way at once, and the others wait in their order.

    A request is under way until its response's body has been read or closed. Whoever keeps a streamed response open
    and asks for another one with the last slot taken waits for themselves.

    Example::

        async with AsyncSession(plugins=[ConcurrencyLimit(8)]) as session:
            await asyncio.gather(*(session.get(url) for url in urls))
    """

    def __init__(self, limit: int, *, per_host: bool = False, max_wait: float | None = None) -> None:
        """Make a limit.

        Args:
            limit: How many at once.
            per_host: Count each host by itself.
            max_wait: Seconds after which waiting fails with PoolTimeout; None for as long as the request's deadline.

        Raises:
            InvalidRequest: ``limit`` is less than 1.
        """
        if not _is_number(limit) or limit < 1:
            raise InvalidRequest(f"ConcurrencyLimit({limit!r}): give at least 1")
        self._limit = limit
        self._max_wait = max_wait
        self._gates: _PerHost[_Gate] = _PerHost(per_host, lambda: _Gate(limit), _Gate.is_idle)

    def __call__(self, request: Request) -> Generator[Any, Any, Any]:
        """Wait for a slot, send, and return the slot when the body ends."""
        gate = self._gates.find(request)
        ticket = _Ticket()
        if not gate.enter(ticket):
            yield from self._wait(gate, ticket, request)
        try:
            response = yield request
        except BaseException:
            gate.leave()
            raise
        body = response.body_reader
        if body is None:
            gate.leave()
        else:
            body.at_end(gate.leave)
        return response

    def _wait(self, gate: _Gate, ticket: _Ticket, request: Request) -> Generator[Any, Any, None]:
        try:
            yield WaitFor(ticket.make_waiter, self._max_wait)
            if not ticket.has_slot:
                raise PoolTimeout(
                    f"{self._limit} requests are under way, as many as ConcurrencyLimit allows, and none of them ended "
                    "in time; read or close streamed responses, or raise the limit",
                    request=request,
                    phase="pool",
                )
        except BaseException:
            gate.withdraw(ticket)
            raise

    @hookimpl
    def reqivo_register_flows(self, session: Any) -> list[Flow]:
        """Be a flow of the session."""
        return [self]
