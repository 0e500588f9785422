"""Codecs: the protocol engines behind one door.

A codec turns octets into values; it decides nothing. Whatever reaches it has passed the grammar and the limits of
:mod:`reqivo_http11.framing`, which stand above every engine, so that one engine cannot let through what another would
have refused. Two are known: ``h11`` (the reference, always installed) and ``httptools`` (llhttp, the ``speed`` extra).

The grammar cannot be checked without finding the parts of a head; the reference reads it once more all the same, the
fast codec does not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from reqivo_core.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.headers import Headers

VARIABLE = "REQIVO_HTTP11_CODEC"
"""The environment variable that forces a codec by name."""

_CODECS = {
    "h11": ("reqivo_http11.h11_codec", "H11Codec"),
    "httptools": ("reqivo_http11.httptools_codec", "HttptoolsCodec"),
}


@dataclass(slots=True)
class Head:
    """The head of a response, as it was sent.

    Attributes:
        version: ``1.0`` or ``1.1``.
        status: The status code.
        reason: The reason phrase.
        headers: The field lines, names in their spelling.
    """

    version: str
    status: int
    reason: str
    headers: Headers


class Codec(ABC):
    """A sans-I/O engine for the responses of one connection."""

    __slots__ = ()

    def receive_head(self, section: bytes, head: Head) -> Head:
        """Read a head, where the engine has a reading of its own.

        Args:
            section: A status line and field lines, up to and with the empty line.
            head: What :func:`~reqivo_http11.framing.parse_head` has found in it.

        Returns:
            What it says, each value without the whitespace around it.

        Raises:
            RemoteProtocolError: The engine does not take it.
        """
        return head

    @abstractmethod
    def start_chunked(self) -> None:
        """Expect a chunked body behind the head received last, whatever the engine itself made of that head."""

    @abstractmethod
    def receive_chunked(self, data: bytes) -> bytes:
        """Decode octets of a chunked body (RFC 9112 §7.1).

        Args:
            data: The next octets, at least one, which :class:`~reqivo_http11.chunked.ChunkScanner` has let pass; none
                of trailers.

        Returns:
            The content in them.

        Raises:
            RemoteProtocolError: The engine does not take them.
        """


def load_codec(name: str | None = None) -> Callable[[], Codec]:
    """Find a codec.

    Args:
        name: ``h11`` or ``httptools``; None (or nothing) for the fastest that is installed.

    Returns:
        Its class, to be called once for each connection.

    Raises:
        PluginError: There is no such codec, or its engine is not installed.
    """
    if not name:
        name = "httptools" if find_spec("httptools") is not None else "h11"
    if name not in _CODECS:
        raise PluginError(f"{VARIABLE}={name!r}: give one of {', '.join(_CODECS)}", plugin="http11")
    module, attribute = _CODECS[name]
    try:
        codec: Callable[[], Codec] = getattr(import_module(module), attribute)
    except ImportError as error:
        raise PluginError(
            f"{VARIABLE}={name}: {error}; install it with: pip install 'reqivo-http11[speed]'", plugin="http11"
        ) from error
    return codec
