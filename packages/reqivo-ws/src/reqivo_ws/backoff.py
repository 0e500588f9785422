"""Back-off: how long to wait before connecting again, and whether to do so at all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from reqivo_core.errors import (
    CertificateError,
    ConnectionClosed,
    HandshakeError,
    NetworkError,
    ServerDisconnected,
    TimeoutException,
)
from reqivo_ws.closing import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DELAY = 60.0
"""The longest wait between two attempts, in seconds."""

STABLE = 30.0
"""Seconds that a connection must live, if nothing comes over it, to count as a success."""

_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class Backoff:
    """The attempts since the last success.

    Args:
        delay: The first wait, in seconds; it doubles with every attempt.
        max_attempts: How many there may be; None for any number.
        dice: Gives numbers from 0 to 1.

    Attributes:
        attempts: How many were begun.
    """

    __slots__ = ("_delay", "_dice", "_max_attempts", "attempts")

    def __init__(self, delay: float, max_attempts: int | None, dice: Callable[[], float] = random.random) -> None:
        self._delay = delay
        self._max_attempts = max_attempts
        self._dice = dice
        self.attempts = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether there may be no more attempts."""
        return self._max_attempts is not None and self.attempts >= self._max_attempts

    def next_delay(self) -> float:
        """Begin an attempt.

        Returns:
            Seconds to wait before it: from half the nominal time to all of it, so that the clients of a server that
            was restarted do not come back in step, and later attempts still come after longer waits.
        """
        nominal = min(MAX_DELAY, self._delay * 2.0 ** min(self.attempts, 32))
        self.attempts += 1
        return nominal * (0.5 + self._dice() / 2)

    def reset(self) -> None:
        """There was a success."""
        self.attempts = 0


def is_worth_retrying(error: BaseException) -> bool:
    """Whether an attempt to connect that failed so might succeed later."""
    if isinstance(error, ConnectionClosed):
        return is_transient(error.code)
    if isinstance(error, HandshakeError):
        if error.response is not None:
            return error.response.status_code in _TRANSIENT_STATUSES
        return isinstance(error.__cause__, ServerDisconnected)
    return isinstance(error, NetworkError | TimeoutException) and not isinstance(error, CertificateError)
