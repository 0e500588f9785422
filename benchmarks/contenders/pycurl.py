"""pycurl: one easy handle, which keeps its connections."""

from __future__ import annotations

from io import BytesIO

import pycurl

from contenders.base import Answer, Settings, Sink, Unsupported, Upload


class Sync:
    def __init__(self, settings: Settings) -> None:
        if settings.has_threads:
            raise Unsupported("an easy handle serves one thread at a time")
        self._curl = pycurl.Curl()
        self._curl.setopt(pycurl.CAINFO, settings.ca_file)
        self._curl.setopt(pycurl.MAXCONNECTS, settings.connections)
        version = pycurl.CURL_HTTP_VERSION_2TLS if settings.is_http2 else pycurl.CURL_HTTP_VERSION_1_1
        self._curl.setopt(pycurl.HTTP_VERSION, version)
        self._curl.setopt(pycurl.BUFFERSIZE, 256 * 1024)

    def get(self, url: str) -> Answer:
        body = BytesIO()
        status = self.download(url, body.write)
        return status, body.getvalue()

    def download(self, url: str, sink: Sink) -> int:
        curl = self._curl
        curl.setopt(pycurl.URL, url)
        # What it returns must be None, or how much it took: sinks return anything.
        curl.setopt(pycurl.WRITEFUNCTION, lambda piece: sink(piece) and None)
        curl.perform()
        return int(curl.getinfo(pycurl.RESPONSE_CODE))

    def upload(self, url: str, upload: Upload) -> Answer:
        curl, body, pieces = self._curl, BytesIO(), upload.pieces()
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, len(upload.piece))
        curl.setopt(pycurl.HTTPHEADER, ["Transfer-Encoding: chunked", "Expect:"])
        curl.setopt(pycurl.WRITEFUNCTION, body.write)
        rest = b""

        def read(size: int) -> bytes:
            nonlocal rest
            rest = rest or next(pieces, b"")
            taken, rest = rest[:size], rest[size:]
            return taken

        curl.setopt(pycurl.READFUNCTION, read)
        curl.perform()
        return int(curl.getinfo(pycurl.RESPONSE_CODE)), body.getvalue()

    def close(self) -> None:
        self._curl.close()


def sync_client(settings: Settings) -> Sync:
    return Sync(settings)
