"""WSGI applications behind an ASGI server, streamed, without outliving the server's stop."""

from __future__ import annotations

import asyncio
import importlib
import io
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .asgi_app import Receive, Scope, Send

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

PATIENCE = 10.0
_serving = threading.local()


class Halted(BaseException):
    """The server stops; whoever runs in its threads should too, and frameworks not catch it."""


class WsgiApp:
    """An ASGI application around a WSGI one, each request in a thread of the loop's executor.

    ``halted`` is the server's stop signal: a handler is not allowed to sleep or send past it.
    """

    def __init__(self, wsgi: Wsgi, halted: threading.Event) -> None:
        self.wsgi = wsgi
        self.halted = halted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        with tempfile.SpooledTemporaryFile(max_size=1 << 20) as body:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body.write(message.get("body", b""))
                more = message.get("more_body", False)
            length = body.tell()
            body.seek(0)
            environ = _environ(scope, body, length)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, self._run, environ, partial(self._send, loop, send))

    def _send(self, loop: asyncio.AbstractEventLoop, send: Send, message: dict[str, Any]) -> None:
        if self.halted.is_set():
            raise Halted
        sending = send(message)
        asyncio.run_coroutine_threadsafe(_awaiting(sending), loop).result(PATIENCE)

    def _run(self, environ: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
        _serving.halted = self.halted
        start: dict[str, Any] = {"type": "http.response.start"}

        def start_response(line: str, headers: list[tuple[str, str]], _: object = None) -> object:
            start["status"] = int(line.split(" ", 1)[0])
            start["headers"] = [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in headers
                if name.lower() != "transfer-encoding"  # the server's business
            ]
            return None  # the write() callable, which PEP 3333 keeps for old frameworks only

        parts: Iterable[bytes] = ()
        started = False
        try:
            parts = self.wsgi(environ, start_response)
            for part in parts:
                if not started:
                    send(start)
                    started = True
                send({"type": "http.response.body", "body": part, "more_body": True})
            if not started:
                send(start)
            send({"type": "http.response.body", "body": b"", "more_body": False})
        except Halted:
            pass
        finally:
            if (close := getattr(parts, "close", None)) is not None:
                close()


async def _awaiting(awaitable: Any) -> Any:
    return await awaitable


def _environ(scope: Scope, body: Any, length: int) -> dict[str, Any]:
    host, port = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "RAW_URI": scope["raw_path"].decode("ascii"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("127.0.0.1",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["CONTENT_LENGTH"] = str(length) if length else environ.get("CONTENT_LENGTH", "")
    return environ


class _Clock:
    """The ``time`` module as httpbin sees it: a sleep ends when the server is stopped."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep, or raise when the server of this thread stops."""
        if _serving.halted.wait(seconds):
            raise Halted


def httpbin() -> Wsgi:
    """Return the httpbin application, made interruptible and accepting chunked uploads."""
    core: Any = importlib.import_module("httpbin.core")
    core.time = _Clock()
    application = core.app
    # httpbin refuses chunked bodies unless the server is one of two it knows to decode them.
    before = application.before_request_funcs.get(None, [])
    before[:] = [hook for hook in before if hook.__name__ != "before_request"]
    wsgi: Wsgi = application
    return wsgi
