"""Keep-alive, as pure policy: when a ping is due, whether the peer has died, how long a round trip takes.

Three rules, each because some well-known client has it otherwise and closes connections that are well: every octet
that comes is a sign of life, not only the pong; time during which we do not read (because the application is slow) is
no silence of the peer's; the clock starts when the ping was written, not when it was due.
"""

from __future__ import annotations

import secrets
from collections import deque
from contextlib import suppress
from enum import Enum

MAX_OUTSTANDING = 64
"""Pings of the keep-alive's that may be answered yet; of older ones nothing is remembered."""


class Verdict(Enum):
    """What is to be done."""

    WAIT = "wait"
    PING = "ping"
    DEAD = "dead"


class KeepAlive:
    """The state of one connection.

    Args:
        interval: Seconds between pings; None for none.
        timeout: Seconds of silence after a ping that mean death; None for never.
        now: The runtime's clock.

    Attributes:
        awaiting: Since when nothing has come after a ping; None where nothing is awaited. Only then must ``resume`` and
            ``pause`` be called.
    """

    __slots__ = ("_interval", "_paused", "_pinged", "_timeout", "awaiting")

    def __init__(self, interval: float | None, timeout: float | None, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._pinged = now
        self.awaiting: float | None = None
        self._paused: float | None = None

    def resume(self, now: float) -> None:
        """Reading goes on: what passed while nobody read does not count."""
        if self._paused is not None and self.awaiting is not None:
            self.awaiting += now - max(self._paused, self.awaiting)
        self._paused = None

    def pause(self, now: float) -> None:
        """Nobody reads now."""
        self._paused = now

    def heard(self) -> None:
        """Octets came."""
        self.awaiting = None

    def pinged(self, now: float) -> None:
        """A ping was written."""
        self._pinged = now
        if self.awaiting is None:
            self.awaiting = now

    def postpone(self, now: float, seconds: float) -> None:
        """A ping cannot be written at present: it is due again after so many seconds."""
        if self._interval is not None:
            self._pinged = now + seconds - self._interval

    def starved(self, now: float) -> None:
        """The peer takes not even a ping: its silence counts as if it had."""
        if self.awaiting is None:
            self.awaiting = now

    @property
    def due(self) -> float | None:
        """The instant at which to look again; None for never."""
        if self._interval is None:
            return None
        ping = self._pinged + self._interval
        if self.awaiting is None or self._timeout is None:
            return ping
        return min(ping, self.awaiting + self._timeout)

    def verdict(self, now: float) -> Verdict:
        """What is to be done at an instant."""
        if self._interval is None:
            return Verdict.WAIT
        if self.awaiting is not None and self._timeout is not None and now >= self.awaiting + self._timeout:
            return Verdict.DEAD
        return Verdict.PING if now >= self._pinged + self._interval else Verdict.WAIT


class Ping:
    """One that was sent.

    Attributes:
        sent: When it was written.
        latency: Seconds until its pong came; None as long as it has not.
    """

    __slots__ = ("latency", "sent")

    def __init__(self, sent: float) -> None:
        self.sent = sent
        self.latency: float | None = None

    def begin(self, now: float) -> None:
        """It is about to be written."""
        self.sent = now


class Pings:
    """The pings whose pongs have not come."""

    __slots__ = ("_unawaited", "_waiting")

    def __init__(self) -> None:
        self._unawaited: deque[bytes] = deque()
        self._waiting: dict[bytes, Ping] = {}

    def new_payload(self) -> bytes:
        """Octets that no ping under way has."""
        while (payload := secrets.token_bytes(4)) in self._waiting:
            pass
        return payload

    def __contains__(self, payload: bytes) -> bool:
        return payload in self._waiting

    def add(self, payload: bytes, ping: Ping) -> None:
        """Wait for the pong of a ping that is about to be written, until ``forget``."""
        self._waiting[payload] = ping

    def add_unawaited(self, payload: bytes, ping: Ping) -> None:
        """Do the same for one that nobody waits for, nor will forget."""
        if len(self._unawaited) >= MAX_OUTSTANDING:
            self.forget(self._unawaited.popleft())
        self._unawaited.append(payload)
        self.add(payload, ping)

    def forget(self, payload: bytes) -> None:
        """Wait for it no longer."""
        self._waiting.pop(payload, None)

    def acknowledge(self, payload: bytes, now: float) -> float | None:
        """Take a pong, which answers a ping and all before it: a peer need answer only the latest (RFC 6455 §5.5.3).

        Returns:
            Seconds since the ping was written; None if the pong answers none of ours, which is allowed.
        """
        latency = None
        keys = list(self._waiting)
        answered = keys[: keys.index(payload) + 1] if payload in keys else ()
        for key in answered:
            with suppress(KeyError):  # whoever sent it may give up waiting at this moment
                ping = self._waiting.pop(key)
                latency = ping.latency = max(0.0, now - ping.sent)
        return latency
