"""Codecs: the engines of header compression behind one door (RFC 7541).

Everything else of HTTP/2 is this package's own state, in pure modules: the connection objects of h2 and jh2 know one
kind of error only, the one that ends the connection, and keep states (after GOAWAY, after a promise that came late,
after a malformed response) from which a client has to be able to go on. What they are built of is used: h2's error
codes and settings, and the header compression, which is where the time goes. Two engines are known: ``h2`` (the HPACK
that h2 is built on, always installed) and ``jh2`` (a native one, the ``speed`` extra).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

from reqivo_core.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.headers import RawHeaders

VARIABLE = "REQIVO_HTTP2_CODEC"
"""The environment variable that forces a codec by name."""

TABLE_SIZE = 4096
"""Octets of each direction's dynamic table: HTTP/2's default, and the most a peer can make our encoder use.

The encoder looks through its table for every field, so a larger one costs time as well as memory.
"""

OutgoingFields: TypeAlias = "list[tuple[bytes, bytes, bool]]"
"""Name, value, and whether the value must not enter any table (RFC 7541 §7.1.3)."""

_CODECS = {
    "h2": ("reqivo_http2.h2_codec", "H2Codec"),
    "jh2": ("reqivo_http2.jh2_codec", "Jh2Codec"),
}


class CompressionFault(Exception):
    """A header block cannot be decoded, or is far too large: the tables of the two sides differ from now on.

    Attributes:
        is_excess: Whether it is too large, rather than wrong.
    """

    def __init__(self, message: str, *, is_excess: bool = False) -> None:
        super().__init__(message)
        self.is_excess = is_excess


class Codec(ABC):
    """Compresses and decompresses the headers of one connection."""

    __slots__ = ()

    name: str

    @abstractmethod
    def encode(self, fields: OutgoingFields) -> bytes:
        """Compress a header section.

        Args:
            fields: The fields, pseudo-fields first.
        """

    @abstractmethod
    def decode(self, block: bytes) -> RawHeaders:
        """Decompress a header section.

        Args:
            block: The whole block.

        Returns:
            Its fields.

        Raises:
            CompressionFault: It cannot be done.
        """

    @abstractmethod
    def limit_encoder(self, size: int) -> None:
        """Use a dynamic table of at most so many octets for what is sent."""


def load_codec(name: str | None = None) -> Callable[[int], Codec]:
    """Find a codec.

    Args:
        name: ``h2`` or ``jh2``; None (or nothing) for the fastest that is installed.

    Returns:
        Its class, to be called once for each connection with the largest header list that is worth decoding.

    Raises:
        PluginError: There is no such codec, or its engine is not installed.
    """
    if not name:
        name = "jh2" if find_spec("jh2") is not None and find_spec("jh2._hazmat") is not None else "h2"
    if name not in _CODECS:
        raise PluginError(f"{VARIABLE}={name!r}: give one of {', '.join(_CODECS)}", plugin="http2")
    module, attribute = _CODECS[name]
    try:
        codec: Callable[[int], Codec] = getattr(import_module(module), attribute)
    except ImportError as error:
        raise PluginError(
            f"{VARIABLE}={name}: {error}; install it with: pip install 'reqivo-http2[speed]'", plugin="http2"
        ) from error
    return codec
