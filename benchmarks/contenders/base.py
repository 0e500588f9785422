"""What a contender does to take part: the same few calls, in that library's own words.

A module in this package makes clients by functions of these names; one that is missing is what the library cannot do:

* ``sync_client(settings) -> SyncClient`` and ``async_client(settings) -> AsyncClient``
* ``sync_socket(settings, url) -> SyncSocket`` and ``async_socket(settings, url) -> AsyncSocket``

``async_client`` and ``async_socket`` are coroutine functions. What a client cannot do raises Unsupported.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Sink: TypeAlias = "Callable[[bytes | bytearray | memoryview], object]"
"""Takes the pieces of a body, none of which is to be kept."""

Answer: TypeAlias = "tuple[int, bytes]"
"""Status code and body."""


class Unsupported(Exception):
    """The library cannot do this; the message says why."""


@dataclass(frozen=True)
class Settings:
    """What a client is made for.

    Attributes:
        library: The name to import, where one module serves two libraries that look alike.
        ca_file: The certificate authority to trust.
        is_secure: Whether it will speak TLS at all.
        is_http2: Whether to speak HTTP/2.
        connections: How many connections it may have, and keep, at the most.
        has_to_queue: Whether requests have to wait for a connection when all are taken.
        has_threads: Whether several threads will use it at once.
    """

    library: str
    ca_file: str
    is_secure: bool = False
    is_http2: bool = False
    connections: int = 100
    has_to_queue: bool = False
    has_threads: bool = False


@dataclass(frozen=True)
class Upload:
    """A body to be sent in pieces.

    Attributes:
        piece: Each of the pieces.
        count: How many there are.
    """

    piece: bytes
    count: int

    @property
    def length(self) -> int:
        """Octets in all."""
        return len(self.piece) * self.count

    def pieces(self) -> Iterator[bytes]:
        """The pieces, one by one."""
        for _ in range(self.count):
            yield self.piece

    async def async_pieces(self) -> AsyncIterator[bytes]:
        """The same, for clients that take their bodies so."""
        for piece in self.pieces():
            yield piece


class SyncClient(Protocol):
    """A blocking client; threads share it."""

    def get(self, url: str) -> Answer:
        """GET, the body whole."""

    def download(self, url: str, sink: Sink) -> int:
        """GET, the body in pieces as they come; the status code."""

    def upload(self, url: str, upload: Upload) -> Answer:
        """POST, without holding the body whole."""

    def close(self) -> None:
        """Close its connections."""


class AsyncClient(Protocol):
    """The same for tasks of one event loop."""

    async def get(self, url: str) -> Answer:
        """GET, the body whole."""

    async def download(self, url: str, sink: Sink) -> int:
        """GET, the body in pieces as they come; the status code."""

    async def upload(self, url: str, upload: Upload) -> Answer:
        """POST, without holding the body whole."""

    async def close(self) -> None:
        """Close its connections."""


class SyncSocket(Protocol):
    """A WebSocket connection that blocks."""

    def echo(self, message: bytes) -> bytes:
        """Send a binary message and wait for one."""

    def close(self) -> None:
        """Close it."""


class AsyncSocket(Protocol):
    """The same for a task."""

    async def echo(self, message: bytes) -> bytes:
        """Send a binary message and wait for one."""

    async def close(self) -> None:
        """Close it."""
