"""What only the asyncio world can get wrong: cancellation, loops, threads, buffers."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reqivo_core.errors import ConnectError, ReadError, ReadTimeout, WriteError, WriteTimeout
from reqivo_core.interfaces import Address
from reqivo_core.runtime import asyncio as subject
from reqivo_core.runtime.asyncio import HIGH_WATER, AsyncioStream
from support.asyncio_streams import RUNTIME, connected, ticks, until


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


def arrive(stream: AsyncioStream, octets: bytes) -> None:
    """Do what the loop does when octets have come."""
    stream.get_buffer(-1)[: len(octets)] = octets
    stream.buffer_updated(len(octets))


# cancellation


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


def test_a_cancelled_read_loses_nothing(listener):
    async def body():
        async with connected(listener) as (stream, peer):
            for _ in range(3):
                task = asyncio.ensure_future(stream.read(10, 5))
                await ticks(2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            # In the same turn of the loop: octets come in, the reader is woken and cancelled before it ran.
            task = asyncio.ensure_future(stream.read(10, 5))
            await ticks(2)
            arrive(stream, b"kept")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await stream.read(10, 5) == b"kept"
            peer.sendall(b"more")
            assert await stream.read(10, 5) == b"more"

    asyncio.run(body())


def test_a_timeout_and_a_cancellation_in_one_turn_is_a_cancellation(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            task = asyncio.ensure_future(stream.read(10, 30))
            await ticks(2)
            stream._reader.set_result(False)  # as the timer does
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            waiter = RUNTIME.waiter()
            task = asyncio.ensure_future(waiter.wait(30))
            await ticks(2)
            waiter._future.set_result(False)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(body())


def test_an_outer_timeout_stays_the_outer_timeout(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.01):
                    await stream.read(10, 30)
            assert not isinstance(caught.value, ReadTimeout)
            with pytest.raises(ReadTimeout):
                async with asyncio.timeout(30):
                    await stream.read(10, 0.01)
            assert asyncio.current_task().cancelling() == 0

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


# timers


def test_one_timer_serves_many_reads(listener, monkeypatch):
    async def body():
        loop = asyncio.get_running_loop()
        made = []
        call_at = loop.call_at
        monkeypatch.setattr(loop, "call_at", lambda *args, **kwargs: made.append(args) or call_at(*args, **kwargs))
        async with connected(listener) as (stream, peer):
            made.clear()
            for _ in range(20):
                peer.sendall(b"x")
                assert await stream.read(10, 30) == b"x"
            assert len(made) == 1

    asyncio.run(body())


def test_a_shorter_limit_comes_before_a_timer_that_runs_already(listener):
    async def body():
        async with connected(listener) as (stream, peer):
            task = asyncio.ensure_future(stream.read(10, 30))
            await ticks(2)
            peer.sendall(b"x")
            assert await task == b"x"
            with pytest.raises(ReadTimeout):
                await stream.read(10, 0.01)

    asyncio.run(body())


def test_a_timer_of_an_earlier_read_does_not_end_a_later_one(listener):
    async def body():
        async with connected(listener) as (stream, peer):
            for timeout in (0.05, None, 30):
                task = asyncio.ensure_future(stream.read(10, 0.05))
                await ticks(2)
                peer.sendall(b"x")
                assert await task == b"x"
                task = asyncio.ensure_future(stream.read(10, timeout))
                await ticks(2)
                assert stream._timer is not None
                stream._timer.cancel()
                stream._ring()
                if timeout is None:
                    await asyncio.sleep(0.06)
                    assert not task.done()
                if timeout == 0.05:
                    with pytest.raises(ReadTimeout):
                        await task
                else:
                    peer.sendall(b"y")
                    assert await task == b"y"
            stream._ring()
            assert stream._timer is None

    asyncio.run(body())


# buffers


def test_reading_is_paused_while_nobody_reads(listener):
    octets = os.urandom(1024) * 4096

    async def body():
        async with connected(listener) as (stream, peer):
            sender = threading.Thread(target=peer.sendall, args=(octets,))
            sender.start()
            await until(lambda: stream._is_reading_paused)
            assert stream._size <= 2 * HIGH_WATER
            received = bytearray()
            while len(received) < len(octets):
                received += await stream.read(50_000, 5)
            assert received == octets
            sender.join()
            assert stream._size == 0

    asyncio.run(body())


def test_a_buffer_is_lent_for_one_read_and_then_to_anybody(listener):
    async def body():
        async with connected(listener) as (one, _), connected(listener) as (other, _):
            lent = one.get_buffer(-1)
            assert one.get_buffer(-1) is lent  # nothing had come
            assert other.get_buffer(-1) is not lent
            lent[:3] = b"abc"
            one.buffer_updated(3)
            assert one._buffer is None
            assert one.get_buffer(-1) is lent
            one.eof_received()
            assert one._buffer is None
            one.eof_received()  # of a loop that asked for no buffer
            assert one.get_buffer(-1) is lent
            assert await one.read(10, 5) == b"abc"

    asyncio.run(body())


def test_what_comes_later_leaves_what_came_before_alone(listener):
    async def body():
        async with connected(listener) as (one, _), connected(listener) as (other, _):
            arrive(one, b"one")
            arrive(other, b"two")
            assert await one.read(10, 5) == b"one"
            assert await other.read(10, 5) == b"two"

    asyncio.run(body())


def test_an_end_may_come_before_any_buffer_was_lent(listener):
    async def body():
        async with connected(listener) as (stream, _):
            stream.eof_received()
            assert stream.is_readable()
            assert await stream.read(10, 5) == b""

    asyncio.run(body())


def test_a_buffer_that_a_lost_connection_had_is_lent_to_nobody(listener):
    async def body():
        async with connected(listener) as (one, _), connected(listener) as (other, _):
            lent = one.get_buffer(-1)
            one._transport.abort()
            one.connection_lost(None)
            assert other.get_buffer(-1) is not lent

    asyncio.run(body())


def test_a_whole_chunk_is_not_copied(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            chunk = b"x" * 100
            stream._keep(chunk)
            assert await stream.read(100, 5) is chunk

    asyncio.run(body())


def test_chunks_are_joined_and_cut_as_asked(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            for chunk in (b"abc", b"def", b"ghi"):
                arrive(stream, chunk)
            assert await stream.read(2, 5) == b"ab"
            assert await stream.read(100, 5) == b"c"
            assert await stream.read(100, 5) == b"defghi"
            for chunk in (b"abc", b"def"):
                arrive(stream, chunk)
            assert await stream.read(4, 5) == b"abc"
            assert await stream.read(3, 5) == b"def"
            assert not stream.is_readable()

    asyncio.run(body())


@pytest.mark.parametrize("way", ["poll", "no poll"])
def test_whether_there_is_room_is_asked_of_the_system(listener, monkeypatch, way):
    async def body():
        async with connected(listener) as (stream, _peer):
            assert stream.is_writable()
            with contextlib.suppress(BlockingIOError):
                while True:
                    stream._socket.send(bytes(65536))
            if way == "no poll":
                monkeypatch.delattr(select, "poll")
            assert stream.is_writable() == (way == "no poll"), "then it is found out by trying"
            stream.close()
            assert stream.is_writable()  # a write fails at once

    asyncio.run(body())


def busy(_milliseconds):
    raise RuntimeError("concurrent poll() invocation")


@pytest.mark.parametrize("way", ["poll", "no poll", "busy"])
def test_what_the_loop_has_not_looked_at_is_noticed(listener, monkeypatch, way):
    if way == "no poll":
        monkeypatch.delattr(select, "poll")

    async def body():
        async with connected(listener) as (stream, peer):
            if way == "busy":
                stream._has_arrived = busy
            assert not stream.is_readable()
            peer.sendall(b"x")
            while not stream.is_readable():  # the loop gets no turn meanwhile
                pass
            assert await stream.read(10, 5) == b"x"

    asyncio.run(body())


def test_what_has_arrived_is_left_to_the_loop_by_those_outside_of_it(listener):
    async def connect():
        stream = await RUNTIME.connect_tcp([Address(*listener.getsockname())], 5)
        return stream, listener.accept()[0]

    with asyncio.Runner() as runner:
        stream, peer = runner.run(connect())
        with peer:
            peer.sendall(b"x")
            assert select.select([stream.get_info("socket")], [], [], 10)[0]
            assert not stream.is_readable(), "which is no promise: nobody can read here"
            assert runner.run(stream.read(10, 5)) == b"x"
            stream.close()
            runner.run(asyncio.sleep(0))


def test_octets_that_came_before_a_reset_are_read_first(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            arrive(stream, b"last words")
            stream._transport.abort()
            stream.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
            assert await stream.read(100, 5) == b"last words"
            with pytest.raises(ReadError, match="connection reset by peer"):
                await stream.read(100, 5)
            with pytest.raises(WriteError, match="connection reset by peer"):
                await stream.write(b"x", 5)
            assert stream.is_readable()

    asyncio.run(body())


def test_octets_that_lie_in_the_systems_buffer_when_a_write_fails_are_read_first(listener):
    """The loop does not look for them any more."""
    octets = os.urandom(1024) * 300

    async def body():
        async with connected(listener) as (stream, peer):
            sender = threading.Thread(target=peer.sendall, args=(octets,))
            sender.start()
            await until(lambda: stream._is_reading_paused)
            sender.join()
            peer.sendall(b"last words")
            await until(lambda: not any(fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4))))  # all of it has arrived
            reset(peer)
            with pytest.raises(WriteError):
                await stream.write(b"x", 5)
            received = bytearray()
            with pytest.raises(ReadError):
                while True:
                    received += await stream.read(50_000, 5)
            assert received == octets + b"last words"

    asyncio.run(body())


def test_a_write_that_must_not_wait_tells_a_broken_connection_from_a_full_one(listener):
    async def body():
        async with connected(listener) as (stream, peer):
            reset(peer)
            await until(stream.is_readable)
            with pytest.raises(WriteError):
                await stream.write(b"x", 0)
        async with connected(listener) as (stream, peer):
            with pytest.raises(WriteTimeout):
                await stream.write(bytes(64 * 1024 * 1024), 0)

    asyncio.run(body())


def reset(peer):
    """Close a connection by a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def test_a_connection_that_the_loop_dropped_has_ended(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            stream._transport.abort()
            await ticks(2)
            assert await stream.read(100, 5) == b""
            with pytest.raises(WriteError, match="it has ended"):
                await stream.write(b"x", 5)

    asyncio.run(body())


def test_a_buffer_may_be_changed_after_it_was_written(listener):
    buffer = bytearray(b"a" * 4_000_000)
    received = []

    def drain(peer):
        with peer.makefile("rb") as file:
            received.append(file.read(len(buffer)))

    async def body():
        async with connected(listener) as (stream, peer):
            reader = threading.Thread(target=drain, args=(peer,))
            reader.start()
            await stream.write(buffer, 10)
            buffer[:] = b"b" * len(buffer)
            reader.join()
            assert received[0].count(b"a") == len(buffer)

    asyncio.run(body())


def test_two_readers_or_two_writers_are_a_mistake(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            reader = asyncio.ensure_future(stream.read(10, 5))
            writer = asyncio.ensure_future(stream.write(bytes(64_000_000), 5))
            await ticks(2)
            with pytest.raises(RuntimeError, match="another task is reading"):
                await stream.read(10, 5)
            with pytest.raises(RuntimeError, match="another task is writing"):
                await stream.write(b"x", 5)
            stream.close()
            with pytest.raises(ReadError):
                await reader
            with pytest.raises(WriteError):
                await writer

    asyncio.run(body())
