"""zapros, over its own network handlers."""

from __future__ import annotations

import ssl
from typing import Any

import zapros

from contenders.base import Answer, Settings, Sink, Unsupported, Upload


def _handler(settings: Settings, handler: Any, transport: Any) -> Any:
    if settings.is_http2 and not settings.is_secure:
        raise Unsupported("zapros speaks HTTP/2 over TLS")
    size = settings.connections
    http1 = False if settings.is_http2 else {"max_connections_per_host": size, "max_idle_connections_per_host": size}
    options = {"ssl_context": ssl.create_default_context(cafile=settings.ca_file)} if settings.is_secure else {}
    return handler(transport=transport(**options), http1=http1, http2=settings.is_http2)


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._client = zapros.Client(_handler(settings, zapros.StdNetworkHandler, zapros.SyncTransport))

    def get(self, url: str) -> Answer:
        response = self._client.get(url)
        return response.status, response.read()

    def download(self, url: str, sink: Sink) -> int:
        response: Any
        with self._client.stream("GET", url) as response:
            for piece in response.iter_bytes(64 * 1024):
                sink(piece)
        return int(response.status)

    def upload(self, url: str, upload: Upload) -> Answer:
        response = self._client.post(url, body=upload.pieces())
        return response.status, response.read()

    def close(self) -> None:
        self._client.close()


class Async:
    def __init__(self, settings: Settings) -> None:
        self._client = zapros.AsyncClient(_handler(settings, zapros.AsyncStdNetworkHandler, zapros.AsyncIOTransport))

    async def get(self, url: str) -> Answer:
        response = await self._client.get(url)
        return response.status, await response.aread()

    async def download(self, url: str, sink: Sink) -> int:
        response: Any
        async with self._client.stream("GET", url) as response:
            async for piece in response.async_iter_bytes(64 * 1024):
                sink(piece)
        return int(response.status)

    async def upload(self, url: str, upload: Upload) -> Answer:
        response = await self._client.post(url, body=upload.async_pieces())
        return response.status, await response.aread()

    async def close(self) -> None:
        await self._client.aclose()


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)
