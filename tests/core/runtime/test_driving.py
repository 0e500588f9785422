from __future__ import annotations

import asyncio
from types import coroutine

import pytest

from reqivo_core.runtime.driving import run_blocking


@coroutine
def suspend(value):
    yield value


async def answer() -> int:
    return 42


async def inner(value):
    await suspend(value)


async def outer(value):
    await inner(value)


def test_returns_what_the_coroutine_returns():
    assert run_blocking(answer()) == 42


def test_errors_pass_through():
    async def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_blocking(fail())


def test_a_suspended_coroutine_is_closed_and_named():
    closed = []

    async def conversation():
        try:
            await outer("a thing of another world")
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="only an event loop can wait for") as caught:
        run_blocking(conversation())
    message = str(caught.value)
    assert closed == [True]
    assert "'a thing of another world'" in message
    assert "inner" in message
    assert "test_driving.py" in message
    assert "conversation" in message


def test_a_bare_yield_is_named():
    with pytest.raises(RuntimeError, match="a bare yield, awaited by sleep"):
        run_blocking(asyncio.sleep(0))


def test_an_asyncio_future_is_named():
    loop = asyncio.new_event_loop()
    future = loop.create_future()

    async def conversation():
        await future

    with pytest.raises(RuntimeError, match="Future pending"):
        run_blocking(conversation())
    loop.close()


def test_a_coroutine_that_refuses_to_end_is_still_reported():
    async def stubborn():
        try:
            await suspend(1)
        finally:
            await suspend(2)

    with pytest.raises(RuntimeError, match="only an event loop") as caught:
        run_blocking(stubborn())
    assert "ignored GeneratorExit" in str(caught.value.__context__)


def test_something_like_a_coroutine_is_described_too():
    def generator():
        yield "x"

    with pytest.raises(RuntimeError, match="'x', awaited by"):
        run_blocking(generator())
