"""The reader's and the writer's place: whatever the order of events, nobody waits for ever, and nothing is mixed up.

The order is a seed's; a failure names it.
"""

from __future__ import annotations

import pytest

from reqivo_core.errors import ReqivoError, TimeoutException, WriteTimeout
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.timeouts import Timeout
from reqivo_http2 import frames
from support.rehearsal import Rehearsal
from support.simulation import Cancelled, SimulatedStream


@pytest.mark.parametrize("chunk", range(10))
def test_all_are_answered_in_any_order(chunk: int) -> None:
    for seed in range(chunk * 20, chunk * 20 + 20):
        rehearsal = Rehearsal(seed)
        outcomes = rehearsal.play(8, lost=0.0, cancelled=0.0)
        assert len(outcomes) == 8
        assert rehearsal.world.time == 0, f"seed {seed}: somebody was only woken by a time limit"
        assert [outcome for outcome in outcomes.values() if isinstance(outcome, BaseException)] == [], f"seed {seed}"


@pytest.mark.parametrize("chunk", range(10))
def test_time_outs_and_cancellations_disturb_nobody(chunk: int) -> None:
    answered = 0
    for seed in range(chunk * 40, chunk * 40 + 40, 2):  # even: writes get through at once, so none is cut off
        rehearsal = Rehearsal(seed)
        outcomes = rehearsal.play(8, lost=0.2, cancelled=0.05)
        assert len(outcomes) == 8, f"seed {seed}"
        for outcome in outcomes.values():
            assert not isinstance(outcome, BaseException) or isinstance(outcome, TimeoutException | Cancelled), (
                f"seed {seed}: {outcome!r}"
            )
            answered += isinstance(outcome, bytes)
        assert not rehearsal.transport.is_closing
        assert rehearsal.transport.describe()["streams"] == {}
    assert answered > 40


@pytest.mark.parametrize("chunk", range(10))
def test_who_is_cancelled_leaves_nobodys_frames_behind(chunk: int) -> None:
    """Also where the send buffer is full, so that nothing can be written on the way out."""
    for seed in range(chunk * 120, chunk * 120 + 120, 2):  # even, as above
        rehearsal = Rehearsal(seed)
        rehearsal.stream.is_full = True
        outcomes = rehearsal.play(4, lost=0.0, cancelled=0.3)
        assert rehearsal.world.time == 0, f"seed {seed}: somebody was only woken by a time limit"
        for outcome in outcomes.values():
            assert isinstance(outcome, bytes | Cancelled), f"seed {seed}: {outcome!r}"


def test_a_question_that_could_not_leave_is_no_question() -> None:
    """A cancelled request asks for a sign of life; while that waits for room, the server has nothing to answer."""
    rehearsal = Rehearsal(0)
    world, server = rehearsal.world, rehearsal.server
    for name in ("victim", "other"):
        world.start(name, rehearsal.converse(name, Timeout(timeout=None), b""))
        settle(rehearsal)
    rehearsal.stream.is_full = True
    world.cancel("victim")
    for _ in range(20):
        server.look()
        world.step()
    assert world.time > rehearsal.transport.policy.ping_timeout
    server.look()
    assert server.resets == {1}
    (number,) = server.waiting
    server.answer(number)
    world.run()
    assert isinstance(world.outcomes["other"], bytes)


def test_the_time_to_acknowledge_settings_begins_when_they_leave() -> None:
    """A connection that was opened for a request that came to nothing may idle before its first one."""
    rehearsal = Rehearsal(0)
    world, server = rehearsal.world, rehearsal.server
    world.time = 2 * rehearsal.transport.policy.settings_timeout
    world.start("late", rehearsal.converse("late", Timeout(timeout=None), b""))
    while world.is_lively:
        world.step()
    assert "late" in world.names, world.outcomes
    server.look()
    settle(rehearsal)
    (number,) = server.waiting
    server.answer(number)
    world.run()
    assert isinstance(world.outcomes["late"], bytes)


class Full(SimulatedStream):
    """Takes nothing once it is full, and says so too late to be asked."""

    takes_nothing = False

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        if self.takes_nothing:
            raise WriteTimeout("simulated: full")
        await super().write(data, timeout)


@pytest.mark.parametrize("who", ["a farewell", "an answer"])
def test_a_write_that_takes_too_long_ends_the_connection_and_all_are_told(who: str) -> None:
    rehearsal = Rehearsal(0, Full)
    world, server, stream = rehearsal.world, rehearsal.server, rehearsal.stream
    assert isinstance(stream, Full)
    for name in ("one", "other"):
        world.start(name, rehearsal.converse(name, Timeout(timeout=None), b""))
        settle(rehearsal)
    server.look()
    stream.takes_nothing = True
    if who == "a farewell":
        world.cancel("one")
    else:
        stream.feed(frames.frame(frames.PING, 0, 0, b"question"))
    world.run()
    assert stream.is_closed
    told = list(world.outcomes.values())
    assert sum(isinstance(outcome, WriteTimeout) for outcome in told) == (1 if who == "a farewell" else 2), told


def settle(rehearsal: Rehearsal) -> None:
    """Go on until everybody waits for the server."""
    while rehearsal.world.is_lively:
        rehearsal.world.step()
        rehearsal.server.look()


def test_who_is_interrupted_while_waiting_for_a_turn_stands_in_line_no_more() -> None:
    rehearsal = Rehearsal(0)
    writing = rehearsal.transport._wire._writing
    writing._is_writing = writing._is_passing = True  # somebody says a farewell in passing
    rehearsal.world.start("victim", rehearsal.converse("victim", Timeout(timeout=None), b""))
    settle(rehearsal)
    assert len(writing._turns) == 1
    rehearsal.world.cancel("victim")
    assert writing._turns == []
    assert not rehearsal.transport.is_closing
    with rehearsal.transport._wire.guard:
        writing._leave()
    rehearsal.world.start("next", rehearsal.converse("next", Timeout(timeout=None), b"fine"))
    settle(rehearsal)
    (number,) = rehearsal.server.waiting
    rehearsal.server.answer(number)
    rehearsal.world.run()
    assert isinstance(rehearsal.world.outcomes["next"], bytes)


def test_an_upload_behind_its_head_takes_its_turn_when_another_has_written() -> None:
    """The window opens while another is half-way through a write: the upload waits for that, not for the server."""
    rehearsal = Rehearsal(0)
    world, server, stream = rehearsal.world, rehearsal.server, rehearsal.stream
    writing = rehearsal.transport._wire._writing
    world.start("first", rehearsal.converse("first", Timeout(timeout=None), b""))
    settle(rehearsal)
    server.answer(1)
    settle(rehearsal)  # the window is known now: 100 octets
    world.start("upload", rehearsal.converse("upload", Timeout(timeout=None), b"x" * 250))
    while world.is_lively:
        world.step()
    stream.feed(frames.frame(frames.HEADERS, frames.END_HEADERS, 3, b"\x88"))  # :status 200
    while world.is_lively:
        world.step()
    stream.blocks = True
    world.start("other", rehearsal.converse("other", Timeout(timeout=None), b""))
    while not world.later:
        world.step()
    half_written = world.later.pop()
    server.look()  # which opens the upload's window
    while world.is_lively:
        world.step()
    assert len(writing._turns) == 1
    half_written.wake()
    settle(rehearsal)
    stream.feed(frames.frame(frames.DATA, frames.END_STREAM, 3, b"3 " + b"x" * 10))
    server.answer(5)
    world.run()
    server.look()
    assert server.bodies[3] == b"x" * 250
    assert world.time == 0
    assert [outcome for outcome in world.outcomes.values() if not isinstance(outcome, bytes)] == []


class Hopeful(SimulatedStream):
    """Says that it can be read though nothing has come: TLS's own messages look like that."""

    def is_readable(self) -> bool:
        return True


def test_a_look_that_finds_nothing_changes_nothing() -> None:
    rehearsal = Rehearsal(0, Hopeful)
    assert run_blocking(rehearsal.stream.read(10_000, 0))
    assert rehearsal.transport.is_usable()
    assert not rehearsal.stream.is_closed


@pytest.mark.parametrize("chunk", range(10))
def test_a_write_that_is_cut_off_ends_the_connection_and_all_are_told(chunk: int) -> None:
    for seed in range(chunk * 40 + 1, chunk * 40 + 41, 2):
        outcomes = Rehearsal(seed).play(8, lost=0.1, cancelled=0.2)
        assert len(outcomes) == 8, f"seed {seed}"
        for outcome in outcomes.values():
            assert isinstance(outcome, bytes | ReqivoError | Cancelled), f"seed {seed}: {outcome!r}"


def test_closing_ends_every_wait() -> None:
    for seed in range(0, 40, 2):
        rehearsal = Rehearsal(seed)
        for number in range(4):
            rehearsal.world.start(f"c{number}", rehearsal.converse(f"c{number}", Timeout(timeout=None), b""))
        for _ in range(rehearsal.world.dice.randrange(12)):
            rehearsal.world.step()
        rehearsal.transport.close()
        rehearsal.world.run()
        assert len(rehearsal.world.outcomes) == 4
        assert all(isinstance(outcome, ReqivoError) for outcome in rehearsal.world.outcomes.values()), f"seed {seed}"


@pytest.mark.parametrize("blocks", [False, True])
def test_cancelled_at_any_step_of_any_kind_of_request(blocks: bool) -> None:
    """After a cancellation at the k-th wait, for every k, others go on: over this connection or, told so, another."""
    for step in range(60):
        rehearsal = Rehearsal(0)
        world, stream, server = rehearsal.world, rehearsal.stream, rehearsal.server
        stream.blocks = blocks
        body = b"x" * 350
        world.start("victim", rehearsal.converse("victim", Timeout(read=5.0, write=5.0), body))
        for _ in range(step):
            server.look()
            for number in server.waiting:
                server.answer(number)
            if "victim" not in world.names or not world.step():
                break
        if "victim" not in world.names:
            break
        world.cancel("victim")
        assert isinstance(world.outcomes["victim"], Cancelled)
        if rehearsal.transport.is_closing:
            assert blocks, "only a write that was cut off may cost the connection"
            assert stream.is_closed
            continue
        world.start("next", rehearsal.converse("next", Timeout(read=5.0, write=5.0), b"fine"))
        while "next" in world.names:
            server.look()
            for number in server.waiting:
                server.answer(number)
            world.step()
        assert isinstance(world.outcomes["next"], bytes), f"step {step}: {world.outcomes['next']!r}"
        assert world.time == 0
        assert rehearsal.transport.describe()["streams"] == {}
    else:
        pytest.fail("a request has no end")
