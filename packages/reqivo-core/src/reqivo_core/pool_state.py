"""PoolState: who gets which connection. Pure: no lock, no wait, no I/O; every step costs O(1).

The pool (``pool.py``) asks under its lock and acts on the answer outside of it. What there is:

* a **bucket** for every key (origin and route): its idle connections, those shared ones with room, and its queue;
* a **member** is an open connection, a **ticket** the right to dial one, a **place** a request that waits in a queue.

``acquire`` answers with one of the three. Three rules decide what a waiting request gets, and when:

1. Room on an open connection goes to the first place of its own bucket.
2. A free slot (fewer connections than ``max_connections``) goes to the hungry buckets in turn: round robin between
   origins, first come first served within one. An idle connection of another bucket is evicted for a hungry one.
3. A bucket that keeps its connections busy yields one to the hungry after ``PATIENCE`` hand-overs, so none starves.

Where the protocol is negotiated and may turn out to be shared (HTTP/2), the first request dials and the others wait
for what it finds: one connection for all, or one each.

Steps leave in ``to_close`` what must be closed and in ``to_wake`` the places that were given something.

A signal's handler may raise in the middle of a step. Python runs handlers where a function is entered, behind a call of
a built-in one, and where a loop begins again, but not between plain statements. So what belongs together (a count and
what it counts, a place and what it is given) is changed by statements side by side, with no call between; ``resume``
does the rest of a step that was struck.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable

    from reqivo_core.interfaces import Transport, Waiter
    from reqivo_core.limits import Limits

PATIENCE = 16
"""How many times in a row a bucket's connections may be handed on within it while other buckets are hungry."""


class Member:
    """An open connection.

    Attributes:
        bucket: Whose it is.
        transport: The transport on it.
        active: Exchanges in progress.
        capacity: How many it may carry at once.
        expires_at: When it has idled too long; None for never.
        uses: How many exchanges it was given.
        is_open: Whether it is still the pool's.
    """

    __slots__ = ("active", "bucket", "capacity", "expires_at", "is_open", "transport", "uses")

    def __init__(self, bucket: Bucket, transport: Transport) -> None:
        self.bucket = bucket
        self.transport = transport
        self.active = 0
        self.capacity = 1
        self.expires_at: float | None = None
        self.uses = 0
        self.is_open = True


class Ticket:
    """The right to open one connection, counted as if it were open.

    Attributes:
        bucket: For whom.
        member: The connection that was opened; None before.
    """

    __slots__ = ("bucket", "member")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.member: Member | None = None


class Place:
    """A place in a bucket's queue.

    Attributes:
        bucket: Where it waits.
        given: What it was given: a member, a ticket, or (once the pool is closed) nothing at all.
        is_settled: Whether it waits no more.
        waiter: What to wake; set by the pool.
    """

    __slots__ = ("bucket", "given", "is_settled", "waiter")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.given: Member | Ticket | None = None
        self.is_settled = False
        self.waiter: Waiter | None = None


Answer: TypeAlias = "Member | Ticket | Place"


class Bucket:
    """All that has one key.

    Attributes:
        key: The key.
        members: Open connections.
        idle: Those that carry nothing and cannot be shared; the one used last is taken first.
        roomy: Shared ones that can carry more.
        dialing: Connections being opened.
        waiting: The queue.
        may_share: Whether a connection still to be opened might be shared.
        streak: Hand-overs within this bucket since it last yielded to the hungry.
    """

    __slots__ = ("dialing", "idle", "key", "may_share", "members", "roomy", "streak", "waiting")

    def __init__(self, key: Hashable, may_share: bool) -> None:
        self.key = key
        self.members: dict[Member, None] = {}
        self.idle: dict[Member, None] = {}
        self.roomy: dict[Member, None] = {}
        self.dialing = 0
        self.waiting: OrderedDict[Place, None] = OrderedDict()
        self.may_share = may_share
        self.streak = 0

    @property
    def total(self) -> int:
        """Connections open or being opened."""
        return len(self.members) + self.dialing


class PoolState:
    """The decisions of one pool.

    Attributes:
        is_closed: Whether it gives out nothing any more.
        total: Connections open or being opened, in all buckets.
        to_close: Transports that the caller has to close.
        to_wake: Places that were settled since the caller last looked.
    """

    def __init__(self, limits: Limits) -> None:
        self.is_closed = False
        self.total = 0
        self.to_close: deque[Transport] = deque()
        self.to_wake: deque[Place] = deque()
        self._max_total = limits.max_connections or float("inf")
        self._max_per_key = limits.max_connections_per_host or float("inf")
        self._max_idle = float("inf") if limits.max_idle is None else limits.max_idle
        self._idle_timeout = limits.idle_timeout
        self._buckets: dict[Hashable, Bucket] = {}
        self._idle: OrderedDict[Member, None] = OrderedDict()  # of all buckets, the longest idle first
        self._expires_first = float("inf")  # no idle connection expires earlier
        self._hungry: OrderedDict[Bucket, None] = OrderedDict()  # waiting, and short of nothing but a slot

    # Asking.

    def acquire(self, key: Hashable, may_share: bool, now: float) -> Answer:
        """Give a request a connection, the right to dial one, or a place in the queue.

        Args:
            key: The whole identity of the connection that is wanted.
            may_share: Whether a connection of this key might turn out to be shared.
            now: The time.

        Returns:
            A member (one more exchange is counted on it), a ticket (to be given back by ``dialed`` or ``not_dialed``)
            or a place (to be given back by ``leave`` unless it was settled).
        """
        if now >= self._expires_first:
            self._expire(now)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(key, may_share)
        member = self._take_open(bucket)
        if member is not None:
            return member
        if not (bucket.may_share and bucket.dialing) and self._make_slot(bucket):
            return self._issue(bucket)
        place = Place(bucket)
        bucket.waiting[place] = None
        try:
            self._note_hunger(bucket)
        except BaseException:
            self.leave(place, now)
            raise
        return place

    def leave(self, place: Place, now: float) -> None:
        """A request waits no more. What it may have been given meanwhile goes to the next."""
        bucket = place.bucket
        if not place.is_settled:
            place.is_settled = True
            del bucket.waiting[place]
            self._note_hunger(bucket)
            self._forget_if_empty(bucket)
        elif isinstance(place.given, Member):
            place.given.uses -= 1
            self.release(place.given, now)
        elif place.given is not None:
            self.not_dialed(place.given, has_failed=False)

    # Dialing.

    def dialed(self, ticket: Ticket, transport: Transport, now: float) -> Member:
        """A connection was opened; one exchange, the dialler's, is counted on it.

        Returns:
            The member. If the pool was closed meanwhile it still serves that one exchange.
        """
        bucket = ticket.bucket
        bucket.may_share = transport.is_shared
        member = Member(bucket, transport)
        member.active = member.uses = 1
        bucket.dialing -= 1
        bucket.members[member] = None
        ticket.member = member
        self.capacity_changed(member, now)
        self._feed(bucket)  # those who waited for what this would turn out to be
        self._feed_hungry()
        return member

    def not_dialed(self, ticket: Ticket, *, has_failed: bool) -> None:
        """A ticket comes back without a connection.

        Args:
            ticket: The ticket.
            has_failed: Whether dialing was tried and failed. Then those who wait for its outcome may all try for
                themselves: a peer that is out of reach must not be tried by one after the other.
        """
        bucket = ticket.bucket
        bucket.dialing -= 1
        self.total -= 1
        if not has_failed:
            self._feed(bucket)
        elif bucket.waiting:
            may_share, bucket.may_share = bucket.may_share, False
            self._feed(bucket)
            bucket.may_share = may_share
        self._feed_hungry()
        self._forget_if_empty(bucket)

    # Giving back.

    def release(self, member: Member, now: float) -> None:
        """An exchange on this connection is over."""
        member.active -= 1
        self.capacity_changed(member, now)

    def capacity_changed(self, member: Member, now: float) -> None:
        """Look again at what a connection is good for, and put it where it belongs."""
        if not member.is_open:
            return
        transport = member.transport
        is_closing = transport.is_closing
        member.capacity = 0 if is_closing else transport.concurrency
        is_done = is_closing or self.is_closed or not (member.capacity or transport.is_shared)
        if member.active == 0 and is_done:
            self._remove(member)
        elif transport.is_shared:
            self._place_shared(member, now)
        elif member.active == 0 and member not in member.bucket.idle:
            self._place_single(member, now)

    def resume(self, now: float, member: Member | None = None) -> None:
        """Do the rest of a step that was broken off by a signal. It costs O(n), so it is for those alone.

        Args:
            now: The time.
            member: The connection that the step was about.
        """
        if member is not None:
            self.capacity_changed(member, now)
        buckets = list(self._buckets.values())
        for bucket in buckets:
            self._note_hunger(bucket)
        for bucket in buckets:
            self._feed(bucket)
        self._feed_hungry()
        for bucket in buckets:
            self._forget_if_empty(bucket)

    def discard(self, member: Member) -> None:
        """A connection turned out to be unusable; whatever was counted on it is void."""
        if member.is_open:
            self._remove(member)

    def close(self) -> None:
        """Give out nothing any more: settle all places with nothing, close what idles; the rest on release."""
        self.is_closed = True
        self._hungry.clear()
        for bucket in list(self._buckets.values()):
            while bucket.waiting:
                place = next(iter(bucket.waiting))
                del bucket.waiting[place]
                place.is_settled = True
                self.to_wake.append(place)
        for member in list(self._idle):
            self._remove(member)

    # Counting.

    @property
    def waiting(self) -> int:
        """Requests in queues."""
        return sum(len(bucket.waiting) for bucket in self._buckets.values())

    @property
    def idle(self) -> int:
        """Connections that carry nothing."""
        return len(self._idle)

    def members(self) -> list[Member]:
        """All open connections."""
        return [member for bucket in self._buckets.values() for member in bucket.members]

    # Inside.

    def _take_open(self, bucket: Bucket) -> Member | None:
        """Count an exchange on an open connection that has room for it, if there is one."""
        if bucket.idle:
            member = next(reversed(bucket.idle))
            del bucket.idle[member]
            del self._idle[member]
        elif bucket.roomy:
            member = next(reversed(bucket.roomy))
            if member.active == 0:
                del self._idle[member]
            if member.active + 1 >= member.capacity:
                del bucket.roomy[member]
        else:
            return None
        member.active += 1
        member.uses += 1
        return member

    def _make_slot(self, bucket: Bucket) -> bool:
        """Whether this bucket may have one more connection; evicts for it what takes nothing, or idles longest."""
        if bucket.total >= self._max_per_key or self.is_closed:
            return not self.is_closed and bucket.may_share and self._evict_spent(bucket)
        if self.total >= self._max_total and self._idle:
            self._remove(next(iter(self._idle)), feed=False)
        return self.total < self._max_total

    def _evict_spent(self, bucket: Bucket) -> bool:
        """Evict a shared connection of this bucket that carries nothing and takes nothing, if there is one.

        Nobody reads from it, so nobody would learn that it takes something again.
        """
        for member in bucket.members:
            if member.active == 0 and member not in bucket.roomy and member not in bucket.idle:
                self._remove(member, feed=False)
                return True
        return False

    def _issue(self, bucket: Bucket) -> Ticket:
        ticket = Ticket(bucket)
        self._buckets[bucket.key] = bucket  # making the slot may have emptied, and so forgotten, this very bucket
        bucket.dialing += 1
        self.total += 1
        return ticket

    def _serve(self, bucket: Bucket, member: Member | None) -> None:
        """Give the first place in a queue a connection, or the right to dial one."""
        place = next(iter(bucket.waiting))
        if member is None:
            place.given = self._issue(bucket)
        else:
            place.given = member
            member.active += 1
            member.uses += 1
        place.is_settled = True
        del bucket.waiting[place]
        self.to_wake.append(place)

    def _place_single(self, member: Member, now: float) -> None:
        """An unshared connection is free: to the next in its queue, or to rest, or closed for a hungry bucket."""
        bucket = member.bucket
        if not bucket.waiting and not self._hungry:
            self._rest(member, now)
            return
        others_hunger = bool(self._hungry) and not (len(self._hungry) == 1 and bucket in self._hungry)
        if bucket.waiting and not (others_hunger and bucket.streak >= PATIENCE):
            bucket.streak += others_hunger
            self._serve(bucket, member)
            self._note_hunger(bucket)
        else:
            bucket.streak = 0
            self._hungry.pop(bucket, None)  # to the end of the line
            self._remove(member)
            self._note_hunger(bucket)

    def _place_shared(self, member: Member, now: float) -> None:
        """A shared connection has more room or less: serve its queue, and keep the book on where room is."""
        bucket = member.bucket
        while bucket.waiting and member.active < member.capacity:
            self._serve(bucket, member)
        if member.active < member.capacity:
            bucket.roomy[member] = None
        else:
            bucket.roomy.pop(member, None)
        if member.active == 0:
            self._rest(member, now)
        else:
            self._idle.pop(member, None)
        self._feed(bucket)
        self._feed_hungry()

    def _rest(self, member: Member, now: float) -> None:
        """Put a connection among the idle ones, within their number."""
        idle = self._idle
        if member in idle:
            return  # only what it could carry has changed
        timeout = self._idle_timeout
        if timeout is not None:
            member.expires_at = now + timeout
            if not idle:
                self._expires_first = member.expires_at
        idle[member] = None
        if not member.transport.is_shared:
            member.bucket.idle[member] = None
        if len(idle) > self._max_idle:
            self._remove(next(iter(idle)))

    def _remove(self, member: Member, *, feed: bool = True) -> None:
        """Take a connection out of the books; its slot is free."""
        bucket = member.bucket
        member.is_open = False
        member.capacity = 0
        del bucket.members[member]
        if member in bucket.idle:
            del bucket.idle[member]
        if member in bucket.roomy:
            del bucket.roomy[member]
        if member in self._idle:
            del self._idle[member]
        self.total -= 1
        self.to_close.append(member.transport)
        if feed:
            self._feed(bucket)
            self._feed_hungry()
        self._forget_if_empty(bucket)

    def _feed(self, bucket: Bucket) -> None:
        """Let waiting requests of a bucket dial, as far as slots and (where sharing is possible) sense allow."""
        while bucket.waiting and not (bucket.may_share and bucket.dialing) and self._may_dial(bucket):
            self._serve(bucket, None)
        self._note_hunger(bucket)

    def _may_dial(self, bucket: Bucket) -> bool:
        """As ``_make_slot``, but in turn: a slot that came free is the first hungry bucket's.

        At its own limit a bucket can only replace one of its own, which takes nothing from the others.
        """
        if self._hungry and next(iter(self._hungry)) is not bucket and bucket.total < self._max_per_key:
            return False
        return self._make_slot(bucket)

    def _feed_hungry(self) -> None:
        """Give free slots to hungry buckets, one each in turn."""
        while self._hungry and (self.total < self._max_total or self._idle) and not self.is_closed:
            bucket, _ = self._hungry.popitem(last=False)
            if bucket.waiting and not (bucket.may_share and bucket.dialing) and self._make_slot(bucket):
                self._serve(bucket, None)
            self._note_hunger(bucket)

    def _note_hunger(self, bucket: Bucket) -> None:
        """Keep the book on who would dial if only there were a slot."""
        if bucket.waiting and bucket.total < self._max_per_key and not (bucket.may_share and bucket.dialing):
            self._hungry.setdefault(bucket, None)
        else:
            self._hungry.pop(bucket, None)

    def _forget_if_empty(self, bucket: Bucket) -> None:
        if not (bucket.members or bucket.dialing or bucket.waiting):
            self._buckets.pop(bucket.key, None)

    def _expire(self, now: float) -> None:
        """Close what has idled too long: the longest idle are first in line."""
        while self._idle:
            member = next(iter(self._idle))
            if member.expires_at is None or member.expires_at > now:
                self._expires_first = member.expires_at or self._expires_first
                break
            self._remove(member)
