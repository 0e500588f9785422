"""Settings: how a connection behaves, checked when they are given."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a connection behaves.

    Attributes:
        max_message_size: Octets of a message, inflated; None for any number.
        max_queue: Messages kept for the application while somebody reads for another reason.
        ping_interval: Seconds between pings; None for none.
        ping_timeout: Seconds of silence after a ping that mean death; None for never.
        close_timeout: Seconds for the closing handshake; None for ever.
        write_timeout: Seconds that the peer may take nothing for; None for ever.
    """

    max_message_size: int | None = 16 * 1024 * 1024
    max_queue: int = 16
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float | None = 10.0
    write_timeout: float | None = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be a setting.

        Raises:
            ValueError: A number is none, or negative; an interval or size is zero.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name != "max_queue":
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            is_positive = field.name in ("ping_interval", "max_queue")
            if not is_number or not value >= 0 or (is_positive and value == 0):
                least = "more than 0" if is_positive else "at least 0"
                raise ValueError(f"{field.name}={value!r}: give a number of {least}, or None for no limit")
