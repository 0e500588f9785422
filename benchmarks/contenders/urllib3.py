"""urllib3."""

from __future__ import annotations

import urllib3

from contenders.base import Answer, Settings, Sink, Unsupported, Upload

PIECE = 64 * 1024


class Sync:
    def __init__(self, settings: Settings) -> None:
        if settings.is_http2:
            raise Unsupported("urllib3 speaks HTTP/1.1")
        size = settings.connections
        self._pool = urllib3.PoolManager(num_pools=size, maxsize=size, ca_certs=settings.ca_file)

    def get(self, url: str) -> Answer:
        response = self._pool.request("GET", url)
        return response.status, response.data

    def download(self, url: str, sink: Sink) -> int:
        response = self._pool.request("GET", url, preload_content=False)
        for piece in response.stream(PIECE):
            sink(piece)
        response.release_conn()
        return response.status

    def upload(self, url: str, upload: Upload) -> Answer:
        response = self._pool.request("POST", url, body=upload.pieces(), chunked=True)
        return response.status, response.data

    def close(self) -> None:
        self._pool.clear()


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)
