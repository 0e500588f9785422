"""Exceptions out of the blue: a signal's, while a thread reads for all; a fault in the middle of a step.

Octets that were read and not taken in, or fields that were compressed and not sent, make all that follows mean
something else. So a connection ends there, for everybody, and nobody takes another's answer for its own.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core.errors import ReadError, RequestError
from reqivo_core.limits import DEFAULT_LIMITS
from reqivo_core.runtime.blocking import BlockingStream
from reqivo_core.timeouts import Timeout
from reqivo_http2 import BaseFlowControlManager
from reqivo_http2.codec import load_codec
from reqivo_http2.connection_state import ConnectionState
from reqivo_http2.guard import Guard
from support.h2_peer import H2Peer, serving
from support.rehearsal import Rehearsal
from support.simulation import Cancelled, SimulatedStream
from support.world import Blocking


class Alarm(Exception):
    """What the signal's handler raises: no BaseException, for handlers raise what they like."""


@pytest.fixture(params=[Alarm, KeyboardInterrupt])
def struck(request: pytest.FixtureRequest) -> Iterator[type[BaseException]]:
    """Have SIGALRM raise this in the main thread."""
    kind: type[BaseException] = request.param

    def ring(*_: object) -> None:
        raise kind

    previous = signal.signal(signal.SIGALRM, ring)
    yield kind
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def world() -> Iterator[Blocking]:
    """Signals strike threads; tasks are cancelled."""
    with Blocking() as blocking:
        yield blocking


def test_a_signal_in_a_read_closes_the_connection_for_all(h2line: Callable, struck: type[BaseException]) -> None:
    mine_came, both_came = threading.Event(), threading.Event()

    def first(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        server.expect_request()
        mine_came.set()
        server.expect_request()
        both_came.set()
        server.expect_close()

    line = h2line(first, serving)
    line.get()
    other: list[Any] = []

    def follow() -> None:
        assert mine_came.wait(5)
        stream = line.transport._wire.stream
        while not stream._is_reading:  # the main thread, for both
            time.sleep(0.001)
        signaller.start()
        other.append(line.body("/other"))

    def strike() -> None:
        assert both_came.wait(5)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    follower, signaller = threading.Thread(target=follow), threading.Thread(target=strike)
    follower.start()
    with pytest.raises(struck):
        line.get("/mine")
    follower.join(10)
    signaller.join(10)
    assert other == [b"/other"]  # asked again, over another connection
    assert line.body("/next") == b"/next"
    assert line.server.connections == 2
    assert line.session.pool.active == 0


def test_octets_that_a_signal_lost_are_not_missed(
    h2line: Callable, struck: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal strikes between the system's giving octets and our taking them."""
    read = BlockingStream.read
    is_armed = False

    async def losing(self: BlockingStream, max_bytes: int, timeout: float | None) -> bytes:
        nonlocal is_armed
        data = await read(self, max_bytes, timeout)
        if is_armed:
            is_armed = False
            raise struck
        return data

    monkeypatch.setattr(BlockingStream, "read", losing)

    def first(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm", [("x-learnt", "one")])
        server.respond(server.expect_request(), 200, b"lost", [("x-learnt", "two")])
        server.expect_close()

    def second(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"next", [("x-learnt", "three")])
        server.expect_close()

    line = h2line(first, second)
    line.get()
    is_armed = True
    with pytest.raises(struck):
        line.get("/lost")
    response = line.get("/next")
    assert (response.headers["x-learnt"], line.client.read(response)) == ("three", b"next")
    assert line.server.connections == 2


def test_a_signal_while_looking_closes_the_connection(
    h2line: Callable, struck: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def first(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        server.send_frame(frames.PingFrame(0, b"question"))
        server.expect_close()

    line = h2line(first, serving)
    line.get()
    transport = line.transport
    stream = transport._wire.stream

    async def interrupted(max_bytes: int, timeout: float | None) -> bytes:
        raise struck

    monkeypatch.setattr(type(stream), "is_readable", lambda self: True)
    monkeypatch.setattr(type(stream), "read", lambda self, *_: interrupted(*_))
    with pytest.raises(struck):
        transport.is_usable()
    monkeypatch.undo()
    assert transport.is_closing
    assert line.body("/next") == b"/next"
    assert line.server.connections == 2


class Losing(SimulatedStream):
    """Gives up octets at the n-th read, with this."""

    error: type[BaseException] | None = None

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        data = await super().read(max_bytes, timeout)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return data


@pytest.mark.parametrize("seed", range(20))
def test_whoever_waits_is_told(seed: int) -> None:
    rehearsal = Rehearsal(seed, Losing)
    world, server = rehearsal.world, rehearsal.server
    for number in range(5):
        world.start(f"c{number}", rehearsal.converse(f"c{number}", Timeout(timeout=None), b""))
    assert isinstance(rehearsal.stream, Losing)
    rehearsal.stream.error = KeyboardInterrupt
    for _ in range(100):
        server.look()
        for number in server.waiting:
            server.answer(number)
        if not world.names:
            break
        world.step()
    outcomes = list(world.outcomes.values())
    assert len(outcomes) == 5
    assert sum(isinstance(outcome, KeyboardInterrupt) for outcome in outcomes) == 1
    assert all(isinstance(outcome, KeyboardInterrupt | RequestError | bytes) for outcome in outcomes)
    assert any(isinstance(outcome, ReadError) and "KeyboardInterrupt" in str(outcome) for outcome in outcomes)
    assert rehearsal.transport.is_closing
    assert rehearsal.stream.is_closed


def test_a_cancelled_read_takes_nothing() -> None:
    rehearsal = Rehearsal(0)
    world, server = rehearsal.world, rehearsal.server
    world.start("victim", rehearsal.converse("victim", Timeout(timeout=None), b""))
    for _ in range(20):
        if world.names and not world.is_lively:
            break
        world.step()
        server.look()
    world.cancel("victim")
    assert isinstance(world.outcomes["victim"], Cancelled)
    assert not rehearsal.transport.is_closing


class Striking(SimulatedStream):
    """A write is struck by a signal."""

    is_armed = False

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        if self.is_armed:
            self.is_armed = False
            raise KeyboardInterrupt
        await super().write(data, timeout)


def test_a_signal_in_a_farewell_closes_the_connection() -> None:
    rehearsal = Rehearsal(0, Striking)
    world = rehearsal.world
    world.start("victim", rehearsal.converse("victim", Timeout(timeout=None), b""))
    for _ in range(20):
        if world.names and not world.is_lively:
            break
        world.step()
        rehearsal.server.look()
    assert isinstance(rehearsal.stream, Striking)
    rehearsal.stream.is_armed = True
    world.cancel("victim")  # which would like to say RST_STREAM
    assert isinstance(world.outcomes["victim"], KeyboardInterrupt)
    assert rehearsal.transport.is_closing
    assert rehearsal.stream.is_closed


# Steps that break off.


def guarded() -> tuple[ConnectionState, Guard, list[str]]:
    """A state and its guard, and what happened."""
    state = ConnectionState(load_codec("h2")(100_000), DEFAULT_LIMITS, 0.0)
    happened: list[str] = []

    def trace(name: str, phase: str, info: Any) -> None:
        happened.append(name)
        raise ZeroDivisionError("an observer's own fault")

    guard = Guard(state, lambda: happened.append("changed"), trace, lambda: happened.append("closed"))
    return state, guard, happened


def test_a_step_that_breaks_off_ends_the_connection() -> None:
    state, guard, happened = guarded()
    with pytest.raises(KeyboardInterrupt):
        with guard:
            raise KeyboardInterrupt
    assert state.failure is not None
    assert "KeyboardInterrupt was raised in the middle" in state.failure.message
    assert isinstance(state.failure.error(), ReadError)
    assert happened == ["closed", "changed"]
    assert not state.outgoing.has_something


def test_what_a_finalizer_wants_is_done_by_whoever_holds_the_lock() -> None:
    _, guard, happened = guarded()
    with guard:
        guard.defer(lambda: happened.append("deferred"))
        assert happened == []
    assert happened == ["deferred"]


def test_an_error_of_ours_is_no_broken_step() -> None:
    state, guard, happened = guarded()
    with pytest.raises(ReadError):
        with guard:
            raise ReadError("of one request", phase="read")
    assert state.failure is None
    assert happened == []


def test_what_was_left_to_be_done_is_done_though_an_observer_fails() -> None:
    state, guard, happened = guarded()
    with pytest.raises(ZeroDivisionError):
        with guard:
            state.events.append(("window", "complete", {}))
            state.after.append(lambda: happened.append("done"))
    assert happened == ["window", "done"]


def test_a_window_manager_that_raises_costs_its_connection_only(h2line: Callable) -> None:
    class Broken(BaseFlowControlManager):
        def increase_window_size(self, frame_size: int) -> int:
            if frame_size == 7:
                raise ZeroDivisionError("in the user's own code")
            return frame_size

    def script(server: H2Peer) -> None:
        server.greet()
        while True:
            request = server.expect_request()
            server.respond(request, 200, b"7 bytes" if request[":path"] == "/bad" else b"fine")

    line = h2line(script, window_manager=Broken)
    assert line.body() == b"fine"
    with pytest.raises(ZeroDivisionError):
        line.body("/bad")
    assert line.session.pool.connections() == []
    assert line.body() == b"fine"
    assert line.server.connections == 2
