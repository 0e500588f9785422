"""websockets, both its faces."""

from __future__ import annotations

from typing import Any

from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect as connect_sync

from contenders.base import Settings


class SyncSocket:
    def __init__(self, url: str) -> None:
        self._socket: Any = connect_sync(url, max_size=None)

    def echo(self, message: bytes) -> bytes:
        self._socket.send(message)
        return self._socket.recv()  # type: ignore[no-any-return]  # bytes for bytes

    def close(self) -> None:
        self._socket.close()


class AsyncSocket:
    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def echo(self, message: bytes) -> bytes:
        await self._socket.send(message)
        return await self._socket.recv()  # type: ignore[no-any-return]  # bytes for bytes

    async def close(self) -> None:
        await self._socket.close()


def sync_socket(settings: Settings, url: str) -> SyncSocket:
    return SyncSocket(url)


async def async_socket(settings: Settings, url: str) -> AsyncSocket:
    return AsyncSocket(await connect_async(url, max_size=None))
