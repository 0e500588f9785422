"""A server that does, byte for byte, what a script says: the way to be hostile on purpose.

A script is a function of the :class:`Peer` that one connection brought::

    def cut_short(peer: Peer) -> None:
        peer.expect_request()
        peer.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nabc")
        peer.rst()

    with ScriptedServer(cut_short) as server:
        ...
        assert server.connections == 1 and len(server.requests) == 1

``ScriptedServer(script)`` runs the same script for every connection, ``ScriptedServer([first,
second])`` one after the other and the last for all that follow. A script that returns leaves
politely (:meth:`Peer.fin`). A client that goes away ends the script quietly; any other error,
a failed assertion for one, is raised when the server's ``with`` block is left.
"""

from __future__ import annotations

import fcntl
import random
import socket
import ssl
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from .messages import Headers, PeerGone, Reader, Request, Segmentation, response, segments
from .resets import reset_at_close
from .threads import PATIENCE, ThreadServer
from .tls_end import TlsEnd

__all__ = ["Peer", "PeerGone", "Request", "Script", "ScriptedServer", "answers"]


class Peer:
    """The server's end of one connection: what a script may do with it.

    Attributes:
        index: The number of the connection, from 0.
        requests: The requests read on this connection.
        server: The server it belongs to.
    """

    def __init__(self, server: ScriptedServer, sock: socket.socket, index: int) -> None:
        self.server = server
        self.sock = sock
        self._end: socket.socket | TlsEnd = sock
        self.index = index
        self.requests: list[Request] = []
        self.is_open = True
        self._dice = random.Random(f"{server.seed}/{index}")
        self._reader = Reader(self._receive)

    # -- reading

    def expect_request(self) -> Request:
        """Read a whole request, by Content-Length or chunked; record and return it.

        Raises:
            PeerGone: the client closed the connection instead.
            TimeoutError: nothing came within the server's time-out.
        """
        head = self._reader.head()
        body, trailers = self._reader.body(head)
        return self._record(replace(head, body=body, trailers=trailers))

    def expect_head(self) -> Request:
        """Read and record a request's head only, leaving its content on the wire."""
        return self._record(self._reader.head())

    def expect_body(self, head: Request) -> bytes:
        """Read the content that a head announced."""
        return self._reader.body(head)[0]

    def expect(self, count: int) -> bytes:
        """Read just so many bytes, of whatever protocol."""
        return self._reader.exactly(count)

    def expect_until(self, end: bytes) -> bytes:
        """Read up to and including a mark."""
        return self._reader.until(end)

    def expect_close(self) -> bytes:
        """Wait until the client closes or resets; return what it still sent before.

        Raises:
            TimeoutError: it did neither within the server's time-out.
        """
        sent = self._reader.rest()
        self.server.note_closed()
        return sent

    def receive(self) -> bytes:
        """Return what has come, waiting for at least a byte; ``b""`` at the end."""
        return self._reader.exactly(len(self._reader.buffer)) or self._receive()

    # -- writing

    def send(self, data: bytes, segmentation: Segmentation | None = None) -> None:
        """Send bytes in the server's segmentation, or in this one."""
        for piece in segments(data, segmentation or self.server.segmentation, self._dice):
            self._end.sendall(piece)

    def respond(self, status: int = 200, body: bytes = b"", headers: Headers = ()) -> None:
        """Send a well-formed response with a Content-Length."""
        self.send(response(status, body, headers))

    def drip(self, data: bytes, size: int = 1, interval: float = 0.01) -> None:
        """Send ``size`` bytes every ``interval`` seconds until all are out or the server stops."""
        for start in range(0, len(data), size):
            self._end.sendall(data[start : start + size])
            self.sleep(interval)

    def wait_until_taken(self) -> None:
        """Return once the client's system has acknowledged all that was sent: no reset can take it back then.

        Raises:
            TimeoutError: it has not within the server's time-out.
        """
        left = self.server.timeout
        while int.from_bytes(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
            self.sleep(0.002)
            if (left := left - 0.002) <= 0:
                raise TimeoutError("the client's system does not take what was sent")

    def flood(self, data: bytes, limit: int = 1 << 30) -> int:
        """Send the same bytes over and over until the client leaves; return how many went out."""
        sent = 0
        try:
            while sent < limit and not self.server.halted.is_set():
                self._end.sendall(data)
                sent += len(data)
        except OSError:
            pass  # what the client was expected to do
        return sent

    # -- waiting

    def sleep(self, seconds: float) -> None:
        """Do nothing for a while; ends early, with PeerGone, when the server is stopped."""
        if self.server.halted.wait(seconds):
            raise PeerGone("the server was stopped")

    def wait(self, event: threading.Event) -> None:
        """Wait until the test sets an event.

        Raises:
            TimeoutError: it did not within the server's time-out.
        """
        left = self.server.timeout
        while not event.wait(0.02):
            self.sleep(0)
            if (left := left - 0.02) <= 0:
                raise TimeoutError("the test never set the event the script waits for")

    wait_event = wait

    def hold(self) -> None:
        """Keep the connection open, without reading or writing, until the server stops."""
        self.server.halted.wait(self.server.timeout)

    def stop_reading(self) -> None:
        """Let the kernel take next to nothing more: the client's writes will block.

        Start the server with ``receive_buffer=4096`` to have little taken before, too.
        """
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        self.hold()

    # -- leaving

    def fin(self) -> None:
        """Close in order: TLS close_notify, where there is TLS, then FIN."""
        if self.is_open:
            self.half_close()
            self._discard_arrived()
            self._close()

    def half_close(self) -> None:
        """Say that nothing more will be sent (close_notify, FIN), and go on reading."""
        if isinstance(self._end, TlsEnd):
            self._end.close_notify()
        self._shut_down()

    def rst(self) -> None:
        """Close so that the client gets a reset."""
        reset_at_close(self.sock)
        self._close()

    def abort_tls(self) -> None:
        """Send FIN without close_notify, as if someone had cut the TLS stream short."""
        self._shut_down()
        self._discard_arrived()
        self._close()

    # -- TLS

    def tls(self, context: ssl.SSLContext) -> None:
        """Do a server's TLS handshake; from here on everything is encrypted.

        Raises:
            ssl.SSLError: the handshake failed; also noted in ``server.tls_errors``.
        """
        arrived = self._reader.exactly(len(self._reader.buffer))
        self._end = end = TlsEnd(self.sock, context, arrived)
        try:
            end.handshake()
        except OSError as error:
            self.server.tls_errors.append(error)
            raise

    @property
    def alpn(self) -> str | None:
        """The protocol that ALPN selected."""
        return self._end.alpn if isinstance(self._end, TlsEnd) else None

    @property
    def server_name(self) -> str | None:
        """The name the client asked for by SNI, None when it asked for none."""
        return self._end.server_name if isinstance(self._end, TlsEnd) else None

    @property
    def client_certificate(self) -> bytes | None:
        """The client's certificate (DER), when the context demanded one."""
        return self._end.peer_certificate if isinstance(self._end, TlsEnd) else None

    @property
    def was_resumed(self) -> bool:
        """Whether the TLS session is one of an earlier connection."""
        return isinstance(self._end, TlsEnd) and self._end.was_resumed

    def _record(self, request: Request) -> Request:
        self.requests.append(request)
        self.server.note_request(request)
        return request

    def _receive(self) -> bytes:
        return self._end.recv(65536)

    def _shut_down(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client was quicker

    def _discard_arrived(self) -> None:
        """Read away what lies unread: closing over it would send a reset instead of a FIN."""
        try:
            self.sock.settimeout(0)
            while self.sock.recv(65536):
                pass
        except OSError:
            pass  # nothing lies there

    def _close(self) -> None:
        self.is_open = False
        self.server.release(self.sock)


Script: TypeAlias = Callable[[Peer], object]


class ScriptedServer(ThreadServer):
    """Runs scripts; see the module for how.

    Args:
        scripts: One for every connection, or a sequence of them.
        tls: Do the handshake before the script begins.
        segmentation: How :meth:`Peer.send` cuts what it sends.
        seed: Makes random segmentation repeat itself.
        host: The loopback address to listen on.
        timeout: Seconds any single wait of a script may last.
        receive_buffer: Bytes the kernel may hold unread, for clients that are to get stuck.

    Attributes:
        requests: Every request that was read, in order.
        connections: How many connections were accepted.
        closed: How many clients were seen to close by :meth:`Peer.expect_close`.
        disconnects: What ended scripts early: clients that left or reset.
        tls_errors: Why handshakes failed.
    """

    def __init__(
        self,
        scripts: Script | Sequence[Script],
        *,
        tls: ssl.SSLContext | None = None,
        segmentation: Segmentation = "whole",
        seed: int = 0,
        host: str = "127.0.0.1",
        timeout: float = PATIENCE,
        receive_buffer: int | None = None,
    ) -> None:
        super().__init__("scripted", host=host, tls=tls, timeout=timeout, receive_buffer=receive_buffer)
        self.scripts = [scripts] if callable(scripts) else list(scripts)
        self.segmentation: Segmentation = segmentation
        self.seed = seed
        self.requests: list[Request] = []
        self.closed = 0
        self.disconnects: list[OSError] = []
        self.tls_errors: list[OSError] = []

    def handle(self, sock: socket.socket, index: int) -> None:
        """Run the connection's script."""
        peer = Peer(self, sock, index)
        script = self.scripts[min(index, len(self.scripts) - 1)]
        if self.tls is not None:
            peer.tls(self.tls)
        outcome = script(peer)
        if isinstance(outcome, Iterator):  # a generator script: what it yields is sent
            for data in outcome:
                peer.send(data)
        peer.fin()

    def on_disconnect(self, error: OSError) -> None:
        """Tell a client that left from one that was waited for in vain."""
        if isinstance(error, TimeoutError) and not self.halted.is_set():
            self.errors.append(error)
        else:
            self.disconnects.append(error)

    def wait_for_requests(self, count: int) -> None:
        """Return once so many requests have been read.

        Raises:
            TimeoutError: they were not within the server's time-out.
        """
        self.wait_until(lambda: len(self.requests) >= count, f"{count} requests")

    def wait_for_closed(self, count: int) -> None:
        """Return once so many clients were seen to close by :meth:`Peer.expect_close`.

        Raises:
            TimeoutError: they were not within the server's time-out.
        """
        self.wait_until(lambda: self.closed >= count, f"{count} clients to close")

    def note_request(self, request: Request) -> None:
        """Record a request for the test to see."""
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()

    def note_closed(self) -> None:
        """Record that a client closed, unless it was the server's own stop that woke the script."""
        with self.changed:
            self.closed += not self.halted.is_set()
            self.changed.notify_all()


def answers(*payloads: bytes, close: bool = True) -> Script:
    """Return a script that answers each request with the next payload.

    After the last one it closes, or (``close=False``) waits for the client to.
    """

    def script(peer: Peer) -> None:
        for payload in payloads:
            peer.expect_request()
            peer.send(payload)
        if not close:
            peer.expect_close()

    return script
