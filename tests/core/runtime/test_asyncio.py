"""What only the asyncio world can get wrong about a stream: cancellation, timers, readiness, ends."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import termios
import threading

import pytest

from reqivo_core.errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from reqivo_core.interfaces import Address
from support.asyncio_streams import RUNTIME, arrive, connected, ticks, until
from support.resets import reset

# cancellation


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


# readiness


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


def test_an_end_that_the_loop_has_not_looked_at_is_noticed(listener):
    async def body():
        async with connected(listener) as (stream, peer):
            peer.close()
            while not stream.is_readable():  # as above
                pass
            assert stream._has_ended
            assert await stream.read(10, 5) == b""

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


# ends


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


def test_a_connection_that_the_loop_dropped_has_ended(listener):
    async def body():
        async with connected(listener) as (stream, _peer):
            stream._transport.abort()
            await ticks(2)
            assert await stream.read(100, 5) == b""
            with pytest.raises(WriteError, match="it has ended"):
                await stream.write(b"x", 5)

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
