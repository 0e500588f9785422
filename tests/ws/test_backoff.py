"""Delays between attempts, and what is worth another."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from reqivo_core.errors import (
    CertificateError,
    ConnectError,
    ConnectionClosedError,
    ConnectTimeout,
    HandshakeError,
    InvalidURL,
    ServerDisconnected,
)
from reqivo_ws.backoff import MAX_DELAY, Backoff, is_worth_retrying


def test_w24_delays_grow_with_jitter_and_are_bounded() -> None:
    low, high = Backoff(1.0, None, lambda: 0.0), Backoff(1.0, None, lambda: 1.0)
    assert [low.next_delay() for _ in range(4)] == [0.5, 1.0, 2.0, 4.0]
    assert [high.next_delay() for _ in range(4)] == [1.0, 2.0, 4.0, 8.0]
    for _ in range(2000):
        assert high.next_delay() <= MAX_DELAY


def test_attempts_are_counted_until_a_success() -> None:
    backoff = Backoff(1.0, 2)
    assert not backoff.is_exhausted
    backoff.next_delay()
    backoff.next_delay()
    assert backoff.is_exhausted and backoff.attempts == 2
    backoff.reset()
    assert not backoff.is_exhausted


def refused(status: int) -> HandshakeError:
    return HandshakeError("no", response=SimpleNamespace(status_code=status))


def hung_up() -> HandshakeError:
    error = HandshakeError("gone")
    error.__cause__ = ServerDisconnected("gone")
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectError("refused"), True),
        (ConnectTimeout("slow"), True),
        (refused(503), True),
        (refused(429), True),
        (hung_up(), True),
        (refused(401), False),
        (refused(404), False),
        (HandshakeError("bad accept"), False),
        (CertificateError("expired"), False),
        (InvalidURL("no"), False),
        (ConnectionClosedError("lost", code=1006), True),
        (ConnectionClosedError("policy", code=1008), False),
    ],
)
def test_w24_what_may_pass_is_retried(error: Exception, expected: bool) -> None:
    assert is_worth_retrying(error) is expected
