"""httpcore, what httpx stands on."""

from __future__ import annotations

import ssl
from typing import Any

import httpcore

from contenders.base import Answer, Settings, Sink, Upload


def _options(settings: Settings) -> dict[str, Any]:
    size = settings.connections
    options: dict[str, Any] = {
        "http1": not settings.is_http2,
        "http2": settings.is_http2,
        "max_connections": size,
        "max_keepalive_connections": size,
    }
    if settings.is_secure:
        options["ssl_context"] = ssl.create_default_context(cafile=settings.ca_file)
    return options


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._pool = httpcore.ConnectionPool(**_options(settings))

    def get(self, url: str) -> Answer:
        response = self._pool.request("GET", url)
        return response.status, response.content

    def download(self, url: str, sink: Sink) -> int:
        with self._pool.stream("GET", url) as response:
            for piece in response.iter_stream():
                sink(piece)
        return response.status

    def upload(self, url: str, upload: Upload) -> Answer:
        response = self._pool.request("POST", url, content=upload.pieces(), headers=_CHUNKED)
        return response.status, response.content

    def close(self) -> None:
        self._pool.close()


class Async:
    def __init__(self, settings: Settings) -> None:
        self._pool = httpcore.AsyncConnectionPool(**_options(settings))

    async def get(self, url: str) -> Answer:
        response = await self._pool.request("GET", url)
        return response.status, response.content

    async def download(self, url: str, sink: Sink) -> int:
        async with self._pool.stream("GET", url) as response:
            async for piece in response.aiter_stream():
                sink(piece)
        return response.status

    async def upload(self, url: str, upload: Upload) -> Answer:
        response = await self._pool.request("POST", url, content=upload.async_pieces(), headers=_CHUNKED)
        return response.status, response.content

    async def close(self) -> None:
        await self._pool.aclose()


_CHUNKED: Any = {"transfer-encoding": "chunked"}


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)
