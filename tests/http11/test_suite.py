"""The suite that every transport can be put to, put to HTTP/1.1."""

from collections.abc import Iterator
from contextlib import contextmanager

from http11.suite_server import serve_http
from reqivo_core.testing.transport_suite import TransportSuite
from support.streamed import StreamServer


class TestHttp11(TransportSuite):
    """Plain, in three worlds."""

    worlds = ("blocking", "asyncio", "trio")
    upgrades = True
    unreachable = "http://127.0.0.1:1"

    @contextmanager
    def serve(self) -> Iterator[str]:
        with StreamServer(serve_http) as server:
            yield f"http://127.0.0.1:{server.port}"
