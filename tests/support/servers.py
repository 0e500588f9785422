"""Real servers on loopback, each in a thread with its own event loop.

``with AsgiServer(app) as server: …`` serves any ASGI application over HTTP/1.1 and HTTP/2
(hypercorn), :class:`AiohttpServer` an ``aiohttp.web`` application, :class:`HttpbinServer` httpbin,
:class:`WebSocketsServer` WebSockets by the ``websockets`` package.
``tls`` is a server's :class:`ssl.SSLContext`, and its ALPN list decides what is offered::

    AsgiServer(tls=authority.server_context(alpn=["h2", "http/1.1"]))

Plain ``AsgiServer()`` also speaks HTTP/2 to clients with prior knowledge.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from aiohttp import web
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.utils import wrap_app
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from . import ownership
from .asgi_app import Receive, Scope, Send
from .asgi_app import app as default_app
from .listening import Address, listen
from .loops import LoopThread
from .wsgi import Wsgi, WsgiApp, httpbin

App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Server(LoopThread, Address):
    """What the loop servers share: the listening socket, before the loop and after it."""

    def __init__(self, name: str, host: str, tls: ssl.SSLContext | None) -> None:
        LoopThread.__init__(self, name)
        Address.__init__(self, host, tls)

    def on(self, sock: socket.socket) -> AbstractAsyncContextManager[None]:
        """Return the context within which the server serves on the socket."""
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen, serve, and forget the port."""
        with listen(self.host) as sock:
            self.port = sock.getsockname()[1]
            sock.setblocking(False)
            try:
                async with self.on(sock):
                    yield
            finally:
                ownership.disown_port(self.port)


class _Connection(TCPServer):
    """A connection that goes when its client does, not when it has been idle long enough."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


class AsgiServer(_Server):
    """Serves an ASGI application by hypercorn.

    Args:
        app: The application; by default :mod:`support.asgi_app`.
        tls: The server's context; None serves plain text.
        host: The loopback address to listen on, ``::1`` for IPv6.
        grace: Seconds requests in flight get at :meth:`stop` before they are cut.
        settings: Attributes of hypercorn's ``Config``, as ``h2_max_concurrent_streams=1``.

    Attributes:
        requests: How many requests (and WebSockets) have come.
        clients: The addresses they came from: as many as there were connections in use.
        connections: How many connections were accepted and got through their TLS handshake.
    """

    def __init__(
        self,
        app: App = default_app,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        grace: float = 0.2,
        **settings: Any,
    ) -> None:
        super().__init__("asgi", host, tls)
        self.app = app
        self.grace = grace
        self.requests = 0
        self.connections = 0
        self.clients: set[tuple[str, int]] = set()
        self._config = Config.from_mapping({"errorlog": None, "accesslog": None, "keep_alive_timeout": 60, **settings})
        self._tasks: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def on(self, sock: socket.socket) -> AsyncIterator[None]:
        """Serve until left; then let requests in flight end within the grace, and cut the rest."""
        wrapped = wrap_app(self._counted, 1 << 20, "asgi")  # type: ignore[arg-type]  # their TypedDicts are our dicts
        context = WorkerContext(None)
        loop = asyncio.get_running_loop()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._tasks.add(_this_task())
            self.connections += 1
            try:
                await _Connection(wrapped, loop, self._config, context, {}, reader, writer)
            except Exception as error:  # a connection that broke in hypercorn's hands
                self.errors.append(error)
            finally:
                self._tasks.discard(_this_task())

        listening = await asyncio.start_server(serve, sock=sock, **_tls_options(self.tls))
        try:
            yield
        finally:
            listening.close()
            await context.terminated.set()
            await self._finish()

    async def _finish(self) -> None:
        tasks = set(self._tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self.grace)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self.requests += 1
            self.clients.add(tuple(scope.get("client") or ("", 0)))
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            self.errors.append(error)
            raise


class WsgiServer(AsgiServer):
    """Serves a WSGI application, with keep-alive, streaming and HTTP/2 like the others."""

    def __init__(
        self,
        wsgi: Wsgi,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        **settings: Any,
    ) -> None:
        super().__init__(tls=tls, host=host, **settings)
        self.app = WsgiApp(wsgi, self.halted)


class HttpbinServer(WsgiServer):
    """Serves httpbin, which the examples of the documentation talk to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(httpbin(), **options)


class AiohttpServer(_Server):
    """Serves an ``aiohttp.web`` application, which this server's loop then owns."""

    def __init__(
        self,
        app: web.Application,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__("aiohttp", host, tls)
        self.app = app

    @asynccontextmanager
    async def on(self, sock: socket.socket) -> AsyncIterator[None]:
        """Serve until left."""
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.SockSite(runner, sock, ssl_context=self.tls).start()
            yield
        finally:
            await runner.cleanup()


class WebSocketsServer(_Server):
    """Serves WebSockets by the ``websockets`` package.

    Args:
        handler: Called with each connection; echoes by default.
        tls: The server's context; None serves plain text.
        host: The loopback address to listen on.
        options: Keywords of ``websockets.asyncio.server.serve``.
    """

    def __init__(
        self,
        handler: Callable[[ServerConnection], Awaitable[None]] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        **options: Any,
    ) -> None:
        super().__init__("websockets", host, tls)
        self.handler = handler or _echo
        self.options = {"max_size": None, "close_timeout": 0.5, **options}

    @asynccontextmanager
    async def on(self, sock: socket.socket) -> AsyncIterator[None]:
        """Serve until left, telling everybody that the server goes away."""
        async with serve_websockets(self.handler, sock=sock, ssl=self.tls, **self.options):
            yield


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def _tls_options(tls: ssl.SSLContext | None) -> dict[str, Any]:
    if tls is None:
        return {}
    return {"ssl": tls, "ssl_handshake_timeout": 10.0, "ssl_shutdown_timeout": 0.5}


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
