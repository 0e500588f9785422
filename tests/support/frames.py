"""The server of the demo transport ``frames``, on a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from reqivo_demo_frames.serving import serve_frames

from reqivo_core.runtime.blocking import BlockingStream
from reqivo_core.runtime.driving import run_blocking

from . import ownership


class FramesServer:
    """Serves connections in a thread each.

    Attributes:
        port: Where it listens on 127.0.0.1.
        connections: How many connections were accepted.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        ownership.own(self._listener)
        ownership.own_port(self.port)
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name=f"{ownership.THREAD_PREFIX}frames", daemon=True)]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=[sock], name=f"{ownership.THREAD_PREFIX}frame")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        run_blocking(serve_frames(BlockingStream(sock, "client")))

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
