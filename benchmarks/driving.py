"""What every driver of a workload is: open, check, then run as many operations as told."""

from __future__ import annotations

import hashlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from contenders.base import Answer, Settings, Unsupported, Upload
from server import PATTERN, SMALL, Places, origin_host, pattern
from workloads import Workload


class Wrong(Exception):
    """A contender did not deliver what it was asked for."""


@dataclass(frozen=True)
class Task:
    """What a driver needs to know.

    Attributes:
        workload: What to do.
        places: Where the servers are.
        module: The contender's module.
        library: The contender's library.
    """

    workload: Workload
    places: Places
    module: ModuleType
    library: str

    def settings(self) -> Settings:
        """What to make the client for."""
        workload = self.workload
        return Settings(
            self.library,
            self.places.ca_file,
            workload.server == "tls",
            workload.is_http2,
            workload.connections or workload.in_flight,
            workload.has_to_queue,
            workload.driver == "ThreadedGet",
        )

    def make(self, name: str) -> Callable[..., Any]:
        """The contender's function of that name."""
        found: Callable[..., Any] | None = getattr(self.module, name, None)
        if found is None:
            raise Unsupported(f"it has no {name.replace('_', ' ')}")
        return found

    def url(self, path: str | None = None, origin: int = 0) -> str:
        """Where the server is."""
        path = path or self.workload.path
        if self.workload.server == "scripted":
            return f"http://{origin_host(origin)}:{self.places.scripted}/{path}"
        if self.workload.server == "tls":
            return f"https://127.0.0.1:{self.places.tls}/{path}"
        return f"http://127.0.0.1:{self.places.plain}/{path}"

    def expected(self) -> bytes:
        """The body that is to come back."""
        return {"small": SMALL, "headers": SMALL, "chunks": b"abcd" * (self.workload.size // 4)}.get(
            self.workload.path
        ) or pattern(self.workload.size)

    def upload(self) -> Upload:
        """The body to be sent."""
        return Upload(PATTERN, self.workload.size // len(PATTERN))


class Driver(ABC):
    """Runs one workload by one contender."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.workload = task.workload
        self.url = task.url()

    @abstractmethod
    def open(self) -> None:
        """Make the client, and do everything once, looking closely at what comes back."""

    @abstractmethod
    def run(self, count: int) -> None:
        """Do it ``count`` times, looking at status and length each time."""

    @abstractmethod
    def close(self) -> None:
        """Close what was opened."""

    def check(self, answer: Answer) -> None:
        """Look closely at an answer.

        Raises:
            Wrong: It is not the right one.
        """
        status, body = answer
        expected = self.task.expected()
        digests = hashlib.sha256(bytes(body)).digest(), hashlib.sha256(expected).digest()
        if status != 200 or len(body) != len(expected) or digests[0] != digests[1]:
            raise Wrong(f"got {status} with {len(body)} octets, or others than the {len(expected)} that were expected")

    def check_echo(self, answer: Answer, upload: Upload) -> None:
        """Look whether the server got what was sent."""
        checksum = 0
        for piece in upload.pieces():
            checksum = zlib.crc32(piece, checksum)
        if answer[0] != 200 or bytes(answer[1]) != f"{upload.length}:{checksum}".encode():
            raise Wrong(f"the server tells {answer[0]} {bytes(answer[1])!r} of an upload of {upload.length} octets")

    def check_peers(self, answers: list[Answer]) -> None:
        """Look in which protocol, and over how many connections, requests made at once came to the server."""
        told = {bytes(body).decode() for _, body in answers}
        versions = {line.split()[0] for line in told}
        if versions != ({"2"} if self.workload.is_http2 else {"1.1"}):
            raise Wrong(f"it spoke HTTP/{'/'.join(sorted(versions))}")
        allowed = self.workload.connections or self.workload.in_flight
        # Some replace connections now and then: those that the server saw are not all open at once.
        if len(told) > (allowed if self.workload.is_http2 else allowed * 1.5):
            raise Wrong(f"it used {len(told)} connections where {allowed} were allowed")


class Digest:
    """A sink that looks closely."""

    def __init__(self) -> None:
        self.length = 0
        self._hash = hashlib.sha256()

    def __call__(self, piece: bytes | bytearray | memoryview) -> None:
        self.length += len(piece)
        self._hash.update(piece)

    def check(self, status: int, size: int) -> None:
        """Compare with the pattern of that size."""
        expected = hashlib.sha256()
        for offset in range(0, size, len(PATTERN)):
            expected.update(PATTERN[: size - offset])
        if status != 200 or self.length != size or self._hash.digest() != expected.digest():
            raise Wrong(f"got {status} with {self.length} octets, or others than the {size} that were expected")


class Counter:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.length = 0

    def __call__(self, piece: bytes | bytearray | memoryview) -> None:
        self.length += len(piece)


def wrong_answer(status: int, length: int) -> Wrong:
    """What to raise in the middle of a run."""
    return Wrong(f"got {status} with {length} octets")
