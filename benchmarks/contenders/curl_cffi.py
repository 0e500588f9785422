"""curl_cffi."""

from __future__ import annotations

from typing import Any

from curl_cffi import AsyncSession, CurlHttpVersion, CurlOpt, Session

from contenders.base import Answer, Settings, Sink, Unsupported, Upload


def _options(settings: Settings) -> dict[str, Any]:
    version = CurlHttpVersion.V2TLS if settings.is_http2 else CurlHttpVersion.V1_1
    return {"verify": settings.ca_file, "http_version": version, "trust_env": False}


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._session: Any = Session(curl_options={CurlOpt.MAXCONNECTS: settings.connections}, **_options(settings))

    def get(self, url: str) -> Answer:
        response = self._session.get(url)
        return response.status_code, response.content

    def download(self, url: str, sink: Sink) -> int:
        response = self._session.get(url, content_callback=sink_only(sink))
        return int(response.status_code)

    def upload(self, url: str, upload: Upload) -> Answer:
        raise Unsupported("curl_cffi takes request bodies whole")

    def close(self) -> None:
        self._session.close()


def sink_only(sink: Sink) -> Any:
    """The callback must return nothing, or how much it took."""
    return lambda piece: sink(piece) and None


class Async:
    def __init__(self, settings: Settings) -> None:
        # One handle for each request under way; over HTTP/2 they share a connection.
        clients = 1000 if settings.is_http2 else settings.connections
        self._session: Any = AsyncSession(max_clients=clients, **_options(settings))

    async def get(self, url: str) -> Answer:
        response = await self._session.get(url)
        return response.status_code, response.content

    async def download(self, url: str, sink: Sink) -> int:
        async with self._session.stream("GET", url) as response:
            async for piece in response.aiter_content():
                sink(piece)
        return int(response.status_code)

    async def upload(self, url: str, upload: Upload) -> Answer:
        raise Unsupported("curl_cffi takes request bodies whole")

    async def close(self) -> None:
        await self._session.close()


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)
