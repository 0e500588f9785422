"""pyqwest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyqwest

from contenders.base import Answer, Settings, Sink, Unsupported, Upload


def _options(settings: Settings) -> dict[str, Any]:
    if settings.has_to_queue:
        raise Unsupported("pyqwest has no limit of connections")
    version = pyqwest.HTTPVersion.HTTP2 if settings.is_http2 else pyqwest.HTTPVersion.HTTP1
    options: dict[str, Any] = {"http_version": version, "pool_max_idle_per_host": settings.connections}
    if settings.is_secure:
        options["tls_ca_cert"] = Path(settings.ca_file).read_bytes()
    return options


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._transport = pyqwest.SyncHTTPTransport(**_options(settings))
        self._client = pyqwest.SyncClient(self._transport)

    def get(self, url: str) -> Answer:
        response = self._client.get(url)
        return response.status, response.content

    def download(self, url: str, sink: Sink) -> int:
        with self._client.stream("GET", url) as response:
            for piece in response.content:
                sink(piece)
            return response.status

    def upload(self, url: str, upload: Upload) -> Answer:
        response = self._client.post(url, content=upload.pieces())
        return response.status, response.content

    def close(self) -> None:
        self._transport.close()


class Async:
    def __init__(self, settings: Settings) -> None:
        self._transport = pyqwest.HTTPTransport(**_options(settings))
        self._client = pyqwest.Client(self._transport)

    async def get(self, url: str) -> Answer:
        response = await self._client.get(url)
        return response.status, response.content

    async def download(self, url: str, sink: Sink) -> int:
        async with self._client.stream("GET", url) as response:
            async for piece in response.content:
                sink(piece)
            return response.status

    async def upload(self, url: str, upload: Upload) -> Answer:
        response = await self._client.post(url, content=upload.async_pieces())
        return response.status, response.content

    async def close(self) -> None:
        await self._transport.aclose()


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)
