"""A server of plain sockets: one thread accepts, one thread serves each connection."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

from . import ownership
from .listening import Address, listen

PATIENCE = 60.0
"""Seconds a stop may take, and the default time-out of every socket."""


class ThreadServer(ABC, Address):
    """Accepts connections on loopback and gives each to :meth:`handle` in a thread of its own.

    ``errors`` holds what went wrong in a handler other than the peer's leaving; leaving the
    server's ``with`` block raises it, so that an assertion inside a handler fails the test.
    """

    def __init__(
        self,
        name: str,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        timeout: float = PATIENCE,
        receive_buffer: int | None = None,
    ) -> None:
        Address.__init__(self, host, tls)
        self.name = f"{ownership.THREAD_PREFIX}{name}"
        self.timeout = timeout
        self.connections = 0
        self.errors: list[BaseException] = []
        self.halted = threading.Event()
        self.changed = threading.Condition()
        self._receive_buffer = receive_buffer
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._workers: set[threading.Thread] = set()
        self._sockets: set[socket.socket] = set()

    @abstractmethod
    def handle(self, sock: socket.socket, index: int) -> None:
        """Serve connection number ``index`` (from 0); the socket is closed afterwards."""

    def start(self) -> Self:
        """Listen; when this returns, connections are accepted."""
        self._listener = listen(self.host, self._receive_buffer)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), name=self.name, daemon=True)
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Close everything and join every thread; a second call does nothing."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None or self._listener is None:
            return
        self.halted.set()
        with self.changed:
            self.changed.notify_all()
        _wake(self._listener)
        acceptor.join(self.timeout)
        self._join_workers()
        self._listener.close()
        ownership.disown_port(self.port)

    def track(self, sock: socket.socket) -> socket.socket:
        """Have :meth:`stop` wake whoever blocks on this socket; bound its waits."""
        sock.settimeout(self.timeout)
        ownership.own(sock)
        with self.changed:
            self._sockets.add(sock)
        if self.halted.is_set():  # stop() may have looked before this one came
            _wake(sock)
        return sock

    def release(self, sock: socket.socket) -> None:
        """Close a tracked socket."""
        with self.changed:
            self._sockets.discard(sock)
        sock.close()

    def wait_for_connections(self, count: int) -> None:
        """Return once ``count`` connections have been accepted.

        Raises:
            TimeoutError: they did not come within the server's time-out.
        """
        self.wait_until(lambda: self.connections >= count, f"{count} connections")

    def wait_until_idle(self, after: int = 1) -> None:
        """Return once at least ``after`` connections have come and none is being served.

        Raises:
            TimeoutError: it was not so within the server's time-out.
        """
        self.wait_until(lambda: self.connections >= after and not self._workers, "the end of all connections")

    def wait_until(self, predicate: Callable[[], bool], what: str) -> None:
        """Wait for a condition over the server's state, whose changes notify ``changed``."""
        with self.changed:
            if not self.changed.wait_for(predicate, self.timeout):
                raise TimeoutError(f"{self.name} waited in vain for {what}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self.stop()
        if kind is None and self.errors:
            raise self.errors[0]

    def _accept(self, listener: socket.socket) -> None:
        listener.settimeout(0.5)  # only where waking accept() by shutdown does not work
        while not self.halted.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._employ(sock)

    def _employ(self, sock: socket.socket) -> None:
        self.track(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.changed:
            index, self.connections = self.connections, self.connections + 1
            worker = threading.Thread(target=self._work, args=(sock, index), name=f"{self.name}#{index}", daemon=True)
            self._workers.add(worker)
            self.changed.notify_all()
        worker.start()

    def _work(self, sock: socket.socket, index: int) -> None:
        try:
            self.handle(sock, index)
        except OSError as error:
            self.on_disconnect(error)
        except BaseException as error:  # raised again by __exit__, in the test's own thread
            self.errors.append(error)
        finally:
            self.release(sock)
            with self.changed:
                self._workers.discard(threading.current_thread())
                self.changed.notify_all()

    def on_disconnect(self, error: OSError) -> None:
        """Note that a connection broke; by default nothing happens."""

    def _join_workers(self) -> None:
        with self.changed:
            workers, sockets = list(self._workers), list(self._sockets)
        for sock in sockets:
            _wake(sock)
        deadline = time.monotonic() + self.timeout
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        stuck = [worker.name for worker in workers if worker.is_alive()]
        if stuck:
            raise TimeoutError(f"still running after {self.timeout} s: {', '.join(stuck)}")


def _wake(sock: socket.socket) -> None:
    """Make calls that block on the socket return, whichever thread they are in."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # closed or never connected: nobody waits on it
