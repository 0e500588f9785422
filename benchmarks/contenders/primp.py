"""primp."""

from __future__ import annotations

from typing import Any

import primp

from contenders.base import Answer, Settings, Sink, Unsupported, Upload


def _options(settings: Settings) -> dict[str, Any]:
    if settings.has_to_queue:
        raise Unsupported("primp has no limit of connections")
    if settings.is_secure and not settings.is_http2:
        raise Unsupported("primp cannot be kept from HTTP/2")
    options: dict[str, Any] = {"http2_only": settings.is_http2}
    if settings.is_secure:
        options["ca_cert_file"] = settings.ca_file
    return options


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._client = primp.Client(**_options(settings))

    def get(self, url: str) -> Answer:
        response = self._client.get(url)
        return response.status_code, response.content

    def download(self, url: str, sink: Sink) -> int:
        response = self._client.get(url, stream=True)
        for piece in response.iter_bytes():
            sink(piece)
        return response.status_code

    def upload(self, url: str, upload: Upload) -> Answer:
        raise Unsupported("primp takes request bodies whole")

    def close(self) -> None:
        del self._client


class Async:
    def __init__(self, settings: Settings) -> None:
        self._client = primp.AsyncClient(**_options(settings))

    async def get(self, url: str) -> Answer:
        response: Any = await self._client.get(url)
        return response.status_code, response.content

    async def download(self, url: str, sink: Sink) -> int:
        response: Any = await self._client.get(url, stream=True)
        async for piece in response.aiter_bytes():
            sink(piece)
        return int(response.status_code)

    async def upload(self, url: str, upload: Upload) -> Answer:
        raise Unsupported("primp takes request bodies whole")

    async def close(self) -> None:
        del self._client


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)
