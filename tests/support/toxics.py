"""A TCP proxy that makes the network bad: the seven faults toxiproxy knows.

``ToxicProxy(server.address, [Latency(0.02), Slicer(7)])`` treats what the origin sends so;
``upward=[…]`` what the client sends. A function from the number of the connection to a list of
toxics gives each connection its own fate, as a soak test wants it.
"""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .pumping import End, end_of, join, shut
from .resets import reset_at_close
from .threads import PATIENCE, ThreadServer


class Cut(ConnectionError):
    """A toxic ends the connection."""


class Flow:
    """One direction of one connection, as a toxic sees it.

    ``reset`` is shared with the other direction: neither may send a FIN once it is set.
    """

    def __init__(self, halted: threading.Event, reset: threading.Event, seed: str) -> None:
        self.halted = halted
        self.reset = reset
        self.dice = random.Random(seed)
        self.passed: Counter[Toxic] = Counter()

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the proxy lives.

        Raises:
            Cut: the proxy was stopped.
        """
        if self.halted.wait(seconds):
            raise Cut


@dataclass(frozen=True)
class Toxic:
    """A fault; this one lets everything pass."""

    def treat(self, data: bytes, flow: Flow) -> Iterator[bytes]:
        """Yield what goes on of a piece of data, when it is time."""
        yield data

    def end(self, flow: Flow) -> None:
        """Delay the end of the stream."""


@dataclass(frozen=True)
class Latency(Toxic):
    """Everything comes ``seconds`` late, give or take ``jitter``."""

    seconds: float
    jitter: float = 0.0

    def treat(self, data: bytes, flow: Flow) -> Iterator[bytes]:
        """Wait, then pass on."""
        flow.sleep(max(0.0, self.seconds + flow.dice.uniform(-self.jitter, self.jitter)))
        yield data


@dataclass(frozen=True)
class Bandwidth(Toxic):
    """No more than so many bytes a second get through."""

    bytes_per_second: int

    def treat(self, data: bytes, flow: Flow) -> Iterator[bytes]:
        """Pass on in steps of at most 20 ms worth."""
        step = max(1, self.bytes_per_second // 50)
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            flow.sleep(len(piece) / self.bytes_per_second)
            yield piece


@dataclass(frozen=True)
class Slicer(Toxic):
    """Data comes in pieces of 1 to ``size`` bytes, ``delay`` seconds apart."""

    size: int
    delay: float = 0.0

    def treat(self, data: bytes, flow: Flow) -> Iterator[bytes]:
        """Cut at random."""
        start = 0
        while start < len(data):
            length = flow.dice.randint(1, self.size)
            yield data[start : start + length]
            start += length
            if self.delay:
                flow.sleep(self.delay)


@dataclass(frozen=True)
class Limit(Toxic):
    """The connection closes when so many bytes have passed."""

    count: int

    def treat(self, data: bytes, flow: Flow) -> Iterator[bytes]:
        """Pass on what is left of the allowance."""
        left = self.count - flow.passed[self]
        flow.passed[self] += len(data)
        yield data[:left]
        if len(data) >= left:
            raise Cut


@dataclass(frozen=True)
class Timeout(Toxic):
    """Nothing gets through; after ``seconds`` the connection closes."""

    seconds: float

    def treat(self, data: bytes, flow: Flow) -> Iterator[bytes]:
        """Swallow, wait and cut."""
        flow.sleep(self.seconds)
        raise Cut
        yield data  # never reached; makes this a generator like the others


@dataclass(frozen=True)
class Reset(Toxic):
    """The client gets a reset ``seconds`` after data began to flow, which is lost."""

    seconds: float = 0.0

    def treat(self, data: bytes, flow: Flow) -> Iterator[bytes]:
        """Wait and reset."""
        flow.sleep(self.seconds)
        flow.reset.set()
        raise Cut
        yield data  # never reached; makes this a generator like the others


@dataclass(frozen=True)
class SlowClose(Toxic):
    """The end of the stream comes ``seconds`` late."""

    seconds: float

    def end(self, flow: Flow) -> None:
        """Wait before the end."""
        flow.sleep(self.seconds)


Toxics = Sequence[Toxic] | Callable[[int], Sequence[Toxic]]


class ToxicProxy(ThreadServer):
    """Passes connections on to ``origin``, but not well; see the module.

    Args:
        origin: The address of the real server.
        toxics: What befalls data from the origin to the client.
        upward: What befalls data from the client to the origin.
        seed: Makes jitter and slices repeat themselves.
        timeout: Seconds a connection may be silent.
    """

    def __init__(
        self,
        origin: tuple[str, int],
        toxics: Toxics = (),
        *,
        upward: Toxics = (),
        seed: int = 0,
        timeout: float = PATIENCE,
    ) -> None:
        super().__init__("toxic", timeout=timeout)
        self.origin = origin
        self.toxics = toxics
        self.upward = upward
        self.seed = seed

    def handle(self, sock: socket.socket, index: int) -> None:
        """Join client and origin until one of them, or a toxic, ends it."""
        reset = threading.Event()
        up = Flow(self.halted, reset, f"{self.seed}/{index}/up")
        down = Flow(self.halted, reset, f"{self.seed}/{index}/down")
        origin = self.track(socket.create_connection(self.origin, self.timeout))
        try:
            join(
                sock,
                origin,
                _pump_through(_chosen(self.upward, index), up),
                _pump_through(_chosen(self.toxics, index), down),
            )
        finally:
            self.release(origin)
            if reset.is_set():
                reset_at_close(sock)


def _chosen(toxics: Toxics, index: int) -> Sequence[Toxic]:
    return toxics(index) if callable(toxics) else toxics


def _pump_through(toxics: Sequence[Toxic], flow: Flow) -> Callable[[End, End], None]:
    def run(source: End, sink: End) -> None:
        try:
            while data := source.recv(16384):
                for piece in _treated(data, toxics, flow):
                    sink.sendall(piece)
            for toxic in toxics:
                toxic.end(flow)
            if not flow.reset.is_set():
                end_of(sink)
        except Cut:
            if not flow.reset.is_set():
                raise
            for end in (source, sink):  # wakes the other pump, but sends the client no FIN
                shut(end, socket.SHUT_RD)

    return run


def _treated(data: bytes, toxics: Sequence[Toxic], flow: Flow) -> Iterator[bytes]:
    if not toxics:
        yield data
        return
    for piece in toxics[0].treat(data, flow):
        yield from _treated(piece, toxics[1:], flow)
