"""The pool's decisions, alone: examples for the rules, and random histories for what must always hold."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reqivo_core.limits import Limits
from reqivo_core.pool_state import PATIENCE, Member, Place, PoolState, Ticket


@dataclass(eq=False)
class FakeTransport:
    """As much of a transport as the state looks at."""

    is_shared: bool = False
    concurrency: int = 1
    is_closing: bool = False


def open_one(state: PoolState, key: str, transport: FakeTransport | None = None, *, may_share: bool = False) -> Member:
    """Acquire and dial."""
    ticket = state.acquire(key, may_share, 0.0)
    assert isinstance(ticket, Ticket)
    return state.dialed(ticket, transport or FakeTransport(), 0.0)  # type: ignore[arg-type]  # enough of a transport


def woken(state: PoolState) -> list[Place]:
    """The places settled since last asked."""
    places = list(state.to_wake)
    state.to_wake.clear()
    return places


def closed(state: PoolState) -> list[object]:
    """The transports to be closed since last asked."""
    transports = list(state.to_close)
    state.to_close.clear()
    return transports


def test_a_released_connection_is_reused_and_the_last_used_goes_first() -> None:
    state = PoolState(Limits())
    first, second = open_one(state, "a"), open_one(state, "a")
    state.release(first, 0.0)
    state.release(second, 1.0)
    assert state.acquire("a", False, 2.0) is second
    assert state.acquire("a", False, 2.0) is first
    assert second.uses == 2


def test_a_dead_connection_is_closed_on_release_and_its_slot_goes_to_the_queue() -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "a")
    place = state.acquire("a", False, 0.0)
    assert isinstance(place, Place)
    member.transport.is_closing = True  # type: ignore[misc]  # the fake's is a plain attribute
    state.release(member, 0.0)
    assert closed(state) == [member.transport]
    assert woken(state) == [place]
    assert isinstance(place.given, Ticket)


def test_who_was_struck_on_the_way_into_a_queue_waits_there_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "a")

    def struck(bucket: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(state, "_note_hunger", struck)
    with pytest.raises(KeyboardInterrupt):
        state.acquire("a", False, 0.0)
    assert state.waiting == 0
    state.release(member, 0.0)
    assert state.acquire("a", False, 0.0) is member


def test_requests_of_one_key_are_served_in_the_order_they_came() -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "a")
    places = [state.acquire("a", False, 0.0) for _ in range(3)]
    served = []
    for _ in places:
        state.release(member, 0.0)
        served += woken(state)
    assert served == places
    assert all(place.given is member for place in served)


def test_who_is_left_over_after_a_failure_waits_for_what_the_next_finds() -> None:
    state = PoolState(Limits(max_connections=2))
    failing, other = state.acquire("h2", True, 0.0), state.acquire("a", False, 0.0)
    second, third = (state.acquire("h2", True, 0.0) for _ in range(2))
    assert isinstance(failing, Ticket) and isinstance(other, Ticket)
    assert isinstance(second, Place) and isinstance(third, Place)
    state.not_dialed(failing, has_failed=True)
    assert woken(state) == [second]
    state.not_dialed(other, has_failed=False)
    assert woken(state) == [], "there is room, but what is being dialled may do for both"
    assert isinstance(second.given, Ticket)
    shared = state.dialed(second.given, FakeTransport(is_shared=True, concurrency=10), 0.0)  # type: ignore[arg-type]
    assert (woken(state), third.given, shared.active) == ([third], shared, 2)


def test_news_of_an_idle_shared_connection_do_not_make_it_younger() -> None:
    state = PoolState(Limits(idle_timeout=10))
    member = open_one(state, "h2", FakeTransport(is_shared=True, concurrency=10), may_share=True)
    state.release(member, 0.0)
    member.transport.concurrency = 20  # type: ignore[misc]  # the fake's is a plain attribute
    state.capacity_changed(member, 9.0)
    assert (state.idle, member.capacity) == (1, 20)
    assert isinstance(state.acquire("h2", True, 10.0), Ticket)
    assert closed(state) == [member.transport]


def test_an_idle_connection_is_evicted_for_another_origin() -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "a")
    state.release(member, 0.0)
    assert isinstance(state.acquire("b", False, 0.0), Ticket)
    assert closed(state) == [member.transport]
    assert not member.is_open


def test_a_released_connection_gives_way_to_another_origins_queue_when_its_own_is_empty() -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "a")
    place = state.acquire("b", False, 0.0)
    state.release(member, 0.0)
    assert closed(state) == [member.transport]
    assert woken(state) == [place]
    assert isinstance(place.given, Ticket)
    assert place.given.bucket.key == "b"


def test_a_busy_origin_does_not_starve_another() -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "busy")
    patient = state.acquire("patient", False, 0.0)
    handed_over = 0
    while not patient.is_settled:
        state.acquire("busy", False, 0.0)
        state.release(member, 0.0)
        handed_over += 1
        assert handed_over <= PATIENCE + 1
    assert isinstance(patient.given, Ticket)


def test_free_slots_go_round_the_hungry_origins() -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "x")
    for key in ("a", "a", "b", "c"):
        state.acquire(key, False, 0.0)
    order = []
    state.release(member, 0.0)
    for _ in range(4):
        (place,) = woken(state)
        order.append(place.bucket.key)
        assert isinstance(place.given, Ticket)
        state.not_dialed(place.given, has_failed=False)
    assert order == ["a", "b", "c", "a"]


def test_the_limit_per_origin_holds() -> None:
    state = PoolState(Limits(max_connections_per_host=2))
    open_one(state, "a")
    member = open_one(state, "a")
    place = state.acquire("a", False, 0.0)
    assert isinstance(place, Place)
    assert isinstance(state.acquire("b", False, 0.0), Ticket)
    state.release(member, 0.0)
    assert place.given is member


def test_idle_connections_expire_and_are_limited_in_number() -> None:
    state = PoolState(Limits(max_idle=2, idle_timeout=10))
    members = [open_one(state, "a") for _ in range(3)]
    for now, member in enumerate(members):
        state.release(member, float(now))
    assert closed(state) == [members[0].transport]
    assert state.acquire("a", False, 11.5) is members[2]
    assert closed(state) == [members[1].transport]


def test_none_lifts_the_limits_of_idle_connections() -> None:
    state = PoolState(Limits(max_idle=None, idle_timeout=None, max_connections=None))
    members = [open_one(state, "a") for _ in range(50)]
    for member in members:
        state.release(member, 0.0)
    assert state.idle == 50
    assert state.acquire("a", False, 1e9) is members[-1]


def test_where_sharing_is_possible_the_first_dials_and_the_others_wait_for_it() -> None:
    state = PoolState(Limits())
    ticket = state.acquire("a", True, 0.0)
    assert isinstance(ticket, Ticket)
    places = [state.acquire("a", True, 0.0) for _ in range(4)]
    assert all(isinstance(place, Place) for place in places)
    shared = FakeTransport(is_shared=True, concurrency=100)
    member = state.dialed(ticket, shared, 0.0)  # type: ignore[arg-type]  # enough of a transport
    assert [place.given for place in woken(state)] == [member] * 4
    assert member.active == 5
    assert state.total == 1


def test_where_it_turns_out_unshared_they_fan_out() -> None:
    state = PoolState(Limits(max_connections=4))
    ticket = state.acquire("a", True, 0.0)
    assert isinstance(ticket, Ticket)
    for _ in range(5):
        state.acquire("a", True, 0.0)
    state.dialed(ticket, FakeTransport(), 0.0)  # type: ignore[arg-type]  # enough of a transport
    assert [type(place.given) for place in woken(state)] == [Ticket] * 3
    assert state.waiting == 2


def test_a_failed_probe_lets_those_who_wait_try_for_themselves() -> None:
    state = PoolState(Limits())
    ticket = state.acquire("a", True, 0.0)
    assert isinstance(ticket, Ticket)
    for _ in range(3):
        state.acquire("a", True, 0.0)
    state.not_dialed(ticket, has_failed=True)
    assert [type(place.given) for place in woken(state)] == [Ticket] * 3


def test_a_cancelled_probe_lets_the_next_probe() -> None:
    state = PoolState(Limits())
    ticket = state.acquire("a", True, 0.0)
    assert isinstance(ticket, Ticket)
    first = state.acquire("a", True, 0.0)
    state.acquire("a", True, 0.0)
    state.not_dialed(ticket, has_failed=False)
    assert woken(state) == [first]
    assert state.waiting == 1


def test_a_full_shared_connection_is_joined_by_another() -> None:
    state = PoolState(Limits())
    member = open_one(state, "a", FakeTransport(is_shared=True, concurrency=2), may_share=True)
    assert state.acquire("a", True, 0.0) is member
    assert isinstance(state.acquire("a", True, 0.0), Ticket)


def test_a_paused_shared_connection_serves_its_queue_when_it_may() -> None:
    state = PoolState(Limits(max_connections=1))
    transport = FakeTransport(is_shared=True, concurrency=1)
    member = open_one(state, "a", transport, may_share=True)
    transport.concurrency = 0
    state.capacity_changed(member, 0.0)
    place = state.acquire("a", True, 0.0)
    assert isinstance(place, Place)
    transport.concurrency = 3
    state.capacity_changed(member, 0.0)
    assert woken(state) == [place]
    assert place.given is member


def test_a_draining_shared_connection_takes_no_more_and_is_closed_at_its_last_release() -> None:
    state = PoolState(Limits())
    transport = FakeTransport(is_shared=True, concurrency=10)
    member = open_one(state, "a", transport, may_share=True)
    transport.is_closing = True
    state.capacity_changed(member, 0.0)
    assert isinstance(state.acquire("a", True, 0.0), Ticket)
    assert closed(state) == []
    state.release(member, 0.0)
    assert closed(state) == [transport]


@pytest.mark.parametrize("is_settled", [False, True])
def test_whoever_leaves_the_queue_loses_nothing_for_the_others(is_settled: bool) -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "a")
    leaver, stayer = state.acquire("a", False, 0.0), state.acquire("a", False, 0.0)
    assert isinstance(leaver, Place)
    assert isinstance(stayer, Place)
    if is_settled:
        state.release(member, 0.0)
        assert leaver.given is member
        state.leave(leaver, 0.0)
    else:
        state.leave(leaver, 0.0)
        state.release(member, 0.0)
    assert stayer.given is member


def test_whoever_leaves_with_a_ticket_hands_it_on() -> None:
    state = PoolState(Limits(max_connections=1))
    member = open_one(state, "a")
    leaver, stayer = state.acquire("b", False, 0.0), state.acquire("b", False, 0.0)
    assert isinstance(leaver, Place)
    assert isinstance(stayer, Place)
    state.release(member, 0.0)
    assert isinstance(leaver.given, Ticket)
    state.leave(leaver, 0.0)
    assert isinstance(stayer.given, Ticket)


def test_close_settles_the_queue_with_nothing_and_closes_what_idles() -> None:
    state = PoolState(Limits(max_connections=2))
    busy, idle = open_one(state, "a"), open_one(state, "b")
    state.acquire("c", False, 0.0)
    state.release(idle, 0.0)
    (first,) = woken(state)
    assert isinstance(first.given, Ticket)
    second = state.acquire("c", False, 0.0)
    state.close()
    assert woken(state) == [second]
    assert second.given is None
    late = state.dialed(first.given, FakeTransport(), 0.0)  # type: ignore[arg-type]  # enough of a transport
    state.release(late, 0.0)
    state.release(busy, 0.0)
    assert state.total == 0
    assert state.members() == []


def test_a_connection_found_unusable_is_discarded_once() -> None:
    state = PoolState(Limits())
    member = open_one(state, "a")
    state.discard(member)
    state.discard(member)
    state.release(member, 0.0)
    assert state.total == 0
    assert closed(state) == [member.transport]


def test_an_idle_connection_that_says_it_is_closing_is_dropped_at_once() -> None:
    state = PoolState(Limits())
    member = open_one(state, "a")
    state.release(member, 0.0)
    member.transport.is_closing = True  # type: ignore[misc]  # the fake's is a plain attribute
    state.capacity_changed(member, 0.0)
    assert closed(state) == [member.transport]
    assert state.idle == 0


def test_evicting_a_buckets_own_paused_connection_leaves_its_book_in_order() -> None:
    state = PoolState(Limits(max_connections=1))
    transport = FakeTransport(is_shared=True, concurrency=1)
    member = open_one(state, "a", transport, may_share=True)
    transport.concurrency = 0
    state.release(member, 0.0)
    ticket = state.acquire("a", True, 0.0)
    assert isinstance(ticket, Ticket)
    state.release(state.dialed(ticket, FakeTransport(), 0.0), 0.0)  # type: ignore[arg-type]  # enough of a transport
    assert state.idle == 1
    assert isinstance(state.acquire("a", True, 0.0), Member)


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_shared_connection_that_takes_nothing_is_replaced_at_its_origins_limit(has_waited: bool) -> None:
    """Nobody reads from it, so nobody would ever learn that it takes something again."""
    state = PoolState(Limits(max_connections_per_host=1))
    transport = FakeTransport(is_shared=True, concurrency=1)
    member = open_one(state, "a", transport, may_share=True)
    place = state.acquire("a", True, 0.0) if has_waited else None
    transport.concurrency = 0
    state.release(member, 0.0)
    ticket = place.given if isinstance(place, Place) else state.acquire("a", True, 0.0)
    assert isinstance(ticket, Ticket)
    assert closed(state) == [transport]
    assert state.total == 1


class Histories(RuleBasedStateMachine):
    """Random histories of a pool with few slots, few origins and both kinds of transports."""

    def __init__(self) -> None:
        super().__init__()
        self.state = PoolState(Limits(max_connections=3, max_connections_per_host=2, max_idle=2, idle_timeout=5))
        self.held: list[Member] = []
        self.tickets: list[Ticket] = []
        self.places: list[Place] = []
        self.closed: list[object] = []
        self.now = 0.0

    def settle(self) -> None:
        """What the pool does after each step."""
        for place in woken(self.state):
            self.places.remove(place)
            if isinstance(place.given, Member):
                self.held.append(place.given)
            elif place.given is not None:
                self.tickets.append(place.given)
        for transport in closed(self.state):
            assert transport not in self.closed
            self.closed.append(transport)

    @rule(key=st.sampled_from("abc"), later=st.sampled_from([0, 1, 6]))
    def acquire(self, key: str, later: int) -> None:
        if self.state.is_closed:
            return
        self.now += later
        answer = self.state.acquire(key, key == "a", self.now)
        if isinstance(answer, Member):
            assert answer.is_open
            assert not answer.transport.is_closing
            self.held.append(answer)
        elif isinstance(answer, Ticket):
            self.tickets.append(answer)
        else:
            self.places.append(answer)
        self.settle()

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), outcome=st.sampled_from(["single", "shared", "failed", "given up"]))
    def dial(self, data: st.DataObject, outcome: str) -> None:
        ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        if outcome in ("failed", "given up"):
            self.state.not_dialed(ticket, has_failed=outcome == "failed")
        else:
            is_shared = outcome == "shared" and ticket.bucket.key == "a"
            transport = FakeTransport(is_shared=is_shared, concurrency=3 if is_shared else 1)
            self.held.append(self.state.dialed(ticket, transport, self.now))  # type: ignore[arg-type]  # as above
        self.settle()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), is_dead=st.booleans())
    def release(self, data: st.DataObject, is_dead: bool) -> None:
        member = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if is_dead:
            member.transport.is_closing = True  # type: ignore[misc]  # the fake's is a plain attribute
        self.state.release(member, self.now)
        self.settle()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), concurrency=st.integers(0, 4))
    def change_capacity(self, data: st.DataObject, concurrency: int) -> None:
        member = data.draw(st.sampled_from(self.held))
        if member.transport.is_shared:
            member.transport.concurrency = concurrency  # type: ignore[misc]  # the fake's is a plain attribute
            self.state.capacity_changed(member, self.now)
            self.settle()

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.state.leave(self.places.pop(data.draw(st.integers(0, len(self.places) - 1))), self.now)
        self.settle()

    @rule(really=st.integers(0, 19))
    def close(self, really: int) -> None:
        if really == 0:
            self.state.close()
            self.settle()

    @invariant()
    def counts_agree(self) -> None:
        members = self.state.members()
        assert self.state.total == len(members) + len(self.tickets) <= 3
        assert self.state.idle == sum(member.active == 0 for member in members) <= 2
        assert self.state.waiting == len(self.places)
        for member in members:
            assert member.active == self.held.count(member)
            assert member.transport not in self.closed
        for key in "abc":
            mine = [item for item in [*members, *self.tickets] if item.bucket.key == key]
            assert len(mine) <= 2

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        members = self.state.members()
        for place in self.places:
            bucket = place.bucket
            mine = [member for member in members if member.bucket is bucket]
            assert not any(member.active < member.capacity for member in mine)
            is_probing = bucket.may_share and bucket.dialing
            assert all(member.active for member in mine)
            is_full = bucket.total >= 2 or (self.state.total >= 3 and not self.state.idle)
            assert is_probing or is_full


Histories.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
