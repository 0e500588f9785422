"""The asyncio world's buffers: what a stream lends, keeps, joins and cuts."""

from __future__ import annotations

import asyncio
import os
import threading

from reqivo_core.runtime.asyncio import HIGH_WATER
from support.asyncio_streams import arrive, connected, until


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
