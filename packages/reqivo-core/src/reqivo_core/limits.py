"""Limits: every buffer and count that a peer could drive up, with its ceiling, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from reqivo_core.errors import InvalidRequest

KIB = 1024
MIB = 1024 * 1024

_OLD_KEYS = {
    "max_header_size": "max_response_headers",
    "max_line_size": "max_line",
    "max_field_count": "max_response_fields",
    "max_body_size": "max_body",
    "max_keepalive_connections": "max_idle",
    "keepalive_expiry": "idle_timeout",
}
"""Names of reqivo's earlier API and of httpx, accepted as aliases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one session keeps open and what it takes from servers.

    Octets, unless an attribute says otherwise; None is no limit.

    Attributes:
        max_connections: Open connections of the session, in all.
        max_connections_per_host: Open connections to one origin.
        max_idle: Idle connections kept for reuse.
        idle_timeout: Seconds after which an idle connection is closed.
        max_response_headers: A response's header section, status line included.
        max_response_fields: Field lines in a header section (1000 at the most).
        max_line: One line of it.
        max_trailers: A response's trailer section.
        max_informational: Interim (1xx) responses before the final one.
        max_chunk_overhead: Chunk framing (sizes, extensions) beyond the octets of the body itself.
        max_body: A response's body after decoding.
        max_codings: Content-codings on one body.
        max_decoded_ratio: How many times larger than on the wire a body read whole may become, once it is over
            ``decoded_ratio_floor``.
        decoded_ratio_floor: Decoded octets below which the ratio is not looked at.
        max_drain: What is read of an unwanted body to save its connection.
        drain_time: Seconds that this may take.
        max_control_frames: HTTP/2 control frames without progress.
        max_encoder_table: HTTP/2 header compression memory that a server may make us use.
        max_dns_entries: Host names whose addresses are remembered.
        dns_ttl: Seconds for which they are; 0 asks the resolver for every connection.
    """

    max_connections: int | None = 100
    max_connections_per_host: int | None = None
    max_idle: int | None = 20
    idle_timeout: float | None = 60.0
    max_response_headers: int = 64 * KIB
    max_response_fields: int = 200
    max_line: int = 64 * KIB
    max_trailers: int = 16 * KIB
    max_informational: int = 32
    max_chunk_overhead: int = 16 * KIB
    max_body: int | None = None
    max_codings: int = 5
    max_decoded_ratio: float | None = 200.0
    decoded_ratio_floor: int = 100 * MIB
    max_drain: int = 64 * KIB
    drain_time: float = 0.05
    max_control_frames: int = 1000
    max_encoder_table: int = 64 * KIB
    max_dns_entries: int = 1024
    dns_ttl: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be a limit.

        Raises:
            InvalidRequest: A limit is no number, negative, zero where one is needed, or None where a bound is required.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and "None" in str(field.type):
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not value >= 0 or (field.name in _POSITIVE and value == 0):
                raise InvalidRequest(
                    f"Limits({field.name}={value!r}): give a number of at least {field.name in _POSITIVE:d}"
                )
        if self.max_response_fields > MAX_FIELDS:
            raise InvalidRequest(f"Limits(max_response_fields={self.max_response_fields}): at most {MAX_FIELDS}")

    @classmethod
    def of(cls, value: Limits | Mapping[str, Any] | None) -> Limits:
        """Take limits in any form that users write.

        Args:
            value: Limits; a mapping of their names (reqivo's old keys and httpx's are known too); None
                for the defaults.

        Returns:
            The limits.

        Raises:
            InvalidRequest: A name is not known or a value cannot be a limit.
        """
        if value is None:
            return DEFAULT_LIMITS
        if isinstance(value, Limits):
            return value
        if not isinstance(value, Mapping):
            raise InvalidRequest(f"limits={value!r}: give Limits(…), or a mapping of their names")
        known = {field.name for field in fields(cls)}
        options = {_OLD_KEYS.get(key, key): limit for key, limit in value.items()}
        for key in options:
            if key not in known:
                from difflib import get_close_matches  # here, since it is slow to import

                near = get_close_matches(key, [*known, *_OLD_KEYS], 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InvalidRequest(f"limits: {key!r} is not a limit{hint}")
        return cls(**options)


MAX_FIELDS = 1000
_POSITIVE = {"max_connections", "max_connections_per_host", "max_response_headers", "max_line"}
DEFAULT_LIMITS = Limits()
