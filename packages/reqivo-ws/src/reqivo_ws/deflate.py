"""permessage-deflate (RFC 7692): what is offered, whether the answer may be accepted, and the two ends of it.

Inflating is bounded: it goes in steps, and whoever calls says how much may still come out.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reqivo_ws.closing import INVALID_DATA, TOO_BIG, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAME: Final = "permessage-deflate"
STEP = 256 * 1024
"""Octets that are inflated at a time."""

_TAIL = b"\x00\x00\xff\xff"
_BITS = {str(bits): bits for bits in range(8, 16)}
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """What ``compression=`` may be beside True and False.

    Attributes:
        server_no_context_takeover: Whether the server must forget its window after each message.
        client_no_context_takeover: Whether we say that we do so.
        server_max_window_bits: The largest window, 8 to 15, that the server may use; None leaves it to the server.
        client_max_window_bits: The largest window that we would use; the server may ask for less.
        level: How hard to try, 1 to 9; -1 is zlib's own choice.
        memory_level: How much memory to use for it, 1 to 9.
        threshold: Octets below which a message leaves as it is.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int = 15
    level: int = -1
    memory_level: int = 5
    threshold: int = 128

    def __post_init__(self) -> None:
        """Refuse what cannot be offered.

        Raises:
            ValueError: A number is out of its range.
        """
        server = 15 if self.server_max_window_bits is None else self.server_max_window_bits
        ranges = {
            "server_max_window_bits": (server, 8, 15),
            "client_max_window_bits": (self.client_max_window_bits, 9, 15),
            "level": (self.level, -1, 9),
            "memory_level": (self.memory_level, 1, 9),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise ValueError(f"Deflate({name}={value!r}): give a number from {low} to {high}")

    def offer(self) -> str:
        """The offer, for Sec-WebSocket-Extensions."""
        parts = [NAME]
        parts += [flag for flag in _FLAGS if getattr(self, flag)]
        if self.server_max_window_bits is not None:
            parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        is_open = self.client_max_window_bits == 15
        parts.append("client_max_window_bits" if is_open else f"client_max_window_bits={self.client_max_window_bits}")
        return "; ".join(parts)

    def accept(self, parameters: Sequence[tuple[str, str | None]]) -> Agreement:
        """Check the server's answer (RFC 7692 §7.1).

        Args:
            parameters: Names in lower case, with their values.

        Raises:
            ValueError: It must not be accepted; the text says why. For use inside this distribution only.
        """
        given: dict[str, str | None] = {}
        for name, value in parameters:
            if name in given:
                raise ValueError(f"{NAME} with {name} twice")
            given[name] = value
        flags = {name: self._flag(given, name) for name in _FLAGS}
        server = _window(given, "server_max_window_bits", self.server_max_window_bits or 15)
        if server is None and self.server_max_window_bits is not None:
            raise ValueError(f"{NAME} without the server_max_window_bits that was asked for")
        client = _window(given, "client_max_window_bits", self.client_max_window_bits)
        if given:
            raise ValueError(f"{NAME} with the unknown parameter {next(iter(given))}")
        return Agreement(
            server_no_context_takeover=flags["server_no_context_takeover"],
            client_no_context_takeover=flags["client_no_context_takeover"] or self.client_no_context_takeover,
            server_window_bits=server or 15,
            client_window_bits=client or self.client_max_window_bits,
            settings=self,
        )

    def _flag(self, given: dict[str, str | None], name: str) -> bool:
        if name in given:
            if given.pop(name) is not None:
                raise ValueError(f"{NAME} with a value for {name}")
            return True
        if name == "server_no_context_takeover" and self.server_no_context_takeover:
            raise ValueError(f"{NAME} without the {name} that was asked for")
        return False


def _window(given: dict[str, str | None], name: str, highest: int) -> int | None:
    """Take a window's size out of the answer."""
    if name not in given:
        return None
    bits = _BITS.get(given.pop(name) or "")
    if bits is None or bits > highest:
        raise ValueError(f"{NAME} with a {name} that is not a number from 8 to {highest}")
    return bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What both sides agreed upon.

    Attributes:
        server_no_context_takeover: Whether the server forgets its window after each message.
        client_no_context_takeover: Whether we do.
        server_window_bits: The server's window, as a power of two.
        client_window_bits: Ours.
        settings: The rest of what was wanted.
    """

    server_no_context_takeover: bool
    client_no_context_takeover: bool
    server_window_bits: int
    client_window_bits: int
    settings: Deflate


class Deflater:
    """Compresses what is sent.

    Attributes:
        is_able: Whether it can: zlib has no window of 2^8 octets, and nobody is obliged to compress.
    """

    __slots__ = ("_agreement", "_engine", "_threshold", "is_able")

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._threshold = agreement.settings.threshold
        self._engine: zlib._Compress | None = None
        self.is_able = agreement.client_window_bits >= 9

    def is_worthwhile(self, length: int) -> bool:
        """Whether to compress a message of so many octets."""
        return self.is_able and length >= self._threshold

    def deflate(self, data: bytes, ends_message: bool = True) -> bytes:
        """Compress a frame's payload, all of it, so that a fragment can be read when it comes."""
        engine = self._engine
        if engine is None:
            agreement = self._agreement
            engine = zlib.compressobj(
                agreement.settings.level,
                zlib.DEFLATED,
                -agreement.client_window_bits,
                agreement.settings.memory_level,
            )
            self._engine = engine
        compressed = engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH)
        if not ends_message:
            return compressed
        if self._agreement.client_no_context_takeover:
            self._engine = None
        return compressed[: -len(_TAIL)]


class Inflater:
    """Decompresses what is received."""

    __slots__ = ("_engine", "_forgets")

    def __init__(self, agreement: Agreement) -> None:
        # A window larger than the sender's does no harm, and zlib's smallest is 2^9.
        self._engine: zlib._Decompress | None = None
        self._forgets = agreement.server_no_context_takeover

    def inflate(self, data: bytes, limit: int | None, ends_message: bool) -> Iterator[bytes]:
        """Decompress some octets of a message.

        Args:
            data: The octets.
            limit: How many may come out of them; None for any number.
            ends_message: Whether they are its last.

        Yields:
            What comes out, some at a time.

        Raises:
            Violation: More came out, or they are not deflated data.
        """
        if ends_message:
            data += _TAIL
        produced = 0
        while True:
            engine = self._engine
            if engine is None:
                engine = self._engine = zlib.decompressobj(-15)
            step = STEP if limit is None else min(STEP, limit - produced + 1)
            try:
                inflated = engine.decompress(data, step)
            except zlib.error:
                raise Violation(INVALID_DATA, "payload is not deflated data") from None
            produced += len(inflated)
            if limit is not None and produced > limit:
                raise Violation(TOO_BIG, "message inflates to more than will be taken")
            if inflated:
                yield inflated
            data = engine.unconsumed_tail
            if engine.eof:
                # A final block, after which deflating starts anew (RFC 7692 §7.2.3.4).
                data = engine.unused_data
                self._engine = None
            # A full step may have left something in zlib's window, even if all input was taken.
            if not data and (engine.eof or len(inflated) < step):
                break
        if ends_message and self._forgets:
            self._engine = None
