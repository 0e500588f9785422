"""Batons in both worlds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reqivo_core.interfaces import Waiter
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_core.runtime.blocking import BlockingRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_ws.batons import Baton


def test_one_holds_it_and_the_others_wait_in_turn() -> None:
    async def body() -> list[int]:
        baton = Baton(AsyncioRuntime())
        order: list[int] = []

        async def worker(number: int) -> None:
            assert await baton.take()
            order.append(number)
            await asyncio.sleep(0)
            assert baton.is_held
            baton.give_back()

        assert baton.try_take() and not baton.try_take()
        tasks = [asyncio.create_task(worker(number)) for number in range(5)]
        await asyncio.sleep(0)
        baton.give_back()
        await asyncio.gather(*tasks)
        assert not baton.is_held
        return order

    assert asyncio.run(body()) == [0, 1, 2, 3, 4]


def test_who_gives_up_is_passed_over() -> None:
    async def body() -> bool:
        baton = Baton(AsyncioRuntime())
        await baton.take()
        assert not await baton.take(0.001)
        cancelled = asyncio.create_task(baton.take())
        patient = asyncio.create_task(baton.take())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        baton.give_back()
        return await patient

    assert asyncio.run(body())


def test_a_baton_handed_to_somebody_cancelled_goes_on() -> None:
    async def body() -> bool:
        baton = Baton(AsyncioRuntime())
        await baton.take()
        cancelled = asyncio.create_task(baton.take())
        patient = asyncio.create_task(baton.take())
        await asyncio.sleep(0)
        baton.give_back()
        cancelled.cancel()  # it has the baton already, and does not know it
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        return await patient

    assert asyncio.run(body())


def test_threads_wait_too() -> None:
    baton = Baton(BlockingRuntime())
    counts = {"now": 0, "most": 0, "turns": 0}

    def work() -> None:
        for _ in range(50):
            assert run_blocking(baton.take())
            counts["now"] += 1
            counts["most"] = max(counts["most"], counts["now"])
            counts["turns"] += 1
            counts["now"] -= 1
            baton.give_back()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {"now": 0, "most": 1, "turns": 400}


class Meanwhile(BlockingRuntime):
    """A world in which something happens while somebody queues up."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens = happens

    def waiter(self) -> Waiter:
        self.happens()
        return super().waiter()


def test_a_baton_given_back_while_somebody_queues_up_is_theirs() -> None:
    baton = Baton(Meanwhile(lambda: baton.give_back()))
    assert baton.try_take()
    assert run_blocking(baton.take(10))
    assert baton.is_held
    baton.give_back()
    assert not baton.is_held


class Flag:
    """The lock inside of a baton, which is released only when somebody has queued up and found it held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.misses = 0
        self.is_put_down = threading.Event()
        self.was_missed_twice = threading.Event()

    def acquire(self, blocking: bool) -> bool:
        got = self.lock.acquire(blocking)
        self.misses += not got
        if self.misses == 2:
            self.was_missed_twice.set()
        return got

    def release(self) -> None:
        self.is_put_down.set()
        assert self.was_missed_twice.wait(10)
        self.lock.release()

    def locked(self) -> bool:
        return self.lock.locked()


def test_who_queues_up_while_it_is_given_back_gets_it() -> None:
    baton = Baton(BlockingRuntime())
    flag: Any = Flag()
    baton._flag = flag
    assert baton.try_take()
    with ThreadPoolExecutor(1) as executor:
        giving = executor.submit(baton.give_back)
        assert flag.is_put_down.wait(10)  # as the queue is empty; when it is down, somebody is in the queue
        assert run_blocking(baton.take(10))
        giving.result(10)
    assert baton.is_held
    baton.give_back()
    assert not baton.is_held


class Leaving(BlockingRuntime):
    """A world in which whoever waits leaves when told to."""

    def __init__(self) -> None:
        self.has_come = threading.Event()
        self.may_leave = threading.Event()

    def waiter(self) -> Waiter:
        runtime = self

        class Leaver(Waiter):
            def wake(self) -> None:
                raise AssertionError("it has left")

            async def wait(self, timeout: float | None) -> bool:
                runtime.has_come.set()
                return not runtime.may_leave.wait(10)

        return Leaver()


class Late:
    """The lock of a baton's queue, which one thread gets only after something has happened."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.lock = threading.Lock()
        self.happens = happens
        self.late = threading.get_ident()

    def __enter__(self) -> None:
        if threading.get_ident() == self.late:
            self.happens()
        self.lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self.lock.release()


def test_a_baton_meant_for_somebody_who_leaves_is_put_down() -> None:
    runtime = Leaving()
    baton = Baton(runtime)
    assert baton.try_take()
    lock: Any = Late(lambda: (runtime.may_leave.set(), waiting.result(10)))
    baton._lock = lock
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(run_blocking, baton.take())
        assert runtime.has_come.wait(10)
        baton.give_back()  # which finds somebody in the queue, but not for long
        assert waiting.result(10) is False
    assert not baton.is_held
    assert baton.try_take()


def test_who_waits_for_a_dismissed_one_goes_without_and_so_does_who_comes_later() -> None:
    async def main() -> None:
        baton = Baton(AsyncioRuntime())
        assert baton.try_take()
        waiting = asyncio.create_task(baton.take())
        await asyncio.sleep(0)
        baton.dismiss()
        assert await asyncio.wait_for(waiting, 10) is False
        assert await baton.take() is False
        baton.give_back()
        assert await baton.take() is True  # nobody has to wait for it

    asyncio.run(main())
