"""The asyncio world when loops end, threads interfere, processes fork."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from typing import Any

import pytest

from reqivo_core.errors import ConnectTimeout, WriteError, WriteTimeout
from reqivo_core.interfaces import Address
from reqivo_core.runtime import asyncio as subject
from reqivo_core.runtime.asyncio import AsyncioStream, AsyncioWaiter
from reqivo_core.runtime.driving import run_blocking
from support.asyncio_streams import RUNTIME, connected, ticks
from support.processes import run_in_child

# closing and loops


def left_open(listener) -> tuple[AsyncioStream, socket.socket, asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(RUNTIME.connect_tcp([Address(*listener.getsockname())], 5))
    peer, _ = listener.accept()
    peer.settimeout(10)
    return stream, peer, loop


def test_closing_after_the_loop_was_closed_is_silent(listener):
    stream, peer, loop = left_open(listener)
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.close()
        stream.close()
        gc.collect()
    with peer:
        assert peer.recv(10) == b""


def test_closing_while_the_loop_is_being_closed_is_silent(listener, monkeypatch):
    stream, peer, loop = left_open(listener)
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)
    stream.close()
    with peer:
        assert peer.recv(10) == b""


def test_closing_from_another_loop_is_done_by_the_streams_own(listener):
    stream, peer, loop = left_open(listener)

    async def elsewhere():
        stream.close()

    asyncio.run(elsewhere())
    loop.run_until_complete(ticks(3))
    with peer:
        assert peer.recv(10) == b""
    loop.close()


def test_a_stream_closed_before_it_was_opened_is_dropped(listener):
    async def body():
        sock = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
        loop = asyncio.get_running_loop()
        stream = AsyncioStream(sock, "x", loop)
        stream.close()
        await loop.create_connection(lambda: stream, sock=sock)
        await ticks(2)
        assert peer.recv(10) == b""
        peer.close()

    asyncio.run(body())


def test_a_forked_child_does_not_touch_the_parents_loop(listener):
    async def body():
        async with connected(listener) as (stream, peer):
            run_in_child(stream.close)
            peer.sendall(b"still polled")
            assert await stream.read(100, 5) == b"still polled"

    asyncio.run(body())


def test_every_loop_is_another_world():
    async def world():
        return RUNTIME.world()

    first, second = asyncio.run(world()), asyncio.run(world())
    assert first != second


# waiters


def test_waking_a_waiter_whose_loop_is_closed_is_harmless():
    loop = asyncio.new_event_loop()
    waiter = AsyncioWaiter()

    async def wait():
        task = asyncio.ensure_future(waiter.wait(None))
        await ticks(2)
        return task

    task = loop.run_until_complete(wait())
    loop.run_until_complete(cancelled(task))
    assert not waiter._is_awake
    waiter._future = loop.create_future()
    loop.close()
    waiter.wake()
    assert waiter._is_awake


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_waiter_is_woken_inside_its_loop():
    async def body():
        waiter = RUNTIME.waiter()
        task = asyncio.ensure_future(waiter.wait(30))
        await ticks(2)
        waiter.wake()
        waiter.wake()
        assert await task

    asyncio.run(body())


def test_connecting_into_the_void_leaves_no_task(deaf_address):
    async def body():
        with pytest.raises(ConnectTimeout):
            await RUNTIME.connect_tcp([Address(*deaf_address)] * 3, 0.05, stagger=0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(body())


def test_ending_a_race_can_be_cancelled_too(deaf_address):
    async def body():
        race = subject.Race(asyncio.get_running_loop(), [Address(*deaf_address)], None, 1)
        run = asyncio.ensure_future(race.run(5))
        await ticks(2)
        await cancelled(run)
        end = asyncio.ensure_future(race.end(None))
        await ticks(1)
        await cancelled(end)
        await ticks(3)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(body())


def test_a_farewell_from_another_thread_does_not_disturb_the_loop(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            with pytest.raises(WriteError, match="event loop is not running here"):
                await asyncio.to_thread(run_blocking, stream.write(b"x", 0))

    asyncio.run(body())


def test_a_write_that_may_not_wait_does_not(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            with pytest.raises(WriteTimeout):
                await stream.write(bytes(64_000_000), 0)

    asyncio.run(body())
