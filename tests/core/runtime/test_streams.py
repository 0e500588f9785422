"""What every runtime's streams promise: one body, run in each world."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest

from reqivo_core.errors import (
    ReadError,
    ReadTimeout,
    WriteError,
    WriteTimeout,
)
from reqivo_core.interfaces import Address, NetworkStream
from support.dialing import until
from support.processes import run_in_child
from support.resets import reset
from support.worlds import World


@contextlib.asynccontextmanager
async def connected(world: World, listener: socket.socket):
    stream = await world.runtime.connect_tcp([Address(*listener.getsockname())], 5)
    peer, _ = listener.accept()
    peer.settimeout(10)
    try:
        yield stream, peer
    finally:
        stream.close()
        peer.close()


async def read_all(stream: NetworkStream, count: int) -> bytes:
    parts = []
    while count:
        parts.append(await stream.read(min(count, 65536), 10))
        assert parts[-1], "the stream ended early"
        count -= len(parts[-1])
    return b"".join(parts)


def test_connects_and_exchanges_octets(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            await stream.write(b"ping", 5)
            assert peer.recv(100) == b"ping"
            peer.sendall(b"pong")
            assert await stream.read(100, 5) == b"pong"
            assert stream.get_info("peername") == listener.getsockname()
            assert stream.get_info("sockname") == peer.getpeername()
            sock = stream.get_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert stream.get_info("alpn_protocol") is None
            assert stream.get_info("ssl_object") is None
        assert stream.get_info("peername") is None

    world.run(body())


# reading and writing


def test_reading_times_out_and_loses_nothing(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            for _ in range(3):
                with pytest.raises(ReadTimeout, match=r"127\.0\.0\.1:\d+ sent nothing for 0.01 s"):
                    await stream.read(10, 0.01)
            peer.sendall(b"late")
            assert await stream.read(10, 5) == b"late"

    world.run(body())


def test_a_read_without_waiting_takes_what_has_arrived(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            with pytest.raises(ReadTimeout, match="nothing has arrived"):
                await stream.read(10, 0)
            assert not stream.is_readable()
            peer.sendall(b"abcdef")
            await until(stream.is_readable, world)
            assert await stream.read(2, 0) == b"ab"
            assert stream.is_readable()
            assert await stream.read(10, 0) == b"cdef"
            assert not stream.is_readable()
            with pytest.raises(ReadTimeout):
                await stream.read(10, 0)

    world.run(body())


def test_a_waiting_read_returns_as_octets_come(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            sender = threading.Timer(0.02, peer.sendall, (b"now",))
            sender.start()
            assert await stream.read(10, None) == b"now"
            sender.join()

    world.run(body())


def test_the_end_is_read_again_and_again(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            peer.sendall(b"last")
            peer.shutdown(socket.SHUT_WR)
            assert await stream.read(10, 5) == b"last"
            assert await stream.read(10, 5) == b""
            assert await stream.read(10, 5) == b""
            assert await stream.read(10, 0) == b""
            assert stream.is_readable()
            await stream.write(b"still heard", 5)
            assert peer.recv(100) == b"still heard"

    world.run(body())


def test_a_reset_is_a_read_error(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            reset(peer)
            with pytest.raises(ReadError, match=r"broke while reading \(connection reset by peer\)"):
                await stream.read(10, 5)
            assert stream.is_readable()

    world.run(body())


def test_writing_to_a_peer_that_reset_is_a_write_error(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            reset(peer)
            await until(stream.is_readable, world)
            with pytest.raises(WriteError, match="broke while writing"):
                for _ in range(10):
                    await stream.write(b"x" * 1000, 5)

    world.run(body())


def test_writing_to_a_peer_that_does_not_read_times_out(world, listener):
    async def body():
        async with connected(world, listener) as (stream, _peer):
            with pytest.raises(WriteTimeout, match=r"did not take what was sent within 0.05 s"):
                await stream.write(bytes(64 * 1024 * 1024), 0.05)

    world.run(body())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_large_write_arrives_whole(world, listener, kind):
    octets = os.urandom(1024) * 8192
    received = []

    def drain(peer):
        with peer.makefile("rb") as file:
            received.append(file.read(len(octets)))

    async def body():
        async with connected(world, listener) as (stream, peer):
            reader = threading.Thread(target=drain, args=(peer,))
            reader.start()
            await stream.write(kind(octets), 30)
            reader.join()
            assert received == [octets]

    world.run(body())


def test_a_large_read_arrives_whole(world, listener):
    octets = os.urandom(1024) * 8192

    async def body():
        async with connected(world, listener) as (stream, peer):
            sender = threading.Thread(target=peer.sendall, args=(octets,))
            sender.start()
            assert await read_all(stream, len(octets)) == octets
            sender.join()
            with pytest.raises(ReadTimeout):
                await stream.read(10, 0.01)

    world.run(body())


def test_a_read_never_returns_more_than_asked(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            peer.sendall(b"abc")
            assert [await stream.read(1, 5) for _ in range(3)] == [b"a", b"b", b"c"]

    world.run(body())


# closing


def test_a_closed_stream_says_so(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            stream.close()
            stream.close()
            assert stream.is_readable()
            with pytest.raises(ReadError, match="closed on this side"):
                await stream.read(10, 5)
            with pytest.raises(ReadError, match="closed on this side"):
                await stream.read(10, 0)
            with pytest.raises(WriteError, match="closed on this side"):
                await stream.write(b"x", 5)
            await world.runtime.sleep(0.001)
            assert peer.recv(10) == b""

    world.run(body())


def test_a_stream_may_be_closed_after_its_world_has_ended(world, listener):
    async def body():
        stream = await world.runtime.connect_tcp([Address(*listener.getsockname())], 5)
        peer, _ = listener.accept()
        return stream, peer

    stream, peer = world.run(body())
    stream.close()
    stream.close()
    assert stream.is_readable()
    with peer:
        peer.settimeout(10)
        assert peer.recv(10) == b""


def test_closing_from_another_thread_wakes_a_reader(world, listener):
    async def body():
        async with connected(world, listener) as (stream, _peer):
            closer = threading.Timer(0.02, stream.close)
            closer.start()
            with pytest.raises(ReadError, match="closed on this side"):
                await stream.read(10, 30)
            closer.join()
            with pytest.raises(ReadError):
                await stream.read(10, 5)

    world.run(body())


def test_closing_from_another_thread_wakes_a_writer(world, listener):
    async def body():
        async with connected(world, listener) as (stream, _peer):
            closer = threading.Timer(0.05, stream.close)
            closer.start()
            with pytest.raises(WriteError):
                await stream.write(bytes(64 * 1024 * 1024), 30)
            closer.join()

    world.run(body())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_closing_in_a_forked_child_leaves_the_parents_connection_alone(world, listener):
    async def body():
        async with connected(world, listener) as (stream, peer):
            if hasattr(stream, "_is_reading"):
                stream._is_reading = True  # as a thread of the parent would have left it
            run_in_child(stream.close)
            await stream.write(b"alive", 5)
            assert peer.recv(10) == b"alive"
            if hasattr(stream, "_is_reading"):
                stream._is_reading = False

    world.run(body())
