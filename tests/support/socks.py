"""A SOCKS5 proxy that makes any host name lead to this machine, and follows or breaks the rules as told."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

from .certs import LOOPBACK
from .messages import Reader
from .pumping import join
from .threads import PATIENCE, ThreadServer


class SocksServer(ThreadServer):
    """The proxy.

    Args:
        routes: ``host`` to the address where it really goes; loopback hosts go where they say.
        auth: User and password to demand (RFC 1929).
        method: Octets with which to answer the greeting instead.
        verdict: Octets with which to answer user and password instead.
        reply: Octets with which to answer the request instead, before closing.
        extra: Octets to send in one piece with the success.
        bound: The address part of the success: kind, address, port.
        stall: What is never answered: the ``greeting``, the ``password`` or the ``request``.

    Attributes:
        targets: Kind of address and ``host:port`` of each request.
        credentials: What was shown.
    """

    def __init__(
        self,
        routes: Mapping[str, tuple[str, int]] | None = None,
        *,
        auth: tuple[str, str] | None = None,
        method: bytes | None = None,
        verdict: bytes | None = None,
        reply: bytes | None = None,
        extra: bytes = b"",
        bound: bytes = b"\x01\0\0\0\0\0\0",
        stall: str = "",
        timeout: float = PATIENCE,
    ) -> None:
        super().__init__("socks", timeout=timeout)
        self.routes = dict(routes or {})
        self.auth = auth
        self.method = method
        self.verdict = verdict
        self.reply = reply
        self.extra = extra
        self.bound = bound
        self.stall = stall
        self.targets: list[tuple[str, str]] = []
        self.credentials: list[tuple[str, str]] = []

    def handle(self, sock: socket.socket, index: int) -> None:
        """Serve one client."""
        reader = Reader(lambda: sock.recv(65536))
        version, count = reader.exactly(2)
        methods = reader.exactly(count)
        assert version == 5
        if self._is_stalled("greeting"):
            return
        wanted = 2 if self.auth else 0
        answer = self.method or bytes([5, wanted if wanted in methods else 255])
        sock.sendall(answer)
        if len(answer) != 2 or answer[1] not in methods:
            return
        if answer[1] == 2 and not self._is_welcome(sock, reader):
            return
        self._connect(sock, reader)

    def _is_welcome(self, sock: socket.socket, reader: Reader) -> bool:
        assert reader.exactly(1) == b"\x01"
        user, password = (reader.exactly(reader.exactly(1)[0]).decode() for _ in range(2))
        self.credentials.append((user, password))
        if self._is_stalled("password"):
            return False
        good = (user, password) == self.auth
        sock.sendall(self.verdict or (b"\x01\x00" if good else b"\x01\x01"))
        return good and self.verdict is None

    def _connect(self, sock: socket.socket, reader: Reader) -> None:
        assert reader.exactly(3) == b"\x05\x01\x00"
        kind = reader.exactly(1)[0]
        if kind == 3:
            host = reader.exactly(reader.exactly(1)[0]).decode()
        else:
            host = str(ipaddress.ip_address(reader.exactly(4 if kind == 1 else 16)))
        port = int.from_bytes(reader.exactly(2), "big")
        self.targets.append(({1: "IPv4", 3: "name", 4: "IPv6"}[kind], f"{host}:{port}"))
        if self._is_stalled("request"):
            return
        if self.reply is not None:
            sock.sendall(self.reply)
            return
        address = self.routes.get(host) or ((host, port) if host in LOOPBACK else None)
        if address is None:
            sock.sendall(b"\x05\x04\x00" + self.bound)
            return
        origin = self.track(socket.create_connection(address, self.timeout))
        try:
            sock.sendall(b"\x05\x00\x00" + self.bound + self.extra)
            join(sock, origin)
        finally:
            self.release(origin)

    def _is_stalled(self, step: str) -> bool:
        """Hold the client up, if it is here."""
        if self.stall == step:
            self.halted.wait(self.timeout)
        return self.stall == step
