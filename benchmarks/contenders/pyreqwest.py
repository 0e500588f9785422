"""pyreqwest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyreqwest.client import ClientBuilder, SyncClientBuilder

from contenders.base import Answer, Settings, Sink, Upload


def _configured(builder: Any, settings: Settings) -> Any:
    builder = builder.http2(True) if settings.is_http2 else builder.http1_only()
    if settings.is_secure:
        builder = builder.add_root_certificate_pem(Path(settings.ca_file).read_bytes())
    if settings.has_to_queue:
        builder = builder.max_connections(settings.connections)
    return builder.pool_max_idle_per_host(settings.connections).no_proxy().build()


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._client = _configured(SyncClientBuilder(), settings)

    def get(self, url: str) -> Answer:
        response = self._client.get(url).build().send()
        return response.status, response.bytes()

    def download(self, url: str, sink: Sink) -> int:
        with self._client.get(url).build_streamed() as response:
            reader = response.body_reader
            while (piece := reader.read_chunk()) is not None:
                sink(piece)
            return int(response.status)

    def upload(self, url: str, upload: Upload) -> Answer:
        response = self._client.post(url).body_stream(upload.pieces()).build().send()
        return response.status, response.bytes()

    def close(self) -> None:
        self._client.close()


class Async:
    def __init__(self, settings: Settings) -> None:
        self._client = _configured(ClientBuilder(), settings)

    async def get(self, url: str) -> Answer:
        response = await self._client.get(url).build().send()
        return response.status, await response.bytes()

    async def download(self, url: str, sink: Sink) -> int:
        async with self._client.get(url).build_streamed() as response:
            reader = response.body_reader
            while (piece := await reader.read_chunk()) is not None:
                sink(piece)
            return int(response.status)

    async def upload(self, url: str, upload: Upload) -> Answer:
        response = await self._client.post(url).body_stream(upload.async_pieces()).build().send()
        return response.status, await response.bytes()

    async def close(self) -> None:
        await self._client.close()


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)
