"""The reader's and the writer's place: whatever the order of events, nobody waits for ever, and nothing is mixed up.

The order is a seed's; a failure names it.
"""

from __future__ import annotations

import pytest

from reqivo_core.errors import ReqivoError, TimeoutException
from reqivo_core.timeouts import Timeout
from support.rehearsal import Rehearsal
from support.simulation import Cancelled


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
        while world.is_lively:
            server.look()
            world.step()
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
