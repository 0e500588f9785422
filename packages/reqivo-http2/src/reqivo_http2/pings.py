"""Pings: what we ask with PING, and what the answers mean (RFC 9113 §6.7). Pure.

Three questions share one kind of frame: is the peer alive (nothing has come for long; or a request was cancelled before
anything came for it), how far away is it (flow control), and what a user wants to know. Whatever arrives proves life.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.urls import Origin

TOO_MANY_PINGS = b"too_many_pings"
"""What servers say in GOAWAY, beside ENHANCE_YOUR_CALM, to clients that ask too often (gRPC's words, and others')."""
_MOST_COMPLAINTS = 8
_ORIGINS = 1024

Answered = "Callable[[float, float], None]"


class Pings:
    """The PINGs of one connection that are on their way.

    Attributes:
        is_probing: Whether one of them asks for a sign of life.
    """

    __slots__ = ("_count", "_sent", "_waiting", "is_probing")

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[bytes, tuple[float, Callable[[float, float], None] | None]] = {}
        self.is_probing = False

    def make(self, now: float, answered: Callable[[float, float], None] | None = None) -> bytes:
        """Make the payload of a new PING.

        Args:
            now: The time.
            answered: Called with the times of sending and of answer; None for a sign of life.
        """
        self._count += 1
        payload = b"rqv%05d" % (self._count % 100_000)
        self._waiting[payload] = now, answered
        if answered is None:
            self.is_probing = True
        return payload

    def acknowledge(self, payload: bytes, now: float) -> bool:
        """Take an answer.

        Returns:
            Whether it answers a question of ours.
        """
        asked = self._waiting.pop(payload, None)
        if asked is None:
            return False
        sent, answered = asked
        if answered is None:
            self.is_probing = False
        else:
            answered(sent, now)
        return True

    def restart(self, now: float) -> None:
        """Count from now on the time that signs of life take: what asks for them leaves only now."""
        for payload, (_, answered) in self._waiting.items():
            if answered is None:
                self._waiting[payload] = now, None

    def oldest_probe(self) -> float | None:
        """When the sign of life that is still due was asked for."""
        if not self.is_probing:
            return None
        return min(sent for sent, answered in self._waiting.values() if answered is None)


class Eagerness:
    """How often one server wants to be asked for a sign of life: with each complaint, half as often.

    Attributes:
        pause: What the usual interval is multiplied by.
    """

    __slots__ = ("pause",)

    def __init__(self) -> None:
        self.pause = 1

    def complain(self) -> None:
        """The server has complained."""
        self.pause = min(self.pause * 2, 2**_MOST_COMPLAINTS)


class Complaints:
    """The eagerness that servers have left us, by origin: whoever has complained does not want to do so again."""

    def __init__(self) -> None:
        # Without a lock: single operations, and at worst a complaint is forgotten.
        self._known: OrderedDict[Origin, Eagerness] = OrderedDict()

    def about(self, origin: Origin) -> Eagerness:
        """What is known of an origin, for all connections to it."""
        known = self._known.setdefault(origin, Eagerness())
        while len(self._known) > _ORIGINS:
            self._known.popitem(last=False)
        return known
