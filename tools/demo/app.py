"""The application that the demo's server runs: a few paths, over whatever the server speaks."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
PIECE = b"reqivo! " * 2048
SERVICE_RESTART = 1012


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer. The event ``scope["leaving"]`` is set when the server is about to leave."""
    if scope["type"] == "websocket":
        await _websocket(scope, receive, send)
    elif scope["type"] == "http":
        name = scope["path"].strip("/").partition("/")[0] or "hello"
        await _PATHS.get(name, _missing)(scope, receive, send)


async def _answer(send: Send, status: int, body: bytes = b"", *headers: tuple[bytes, bytes]) -> None:
    fields = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> tuple[int, bytes]:
    """Read the request's body; its length and its beginning."""
    length, beginning = 0, b""
    while True:
        message = await receive()
        piece = message.get("body", b"")
        length += len(piece)
        beginning = (beginning + piece)[:1000]
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return length, beginning


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    await _answer(send, 200, b"Hello, world", (b"content-type", b"text/plain; charset=utf-8"))


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    length, beginning = await _body(receive)
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    told = {"method": scope["method"], "length": length, "body": beginning.decode("latin-1"), "query": query}
    body = json.dumps({**told, "headers": headers, "http_version": scope["http_version"]}).encode()
    await _answer(send, 200, body, (b"content-type", b"application/json"))


async def _stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Send as many pieces as the path says, without a length."""
    count = int(scope["path"].rpartition("/")[2])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(count):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _gzip(scope: Scope, receive: Receive, send: Send) -> None:
    await _answer(send, 200, gzip.compress(PIECE * 20), (b"content-encoding", b"gzip"))


async def _login(scope: Scope, receive: Receive, send: Send) -> None:
    cookie = (b"set-cookie", b"user=ada; Path=/; HttpOnly; SameSite=Lax")
    await _answer(send, 303, b"", (b"location", b"/home"), cookie)


async def _home(scope: Scope, receive: Receive, send: Send) -> None:
    cookies = dict(scope["headers"]).get(b"cookie", b"")
    await _answer(send, 200 if cookies == b"user=ada" else 403, cookies)


async def _slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for the client to lose its patience."""
    await _body(receive)
    try:
        await asyncio.wait_for(receive(), 20)
    except TimeoutError:
        await _answer(send, 200, b"at last")


async def _page(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a page, and push what it will want where that is possible."""
    if "http.response.push" in (scope.get("extensions") or {}):
        for path in ("/style", "/script"):
            await send({"type": "http.response.push", "path": path, "headers": []})
    await _answer(send, 200, b"<link rel=stylesheet href=/style><script src=/script></script>")


async def _style(scope: Scope, receive: Receive, send: Send) -> None:
    await _answer(send, 200, b"body { margin: 2em }", (b"content-type", b"text/css"))


async def _script(scope: Scope, receive: Receive, send: Send) -> None:
    await _answer(send, 200, b"'use strict'", (b"content-type", b"text/javascript"))


async def _missing(scope: Scope, receive: Receive, send: Send) -> None:
    await _answer(send, 404, b"there is no such path")


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Send everything back; where the path asks for it, greet instead, and say goodbye when the server leaves."""
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"].endswith("/greeting"):
        await send({"type": "websocket.send", "text": "welcome"})
        # hypercorn would wait for the client, on Python 3.12 for ever.
        await scope["leaving"].wait()
        await send({"type": "websocket.close", "code": SERVICE_RESTART})
        return
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


_PATHS: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    "hello": _hello,
    "echo": _echo,
    "stream": _stream,
    "gzip": _gzip,
    "login": _login,
    "home": _home,
    "slow": _slow,
    "page": _page,
    "style": _style,
    "script": _script,
}
