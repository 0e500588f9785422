"""reqivo itself. Its codecs are chosen at import, by the environment of the process."""

from __future__ import annotations

from typing import Any

import reqivo
from contenders.base import Answer, Settings, Sink, Unsupported, Upload


def _options(settings: Settings) -> dict[str, Any]:
    limits = reqivo.Limits(max_connections=settings.connections, max_idle=settings.connections)
    options: dict[str, Any] = {"limits": limits, "http2": settings.is_http2}
    if settings.is_secure:
        options["verify"] = settings.ca_file
    if settings.has_to_queue:
        options["timeout"] = reqivo.Timeout(pool=None)
    return options


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._session = reqivo.Session(**_options(settings))

    def get(self, url: str) -> Answer:
        response = self._session.get(url)
        return response.status_code, response.content

    def download(self, url: str, sink: Sink) -> int:
        with self._session.stream("GET", url) as response:
            for piece in response.iter_bytes():
                sink(piece)
        return response.status_code

    def upload(self, url: str, upload: Upload) -> Answer:
        response = self._session.post(url, body=upload.pieces())
        return response.status_code, response.content

    def close(self) -> None:
        self._session.close()


class Async:
    def __init__(self, settings: Settings) -> None:
        self._session = reqivo.AsyncSession(**_options(settings))

    async def get(self, url: str) -> Answer:
        response = await self._session.get(url)
        return response.status_code, response.content

    async def download(self, url: str, sink: Sink) -> int:
        async with self._session.stream("GET", url) as response:
            async for piece in response.aiter_bytes():
                sink(piece)
        return response.status_code

    async def upload(self, url: str, upload: Upload) -> Answer:
        response = await self._session.post(url, body=upload.pieces())
        return response.status_code, response.content

    async def close(self) -> None:
        await self._session.close()


class SyncSocket:
    def __init__(self, url: str) -> None:
        self._socket = _websocket("WebSocket")(url)
        self._socket.connect()

    def echo(self, message: bytes) -> bytes:
        self._socket.send(message)
        return self._socket.recv()  # type: ignore[no-any-return]  # bytes for bytes

    def close(self) -> None:
        self._socket.close()


class AsyncSocket:
    def __init__(self, url: str) -> None:
        self._socket = _websocket("AsyncWebSocket")(url)

    async def connect(self) -> AsyncSocket:
        await self._socket.connect()
        return self

    async def echo(self, message: bytes) -> bytes:
        await self._socket.send(message)
        return await self._socket.recv()  # type: ignore[no-any-return]  # bytes for bytes

    async def close(self) -> None:
        await self._socket.close()


def _websocket(name: str) -> Any:
    found = getattr(reqivo, name, None)
    if found is None:
        raise Unsupported(f"this reqivo has no {name}")
    return found


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)


def sync_socket(settings: Settings, url: str) -> SyncSocket:
    return SyncSocket(url)


async def async_socket(settings: Settings, url: str) -> AsyncSocket:
    return await AsyncSocket(url).connect()
