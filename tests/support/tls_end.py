"""The server's end of a TLS connection, step by step.

``ssl.SSLSocket`` insists on reading while it says goodbye, and loses what comes in that moment;
here the socket and the TLS state are apart, and each can be closed, or cut, without the other.
"""

from __future__ import annotations

import socket
import ssl
import threading


class TlsEnd:
    """A socket spoken to through TLS: by one thread, or by one that reads and one that writes.

    Attributes:
        server_name: The name the client asked for by SNI, None when it asked for none.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, arrived: bytes = b"") -> None:
        self.sock = sock
        self.server_name: str | None = None
        self._state = threading.Lock()  # over steps of the TLS engine, which never block
        self._order = threading.Lock()  # records leave in the order in which they were made
        self._incoming = ssl.MemoryBIO()
        self._incoming.write(arrived)
        self._outgoing = ssl.MemoryBIO()
        context.sni_callback = _note_name
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        _ends[id(self._tls)] = self

    def handshake(self) -> None:
        """Do the server's side of the handshake.

        Raises:
            ssl.SSLError: the client, or this side, found fault with the other.
            ConnectionError: the client left before its end.
        """
        try:
            while not self._is_shaken():
                if not self._feed():
                    raise ConnectionResetError("the client left during the TLS handshake")
        finally:
            _ends.pop(id(self._tls), None)
            self._flush()  # the alert, if it failed

    @property
    def alpn(self) -> str | None:
        """The protocol that ALPN selected."""
        return self._tls.selected_alpn_protocol()

    @property
    def peer_certificate(self) -> bytes | None:
        """The client's certificate (DER)."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def was_resumed(self) -> bool:
        """Whether the client came back with a session of an earlier connection."""
        return bool(self._tls.session_reused)

    def recv(self, size: int) -> bytes:
        """Return what has come, ``b""`` after the client's close_notify or FIN."""
        while True:
            try:
                with self._state:
                    return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not self._feed():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    def sendall(self, data: bytes) -> None:
        """Send data as records of their own."""
        for start in range(0, len(data), 16384):
            with self._order:
                with self._state:
                    self._tls.write(data[start : start + 16384])
                self._flush()

    def close_notify(self) -> None:
        """Say that nothing more will come, without waiting for the client to say so."""
        with self._order:
            try:
                with self._state:
                    self._tls.unwrap()
            except ssl.SSLError:
                pass  # SSLWantRead: ours is written, theirs has not come
            self._flush()

    def _is_shaken(self) -> bool:
        try:
            self._tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            self._flush()
            return False

    def _feed(self) -> bool:
        data = self.sock.recv(65536)
        with self._state:
            self._incoming.write(data)
        return bool(data)

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self.sock.sendall(data)


_ends: dict[int, TlsEnd] = {}


def _note_name(tls: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    if end := _ends.get(id(tls)):
        end.server_name = name
