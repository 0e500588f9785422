"""requests; and niquests, which looks like it, and speaks HTTP/2 and async as well."""

from __future__ import annotations

import importlib
from typing import Any

from contenders.base import Answer, Settings, Sink, Unsupported, Upload

PIECE = 64 * 1024


def _session(settings: Settings, name: str) -> Any:
    library = importlib.import_module(settings.library)
    if settings.library == "niquests":
        options = {"disable_http2": not settings.is_http2, "disable_http3": True, "disable_ipv6": True}
        size = settings.connections
        session = getattr(library, name)(pool_connections=size, pool_maxsize=size, **options)
    elif settings.is_http2 or name != "Session":
        raise Unsupported("requests is blocking, and speaks HTTP/1.1")
    else:
        session = library.Session()
        size = settings.connections
        session.mount("http://", library.adapters.HTTPAdapter(pool_connections=size, pool_maxsize=size))
        session.mount("https://", library.adapters.HTTPAdapter(pool_connections=size, pool_maxsize=size))
    session.trust_env = False  # its look for a .netrc and proxies at each request is not what is measured
    session.verify = settings.ca_file
    return session


class Sync:
    def __init__(self, settings: Settings) -> None:
        self._session = _session(settings, "Session")

    def get(self, url: str) -> Answer:
        response = self._session.get(url)
        return response.status_code, response.content

    def download(self, url: str, sink: Sink) -> int:
        with self._session.get(url, stream=True) as response:
            for piece in response.iter_content(PIECE):
                sink(piece)
        return response.status_code  # type: ignore[no-any-return]  # the library is imported by name

    def upload(self, url: str, upload: Upload) -> Answer:
        response = self._session.post(url, data=upload.pieces())
        return response.status_code, response.content

    def close(self) -> None:
        self._session.close()


class Async:
    def __init__(self, settings: Settings) -> None:
        if settings.has_to_queue:
            raise Unsupported("its AsyncSession does not queue requests for a connection")
        self._session = _session(settings, "AsyncSession")

    async def get(self, url: str) -> Answer:
        response = await self._session.get(url)
        return response.status_code, response.content

    async def download(self, url: str, sink: Sink) -> int:
        response = await self._session.get(url, stream=True)
        async for piece in await response.iter_content(PIECE):
            sink(piece)
        await response.close()
        return response.status_code  # type: ignore[no-any-return]  # the library is imported by name

    async def upload(self, url: str, upload: Upload) -> Answer:
        response = await self._session.post(url, data=upload.async_pieces())
        return response.status_code, response.content

    async def close(self) -> None:
        await self._session.close()


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)


async def async_client(settings: Settings) -> Async:
    return Async(settings)
