"""Streams, and a clock, of the tests' own, for what no server could be made to do at the right moment."""

from __future__ import annotations

import asyncio
from typing import Any

from reqivo_core import NetworkStream
from reqivo_core.errors import ReadTimeout, WriteError
from reqivo_core.runtime.blocking import BlockingRuntime


class FakeStream(NetworkStream):
    """A stream that gives what it was given, and lets writes fail or seem to block."""

    def __init__(self, *incoming: bytes) -> None:
        self.incoming = list(incoming)
        self.written: list[bytes] = []
        self.takes = True
        self.breaks = False
        self.is_closed = False

    @property
    def opcodes(self) -> list[int]:
        """Of the frames that were written."""
        return [data[0] & 0x0F for data in self.written]

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        if self.incoming:
            return self.incoming.pop(0)
        raise ReadTimeout("nothing")

    async def write(self, data: Any, timeout: float | None) -> None:
        if self.breaks:
            raise WriteError("broken")
        self.written.append(bytes(data))

    async def start_tls(self, *arguments: Any) -> NetworkStream:
        raise NotImplementedError

    def close(self) -> None:
        self.is_closed = True

    def is_readable(self) -> bool:
        return bool(self.incoming)

    def is_writable(self) -> bool:
        return self.takes


class Suspending(FakeStream):
    """A stream in asyncio whose octets come, and leave, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.comes: asyncio.Queue[bytes] = asyncio.Queue()
        self.may_leave = asyncio.Event()
        self.is_leaving = asyncio.Event()

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        return await self.comes.get()

    async def write(self, data: Any, timeout: float | None) -> None:
        self.is_leaving.set()
        await self.may_leave.wait()
        await super().write(data, timeout)


class Clock(BlockingRuntime):
    """The blocking world, by a clock of the test's."""

    time = 0.0

    def now(self) -> float:
        return self.time
