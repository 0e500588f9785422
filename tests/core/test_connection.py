"""Connections that were handed out."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from reqivo_core.connection import LeasedStream
from reqivo_core.errors import ReadError, WriteError
from reqivo_core.interfaces import Address, NetworkStream
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.streams import MemoryStream
from support.leaks import leak_check
from support.scripted import Peer, ScriptedServer
from support.worlds import BLOCKING, WORLDS, World


class Interrupted(MemoryStream):
    """A stream whose first farewell is interrupted."""

    def close(self) -> None:
        was_closed = self.is_closed
        super().close()
        if not was_closed:
            raise KeyboardInterrupt


class Slot:
    """A place in a pool."""

    was_released = False

    def release(self) -> None:
        self.was_released = True

    abandon = release


def test_an_interrupted_farewell_gives_the_slot_back() -> None:
    slot: Any = Slot()
    stream = Interrupted(MemoryRuntime())
    leased = LeasedStream(stream, slot)
    with pytest.raises(KeyboardInterrupt):
        leased.close()
    assert (slot.was_released, stream.is_closed) == (True, True)


TAIL = bytes(range(256)) * 40


def break_off(peer: Peer) -> None:
    """Say something, read nothing, and reset the connection under a write that blocks."""
    peer.send(TAIL)
    peer.wait_until_taken()
    peer.sleep(0.05)
    peer.rst()


async def connect(world: World, server: ScriptedServer) -> NetworkStream:
    return await world.runtime.connect_tcp([Address("127.0.0.1", server.port)], 5)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_a_tunnel_that_broke_is_let_go_of_though_nobody_closes_it(world: World) -> None:
    """A socket among garbage may warn that nobody closed it, before anybody's finalizer can."""
    slot: Any = Slot()
    kept: list[Any] = []

    async def talk() -> None:
        leased = LeasedStream(await connect(world, server), slot)
        kept.append(leased)
        with pytest.raises(WriteError) as caught:
            await leased.write(bytes(8 * 1024 * 1024), 5)
        kept.append(caught)
        assert slot.was_released
        assert leased.is_readable()
        came = b""
        while len(came) < len(TAIL):  # what came before is not lost
            came += await leased.read(1000, 5)
        assert came == TAIL
        for again in (leased.read(1000, 5), leased.write(b"more", 5)):
            with pytest.raises((ReadError, WriteError)) as told:
                await again
            assert told.value.args == caught.value.args

    with ScriptedServer(break_off, receive_buffer=4096) as server, leak_check(collect=False):
        world.run(talk())


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_a_tunnel_that_broke_under_a_reader_is_let_go_of(world: World) -> None:
    slot: Any = Slot()
    kept: list[Any] = []

    async def talk() -> None:
        leased = LeasedStream(await connect(world, server), slot)
        kept.append(leased)
        came = b""
        with pytest.raises(ReadError) as caught:
            while True:
                came += await leased.read(1000, 5)
        kept.append(caught)
        assert came == TAIL
        assert slot.was_released

    with ScriptedServer(break_off) as server, leak_check(collect=False):
        world.run(talk())


def test_a_reader_beside_a_write_that_breaks_is_not_disturbed() -> None:
    """It may have octets in hand already: nobody else takes those that follow."""
    is_reading, may_go_on = threading.Event(), threading.Event()

    class Slow(MemoryStream):
        async def read(self, max_bytes: int, timeout: float | None) -> bytes:
            is_reading.set()
            assert may_go_on.wait(5)
            return b"first"

        async def write(self, data: Any, timeout: float | None) -> None:
            raise WriteError("broken", phase="write")

    slot: Any = Slot()
    leased = LeasedStream(Slow(MemoryRuntime()), slot)
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append(BLOCKING.run(leased.read(5, 5))))
    reader.start()
    assert is_reading.wait(5)
    with pytest.raises(WriteError):
        BLOCKING.run(leased.write(b"x", 5))
    assert not slot.was_released
    may_go_on.set()
    reader.join(5)
    assert came == [b"first"]
    leased.close()
