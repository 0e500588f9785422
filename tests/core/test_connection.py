"""Connections that were handed out."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from reqivo_core.connection import LeasedStream, may_send_again
from reqivo_core.content import to_content
from reqivo_core.errors import ReadError, ServerDisconnected, TlsError, WriteError
from reqivo_core.interfaces import Address, NetworkStream
from reqivo_core.messages import Request
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.streams import MemoryStream
from reqivo_core.tls_config import TlsConfig
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


class Upgradable(MemoryStream):
    """A stream that becomes another one."""

    def __init__(self, runtime: MemoryRuntime, fails: bool = False) -> None:
        super().__init__(runtime)
        self.fails = fails

    async def start_tls(self, config: Any, server_hostname: str, alpn: Any, timeout: Any) -> Encrypted:
        if self.fails:
            raise TlsError("no")
        return Encrypted(self._runtime, self)


class Encrypted(MemoryStream):
    """A stream over another, as TLS is."""

    def __init__(self, runtime: MemoryRuntime, inner: MemoryStream) -> None:
        super().__init__(runtime)
        self.inner = inner

    async def write(self, data: Any, timeout: float | None) -> None:
        await self.inner.write(data, timeout)

    def close(self) -> None:
        super().close()
        self.inner.close()


def test_what_a_stream_became_lives_on_without_it() -> None:
    slot: Any = Slot()
    inner = Upgradable(MemoryRuntime())
    leased = LeasedStream(inner, slot)
    later = run_blocking(leased.start_tls(TlsConfig(), "example.org", (), 1.0))
    del leased
    assert (inner.is_closed, slot.was_released) == (False, False)
    run_blocking(later.write(b"x", 1.0))
    assert inner.sent == b"x"
    later.close()
    assert (inner.is_closed, slot.was_released) == (True, True)


def test_a_stream_that_could_not_become_another_is_given_up() -> None:
    slot: Any = Slot()
    inner = Upgradable(MemoryRuntime(), fails=True)
    leased = LeasedStream(inner, slot)
    with pytest.raises(TlsError):
        run_blocking(leased.start_tls(TlsConfig(), "example.org", (), 1.0))
    assert (inner.is_closed, slot.was_released) == (True, True)


def test_what_was_not_begun_may_be_sent_again_once_only_if_idempotent() -> None:
    def again(method: str, *, is_reused: bool = True, error: BaseException | None = None) -> bool:
        content = to_content(iter([b"x"]))
        request = Request(method, "http://a/", content=content)
        return may_send_again(error or ServerDisconnected("gone"), request, is_reused=is_reused, attempts=1)

    assert (again("PUT"), again("POST"), again("PUT", is_reused=False)) == (True, False, False)
    assert again("PUT", error=KeyboardInterrupt()) is False


def test_what_was_begun_and_cannot_begin_anew_is_not_sent_again() -> None:
    content = to_content(iter([b"x"]))
    content.open()
    request = Request("PUT", "http://a/", content=content)
    assert may_send_again(ReadError("gone"), request, is_reused=True, attempts=1) is False


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
