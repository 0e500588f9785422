"""What the pool costs does not grow with what is in it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from reqivo_core.limits import Limits
from reqivo_core.pool_state import Member, Place, PoolState, Ticket
from support.steps import count_steps


@dataclass(eq=False)
class FakeTransport:
    """As much of a transport as the state looks at."""

    is_shared: bool = False
    concurrency: int = 1
    is_closing: bool = False


def opened(state: PoolState, key: str) -> Member:
    ticket = state.acquire(key, False, 0.0)
    assert isinstance(ticket, Ticket)
    return state.dialed(ticket, FakeTransport(), 0.0)  # type: ignore[arg-type]  # enough of a transport


def reuse(origins: int, each: int) -> int:
    """The steps of one acquire and release in a pool full of idle connections."""
    state = PoolState(Limits(max_connections=None, max_idle=None))
    members = [opened(state, f"origin {number}") for number in range(origins) for _ in range(each)]
    for member in members:
        state.release(member, 1.0)

    def work() -> None:
        member = state.acquire("origin 0", False, 2.0)
        assert isinstance(member, Member)
        state.release(member, 3.0)

    return count_steps(work)


@pytest.mark.parametrize(("origins", "each"), [(1000, 1), (1, 1000), (30, 30)])
def test_reusing_a_connection_costs_the_same_however_many_there_are(origins: int, each: int) -> None:
    assert reuse(origins, each) == reuse(2, 2)


def hand_on(waiting: int, origins: int = 1) -> int:
    """The steps of giving one of ten connections to the next of so many that wait for it."""
    state = PoolState(Limits(max_connections=10))
    members = [opened(state, "origin 0") for _ in range(10)]
    for number in range(waiting):
        assert isinstance(state.acquire(f"origin {number % origins}", False, 0.0), Place)
    return count_steps(lambda: state.release(members[0], 1.0))


@pytest.mark.parametrize("origins", [1, 10])
def test_serving_a_queue_costs_the_same_however_long_it_is(origins: int) -> None:
    assert hand_on(10_000, origins) == hand_on(100, origins)


def test_ten_thousand_queued_requests_are_served_in_linear_time() -> None:
    def served(number: int) -> int:
        state = PoolState(Limits(max_connections=10))
        members = [opened(state, "a") for _ in range(10)]

        def work() -> None:
            for _ in range(number):
                state.acquire("a", False, 0.0)
            for turn in range(number + 10):
                state.release(members[turn % 10], 1.0)
                state.to_wake.clear()

        steps = count_steps(work)
        assert state.idle == 10
        return steps

    assert served(10_000) < 10.5 * served(1000)
