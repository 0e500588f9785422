"""Batons in both worlds."""

from __future__ import annotations

import asyncio
import threading

import pytest

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
