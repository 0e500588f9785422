"""Codings: content-codings of responses (RFC 9110 §8.4), undone in bounded steps.

A few octets can decode to gigabytes, and a body can be coded several times over. So nothing here gives more than it is
asked for, holds more than a step between two codings, or does more than a few steps of work before it returns.

Decisions where the specifications leave room:

* gzip may have several members and be padded with zeros; anything else after a member, and anything after the end of a
  deflate stream, is an error, since a damaged member cannot be told from garbage and must not vanish silently;
* ``deflate`` is taken with or without the zlib header: servers send both;
* a body with a coding that we do not know is handed on as it came, even if others could be undone;
* an empty body is empty in every coding.
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeAlias

from reqivo_core.errors import BodyTooLarge, DecodedSizeExceeded, DecodeError, PluginError, ReqivoError, excerpt

STEP: Final = 64 * 1024
"""Octets that a caller should ask for at a time, and that one coding hands to the next."""
_SLICE: Final = 16 * 1024
"""Octets that zlib is given at a time: it copies what it leaves, once for each of a thousand tiny members."""
_MAX_ADVANCES: Final = 4
"""Steps after which a chain returns even if it has nothing to show: inner codings can be made to decode to nothing."""
_INNER_SLACK: Final = 1024 * 1024
_INNER_RATIO: Final = 16
"""An inner coding may take this many octets, and this many times more than it gave: no honest one swells so."""
_MAX_FRUITLESS: Final = 16
"""How often a decoder may give nothing for nothing and still claim to have more."""
_GZIP_MAGIC: Final = 0x1F

_ALIASES: Final = {"x-gzip": "gzip"}
_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch


class Decoder(Protocol):
    """Undoes one content-coding of one body."""

    @property
    def pending(self) -> bool:
        """Whether there may be more to get from what was given already: call ``decode(b"", …)``."""

    def decode(self, data: bytes, max_length: int, /) -> bytes:
        """Take octets and give decoded ones.

        Args:
            data: All of it is taken; what does not fit into the answer is kept.
            max_length: How many octets to give at most.

        Returns:
            Up to ``max_length`` octets; none does not mean the end.

        Raises:
            DecodeError: The octets are not of this coding.
        """

    def flush(self) -> bytes:
        """Mark the end of the body, once nothing is pending.

        Returns:
            What was still held back (little, as a rule nothing).

        Raises:
            DecodeError: The body ended before the coding did.
        """


DecoderFactory: TypeAlias = Callable[[], Decoder]


class _ZlibDecoder(ABC):
    """What gzip and deflate have in common: input that waits, and a zlib object while a stream is going on."""

    name: str

    def __init__(self) -> None:
        self._input = b""
        self._offset = 0
        self._stream: Any = None  # zlib has no public name for its type
        self._is_full = False

    @abstractmethod
    def _next_stream(self) -> Any:
        """A zlib object for the input that follows the end of a stream; None where it was padding."""

    @property
    def pending(self) -> bool:
        """Whether there is input left, or zlib may hold output."""
        return self._is_full or self._offset < len(self._input)

    def decode(self, data: bytes, max_length: int, /) -> bytes:
        """See :meth:`Decoder.decode`."""
        if data:
            self._input = self._input[self._offset :] + data
            self._offset = 0
        pieces: list[bytes] = []
        room = max_length
        while room > 0 and self.pending:
            if self._stream is None:
                self._stream = self._next_stream()
            if self._stream is not None:
                pieces.append(self._inflate(room))
                room -= len(pieces[-1])
        return b"".join(pieces)

    def _inflate(self, room: int) -> bytes:
        part = self._input[self._offset : self._offset + _SLICE]
        stream = self._stream
        try:
            piece: bytes = stream.decompress(part, room)
        except zlib.error as error:
            raise _broken(self.name, error) from None
        # At the end both may hold the same octets: unconsumed_tail is only right before it.
        left = stream.unused_data if stream.eof else stream.unconsumed_tail
        self._offset += len(part) - len(left)
        self._is_full = len(piece) == room and not stream.eof
        if stream.eof:
            self._stream = None
        return piece

    def flush(self) -> bytes:
        """See :meth:`Decoder.flush`."""
        if self._stream is not None or self.pending:
            raise DecodeError(f"{self.name}: the body ended before its coding did; it was cut short", phase="body")
        return b""


class GzipDecoder(_ZlibDecoder):
    """Undoes ``gzip`` (RFC 1952): one member or several, checksums verified, zeros after a member skipped."""

    name = "gzip"
    _has_member = False

    def _next_stream(self) -> Any:
        if self._has_member and (first := self._input[self._offset]) != _GZIP_MAGIC:
            if first != 0:
                raise _surplus(self.name)
            part = self._input[self._offset : self._offset + _SLICE]
            self._offset += len(part) - len(part.lstrip(b"\0"))
            return None
        self._has_member = True
        return zlib.decompressobj(16 + zlib.MAX_WBITS)


class DeflateDecoder(_ZlibDecoder):
    """Undoes ``deflate``: the zlib format (RFC 1950), or bare deflate (RFC 1951) as some servers send it."""

    name = "deflate"

    def __init__(self) -> None:
        super().__init__()
        self._head = b""
        self._has_begun = False

    def decode(self, data: bytes, max_length: int, /) -> bytes:
        """See :meth:`Decoder.decode`."""
        if not self._has_begun:
            data = self._head + data
            self._head = data if len(data) < 2 else b""
            if self._head or not data:
                return b""
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if _is_zlib_header(data) else -zlib.MAX_WBITS)
            self._has_begun = True
        return super().decode(data, max_length)

    def _next_stream(self) -> Any:
        raise _surplus(self.name)

    def flush(self) -> bytes:
        """See :meth:`Decoder.flush`."""
        self._input += self._head
        return super().flush()


def _is_zlib_header(data: bytes) -> bool:
    """Whether it begins as RFC 1950 §2.2 has it. Bare deflate does so only with padding that no compressor writes."""
    return data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0


def _broken(name: str, error: object) -> DecodeError:
    return DecodeError(f"{name}: the body does not decode: {error}", phase="body")


def _surplus(name: str) -> DecodeError:
    return DecodeError(f"{name}: there are surplus octets after the end of the coded data", phase="body")


class _Stage:
    """One coding of a chain: keeps a decoder, which may be a plugin's, to its contract."""

    def __init__(self, name: str, factory: DecoderFactory, *, is_inner: bool) -> None:
        self._name = name
        self._is_inner = is_inner
        self._taken = 0
        self._given = 0
        self._fruitless = 0
        with _translated(name):
            self._decoder = factory()

    @property
    def pending(self) -> bool:
        return bool(self._decoder.pending)

    def decode(self, data: bytes, max_length: int) -> bytes:
        with _translated(self._name):
            piece = self._decoder.decode(data, max_length)
        self._taken += len(data)
        self._given += len(piece)
        self._fruitless = 0 if data or piece else self._fruitless + 1
        self._check(len(piece), max_length)
        return piece

    def _check(self, length: int, max_length: int) -> None:
        if length > max_length:
            raise _broken(self._name, f"its decoder gave {length} octets where at most {max_length} were wanted")
        if self._fruitless > _MAX_FRUITLESS and self.pending:
            raise _broken(self._name, "its decoder says that it has more to give, and does not give it")
        if self._is_inner and self._taken > _INNER_SLACK + _INNER_RATIO * self._given:
            raise DecodedSizeExceeded(
                f"{self._name}: {self._taken} octets that another coding gave decode to {self._given}; "
                "a body that swells and shrinks like this is made to waste time",
                phase="body",
            )

    def flush(self, tail: bytes) -> bytes:
        """Take what the coding before held back, and give what this one did."""
        pieces = [self.decode(tail, STEP)] if tail else []
        while self.pending:
            pieces.append(self.decode(b"", STEP))
        if self._taken:  # else the body is empty, which is no coded data cut short
            with _translated(self._name):
                pieces.append(self._decoder.flush())
        return b"".join(pieces)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Tell a decoder's own error as ours: brotli, zstd and the like each raise something of their own."""
    try:
        yield
    except (ReqivoError, MemoryError):
        raise
    except Exception as error:
        raise _broken(name, excerpt(f"{type(error).__name__}: {error}")) from error


class DecoderChain:
    """Undoes all codings of one body; used like a :class:`Decoder`.

    ``decode`` may return nothing although ``pending`` is true: it then stopped so that its caller can look at a clock.
    """

    def __init__(self, codings: Sequence[tuple[str, DecoderFactory]]) -> None:
        """Make the decoders.

        Args:
            codings: Name and factory of each, in the order in which they are to be undone (the last applied first).

        Raises:
            DecodeError: A factory failed.
        """
        self._fresh = b""
        self._stages = [_Stage(name, factory, is_inner=index > 0) for index, (name, factory) in enumerate(codings)]

    @property
    def pending(self) -> bool:
        """Whether there may be more to get from what was given already: call ``decode(b"")``."""
        return bool(self._fresh) or any(stage.pending for stage in self._stages)

    def decode(self, data: bytes, max_length: int = STEP, /) -> bytes:
        """Take octets and give decoded ones.

        Args:
            data: All of it is taken.
            max_length: How many octets to give at most; between two codings there are never more than :data:`STEP`.

        Returns:
            Up to ``max_length`` octets; none does not mean the end.

        Raises:
            DecodeError: The octets are not of their coding.
            DecodedSizeExceeded: An inner coding is fed far more than it gives.
        """
        self._fresh += data
        pieces: list[bytes] = []
        room = max_length
        for _ in range(_MAX_ADVANCES):
            if room <= 0 or not self.pending:
                break
            pieces.append(self._advance(len(self._stages) - 1, room))
            room -= len(pieces[-1])
        return b"".join(pieces)

    def _advance(self, index: int, room: int) -> bytes:
        """One step of one coding, which asks the one before it only when it has nothing left itself."""
        stage = self._stages[index]
        if stage.pending:
            return stage.decode(b"", room)
        if index > 0:
            data = self._advance(index - 1, STEP)
            return stage.decode(data, room) if data else b""
        data, self._fresh = self._fresh, b""
        return stage.decode(data, room)

    def flush(self) -> bytes:
        """Mark the end of the body, once nothing is pending.

        Returns:
            What decoders still held back; with our own, nothing.

        Raises:
            DecodeError: The body ended before a coding did, or something is still pending.
        """
        if self.pending:
            raise DecodeError("the end of the body was marked before all of it was decoded", phase="body")
        tail = b""
        for stage in self._stages:
            tail = stage.flush(tail)
        return tail


BUILTIN_CODINGS: Final[Mapping[str, DecoderFactory]] = {"gzip": GzipDecoder, "deflate": DeflateDecoder}


class Codings:
    """The content-codings that a session understands.

    Attributes:
        names: In the order of registration.
        accept_encoding: The value of the Accept-Encoding field that asks for them (RFC 9110 §12.5.3).
    """

    def __init__(self, *registrations: Mapping[str, DecoderFactory]) -> None:
        """Put registrations together.

        Args:
            registrations: Name → factory, as ``reqivo_register_codings`` gives them; of one name the last one counts.
                :data:`BUILTIN_CODINGS` has to be among them to be understood.

        Raises:
            PluginError: A name cannot stand in Accept-Encoding.
        """
        self._factories = {name.lower(): factory for each in registrations for name, factory in each.items()}
        for name in self._factories:
            if not _is_token(name) or name == "identity":
                raise PluginError(f"content-coding {excerpt(name)} cannot be registered: give a token such as 'br'")
        self.names = tuple(self._factories)
        self.accept_encoding = ", ".join(self.names) or "identity"

    def decoder_for(self, content_encoding: str, max_codings: int = 5) -> DecoderChain | None:
        """Make what undoes the codings of a body.

        Args:
            content_encoding: The Content-Encoding field, several lines joined by commas; empty where there is none.
            max_codings: How many codings to undo at most.

        Returns:
            A decoder for this one body; None where there is nothing to undo, or a coding that we do not know, so that
            the body is to be handed on as it came.

        Raises:
            DecodeError: There are more than ``max_codings``, or a decoder could not be made.
        """
        listed = [name for part in content_encoding.split(",") if (name := part.strip(" \t").lower())]
        if len(listed) > max_codings:
            raise DecodeError(
                f"the body has {len(listed)} content-codings, more than Limits.max_codings={max_codings}", phase="body"
            )
        names = [_ALIASES.get(name, name) for name in reversed(listed) if name != "identity"]
        if not names or any(name not in self._factories for name in names):
            return None
        return DecoderChain([(name, self._factories[name]) for name in names])


DEFAULT_CODINGS: Final = Codings(BUILTIN_CODINGS)
"""What a session without plugins understands."""


class DecodedBudget:
    """Counts a body that is being read whole, and stops it where it passes a limit.

    Attributes:
        raw: Octets so far as they came.
        decoded: Octets so far once decoded.
        is_whole: Whether the body is read whole, so that the ratio counts; whoever streams it never holds it.
    """

    def __init__(self, max_body: int | None, ratio: float | None = 200.0, ratio_floor: int = 100 * 1024 * 1024) -> None:
        """Set the limits.

        Args:
            max_body: Decoded octets at most; None for any number.
            ratio: How many times more than ``raw`` the decoded octets may be; None for any.
            ratio_floor: Decoded octets up to which the ratio is not looked at.
        """
        self._max_body = max_body
        self._ratio = ratio
        self._ratio_floor = ratio_floor
        self.is_whole = True
        self.raw = 0
        self.decoded = 0

    def add(self, raw: int, decoded: int) -> None:
        """Count octets.

        Args:
            raw: How many more came.
            decoded: How many more they gave.

        Raises:
            BodyTooLarge: ``max_body`` is passed.
            DecodedSizeExceeded: Floor and ratio are both passed.
        """
        self.raw += raw
        self.decoded += decoded
        if self._max_body is not None and self.decoded > self._max_body:
            raise BodyTooLarge(
                f"the body is larger than Limits.max_body={self._max_body} octets; raise the limit or stream the body",
                phase="body",
            )
        if self._ratio is not None and self.is_whole and self.decoded > max(self._ratio_floor, self._ratio * self.raw):
            raise DecodedSizeExceeded(
                f"{self.raw} octets have decoded to {self.decoded}, which is more than Limits.decoded_ratio_floor="
                f"{self._ratio_floor} and more than {self._ratio:g} times as many; "
                "raise Limits.max_decoded_ratio or stream the body",
                phase="body",
            )
