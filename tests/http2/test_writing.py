"""The writer's place on real connections: whoever leaves it, for whatever reason, leaves nobody's frames behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from hyperframe import frame as frames

from reqivo_core import Timeout
from reqivo_core.errors import ReadTimeout, TotalTimeout
from reqivo_core.runtime.blocking import BlockingStream
from reqivo_core.timeouts import Deadline
from support import h2_peer
from support import world as worlds
from support.certs import Authority
from support.h2_peer import H2Peer, serving
from support.scripted import Peer
from support.trio_world import Trio
from support.world import World


@pytest.fixture(params=["async", "trio"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Tasks give way to each other; threads have no need to."""
    with Trio() if request.param == "trio" else worlds.make(request.param) as made:
        yield made


async def cancelled_beside(
    name: str,
    lost: Callable[[], Any],
    is_giving_way: Callable[[], bool],
    kept: Callable[[], Any],
    is_waiting: Callable[[], bool],
    cancelled: threading.Event,
) -> None:
    """Cancel one task while it gives way to another, once that one waits."""
    if name == "async":
        victim = asyncio.create_task(lost())
        while not is_giving_way():  # noqa: ASYNC110  # what is waited for is the other's own state, not an event
            await asyncio.sleep(0)
        other = asyncio.create_task(kept())
        while not is_waiting():  # noqa: ASYNC110  # as above
            await asyncio.sleep(0)
        victim.cancel()
        await asyncio.sleep(0)
        cancelled.set()
        await other
        return
    async with trio.open_nursery() as nursery, trio.open_nursery() as doomed:
        doomed.start_soon(lost)
        while not is_giving_way():
            await trio.lowlevel.checkpoint()
        nursery.start_soon(kept)
        while not is_waiting():
            await trio.lowlevel.checkpoint()
        doomed.cancel_scope.cancel()
        cancelled.set()


def test_who_is_cancelled_while_giving_way_leaves_the_place_to_others(
    h2line: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The send buffer is full, so that the victim cannot write on its way out what others have queued."""
    cancelled = threading.Event()

    def script(server: H2Peer) -> None:
        server.greet()
        server.send_frame(server.head(server.expect_request(), 200))
        requests = [server.expect_request(), server.expect_request()]
        (kept,) = [request for request in requests if request[":path"] == "/kept"]
        server.peer.wait(cancelled)
        server.respond(kept, 200, b"kept")
        server.expect_close()

    line = h2line(script)
    with line.client.stream("GET", line.url("/open")):
        wire = line.transport._wire
        runtime_class = type(wire.runtime)
        gave_way: list[str] = []

        async def give_way(runtime: Any) -> None:
            gave_way.append("once more")
            await runtime.sleep(30 if len(gave_way) == 1 else 0)

        def is_waiting() -> bool:  # the other for its answer, which it believes to have asked for
            return len(wire.state.streams) == 3 and wire._reading._is_led

        monkeypatch.setattr(runtime_class, "give_way", give_way)
        monkeypatch.setattr(type(wire.stream), "is_writable", lambda self: False)
        session = line.session
        answers: list[bytes] = []

        async def keep() -> None:
            answers.append((await session.get(line.url("/kept"))).content)

        name, lost = line.client.world.name, lambda: session.get(line.url("/lost"))
        line.drive(cancelled_beside(name, lost, lambda: bool(gave_way), keep, is_waiting, cancelled))
        assert answers == [b"kept"]


@pytest.mark.parametrize("world", ["blocking"], indirect=True)
def test_frames_queued_beside_a_farewell_leave_too(h2line: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says a farewell in passing does not stay to write what others queue meanwhile: none must rely on it."""
    passing = threading.Event()

    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        lost = server.expect_request()
        server.expect_reset(lost.stream_id, h2_peer.CANCEL)
        kept = server.expect_request()
        server.respond(kept, 200, b"kept")
        server.expect_close()

    line = h2line(script)
    line.get()
    wire = line.transport._wire
    write = BlockingStream.write

    async def hesitant(self: BlockingStream, data: Any, timeout: float | None) -> None:
        if timeout == 0 and not passing.is_set():
            passing.set()
            while not (wire._writing._turns or wire._reading._is_led):  # the other relies on us, or does not
                time.sleep(0.001)  # noqa: ASYNC251  # in this world a wait does block the thread
        await write(self, data, timeout)

    monkeypatch.setattr(BlockingStream, "write", hesitant)
    kept: list[Any] = []

    def keep() -> None:
        assert passing.wait(5)
        kept.append(line.body("/kept"))

    other = threading.Thread(target=keep)
    other.start()
    line.fails(ReadTimeout, "/lost", timeout=Timeout(read=0.1))
    other.join(10)
    assert kept == [b"kept"]
    assert line.server.connections == 1


async def write_too_late(wire: Any) -> None:
    """Queue a frame of somebody else's, and write by a deadline that has passed."""
    deadline = Deadline(Timeout(total=1e-9), wire.runtime.now)
    while not deadline.has_passed():
        pass
    with wire.guard:
        wire.state.outgoing.add(h2_peer.raw(6, 0, 0, b"of other"))
    with pytest.raises(TotalTimeout):
        await wire.flush(deadline)


@pytest.mark.parametrize("world", ["blocking", "async", "trio"], indirect=True)
def test_a_deadline_that_passes_before_a_write_is_its_requests_alone(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200), server.data(request, b"half "))
        server.expect(frames.PingFrame)
        server.send_frame(server.data(request, b"whole", "END_STREAM"))
        server.expect_close()

    line = h2line(script)
    with line.client.stream("GET", line.url()) as response:
        line.drive(write_too_late(line.transport._wire))
        assert line.client.read(response) == b"half whole"


@pytest.mark.parametrize("world", ["blocking", "trio"], indirect=True)
def test_frames_that_nobody_can_write_end_the_connection(h2line: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the place must give it up, the buffer is full, and others wait for what they have left to the writer."""

    def first(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        server.expect_close()

    line = h2line(first, serving)
    line.get()
    transport = line.transport
    wire = transport._wire

    with monkeypatch.context() as patch:
        patch.setattr(type(wire.stream), "is_writable", lambda self: False)
        line.drive(write_too_late(wire))
    assert "took no more" in transport._state.failure.message
    assert line.body("/next") == b"/next"
    assert line.server.connections == 2


@pytest.mark.parametrize("world", ["async"], indirect=True)
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("how", ["cancelled", "timed-out"])
def test_who_gives_up_amid_a_write_disturbs_nobody(
    serve: Callable, world: World, codec: str, authority: Authority, how: str, is_secure: bool
) -> None:
    """What asyncio was given leaves all the same, so the connection goes on, with what others have queued meanwhile."""
    gave_up = threading.Event()
    most = 2**30

    def script(peer: Peer) -> None:
        server = H2Peer(peer)
        server.greet({frames.SettingsFrame.INITIAL_WINDOW_SIZE: most})
        server.open_window(0, most)
        server.respond(server.expect_request())
        peer.wait(gave_up)
        lost, kept = (server.expect_request(whole=False) for _ in range(2))
        while not kept.has_ended:
            server.expect_frame()
        assert (lost[":path"], lost.has_ended) == ("/lost", False)
        assert server.seen(frames.PingFrame)
        server.respond(kept, 200, kept.body)
        server.expect_close()

    context = authority.server_context(alpn=["h2"]) if is_secure else None
    server = serve(script, tls=context, receive_buffer=65536)
    body = b"kept" * 100_000

    async def give_up(session: Any) -> None:
        await session.get(server.url("/"))
        (member,) = session.pool._state.members()
        wire = member.transport._wire
        timeout = Timeout(total=0.5) if how == "timed-out" else None
        lost = asyncio.create_task(session.post(server.url("/lost"), body=b"x" * 20_000_000, timeout=timeout))
        while not wire._writing._is_writing:  # noqa: ASYNC110  # what is waited for is the other's state, not an event
            await asyncio.sleep(0)
        kept = asyncio.create_task(session.post(server.url("/kept"), body=body))
        while not wire._writing._turns:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0)
        with wire.guard:
            wire.state.outgoing.add(h2_peer.raw(6, 0, 0, b"of other"))
        if how == "cancelled":
            lost.cancel()
        with pytest.raises((asyncio.CancelledError, TotalTimeout)):
            await lost
        gave_up.set()
        assert (await kept).content == body

    with world.client(http2=True, verify=authority.client_context(), timeout=9.0) as client:
        world.run(give_up(client.session))
    assert server.connections == 1
