"""The asyncio world while it looks up names and connects: cancellation at any turn, and errors of whatever kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reqivo_core.errors import ConnectError, ReadError
from reqivo_core.interfaces import Address
from reqivo_core.runtime import asyncio as subject
from reqivo_core.runtime.asyncio import AsyncioStream
from support.asyncio_streams import RUNTIME, ticks


def run_to_tick(make: Callable[[], Awaitable[Any]], tick: int) -> tuple[bool, Any]:
    """Run a coroutine, cancelling it at the loop's n-th turn; tell whether it was over before, and its result."""

    async def body() -> tuple[bool, Any]:
        task = asyncio.ensure_future(make())
        await ticks(tick)
        was_over = task.done()
        task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        if isinstance(result, AsyncioStream):
            result.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return was_over, result

    return asyncio.run(body(), debug=True)


@pytest.mark.parametrize("kind", ["one", "refused first", "both answer"])
def test_connecting_can_be_cancelled_at_every_turn(listener, kind):
    port = listener.getsockname()[1]
    hosts = {"one": ["127.0.0.1"], "refused first": ["127.0.0.2", "127.0.0.1"], "both answer": ["127.0.0.1"] * 2}[kind]
    addresses = [Address(host, port) for host in hosts]
    before = len(os.listdir("/proc/self/fd"))
    results = []
    for tick in range(40):
        was_over, result = run_to_tick(lambda: RUNTIME.connect_tcp(addresses, 5, stagger=0), tick)
        results.append(type(result))
        assert len(os.listdir("/proc/self/fd")) == before
        with contextlib.suppress(BlockingIOError):
            listener.setblocking(False)
            while True:
                listener.accept()[0].close()
        if was_over:
            break
    assert results[0] is asyncio.CancelledError
    assert results[-1] is AsyncioStream
    assert set(results) == {asyncio.CancelledError, AsyncioStream}


def test_connecting_to_a_unix_socket_can_be_cancelled_at_every_turn(tmp_path):
    path = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        before = len(os.listdir("/proc/self/fd"))
        results = []
        for tick in range(10):
            results.append(type(run_to_tick(lambda: RUNTIME.connect_unix(path, 5), tick)[1]))
            assert len(os.listdir("/proc/self/fd")) == before
            if results[-1] is AsyncioStream:
                break
    assert asyncio.CancelledError in results
    assert results[-1] is AsyncioStream


def test_a_cancellation_while_losers_are_awaited_closes_the_winner(listener, deaf_address, monkeypatch):
    winners = []
    end = subject.Race.end

    async def spy(race, winner):
        if winner is not None:
            winners.append(winner)
            asyncio.current_task().cancel()
        await end(race, winner)

    monkeypatch.setattr(subject.Race, "end", spy)

    async def body():
        addresses = [Address(*deaf_address), Address(*listener.getsockname())]
        task = asyncio.ensure_future(RUNTIME.connect_tcp(addresses, 30, stagger=0.01))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert winners[0].is_readable()
        with pytest.raises(ReadError, match="closed on this side"):
            await winners[0].read(1, 5)

    asyncio.run(body())


def test_an_error_that_is_not_the_systems_comes_out_of_a_connection_attempt(listener, monkeypatch):
    async def body():
        def broken(sock):
            raise ZeroDivisionError

        monkeypatch.setattr(subject.sockets, "check_not_self", broken)
        with pytest.raises(ZeroDivisionError):
            await RUNTIME.connect_tcp([Address(*listener.getsockname())], 5)

    asyncio.run(body())


def test_a_stream_that_cannot_be_opened_closes_its_socket(listener, monkeypatch):
    async def body():
        async def fail(*args, **kwargs):
            raise ConnectError("no")

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fail)
        with pytest.raises(ConnectError):
            await RUNTIME.connect_tcp([Address(*listener.getsockname())], 5)

    asyncio.run(body())


def test_a_cancelled_lookup_does_not_wait_for_the_resolver(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: release.wait(10))

    async def body():
        task = asyncio.ensure_future(RUNTIME.resolve("example.com", 80, None))
        await ticks(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    threads = set(threading.enumerate())
    asyncio.run(body())
    assert not release.is_set()
    release.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
