"""Close codes and the payload of close frames (RFC 6455 §5.5.1, §7.4), and how a connection comes to its end."""

from __future__ import annotations

from typing import Final, NamedTuple

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005
ABNORMAL: Final = 1006
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

MAX_REASON = 123
"""Octets of a reason, in UTF-8: a control frame holds 125, of which the code takes two."""

NAMES: Final = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code",
    1006: "abnormal closure",
    1007: "invalid data",
    1008: "policy violation",
    1009: "message too big",
    1010: "extension missing",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failed",
}
"""The IANA registry of close codes, in short."""

_LOCAL_ONLY = frozenset({NO_CODE, ABNORMAL, 1015})
_ON_THE_WIRE = frozenset(NAMES) - _LOCAL_ONLY
_PRIVATE = range(3000, 5000)
_QUIET = frozenset({NORMAL, GOING_AWAY, NO_CODE})
_TRANSIENT = frozenset({GOING_AWAY, ABNORMAL, INTERNAL_ERROR, 1012, 1013, 1014, 1015})


class Violation(Exception):
    """The peer broke the protocol or our limits: the connection is to be failed (RFC 6455 §7.1.7).

    It never leaves the distribution.

    Attributes:
        code: The close code to tell the peer.
        why: What it did, short enough for the close frame's reason.
    """

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why


class Ending(NamedTuple):
    """How a connection ended.

    Attributes:
        code: The close code: the peer's; ours where we failed the connection; 1005 or 1006 where there was none.
        reason: The reason that goes with it.
        is_ours: Whether it was our verdict on the peer, rather than the peer's close frame or the network's end.
        cause: The error of the network, where that ended it.
        story: What happened, for messages.
    """

    code: int
    reason: str
    is_ours: bool = False
    cause: BaseException | None = None
    story: str = ""


def ending_by(error: BaseException | None) -> Ending:
    """The ending of a connection that broke, or that the server ended without a close frame (None)."""
    story = "the server ended the connection without a close frame"
    if error is not None:
        story = f"the connection was lost: {error}" if str(error) else f"the connection was lost ({error!r})"
    return Ending(ABNORMAL, "", cause=error, story=story)


def is_valid_on_wire(code: int) -> bool:
    """Whether a close frame may carry a code (RFC 6455 §7.4.2 and the registry)."""
    return code in _ON_THE_WIRE or code in _PRIVATE


def is_quiet(code: int) -> bool:
    """Whether a code means that all went as agreed: 1000, 1001 or none."""
    return code in _QUIET


def is_transient(code: int) -> bool:
    """Whether a connection that ended so is worth making again: the server left, broke down or asked for it."""
    return code in _TRANSIENT


def describe(code: int) -> str:
    """A code in words, as ``1011 (internal error)``."""
    name = NAMES.get(code) or ("private use" if code in _PRIVATE else "unknown")
    return f"{code} ({name})"


def parse_close(payload: bytes) -> tuple[int, str]:
    """Read the payload of a close frame.

    Args:
        payload: At most 125 octets.

    Returns:
        Code and reason; 1005 where there is no code.

    Raises:
        Violation: There is a code that must not be sent, half a code, or a reason that is not UTF-8.
    """
    if not payload:
        return NO_CODE, ""
    if len(payload) == 1:
        raise Violation(PROTOCOL_ERROR, "close frame with half a code")
    code = int.from_bytes(payload[:2], "big")
    if not is_valid_on_wire(code):
        raise Violation(PROTOCOL_ERROR, f"close frame with the code {code}")
    try:
        return code, payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        raise Violation(INVALID_DATA, "close reason is not UTF-8") from None


def build_close(code: int, reason: str = "") -> bytes:
    """Make the payload of a close frame.

    Args:
        code: What to tell; 1005 sends no code at all.
        reason: In as many octets as there is room for; cut between characters.
    """
    if code == NO_CODE:
        return b""
    text = reason.encode("utf-8", "replace")
    if len(text) > MAX_REASON:
        text = text[:MAX_REASON].decode("utf-8", "ignore").encode("utf-8")
    return code.to_bytes(2, "big") + text
