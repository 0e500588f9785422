"""A connection of the asyncio runtime's and its other end, and waiting for what no event tells of."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from reqivo_core.interfaces import Address
from reqivo_core.runtime.asyncio import AsyncioRuntime, AsyncioStream

RUNTIME = AsyncioRuntime()


@contextlib.asynccontextmanager
async def connected(listener: socket.socket) -> AsyncIterator[tuple[AsyncioStream, socket.socket]]:
    stream = await RUNTIME.connect_tcp([Address(*listener.getsockname())], 5)
    assert isinstance(stream, AsyncioStream)
    peer, _ = listener.accept()
    peer.settimeout(10)
    try:
        yield stream, peer
    finally:
        stream.close()
        peer.close()


def arrive(stream: AsyncioStream, octets: bytes) -> None:
    """Do what the loop does when octets have come."""
    stream.get_buffer(-1)[: len(octets)] = octets
    stream.buffer_updated(len(octets))


async def ticks(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # nothing signals it
            await asyncio.sleep(0.001)
