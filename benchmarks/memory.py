"""Memory: what idle connections keep, and what streaming adds. Linux tells it in /proc."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

from contenders.base import Upload
from driving import Counter, Driver, Wrong, wrong_answer
from server import PATTERN


def resident(kind: str = "VmRSS") -> float:
    """KiB of memory that the process has in use; ``VmHWM``: at the most, since the last :func:`reset_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return float(line.split()[1])
    raise OSError(f"/proc/self/status has no {kind}")


def reset_peak() -> None:
    """Let the peak begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


class MemoryDriver(Driver):
    """Tells KiB in ``python`` (objects that tracemalloc sees) and ``resident`` (the whole process)."""

    def open(self) -> None:
        self.client = self.task.make("sync_client")(self.task.settings())
        self.figures: dict[str, float] = {}

    def close(self) -> None:
        self.client.close()


class IdleMemory(MemoryDriver):
    """Connections to many origins, each used once and then left idle."""

    def run(self, count: int) -> None:
        places = [self.task.url(origin=number) for number in range(401)]
        self._get(places[:1])
        tracemalloc.start()
        self._get(places[1:201])
        gc.collect()
        before = tracemalloc.get_traced_memory()[0], resident()
        self._get(places[201:])
        gc.collect()
        after = tracemalloc.get_traced_memory()[0], resident()
        tracemalloc.stop()
        self.figures = {"python": (after[0] - before[0]) / 1024 / 200, "resident": (after[1] - before[1]) / 200}

    def _get(self, urls: list[str]) -> None:
        for url in urls:
            status, body = self.client.get(url)
            if status != 200 or len(body) != 13:
                raise wrong_answer(status, len(body))


class StreamMemory(MemoryDriver):
    """How far the process grows beyond what it needed for a short exchange."""

    def run(self, count: int) -> None:
        self.client.get(self.task.url("bytes/65536"))
        self.exchange(4 * len(PATTERN))
        gc.collect()
        before = resident()
        reset_peak()
        self.exchange(self.workload.size)
        self.figures = {"resident": resident("VmHWM") - before}

    def exchange(self, size: int) -> None:
        raise NotImplementedError


class DownMemory(StreamMemory):
    """While a body comes."""

    def exchange(self, size: int) -> None:
        counter = Counter()
        status = self.client.download(self.task.url(f"stream/{size}"), counter)
        if status != 200 or counter.length != size:
            raise wrong_answer(status, counter.length)


class UpMemory(StreamMemory):
    """While a body leaves."""

    def exchange(self, size: int) -> None:
        upload = Upload(PATTERN, size // len(PATTERN))
        status, body = self.client.upload(self.url, upload)
        if status != 200 or not bytes(body).startswith(b"%d:" % upload.length):
            raise Wrong(f"the server tells {status} {bytes(body)!r} of an upload of {upload.length} octets")
