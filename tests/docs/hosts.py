"""The hosts of the Internet that the examples name, all on this machine.

One server on loopback answers for all of them, over TLS with a certificate that holds their names; a proxy leads there.
So an example runs as it stands, in a process whose environment names that proxy and the authority to trust.

=======================  ========================================================================
``httpbin.org``          httpbin itself; ``/delay/<n>`` takes a tenth of its time up to 3 s
``www.example.com``      a page with a style sheet and a script, which it pushes where it can
``api.example.com``      users, items and what else the examples ask of an API: see ``_ROUTES``
``api.external.com``     says which path was asked for
``upload.example.com``   counts what is sent to it
``clients.example.com``  lets in whoever shows a client's certificate
``echo.websocket.org``   a WebSocket that says everything back
=======================  ========================================================================
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from support.asgi_app import Exchange, Receive, Scope, Send, events, fixed, upload
from support.certs import Authority
from support.proxy import ProxyServer
from support.servers import AsgiServer
from support.wsgi import WsgiApp, httpbin

NAMES = (
    "httpbin.org",
    "example.org",
    "www.example.com",
    "api.example.com",
    "api.external.com",
    "upload.example.com",
    "clients.example.com",
    "echo.websocket.org",
)
_SHORT = 3
_HTML = [("content-type", "text/html; charset=utf-8")]
_PAGE = (
    b"<!doctype html><title>Example Domain</title><link rel=stylesheet href=/style.css><script src=/app.js></script>\n"
)
_FILES = {"/style.css": ("text/css", b"body { margin: 2em }\n"), "/app.js": ("text/javascript", b"'use strict'\n")}


class Internet:
    """The server and the proxy before it.

    Attributes:
        environ: The environment in which examples find the hosts.
        certificate: What a client that is known shows, as files by their names.
        log: The requests that came, as ``GET https://httpbin.org/get``.
    """

    def __init__(self, authority: Authority) -> None:
        issued, alpn = authority.issue(*NAMES), ["h2", "http/1.1"]
        self.server = AsgiServer(self._answer, tls=issued.server_context(alpn))
        self._choosy = AsgiServer(self._answer, tls=issued.server_context(alpn, client_ca=authority.path))
        known = authority.client()
        files = {"client.pem": known.path, "client.key": known.key, "both.pem": known.combined}
        self.certificate = {name: path.read_bytes() for name, path in files.items()}
        self.log: list[str] = []
        self._httpbin = WsgiApp(httpbin(), self.server.halted)
        self._authority = authority

    def __enter__(self) -> Internet:
        self.server.start()
        self._choosy.start()
        routes = {f"{name}:443": self.server.address for name in NAMES}
        self.proxy = ProxyServer(routes | {"clients.example.com:443": self._choosy.address})
        self.proxy.start()
        self.environ = self.proxy.environ(self._authority.path) | {"ALL_PROXY": self.proxy.proxy_url}
        return self

    def __exit__(self, *exc: object) -> None:
        self.proxy.stop()
        self._choosy.stop()
        self.server.stop()

    @property
    def tunnels(self) -> list[str]:
        """The connections that were made, each by the name of its host."""
        return [authority.removesuffix(":443") for authority in self.proxy.tunnels]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        exchange = Exchange(scope, receive, send)
        host = exchange.header("host")
        target = scope["raw_path"].decode() + ("?" if scope["query_string"] else "") + scope["query_string"].decode()
        self.log.append(f"{scope.get('method', 'GET')} {scope['scheme']}://{host}{target}")
        try:
            if scope["type"] == "websocket":
                await _websocket(scope, receive, send)
            elif host == "httpbin.org":
                await self._answer_as_httpbin(exchange, scope, receive, send)
            else:
                await _route(host, exchange)
        except ConnectionResetError:
            pass  # the client left, as one does whose time is up

    async def _answer_as_httpbin(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        delay = re.fullmatch(r"/delay/(\d+)", scope["path"])
        if delay:
            seconds = float(delay[1])
            await exchange.pause(seconds / 10 if seconds <= _SHORT else seconds)
            scope = {**scope, "path": "/delay/0", "raw_path": b"/delay/0"}

            async def nothing() -> dict[str, Any]:
                return {"type": "http.request", "body": b"", "more_body": False}

            receive = nothing
        await self._httpbin(scope, receive, send)


async def _route(host: str, exchange: Exchange) -> None:
    place = host + exchange.scope["path"]
    for pattern, handler in _ROUTES:
        if found := re.fullmatch(pattern, place):
            return await handler(exchange, *found.groups())
    await exchange.answer(404, b'{"error": "no such thing"}\n', [("content-type", "application/json")])


async def _body(exchange: Exchange) -> bytes:
    parts = []
    while (part := await exchange.chunk()) is not None:
        parts.append(part)
    return b"".join(parts)


async def _home(exchange: Exchange) -> None:
    if "http.response.push" in exchange.extensions:
        for path in _FILES:
            await exchange.message("http.response.push", path=path, headers=[])
    await exchange.answer(200, _PAGE, _HTML)


async def _file(exchange: Exchange, path: str) -> None:
    kind, data = _FILES[path]
    await exchange.answer(200, data, [("content-type", kind), ("cache-control", "max-age=60")])


async def _search(exchange: Exchange) -> None:
    await exchange.json({"query": exchange.query, "results": []})


async def _users(exchange: Exchange) -> None:
    if exchange.method == "POST":
        await exchange.json({"id": 3, **json.loads(await _body(exchange))})
    else:
        await exchange.json([{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}])


async def _user(exchange: Exchange, number: str) -> None:
    await exchange.json({"id": int(number), "name": f"User {number}"})


async def _item(exchange: Exchange, number: str) -> None:
    await exchange.json({"item": int(number)})


async def _data(exchange: Exchange) -> None:
    await exchange.json({"data": [1, 2, 3]})


async def _me(exchange: Exchange) -> None:
    scheme, _, token = exchange.header("authorization").partition(" ")
    if scheme == "Bearer" and token:
        await exchange.json({"name": "Ada"})
    else:
        await exchange.answer(401, b"who are you?\n", [("www-authenticate", "Bearer")])


async def _known(exchange: Exchange) -> None:
    await exchange.json({"known": True})


async def _slow(exchange: Exchange) -> None:
    await exchange.pause(30)


async def _short(exchange: Exchange) -> None:
    """Announce more than is sent."""
    await exchange.digest()
    await exchange.start(200, [("content-length", "1000")])
    await exchange.body(b"only the beginning", more=False)


async def _large(exchange: Exchange) -> None:
    """Break off in the middle, unless the rest is asked for."""
    whole = bytes(range(256)) * 400
    await exchange.digest()
    found = re.fullmatch(r"bytes=(\d+)-", exchange.header("range"))
    fields = [("etag", '"v1"'), ("accept-ranges", "bytes")]
    if found is None:
        await exchange.start(200, [*fields, ("content-length", str(len(whole)))])
        await exchange.body(whole[: len(whole) // 2])
        await exchange.pause(0.1)  # let it be read before the end comes
        await exchange.body(more=False)
        return
    first = int(found[1])
    await exchange.answer(
        206, whole[first:], [*fields, ("content-range", f"bytes {first}-{len(whole) - 1}/{len(whole)}")]
    )


async def _broken(exchange: Exchange) -> None:
    await exchange.answer(503, b"try again later\n", [("retry-after", "0")])


async def _export(exchange: Exchange) -> None:
    lines = (f'{{"row": {number}}}\n'.encode() for number in range(1, 1001))
    await exchange.stream(lines, [("content-type", "application/x-ndjson")])


async def _external(exchange: Exchange, path: str) -> None:
    await exchange.json({"path": path, "from": "api.external.com"})


_ROUTES: list[tuple[str, Callable[..., Awaitable[None]]]] = [
    (r"(?:www\.example\.com|example\.org)/", _home),
    (r"www\.example\.com(/style\.css|/app\.js)", _file),
    (r"api\.example\.com(?:/v1)?/search", _search),
    (r"api\.example\.com(?:/v1)?/users", _users),
    (r"api\.example\.com(?:/v1)?/users/(\d+)", _user),
    (r"api\.example\.com(?:/v1)?/export", _export),
    (r"api\.example\.com(?:/v1)?/slow", _slow),
    (r"api\.example\.com/item/(\d+)", _item),
    (r"api\.example\.com/data", _data),
    (r"api\.example\.com/me", _me),
    (r"api\.example\.com/short", _short),
    (r"api\.example\.com/large", _large),
    (r"api\.example\.com/broken", _broken),
    (r"api\.example\.com/events", events),
    (r"api\.example\.com/bytes/(\d+)", fixed),
    (r"api\.external\.com/(.*)", _external),
    (r"upload\.example\.com/files", upload),
    (r"clients\.example\.com/", _known),
]


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Say everything back; ``/ws`` answers with two updates and ends, ``/status/<code>`` refuses with that status."""
    await receive()
    if scope["path"].startswith("/status/"):
        status = int(scope["path"].removeprefix("/status/"))
        await send({"type": "websocket.http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        return await send({"type": "websocket.http.response.body", "body": b"", "more_body": False})
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    while (message := await receive())["type"] == "websocket.receive":
        if scope["path"] != "/ws":
            await send({**message, "type": "websocket.send"})
            continue
        for number in (1, 2):
            await send({"type": "websocket.send", "text": json.dumps({"update": number})})
        await send({"type": "websocket.close", "code": 1000})
        await asyncio.sleep(0)
        return
