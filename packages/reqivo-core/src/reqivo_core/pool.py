"""Pool: the conversation around PoolState. It locks, asks, waits, dials, closes; it decides nothing.

One lock guards the state in every world; it is held for pure steps only. What a step leaves to be done
(close these, wake those) is done after the lock is released.

Finalizers may run anywhere, also inside a step, on the thread that holds the lock. So they never wait for it: what
they give back goes into ``_abandoned`` (appending to a deque is atomic), and whoever has released the lock looks there
(``_settle``), however little was done under it: what was given back may be all that somebody waits for.

A signal's handler may raise nearly anywhere. Whatever a request was given is therefore taken back in one place
(``_take_back``), which looks how far it got; and nothing is taken out of a queue before it has been dealt with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from reqivo_core.errors import PoolTimeout, SessionClosed
from reqivo_core.forks import ForkSafe
from reqivo_core.pool_state import Member, Place, PoolState, Ticket

if TYPE_CHECKING:
    from reqivo_core.interfaces import Exchange, Runtime, Transport
    from reqivo_core.limits import Limits
    from reqivo_core.routes import ConnectionKey, Route
    from reqivo_core.urls import Origin

T = TypeVar("T")
Dial = Callable[["Origin", "Route", "Exchange", Callable[[], None]], Coroutine[Any, Any, "Transport"]]
"""Opens a connection; see :meth:`reqivo_core.dialing.Dialer.dial`."""


def session_closed() -> SessionClosed:
    """The error for a request to a session that was closed before."""
    return SessionClosed("the session is closed: make a new one, or keep this one open for as long as it is used")


def _each(queue: deque[T]) -> Iterator[T]:
    """One after the other; each is taken out once it has been dealt with. Two threads may so deal with the same one."""
    with suppress(IndexError):  # the other thread took out the last
        while queue:
            item = queue[0]
            yield item
            with suppress(ValueError):
                queue.remove(item)  # nearly always the first


class PoolCounts(NamedTuple):
    """What is in a pool.

    Attributes:
        active: Connections that carry something.
        idle: Connections that carry nothing.
        waiting: Requests that wait for a connection.
    """

    active: int
    idle: int
    waiting: int


class Lease:
    """One exchange's hold on a connection; given back once, whoever gets there first.

    Attributes:
        transport: What to send over.
        is_reused: Whether the connection had served before.
        state: The books that it stands in.
        member: The connection there.
        is_over: Whether it was given back.
    """

    __slots__ = ("_pool", "is_over", "is_reused", "member", "state", "transport")

    def __init__(self, pool: Pool, state: PoolState, member: Member) -> None:
        self._pool = pool
        self.state = state
        self.member = member
        self.transport = member.transport
        self.is_reused = member.uses > 1
        self.is_over = False

    def release(self) -> None:
        """Give it back: the transport says whether the connection lives on. Never waits for long; any thread."""
        if not self.is_over:
            self._pool.give_back(self)

    def abandon(self) -> None:
        """Give it back from a finalizer."""
        if not self.is_over:
            self._pool.give_back_later(self)


class _Uncounted(Lease):
    """A hold on nothing: for what comes over a connection that is not held for it, such as a pushed response."""

    def __init__(self) -> None:
        self.transport = _SHARED
        self.is_reused = True
        self.is_over = True


class _Shared:
    """All that is asked about the connection of a hold on nothing."""

    is_shared = True


_SHARED: Any = _Shared()
UNCOUNTED = _Uncounted()


class Pool(ForkSafe):
    """The connections of one session."""

    def __init__(self, runtime: Runtime, limits: Limits, dial: Dial) -> None:
        super().__init__()
        self._runtime = runtime
        self._open = dial
        self._limits = limits
        self._state = PoolState(limits)
        self._abandoned: deque[Lease] = deque()
        self._world: Hashable = None
        self._inherited: list[PoolState] = []

    async def acquire(self, key: ConnectionKey, exchange: Exchange) -> Lease:
        """Wait for a connection.

        Args:
            key: The whole identity of the connection that is wanted.
            exchange: Whose deadline bounds the wait.

        Raises:
            PoolTimeout: None became free in time.
            SessionClosed: The pool was closed.
            RequestError: Dialing failed.
        """
        world = self._runtime.world()
        if world is not self._world:
            self._enter(world)
        while True:
            state = self._state
            given: Any = None
            try:
                now = self._runtime.now()
                with self._lock:
                    given = None if state.is_closed else state.acquire(key, bool(key.may_share), now)
                if state.to_close or state.to_wake or self._abandoned:
                    self._settle(state)
                if given is None:
                    raise session_closed()
                if given.__class__ is Member:
                    exchange.timings["wait"] = 0.0
                else:
                    begun = self._runtime.now()
                    if given.__class__ is Place:
                        given = await self._wait(state, given, exchange)
                    if given.__class__ is Ticket:
                        given = await self._dial(state, given, key, exchange)
                    exchange.timings["wait"] = self._runtime.now() - begun
                if given.active > 1 or given.uses == 1 or given.transport.is_usable():
                    return Lease(self, state, given)
            except BaseException as error:
                self._take_back(state, given, error)
                raise
            self._step(state, lambda: state.discard(given))  # noqa: B023  # called here and now

    async def _wait(self, state: PoolState, place: Place, exchange: Exchange) -> Member | Ticket:
        """Wait in the queue until the place is settled."""
        with self._lock:
            place.waiter = None if place.is_settled else self._runtime.waiter()
        self._settle(state)
        seconds = exchange.deadline.pool()
        if place.waiter is not None and not await place.waiter.wait(seconds) and not place.is_settled:
            raise PoolTimeout(
                f"no connection became free within {seconds:g} s ({self._describe()}); "
                "raise limits= or the pool timeout",
                phase="pool",
            )
        if place.given is None:
            raise SessionClosed("the session was closed while this request waited for a connection")
        return place.given

    async def _dial(self, state: PoolState, ticket: Ticket, key: ConnectionKey, exchange: Exchange) -> Member:
        """Open a connection for a ticket."""

        def on_change() -> None:
            if ticket.member is not None:
                self._capacity_changed(state, ticket.member)

        transport = await self._open(key.origin, key.route, exchange, on_change)
        try:
            self._step(state, lambda: state.dialed(ticket, transport, self._runtime.now()))
            assert ticket.member is not None, "it was opened"
            return ticket.member
        except BaseException:
            transport.close()
            raise

    def _take_back(self, state: PoolState, given: Member | Ticket | Place | None, error: BaseException) -> None:
        """Take back what a request was given that ended before it had a lease."""

        def step() -> None:
            now = self._runtime.now()
            if isinstance(given, Place):
                state.leave(given, now)
            elif isinstance(given, Ticket) and given.member is None:
                state.not_dialed(given, has_failed=isinstance(error, Exception))
            elif member := given.member if isinstance(given, Ticket) else given:
                state.release(member, now)
            else:
                state.resume(now)  # asking itself was struck

        self._step(state, step)

    def _step(self, state: PoolState, step: Callable[[], object]) -> None:
        """Do a step under the lock, and what it leaves to be done."""
        try:
            with self._lock:
                try:
                    step()
                except BaseException:
                    state.resume(self._runtime.now())
                    raise
        finally:
            self._settle(state)

    def _capacity_changed(self, state: PoolState, member: Member) -> None:
        self._step(state, lambda: state.capacity_changed(member, self._runtime.now()))

    def give_back(self, lease: Lease) -> None:
        """An exchange is over."""
        state = lease.state
        now = self._runtime.now()
        try:
            with self._lock:
                self._end(lease, now)
            if state.to_close or state.to_wake or self._abandoned:
                self._settle(state)
        except BaseException:  # of a signal: whoever was served has still to be told
            self._settle(state)
            raise

    @staticmethod
    def _end(lease: Lease, now: float) -> None:
        """Take a lease out of the books, once. The lock is held."""
        if lease.is_over:
            return
        lease.is_over = True
        lease.member.active -= 1  # these two together: see pool_state on signals
        try:
            lease.state.capacity_changed(lease.member, now)
        except BaseException:
            lease.state.resume(now, lease.member)
            raise

    def give_back_later(self, lease: Lease) -> None:
        """An exchange is over, says a finalizer: now if the lock is free, else by whoever holds it."""
        self._abandoned.append(lease)
        self._settle(lease.state)

    def _settle(self, state: PoolState) -> None:
        """Do what the steps left to be done. Called without the lock."""
        owners = {state}
        while self._abandoned and self._lock.acquire(blocking=False):
            try:
                for lease in _each(self._abandoned):
                    owners.add(lease.state)  # another one, if it is left of another world
                    self._end(lease, self._runtime.now())
            finally:
                self._lock.release()
        for owner in owners:
            self._carry_out(owner)

    @staticmethod
    def _carry_out(state: PoolState) -> None:
        """Close and wake."""
        for place in _each(state.to_wake):
            if place.waiter is not None:
                place.waiter.wake()
        for transport in _each(state.to_close):
            transport.close()

    def _enter(self, world: Hashable) -> None:
        """Start afresh in another world (a new event loop): its connections cannot be used from here."""
        with self._lock:
            if world is self._world:
                return
            old, self._world = self._state, world
            if not old.total:  # nothing open, nor being opened
                return
            self._state = PoolState(self._limits)
            self._state.is_closed = old.is_closed
            old.close()
        self._settle(old)

    def _enter_child(self) -> None:
        """Start afresh in a forked child: the connections are the parent's."""
        super()._enter_child()
        is_closed = self._state.is_closed
        self._inherited.append(self._state)  # kept, so that no finalizer closes what the parent still uses
        self._abandoned = deque()
        self._state = PoolState(self._limits)
        self._state.is_closed = is_closed

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._state.is_closed

    async def aclose(self) -> None:
        """Close idle connections with their protocol's farewell; busy ones follow when their exchanges end."""
        with self._lock:
            state = self._state
            state.close()
            closing, state.to_close = state.to_close, deque()
        self._settle(state)
        try:
            for transport in closing:
                await transport.aclose()
        finally:
            for transport in closing:
                transport.close()

    @property
    def counts(self) -> PoolCounts:
        """How many connections and requests there are."""
        with self._lock:
            state = self._state
            counts = PoolCounts(state.total - state.idle, state.idle, state.waiting)
        self._settle(state)
        return counts

    active = property(lambda self: self.counts.active, doc="Connections that carry something or are being opened.")
    idle = property(lambda self: self.counts.idle, doc="Connections that carry nothing.")
    waiting = property(lambda self: self.counts.waiting, doc="Requests that wait for a connection.")

    def connections(self) -> list[dict[str, Any]]:
        """Describe each open connection: protocol, exchanges, and what its transport tells (windows, streams)."""
        with self._lock:
            state = self._state
            members = state.members()
        self._settle(state)
        return [
            {"http_version": m.transport.http_version, "active": m.active, "capacity": m.capacity, "uses": m.uses}
            | dict(m.transport.describe())
            for m in members
        ]

    def _describe(self) -> str:
        active, idle, waiting = self.counts
        return f"{active} connections busy, {idle} idle, {waiting} requests waiting"

    def __repr__(self) -> str:
        return f"<Pool: {self._describe()}>"
