"""What every runtime promises beside streams: clocks, waiters, worlds."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from reqivo_core.runtime.running import together
from support.worlds import TRIO


def test_sleeping_takes_time(world):
    async def body():
        runtime = world.runtime
        start = runtime.now()
        await runtime.sleep(0.01)
        assert runtime.now() - start >= 0.009

    world.run(body())


def test_the_world_stays_the_same(world):
    async def body():
        assert world.runtime.world() == world.runtime.world()
        assert len({world.runtime.world(): 1}) == 1

    world.run(body())


def test_a_waiter_that_nobody_wakes_times_out(world):
    async def body():
        waiter = world.runtime.waiter()
        assert not await waiter.wait(0.01)
        assert not await waiter.wait(0)
        assert not await waiter.wait(-1)
        waiter.wake()
        waiter.wake()
        assert await waiter.wait(0)
        assert await waiter.wait(5)
        assert await waiter.wait(None)

    world.run(body())


@pytest.mark.parametrize("timeout", [10, None])
def test_a_waiter_is_woken_from_another_thread(world, timeout):
    async def body():
        waiter = world.runtime.waiter()
        waker = threading.Timer(0.01, waiter.wake)
        waker.start()
        assert await waiter.wait(timeout)
        waker.join()

    world.run(body())


def test_the_clock_can_be_asked_by_a_finalizer_outside_of_the_world(world):
    runtime = world.runtime

    async def body():
        return runtime.now()

    before = world.run(body())
    assert before <= runtime.now() < before + 60


def test_a_clock_that_was_never_asked_in_a_world_of_its_own():
    with pytest.raises(RuntimeError):
        TRIO.runtime.now()


def test_giving_way_lets_others_run(world):
    turns = []

    async def take_turns(name):
        for _ in range(3):
            turns.append(name)
            await world.runtime.give_way()

    world.run(together(world.name, [partial(take_turns, name) for name in "ab"]))
    assert sorted(turns) == list("aaabbb")
    if world.name != "blocking":  # threads take turns as the system likes
        assert [set(turns[start : start + 2]) for start in (0, 2, 4)] == [{"a", "b"}] * 3
