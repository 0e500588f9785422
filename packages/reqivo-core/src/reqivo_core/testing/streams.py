"""Connections in memory: two ends that are each other's network, and one end that follows a script."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from reqivo_core.errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from reqivo_core.interfaces import NetworkStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reqivo_core.testing.memory import MemoryRuntime
    from reqivo_core.tls_config import TlsConfig

SEGMENTATIONS = ("whole", "single", "random")
"""The ways to cut octets into reads that a protocol has to survive."""

END = b""
"""In a script: the peer ends its side."""


def segments(data: bytes, how: str = "whole", seed: int = 0) -> list[bytes]:
    """Cut octets as a network might.

    Args:
        data: What to cut.
        how: ``whole``, ``single`` (octets) or ``random`` (the same for the same data and seed).
        seed: Chooses among the random ways.

    Returns:
        Pieces, none of them empty.

    Raises:
        ValueError: ``how`` is none of the three.
    """
    if how == "whole":
        return [data] if data else []
    if how == "single":
        return [data[place : place + 1] for place in range(len(data))]
    if how != "random":
        raise ValueError(f"segments: {how!r} is no segmentation; give one of {', '.join(SEGMENTATIONS)}")
    dice = random.Random(f"{seed}, {len(data)}")
    pieces = []
    while data:
        size = dice.choice((1, 2, 3, 7, 20, 150))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


class MemoryStream(NetworkStream):
    """One end of a connection in memory. Whoever holds it may also play its network: ``feed`` it, see what it ``sent``.

    Attributes:
        sent: All octets written to it.
        is_closed: Whether this side was closed.
        timeouts: The time limit of each leaf call, in order.
        peer: The other end, if there is one.
    """

    def __init__(self, runtime: MemoryRuntime, *, capacity: int | None = None) -> None:
        """Make an end.

        Args:
            runtime: Its world.
            capacity: Octets that may lie unread before whoever writes to this end has to wait; None for any number.
        """
        self._runtime = runtime
        self._capacity = capacity
        self._arrived: deque[bytes | Exception] = deque()
        self._unread = 0
        self._broken: Exception | None = None
        self.sent = bytearray()
        self.timeouts: list[float | None] = []
        self.is_closed = False
        self.peer: MemoryStream | None = None

    # the network's side

    def feed(self, data: bytes, how: str = "whole") -> None:
        """Let octets arrive, cut as ``segments`` does; each piece is one read."""
        for piece in segments(data, how):
            self._arrived.append(piece)
            self._unread += len(piece)

    def feed_end(self) -> None:
        """Let the peer end its side."""
        self._arrived.append(END)

    def feed_error(self, error: Exception | None = None) -> None:
        """Let the connection break: reading raises this (a reset where none is given), and writing from now on."""
        self._broken = error or ReadError("the connection was reset", phase="read")
        self._arrived.append(self._broken)

    # the client's side

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See :meth:`NetworkStream.read`."""
        self.timeouts.append(timeout)
        if not await self._runtime.wait_until(self.is_readable, timeout):
            raise ReadTimeout(f"nothing arrived within {timeout:g} s", phase="read")
        if self.is_closed:
            raise ReadError("the connection was closed on this side", phase="read")
        first = self._arrived.popleft()
        if isinstance(first, Exception):
            self._arrived.appendleft(first)
            raise first
        if len(first) > max_bytes:
            self._arrived.appendleft(first[max_bytes:])
        elif first == END:
            self._arrived.appendleft(END)
        self._unread -= len(first[:max_bytes])
        return first[:max_bytes]

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See :meth:`NetworkStream.write`."""
        self.timeouts.append(timeout)
        rest = bytes(data)
        while rest:
            if not await self._runtime.wait_until(self.is_writable, timeout):
                raise WriteTimeout(f"the peer took nothing within {timeout:g} s", phase="write")
            if self.is_closed or self._broken is not None or (self.peer is not None and self.peer.is_closed):
                raise WriteError("the connection is closed", phase="write")
            room = len(rest) if self.peer is None else self.peer._room(len(rest))
            self.sent += rest[:room]
            if self.peer is not None:
                self.peer.feed(rest[:room])
            rest = rest[room:]
            self._has_sent()

    def _has_sent(self) -> None:
        """Called after each write, for ends that answer by themselves."""

    def _room(self, wanted: int) -> int:
        return wanted if self._capacity is None else min(wanted, max(0, self._capacity - self._unread))

    def is_writable(self) -> bool:
        """See :meth:`NetworkStream.is_writable`."""
        peer = self.peer
        return peer is None or self.is_closed or self._broken is not None or peer.is_closed or peer._room(1) > 0

    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        """See :meth:`NetworkStream.start_tls`: real TLS, whose records travel through memory."""
        from reqivo_core.runtime import tls

        return await tls.start_tls(self, config, server_hostname, alpn, timeout)

    def close(self) -> None:
        """See :meth:`NetworkStream.close`."""
        if not self.is_closed:
            self.is_closed = True
            if self.peer is not None:
                self.peer.feed_end()

    def is_readable(self) -> bool:
        """See :meth:`NetworkStream.is_readable`."""
        return self.is_closed or bool(self._arrived)

    def get_info(self, name: str) -> Any:
        """See :meth:`NetworkStream.get_info`: both ends are at ``memory``."""
        return "memory" if name in ("peername", "sockname") else None


def memory_pair(runtime: MemoryRuntime, capacity: int | None = None) -> tuple[MemoryStream, MemoryStream]:
    """Make two ends: what is written to one arrives at the other.

    Args:
        runtime: Their world.
        capacity: Octets that may lie unread at each end before the other has to wait; None for any number.
    """
    near, far = MemoryStream(runtime, capacity=capacity), MemoryStream(runtime, capacity=capacity)
    near.peer, far.peer = far, near
    return near, far


class After(NamedTuple):
    """In a script: what follows comes only once these octets were sent (after those of the After before).

    Attributes:
        octets: Those to wait for.
    """

    octets: bytes


Step: TypeAlias = "bytes | After | Exception"


class ScriptedStream(MemoryStream):
    r"""An end whose peer follows a script: octets arrive, ``END`` ends its side, an exception breaks the connection.

    ::

        ScriptedStream(runtime, After(b"\r\n\r\n"), b"HTTP/1.1 204 No Content\r\n\r\n", END)
    """

    def __init__(self, runtime: MemoryRuntime, *script: Step, how: str = "whole") -> None:
        """Write a script.

        Args:
            runtime: Its world.
            script: The steps.
            how: How octets are cut; see ``segments``.
        """
        super().__init__(runtime)
        self._script = deque(script)
        self._how = how
        self._seen = 0
        self._has_sent()

    @property
    def is_over(self) -> bool:
        """Whether all of the script has happened."""
        return not self._script

    def _has_sent(self) -> None:
        """Go on to the next After that was not yet fulfilled."""
        while self._script:
            step = self._script[0]
            if isinstance(step, After):
                place = self.sent.find(step.octets, self._seen)
                if place < 0:
                    return
                self._seen = place + len(step.octets)
            elif isinstance(step, Exception):
                self.feed_error(step)
            elif step == END:
                self.feed_end()
            else:
                self.feed(step, self._how)
            self._script.popleft()
