"""The suite that every transport can be put to, put to HTTP/2."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reqivo_core.testing.suite_app import answer
from reqivo_core.testing.transport_suite import TransportSuite
from support.servers import AsgiServer


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer as the suite wants it."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    told = answer(scope["method"], scope["path"], headers, bytes(body))
    fields = [(name.encode(), value.encode()) for name, value in told.headers.items()]
    fields.append((b"content-length", str(told.length).encode()))
    await send({"type": "http.response.start", "status": told.status, "headers": fields})
    for piece in told.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if told.ending == "stall":
        await receive()
    # Where more was announced than sent, this ends the stream early: a violation that the client has to notice.
    await send({"type": "http.response.body", "body": b""})


class TestHttp2(TransportSuite):
    """With prior knowledge, in three worlds."""

    worlds = ("blocking", "asyncio", "trio")
    is_shared = True
    unreachable = "http://127.0.0.1:1"
    session_options = {"http2": True}

    @contextmanager
    def serve(self) -> Iterator[str]:
        with AsgiServer(app) as server:
            yield f"http://127.0.0.1:{server.port}"
