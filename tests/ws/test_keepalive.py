"""Keep-alive as pure policy."""

from __future__ import annotations

from typing import Any

import pytest

from reqivo_ws.keepalive import MAX_OUTSTANDING, KeepAlive, Ping, Pings, Verdict


def test_w16_a_ping_is_due_after_the_interval_and_silence_means_death() -> None:
    keepalive = KeepAlive(20, 10, 100.0)
    assert (keepalive.due, keepalive.verdict(119.9)) == (120.0, Verdict.WAIT)
    assert keepalive.verdict(120.0) is Verdict.PING
    keepalive.pinged(121.0)
    assert keepalive.due == 131.0
    assert keepalive.verdict(130.9) is Verdict.WAIT
    assert keepalive.verdict(131.0) is Verdict.DEAD


def test_w16_any_octet_is_a_sign_of_life() -> None:
    keepalive = KeepAlive(20, 10, 0.0)
    keepalive.pinged(20.0)
    keepalive.heard()
    assert keepalive.verdict(39.9) is Verdict.WAIT
    assert keepalive.due == 40.0


def test_w16_time_without_reading_does_not_count() -> None:
    keepalive = KeepAlive(20, 10, 0.0)
    keepalive.pinged(20.0)
    keepalive.pause(25.0)
    keepalive.resume(1000.0)
    assert keepalive.verdict(1004.0) is Verdict.PING  # the next one is overdue, but the peer is not dead
    keepalive.pinged(1004.0)
    assert keepalive.verdict(1004.9) is Verdict.WAIT
    assert keepalive.verdict(1005.0) is Verdict.DEAD


def test_a_ping_written_while_nobody_reads_starts_the_clock_with_reading() -> None:
    keepalive = KeepAlive(20, 10, 0.0)
    keepalive.pause(1.0)
    keepalive.pinged(50.0)
    keepalive.resume(60.0)
    assert keepalive.due == 70.0
    keepalive.resume(65.0)
    assert keepalive.due == 70.0


def test_a_second_ping_does_not_prolong_the_first() -> None:
    keepalive = KeepAlive(5, 10, 0.0)
    keepalive.pinged(5.0)
    keepalive.pinged(10.0)
    assert keepalive.verdict(15.0) is Verdict.DEAD


def test_a_ping_that_cannot_be_written_is_due_again_soon() -> None:
    keepalive = KeepAlive(20, 10, 0.0)
    keepalive.postpone(20.0, 1.0)
    assert keepalive.due == 21.0


def test_without_interval_or_timeout_nothing_happens() -> None:
    never = KeepAlive(None, 10, 0.0)
    never.postpone(5.0, 1.0)
    assert (never.due, never.verdict(1e9)) == (None, Verdict.WAIT)
    patient = KeepAlive(20, None, 0.0)
    patient.pinged(20.0)
    assert (patient.due, patient.verdict(39.0)) == (40.0, Verdict.WAIT)


def test_w15_a_pong_answers_its_ping_and_those_before_it() -> None:
    pings = Pings()
    first, second, third = Ping(1.0), Ping(2.0), Ping(3.0)
    for payload, ping in ((b"1", first), (b"2", second), (b"3", third)):
        pings.add(payload, ping)
    assert pings.acknowledge(b"?", 4.0) is None
    assert pings.acknowledge(b"2", 4.5) == 2.5
    assert (first.latency, second.latency, third.latency) == (3.5, 2.5, None)
    assert b"3" in pings and b"2" not in pings
    pings.forget(b"3")
    assert pings.acknowledge(b"3", 5.0) is None


def test_pings_that_are_never_answered_are_forgotten() -> None:
    pings = Pings()
    for number in range(MAX_OUTSTANDING + 1):
        pings.add_unawaited(b"%d" % number, Ping(0.0))
    assert b"0" not in pings and b"1" in pings
    assert len({pings.new_payload() for _ in range(100)}) == 100


def test_a_ping_that_is_given_up_as_its_pong_comes_does_no_harm() -> None:
    pings = Pings()

    class GivesUp(Ping):
        """One whose sender gives up waiting for the next at the moment at which it is answered."""

        __slots__ = ()

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "latency" and value is not None:
                pings.forget(b"2")

    first, second, third = GivesUp(1.0), Ping(2.0), Ping(3.0)
    for payload, ping in ((b"1", first), (b"2", second), (b"3", third)):
        pings.add(payload, ping)
    assert pings.acknowledge(b"3", 4.0) == 1.0
    assert (first.latency, second.latency, third.latency) == (3.0, None, 1.0)


def test_the_payload_of_a_ping_under_way_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([b"same", b"same", b"new!"])
    monkeypatch.setattr("secrets.token_bytes", lambda size: next(drawn))
    pings = Pings()
    pings.add(pings.new_payload(), Ping(0.0))
    assert pings.new_payload() == b"new!"
