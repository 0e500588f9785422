"""The application most tests talk to: it says back what it got, or misbehaves on request.

==========================  =====================================================================
``/echo/<nonce>``           any method: JSON of what arrived; ``x-nonce``, ``x-body-sha256``
``/upload``                 any method: counts and hashes the body as it streams, holds nothing
``/headers``                JSON list of the header pairs, in order
``/bytes/<n>``              ``n`` bytes of :func:`pattern`, with Content-Length
``/chunked/<n>?size=``      the same without a length, in pieces of ``size``
``/gzip/<n>``               the same compressed; ``/deflate/<n>`` (zlib), ``/deflate-raw/<n>``
``/status/<code>``          that status, a short body where one is allowed
``/delay/<ms>``             answers late
``/drip?count=&size=&ms=``  ``count`` pieces of ``size`` bytes, one every ``ms``
``/hang``                   never answers
``/hang-after/<n>``         sends ``n`` of ``2 * n`` bytes, then nothing
``/redirect/<n>``           ``n`` redirects, then ``/echo/redirected``; ``?status=`` (302)
``/redirect-to?url=``       one redirect there; ``?status=`` (302)
``/cookies``                JSON of the cookies that came; ``/cookies/set?a=b`` sets some
``/auth/<user>/<password>`` 401 until Basic credentials match
``/events?count=``          server-sent events, honouring ``Last-Event-ID``
``/trailers``               a body with trailers (where the server can: HTTP/2, ``TE: trailers``)
``/early-hints``            103 first (where the server can: HTTP/2)
``/push?path=``             promises each ``path`` (where the server can: HTTP/2)
``/ws/echo``                WebSocket echo; takes the first subprotocol offered
==========================  =====================================================================
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
import zlib
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[str, str]]
_PIECE = 65536


def pattern(length: int, start: int = 0) -> bytes:
    """Return ``length`` bytes of the sequence ``/bytes/<n>`` serves; any slice is recognisable."""
    words = array("I", range(start // 4, (start + length) // 4 + 1))
    if sys.byteorder == "little":
        words.byteswap()
    block = words.tobytes()
    return block[start % 4 : start % 4 + length]


def pieces(length: int, size: int = _PIECE) -> Iterator[bytes]:
    """Yield :func:`pattern` in pieces, never holding more than one."""
    for start in range(0, length, size):
        yield pattern(min(size, length - start), start)


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.method: str = scope.get("method", "GET")
        self.extensions: dict[str, Any] = scope.get("extensions") or {}
        self.headers: Headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        query = scope["query_string"].decode("latin-1")
        self.pairs = parse_qsl(query, keep_blank_values=True)
        self.query = dict(self.pairs)
        self._receive = receive
        self._send = send
        self._body_ended = False

    def header(self, name: str) -> str:
        """Return the first value of a header, "" when absent."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def number(self, name: str, default: int) -> int:
        """Return a number from the query."""
        return int(self.query.get(name, default))

    async def chunk(self) -> bytes | None:
        """Return the next piece of the request's body, None at its end."""
        if self._body_ended:
            return None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client left")
        self._body_ended = not message.get("more_body", False)
        return bytes(message.get("body", b""))

    async def digest(self) -> tuple[int, str, int]:
        """Read the body through; return its length, SHA-256 and number of pieces."""
        digest, length, count = hashlib.sha256(), 0, 0
        while (piece := await self.chunk()) is not None:
            digest.update(piece)
            length, count = length + len(piece), count + bool(piece)
        return length, digest.hexdigest(), count

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the client does."""
        await self.digest()
        gone = asyncio.ensure_future(self._receive())
        try:
            done, _ = await asyncio.wait({gone}, timeout=seconds)
        finally:
            gone.cancel()
        if done:
            raise ConnectionResetError("the client left")

    async def start(self, status: int, headers: Headers = (), *, trailers: bool = False) -> None:
        """Send the response's head."""
        fields = [(key.lower().encode("latin-1"), val.encode("latin-1")) for key, val in headers]
        message = {"type": "http.response.start", "status": status, "headers": fields}
        await self._send(message | ({"trailers": True} if trailers else {}))

    async def body(self, data: bytes = b"", *, more: bool = True) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def message(self, kind: str, **values: Any) -> None:
        """Send one of the extensions' messages."""
        await self._send({"type": kind, **values})

    async def answer(self, status: int, body: bytes = b"", headers: Headers = ()) -> None:
        """Send a whole response with its length."""
        await self.digest()
        lengthless = status < 200 or status in (204, 304)
        length = [] if lengthless else [("content-length", str(len(body)))]
        await self.start(status, [*headers, *length])
        await self.body(b"" if lengthless else body, more=False)

    async def json(self, value: object, headers: Headers = ()) -> None:
        """Send a value as JSON."""
        fields = [("content-type", "application/json"), *headers]
        await self.answer(200, json.dumps(value).encode(), fields)

    async def stream(self, parts: Iterator[bytes], headers: Headers) -> None:
        """Send a body piece by piece, after the request's own has been read."""
        await self.digest()
        await self.start(200, headers)
        for part in parts:
            await self.body(part)
        await self.body(more=False)


async def echo(exchange: Exchange, nonce: str = "") -> None:
    """Say what came, and that it came whole."""
    length, digest, _ = await exchange.digest()
    scope = exchange.scope
    seen = {
        "nonce": nonce,
        "method": exchange.method,
        "path": scope["path"],
        "query": scope["query_string"].decode("latin-1"),
        "scheme": scope["scheme"],
        "http_version": scope["http_version"],
        "client": list(scope["client"] or ()),
        "headers": [list(pair) for pair in exchange.headers],
        "body_length": length,
        "body_sha256": digest,
    }
    await exchange.json(seen, [("x-nonce", nonce), ("x-body-sha256", digest)])


async def upload(exchange: Exchange) -> None:
    """Count and hash a body of any size."""
    length, digest, count = await exchange.digest()
    await exchange.json({"length": length, "sha256": digest, "pieces": count})


async def headers(exchange: Exchange) -> None:
    """Return the header pairs in the order in which they came."""
    await exchange.json(exchange.headers)


async def fixed(exchange: Exchange, length: str) -> None:
    """Send a body of known length."""
    await exchange.stream(pieces(int(length)), [("content-length", length)])


async def chunked(exchange: Exchange, length: str) -> None:
    """Send a body of unknown length."""
    await exchange.stream(pieces(int(length), exchange.number("size", 1024)), [])


def _compressed(coding: str, window_bits: int) -> Callable[[Exchange, str], Awaitable[None]]:
    async def compressed(exchange: Exchange, length: str) -> None:
        squeeze = zlib.compressobj(wbits=window_bits)
        data = b"".join(map(squeeze.compress, pieces(int(length)))) + squeeze.flush()
        await exchange.answer(200, data, [("content-encoding", coding)])

    return compressed


async def status(exchange: Exchange, code: str) -> None:
    """Answer with any final status."""
    await exchange.answer(int(code), f"status {code}\n".encode())


async def delay(exchange: Exchange, milliseconds: str) -> None:
    """Answer late."""
    await exchange.pause(int(milliseconds) / 1000)
    await exchange.json({"delayed_ms": int(milliseconds)})


async def drip(exchange: Exchange) -> None:
    """Send a body slowly."""
    count, size = exchange.number("count", 5), exchange.number("size", 1)
    await exchange.digest()
    await exchange.start(200, [("content-length", str(count * size))])
    for index in range(count):
        await exchange.body(pattern(size, index * size))
        await exchange.pause(exchange.number("ms", 10) / 1000)
    await exchange.body(more=False)


async def hang(exchange: Exchange) -> None:
    """Never answer."""
    await exchange.pause(3600)


async def hang_after(exchange: Exchange, length: str) -> None:
    """Promise twice as many bytes as ever come."""
    await exchange.digest()
    await exchange.start(200, [("content-length", str(2 * int(length)))])
    await exchange.body(pattern(int(length)))
    await exchange.pause(3600)


async def redirect(exchange: Exchange, count: str) -> None:
    """Redirect so many times."""
    left = int(count)
    target = f"/redirect/{left - 1}" if left > 1 else "/echo/redirected"
    query = exchange.scope["query_string"].decode("latin-1")
    target += f"?{query}" if query else ""
    await exchange.answer(exchange.number("status", 302), b"moved\n", [("location", target)])


async def redirect_to(exchange: Exchange) -> None:
    """Redirect anywhere."""
    where = [("location", exchange.query["url"])]
    await exchange.answer(exchange.number("status", 302), b"moved\n", where)


async def cookies(exchange: Exchange) -> None:
    """Return the cookies that came as a JSON object."""
    crumbs = [crumb for crumb in exchange.header("cookie").split("; ") if "=" in crumb]
    await exchange.json(dict(crumb.split("=", 1) for crumb in crumbs))


async def set_cookies(exchange: Exchange) -> None:
    """Set a cookie for every pair of the query."""
    fields = [("set-cookie", f"{key}={value}; Path=/") for key, value in exchange.pairs]
    await exchange.json(dict(exchange.pairs), fields)


async def basic_auth(exchange: Exchange, user: str, password: str) -> None:
    """Answer only who knows the password."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if exchange.header("authorization") == expected:
        await exchange.json({"authenticated": True, "user": user})
    else:
        await exchange.answer(401, b"who are you?\n", [("www-authenticate", 'Basic realm="test"')])


async def events(exchange: Exchange) -> None:
    """Send events that use every field, going on after the last one the client saw."""
    await exchange.digest()
    await exchange.start(200, [("content-type", "text/event-stream")])
    await exchange.body(b": welcome\nretry: 50\n\n")
    first = int(exchange.header("last-event-id") or 0) + 1
    for number in range(first, first + exchange.number("count", 3)):
        event = f"id: {number}\nevent: tick\ndata: {number}\ndata: line two\n\n"
        await exchange.body(event.encode())
    await exchange.body(more=False)


async def trailers(exchange: Exchange) -> None:
    """Send a body and its digest after it."""
    able = "http.response.trailers" in exchange.extensions
    body = b"the body\n"
    await exchange.digest()
    await exchange.start(200, [("trailer", "x-digest")], trailers=able)
    await exchange.body(body, more=False)
    if able:
        digest = hashlib.sha256(body).hexdigest().encode()
        await exchange.message("http.response.trailers", headers=[(b"x-digest", digest)])


async def early_hints(exchange: Exchange) -> None:
    """Send 103 before the answer."""
    if "http.response.early_hint" in exchange.extensions:
        await exchange.message("http.response.early_hint", links=[b"</style.css>; rel=preload"])
    await exchange.json({"hinted": "http.response.early_hint" in exchange.extensions})


async def push(exchange: Exchange) -> None:
    """Promise what the query names."""
    paths = [value for key, value in exchange.pairs if key == "path"]
    if "http.response.push" in exchange.extensions:
        for path in paths:
            await exchange.message("http.response.push", path=path, headers=[(b"x-pushed", b"yes")])
    await exchange.json({"pushed": paths})


_Handler = Callable[..., Awaitable[None]]
ROUTES: dict[str, _Handler] = {
    "echo": echo,
    "upload": upload,
    "headers": headers,
    "bytes": fixed,
    "chunked": chunked,
    "gzip": _compressed("gzip", 31),
    "deflate": _compressed("deflate", 15),
    "deflate-raw": _compressed("deflate", -15),
    "status": status,
    "delay": delay,
    "drip": drip,
    "hang": hang,
    "hang-after": hang_after,
    "redirect": redirect,
    "redirect-to": redirect_to,
    "cookies": cookies,
    "cookies/set": set_cookies,
    "auth": basic_auth,
    "events": events,
    "trailers": trailers,
    "early-hints": early_hints,
    "push": push,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        return await _websocket(scope, receive, send)
    exchange = Exchange(scope, receive, send)
    path = scope["path"].strip("/")
    name, *arguments = [path] if path in ROUTES else path.split("/")
    try:
        if name in ROUTES:
            await ROUTES[name](exchange, *arguments)
        else:
            await exchange.answer(404, b"no such path\n")
        await exchange.digest()  # what a handler did not read must not clog the connection
    except ConnectionResetError:
        pass  # the client left, as clients under test do


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] != "/ws/echo":
        return await send({"type": "websocket.close"})
    offered = scope.get("subprotocols") or [None]
    await receive()
    await send({"type": "websocket.accept", "subprotocol": offered[0], "headers": []})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
