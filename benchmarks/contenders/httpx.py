"""httpx and httpx2, which look alike."""

from __future__ import annotations

import importlib
import ssl
from typing import Any

from contenders.base import Answer, Settings, Sink, Upload


def _options(settings: Settings) -> dict[str, Any]:
    library = importlib.import_module(settings.library)
    size = settings.connections
    options: dict[str, Any] = {
        "http2": settings.is_http2,
        "http1": not settings.is_http2,
        "limits": library.Limits(max_connections=size, max_keepalive_connections=size),
        "timeout": library.Timeout(30, pool=None),
    }
    if settings.is_secure:
        options["verify"] = ssl.create_default_context(cafile=settings.ca_file)
    return options


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._client = importlib.import_module(settings.library).Client(**_options(settings))

    def get(self, url: str) -> Answer:
        response = self._client.get(url)
        return response.status_code, response.content

    def download(self, url: str, sink: Sink) -> int:
        with self._client.stream("GET", url) as response:
            for piece in response.iter_bytes():
                sink(piece)
        return response.status_code  # type: ignore[no-any-return]  # the library is imported by name

    def upload(self, url: str, upload: Upload) -> Answer:
        response = self._client.post(url, content=upload.pieces())
        return response.status_code, response.content

    def close(self) -> None:
        self._client.close()


class Async:
    def __init__(self, settings: Settings) -> None:
        self._client = importlib.import_module(settings.library).AsyncClient(**_options(settings))

    async def get(self, url: str) -> Answer:
        response = await self._client.get(url)
        return response.status_code, response.content

    async def download(self, url: str, sink: Sink) -> int:
        async with self._client.stream("GET", url) as response:
            async for piece in response.aiter_bytes():
                sink(piece)
        return response.status_code  # type: ignore[no-any-return]  # the library is imported by name

    async def upload(self, url: str, upload: Upload) -> Answer:
        response = await self._client.post(url, content=upload.async_pieces())
        return response.status_code, response.content

    async def close(self) -> None:
        await self._client.aclose()


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)
