"""Timeouts: ``Timeout`` is the policy (how long each phase may take), ``Deadline`` the instant at which time is up.

A request has one Deadline from the call to the last octet of its body. Every wait asks it how many seconds are left
and hands that number down to the leaf that waits, so no phase is exempt and nobody sets a timer twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import InvalidRequest, TotalTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_CONNECT = 10.0
DEFAULT_PHASE = 30.0


class _Unset:
    """The type of an argument that was not given, where None means «for ever»."""

    def __repr__(self) -> str:
        return "…"


_UNSET: Any = _Unset()


@dataclass(frozen=True, slots=True, init=False)
class Timeout:
    """How long the phases of a request may take, in seconds; None waits for ever.

    Attributes:
        connect: Resolving, connecting, tunnelling and the TLS handshake together.
        read: The server's longest silence while we wait for octets.
        write: The longest a write may be stuck.
        pool: Waiting for a connection to become free.
        total: Wall-clock from the call to the last octet of the body, redirects and retries included.
    """

    connect: float | None
    read: float | None
    write: float | None
    pool: float | None
    total: float | None

    def __init__(
        self,
        connect: float | None = _UNSET,
        read: float | None = _UNSET,
        total: float | None = None,
        *,
        write: float | None = _UNSET,
        pool: float | None = _UNSET,
        timeout: float | None = _UNSET,
    ) -> None:
        """Make a policy.

        Args:
            connect: See the class.
            read: See the class.
            total: See the class.
            write: See the class.
            pool: See the class.
            timeout: The default of the four phases not named.

        Raises:
            InvalidRequest: A time is negative or not a number.
        """
        named = {"connect": connect, "read": read, "write": write, "pool": pool}
        defaults = {"connect": DEFAULT_CONNECT, "read": DEFAULT_PHASE, "write": DEFAULT_PHASE, "pool": DEFAULT_PHASE}
        for phase, seconds in named.items():
            if seconds is _UNSET:
                seconds = defaults[phase] if timeout is _UNSET else timeout
            object.__setattr__(self, phase, _checked(phase, seconds))
        object.__setattr__(self, "total", _checked("total", total))

    @classmethod
    def of(cls, value: Timeout | float | tuple[float | None, float | None] | None) -> Timeout:
        """Take a timeout in any form that users write.

        Args:
            value: A Timeout; a number (all four phases *and* the total); a pair (connect, read); None for no limit.

        Returns:
            The policy.

        Raises:
            InvalidRequest: A time is negative or not a number.
        """
        if isinstance(value, Timeout):
            return value
        if isinstance(value, tuple) and len(value) == 2:
            return cls(value[0], value[1])
        if not _is_limit(value):
            raise InvalidRequest(f"timeout={value!r}: give seconds, (connect, read), Timeout(…), or None for no limit")
        return cls(timeout=value, total=value)

    def __repr__(self) -> str:
        return (
            f"Timeout(connect={self.connect}, read={self.read}, total={self.total}, "
            f"write={self.write}, pool={self.pool})"
        )


def _checked(phase: str, seconds: Any) -> float | None:
    """Refuse what is not a number of seconds; NaN compares as false and is refused too."""
    if not _is_limit(seconds):
        raise InvalidRequest(
            f"Timeout({phase}={seconds!r}): give seconds as a number of at least 0, or None for no limit"
        )
    return None if seconds is None else float(seconds)


def _is_limit(seconds: Any) -> bool:
    """Whether it is a number of seconds, or None."""
    return seconds is None or (isinstance(seconds, Real) and not isinstance(seconds, bool) and float(seconds) >= 0)


class Deadline:
    """The instant by which a request must be over, with the policy for its phases.

    Attributes:
        timeout: The policy.
        instant: When time is up, on the runtime's clock; None for never.
    """

    __slots__ = ("_now", "instant", "started", "timeout")

    def __init__(self, timeout: Timeout, now: Callable[[], float]) -> None:
        """Start the clock.

        Args:
            timeout: The policy.
            now: The runtime's monotonic clock.
        """
        self.timeout = timeout
        self._now = now
        self.started: float | None = None
        self.instant: float | None = None
        if timeout.total is not None:
            self.started = now()
            self.instant = self.started + timeout.total

    def within(self, seconds: float | None) -> float | None:
        """Bound a wait of ``seconds`` by the instant.

        Args:
            seconds: How long the phase alone might wait; None for ever.

        Returns:
            Seconds to wait at most; None for ever.

        Raises:
            TotalTimeout: Time is up.
        """
        if self.instant is None:
            return seconds
        left = self.instant - self._now()
        if left <= 0:
            raise self.expired()
        return left if seconds is None or left < seconds else seconds

    def read(self) -> float | None:
        """Seconds that one read may take."""
        return self.timeout.read if self.instant is None else self.within(self.timeout.read)

    def write(self) -> float | None:
        """Seconds that one write may take."""
        return self.timeout.write if self.instant is None else self.within(self.timeout.write)

    def pool(self) -> float | None:
        """Seconds that waiting for a connection may take."""
        return self.within(self.timeout.pool)

    def left(self) -> float | None:
        """Seconds until the instant; None for ever.

        Raises:
            TotalTimeout: Time is up.
        """
        return self.within(None)

    def has_passed(self) -> bool:
        """Whether time is up."""
        return self.instant is not None and self._now() >= self.instant

    def expired(self) -> TotalTimeout:
        """The error to raise when time is up."""
        total = self.timeout.total
        within = "the time of its phase" if total is None else f"its total of {total:g} s"  # None: see narrowed()
        return TotalTimeout(f"the request did not finish within {within}", phase="total")

    def narrowed(self, seconds: float | None) -> Deadline:
        """A deadline for one phase made of several waits (connecting): the nearer of this one and ``seconds`` from now.

        Args:
            seconds: How long the phase may take; None for no bound of its own.

        Returns:
            A deadline whose single waits have no bounds of their own: tunnelling reads and writes, but it connects.
        """
        other = Deadline.__new__(Deadline)
        other._now, other.started, other.instant = self._now, self.started, self.instant
        other.timeout = Timeout(timeout=None, total=self.timeout.total)
        if seconds is not None:
            instant = self._now() + seconds
            if other.instant is None or instant < other.instant:
                other.instant = instant
        return other
