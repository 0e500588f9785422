"""Just enough HTTP/1.1 to let a scripted peer read requests and write responses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Headers = Sequence[tuple[str, str]]
Segmentation = Literal["whole", "byte", "random"]
SEGMENTATIONS: tuple[Segmentation, ...] = ("whole", "byte", "random")
_FINE = 4096


class PeerGone(ConnectionError):
    """The client closed the connection where the script expected more of it."""


@dataclass(frozen=True)
class Request:
    """A request as it came off the wire."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str, default: str = "") -> str:
        """Return the first value of a header, whatever the case of its name."""
        return next(iter(self.all(name)), default)

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


def response(status: int = 200, body: bytes = b"", headers: Headers = (), reason: str = "Whatever") -> bytes:
    """Return a response with its Content-Length (unless ``headers`` frame it otherwise)."""
    fields = list(headers)
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name, _ in fields}
    if not framed and status >= 200 and status not in (204, 304):
        fields.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{n}: {v}" for n, v in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes, trailers: Headers = ()) -> bytes:
    """Return the pieces in the chunked transfer-coding, last chunk and trailers included."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    fields = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return chunks + b"0\r\n" + fields.encode("latin-1") + b"\r\n"


def segments(data: bytes, how: Segmentation, dice: random.Random) -> Iterator[bytes]:
    """Cut data into what is sent one ``send`` at a time.

    ``byte`` is fine-grained over the first and the last 4 KiB only; between them, where a
    megabyte would take a million system calls, it cuts at random.
    """
    if how == "whole" or not data:
        yield data
        return
    position = 0
    while position < len(data):
        fine = how == "byte" and (position < _FINE or position >= len(data) - _FINE)
        room = len(data) - _FINE - position if how == "byte" and not fine else len(data)
        size = 1 if fine else min(_random_size(dice, len(data)), max(room, 1))
        yield data[position : position + size]
        position += size


def _random_size(dice: random.Random, length: int) -> int:
    """Mostly tiny pieces for short data, larger ones for long data."""
    return dice.choice((1, 2, 3, 7, dice.randint(1, 64), dice.randint(1, max(64, length // 8))))


class Reader:
    """Reads requests from a source of bytes, keeping what was read too far."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self.buffer = bytearray()

    def more(self) -> None:
        """Read some more bytes.

        Raises:
            PeerGone: there are none left.
        """
        data = self._receive()
        if not data:
            raise PeerGone(f"the client left after {bytes(self.buffer[:200])!r}")
        self.buffer += data

    def until(self, end: bytes) -> bytes:
        """Return everything up to and including ``end``."""
        while (found := self.buffer.find(end)) < 0:
            self.more()
        return self.exactly(found + len(end))

    def exactly(self, count: int) -> bytes:
        """Return just so many bytes."""
        while len(self.buffer) < count:
            self.more()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def rest(self) -> bytes:
        """Return everything up to the end of the stream, in order or by a reset."""
        try:
            while True:
                self.more()
        except TimeoutError:
            raise
        except OSError:
            return self.exactly(len(self.buffer))

    def head(self) -> Request:
        """Read a request line and header section."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        return Request(method, target, version, _fields(lines[1:]))

    def body(self, head: Request) -> tuple[bytes, tuple[tuple[str, str], ...]]:
        """Read the content that a head announces, and the trailers."""
        if "chunked" in head.header("transfer-encoding").lower():
            return self._chunks()
        return self.exactly(int(head.header("content-length", "0"))), ()

    def _chunks(self) -> tuple[bytes, tuple[tuple[str, str], ...]]:
        content = bytearray()
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            content += self.exactly(size)
            assert self.exactly(2) == b"\r\n", "a chunk is not followed by CRLF"
        trailers: list[str] = []
        while line := self.until(b"\r\n").decode("latin-1").removesuffix("\r\n"):
            trailers.append(line)
        return bytes(content), _fields(trailers)


def _fields(lines: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = (line.partition(":") for line in lines if line)
    return tuple((name, value.strip()) for name, _, value in pairs)
