"""Rate limits and concurrency limits: the reckoning by itself, then in sessions of both worlds."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import pytest

from reqivo import (
    AsyncSession,
    ConcurrencyLimit,
    InvalidRequest,
    PoolTimeout,
    RateLimiter,
    Request,
    Retry,
    Session,
    Sleep,
    TotalTimeout,
)
from reqivo.rate_limits import _MAX_HOSTS, _Gate, _Ticket
from reqivo_core import WaitFor
from support.flows import play, reply
from support.messages import response
from support.processes import run_in_child
from support.scripted import Peer, ScriptedServer, answers
from support.world import World


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def get(host: str = "example.com") -> Request:
    return Request("GET", f"http://{host}/")


def waits(limiter: RateLimiter, *hosts: str) -> list[float]:
    """How long each of several requests made at this moment waits."""
    played = [play(limiter, get(host), reply()) for host in hosts]
    assert all(each.result.status_code == 200 for each in played)
    return [sum(each.sleeps) for each in played]


# -- rates


def test_a_burst_passes_and_the_rest_follows_at_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(2, burst=3, now=clock)
    assert waits(limiter, *["a"] * 6) == [0, 0, 0, 0.5, 1.0, 1.5]
    clock.time += 2  # the debt is paid, and one token is there
    assert waits(limiter, "a", "a") == [0, 0.5]
    clock.time += 3600  # no more than a burst is saved up
    assert waits(limiter, *["a"] * 4) == [0, 0, 0, 0.5]


@pytest.mark.parametrize(("rate", "burst"), [(10, 10), (2.9, 2), (0.1, 1)])
def test_the_burst_is_a_seconds_worth_by_default(rate: float, burst: int) -> None:
    assert waits(RateLimiter(rate, now=Clock()), *["a"] * (burst + 1)) == [*[0] * burst, pytest.approx(1 / rate)]


def test_hosts_can_be_counted_by_themselves() -> None:
    limiter = RateLimiter(1, per_host=True, now=Clock())
    assert waits(limiter, "a", "b", "a") == [0, 0, 1]
    assert waits(RateLimiter(1, now=Clock()), "a", "b") == [0, 1]


def test_a_wait_that_is_given_up_is_not_counted() -> None:
    limiter = RateLimiter(1, now=Clock())
    assert waits(limiter, "a") == [0]
    assert isinstance(play(limiter, get(), patience=0.5).result, TotalTimeout)
    flow = limiter(get())
    assert next(flow) == Sleep(1)
    flow.close()
    assert waits(limiter, "a") == [1]


def test_hosts_that_need_no_memory_are_forgotten() -> None:
    clock = Clock()
    limiter = RateLimiter(1, per_host=True, now=clock)
    waits(limiter, *(f"h{number}" for number in range(_MAX_HOSTS)))
    clock.time += 1.0
    waits(limiter, "h0", "one-more")
    assert set(limiter._buckets._by_host) == {"h0", "one-more"}


@pytest.mark.parametrize(
    ("rate", "burst"), [(0, None), (-1, 5), (1, 0), (float("inf"), None), (float("nan"), None), ("2", None), (2, "3")]
)
def test_rates_that_cannot_be_are_refused(rate: Any, burst: Any) -> None:
    with pytest.raises(InvalidRequest, match="RateLimiter"):
        RateLimiter(rate, burst=burst)


def test_a_session_keeps_to_the_rate(world: World, serve: Any) -> None:
    server = serve(answers(*[response(200, b"x")] * 3))
    with world.client(plugins=[RateLimiter(0.001, burst=2)]) as client:
        assert [client.get(server.url("/")).status_code for _ in range(2)] == [200, 200]
        with pytest.raises(TotalTimeout):  # at once: the third would have to wait for a quarter of an hour
            client.get(server.url("/"), timeout=60)
    assert len(server.requests) == 2


def test_each_attempt_counts(world: World, serve: Any) -> None:
    server = serve(answers(response(503), response(503), response(200)))
    limiter = RateLimiter(0.001, burst=2)
    with world.client(plugins=[limiter], retries=Retry(2, backoff=0)) as client, pytest.raises(TotalTimeout):
        client.get(server.url("/"), timeout=5)
    assert len(server.requests) == 2


# -- concurrency


def test_slots_are_handed_on_in_order() -> None:
    gate = _Gate(1)
    first, second, third = _Ticket(), _Ticket(), _Ticket()
    assert [gate.enter(ticket) for ticket in (first, second, third)] == [True, False, False]
    gate.leave()
    assert (second.has_slot, third.has_slot) == (True, False)
    gate.withdraw(second)  # it was handed over a moment too late
    assert third.has_slot
    gate.leave()
    assert gate.is_idle()


def test_a_place_in_the_queue_can_be_given_up() -> None:
    gate = _Gate(1)
    inside, waiting, last = _Ticket(), _Ticket(), _Ticket()
    for ticket in (inside, waiting, last):
        gate.enter(ticket)
    gate.withdraw(waiting)
    gate.leave()
    assert (waiting.has_slot, last.has_slot) == (False, True)


def test_a_slot_returned_within_the_lock_is_handed_on_after_it() -> None:
    gate = _Gate(1)
    assert gate.enter(_Ticket())
    with gate._lock:  # a finalizer runs here
        gate.leave()
        assert not gate.is_idle()
    ticket = _Ticket()
    assert gate.enter(ticket)
    gate.withdraw(ticket)
    assert gate.is_idle()


class Woken:
    def __init__(self) -> None:
        self.count = 0

    def waiter(self) -> Any:
        return self

    def wake(self) -> None:
        self.count += 1


def test_a_ticket_that_got_its_slot_before_it_waited_does_not_wait() -> None:
    ticket, runtime = _Ticket(), Woken()
    ticket.wake()  # nobody waits yet
    ticket.has_slot = True
    ticket.make_waiter(runtime)  # type: ignore[arg-type]  # all that is needed of a runtime
    assert runtime.count == 1


@pytest.mark.parametrize("limit", [0, -1, "4"])
def test_limits_that_cannot_be_are_refused(limit: Any) -> None:
    with pytest.raises(InvalidRequest, match="ConcurrencyLimit"):
        ConcurrencyLimit(limit)


def test_a_response_without_body_returns_its_slot_at_once() -> None:
    limit = ConcurrencyLimit(1)
    for _ in range(2):
        assert play(limit, get(), reply(204)).result.status_code == 204


@pytest.mark.parametrize("host", ["a", "b"])
def test_hosts_have_slots_of_their_own(host: str) -> None:
    limit = ConcurrencyLimit(1, per_host=True)
    held = limit(get("a"))
    assert isinstance(next(held), Request)
    other = limit(get(host))
    assert isinstance(next(other), WaitFor if host == "a" else Request)
    other.close()
    held.close()
    assert isinstance(next(limit(get("a"))), Request)


def test_a_failure_returns_the_slot() -> None:
    limit = ConcurrencyLimit(1)
    for _ in range(2):
        assert isinstance(play(limit, get(), RuntimeError("a bug")).result, RuntimeError)


class Crowd:
    """A server that counts how many requests it holds at once, and answers when told to."""

    def __init__(self, expected: int) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.most = 0
        self.expected = expected
        self.full = threading.Event()

    def script(self, peer: Peer) -> None:
        while True:
            peer.expect_request()
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
                if self.inside == self.expected:
                    self.full.set()
            peer.wait(self.full)
            with self.lock:
                self.inside -= 1
            peer.respond(200, b"done")


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_requests_than_slots_are_under_way(world: World, limit: int) -> None:
    crowd = Crowd(limit)
    with (
        ScriptedServer(crowd.script) as server,
        world.client(plugins=[ConcurrencyLimit(limit)]) as client,
    ):
        done = client.together([lambda session: session.get(server.url("/"))] * 6)
        assert [answer.status_code for answer in done] == [200] * 6
    assert crowd.most == limit


def test_a_streamed_body_keeps_its_slot_until_it_ends(world: World, serve: Any) -> None:
    server = serve(answers(*[response(200, b"x" * 10)] * 2))
    with world.client(plugins=[ConcurrencyLimit(1, max_wait=0.05)]) as client:
        with client.stream("GET", server.url("/")):
            with pytest.raises(PoolTimeout, match="ConcurrencyLimit") as caught:
                client.get(server.url("/"))
            assert caught.value.phase == "pool"
        assert client.get(server.url("/")).status_code == 200


def test_the_deadline_bounds_waiting_for_a_slot(world: World, serve: Any) -> None:
    server = serve(answers(response(200, b"x" * 10)))
    with world.client(plugins=[ConcurrencyLimit(1)]) as client, client.stream("GET", server.url("/")):
        with pytest.raises(TotalTimeout):
            client.get(server.url("/"), timeout=0.05)


def test_a_dropped_response_returns_its_slot(serve: Any) -> None:
    server = serve(answers(response(200, b"x" * 100_000)))
    with Session(plugins=[ConcurrencyLimit(1, max_wait=1)]) as session:
        with pytest.warns(ResourceWarning, match="dropped unread"):
            session.stream("GET", server.url("/"))
            gc.collect()
        assert session.get(server.url("/")).status_code == 200


def test_a_cancelled_request_returns_its_place(serve: Any) -> None:
    import asyncio

    server = serve(answers(*[response(200, b"x" * 10)] * 3))
    limit = ConcurrencyLimit(1)

    async def main() -> int:
        async with AsyncSession(plugins=[limit]) as session:
            async with session.stream("GET", server.url("/")):
                waiting = asyncio.create_task(asyncio.wait_for(session.get(server.url("/")), 0.05))
                with pytest.raises(asyncio.TimeoutError):
                    await waiting
            first = await session.get(server.url("/"))
            return int(first.status_code)

    assert asyncio.run(main()) == 200
    assert limit._gates.find(get()).is_idle()


def test_one_limit_bounds_sessions_of_both_worlds(serve: Any) -> None:
    import asyncio

    server = serve(answers(*[response(200, b"x" * 10)] * 3))
    limit = ConcurrencyLimit(1, max_wait=60)

    async def other() -> int:
        async with AsyncSession(plugins=[limit]) as session:
            return int((await session.get(server.url("/"))).status_code)

    with Session(plugins=[limit]) as session, session.stream("GET", server.url("/")) as held:
        thread = threading.Thread(target=lambda: results.append(asyncio.run(other())))
        results: list[int] = []
        thread.start()
        gate = limit._gates.find(get())
        for _ in range(1000):
            if gate._queue:
                break
            thread.join(0.005)
        else:
            pytest.fail("the other does not wait")
        held.close()  # wakes a task of another thread's loop
        thread.join(60)
    assert results == [200]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("per_host", [False, True])
def test_a_forked_child_has_all_slots_to_itself(per_host: bool) -> None:
    limit = ConcurrencyLimit(1, per_host=per_host)
    inside, waiting = limit(get()), limit(get())
    assert isinstance(next(inside), Request)
    assert isinstance(next(waiting), WaitFor)

    def try_it() -> None:
        first, second = limit(get()), limit(get())
        assert isinstance(next(first), Request)
        assert isinstance(next(second), WaitFor)

    run_in_child(try_it)
    assert isinstance(next(limit(get())), WaitFor), "in the parent nothing has changed"
