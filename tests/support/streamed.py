"""A server that is a conversation over a stream, on real sockets, with a thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

from reqivo_core.interfaces import NetworkStream
from reqivo_core.runtime.blocking import BlockingStream
from reqivo_core.runtime.driving import run_blocking

from . import ownership


class StreamServer:
    """Serves connections.

    Args:
        serve: What to do with each; it closes the stream in the end.

    Attributes:
        port: Where it listens on 127.0.0.1.
        connections: How many connections were accepted.
    """

    def __init__(self, serve: Callable[[NetworkStream], Coroutine[Any, Any, None]]) -> None:
        self._conversation = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        ownership.own(self._listener)
        ownership.own_port(self.port)
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name=f"{ownership.THREAD_PREFIX}accept", daemon=True)]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=[sock], name=f"{ownership.THREAD_PREFIX}serve")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        run_blocking(self._conversation(BlockingStream(sock, "client")))

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for sock in (self._listener, *self._sockets):
            sock.close()
        ownership.disown_port(self.port)
        assert not any(thread.is_alive() for thread in self._threads)
