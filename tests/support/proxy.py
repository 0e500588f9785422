"""An HTTP proxy (CONNECT and forwarding) that makes any host name lead to this machine.

``ProxyServer({"httpbin.org": httpbin.address, "example.com:443": other.address})`` lets examples
that name hosts of the Internet run against servers on loopback; a host that has no route and is
not loopback itself is answered 502: nothing ever leaves the machine.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from .certs import LOOPBACK
from .messages import Reader, Request, response
from .pumping import End, end_of, join, pump
from .threads import PATIENCE, ThreadServer
from .tls_end import TlsEnd

_HOP_BY_HOP = {"connection", "proxy-connection", "proxy-authorization", "keep-alive"}


class ProxyServer(ThreadServer):
    """The proxy; see the module for what it is good for.

    Args:
        routes: ``host`` or ``host:port`` to the address where it really goes.
        auth: User and password to demand by Basic authentication.
        tls: Speak TLS to the client (an ``https://`` proxy).
        refuse: Raw bytes to answer every request with, before closing: a 502, a 302, garbage.
        extra: Bytes to send in one piece with the 200 that opens a tunnel.
        stall: Never answer.
        host: The loopback address to listen on.
        timeout: Seconds any single wait may last.

    Attributes:
        requests: Heads of the requests seen, CONNECT among them, refused ones included.
        tunnels: The authorities to which tunnels were opened.
    """

    def __init__(
        self,
        routes: Mapping[str, tuple[str, int]] | None = None,
        *,
        auth: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        refuse: bytes | None = None,
        extra: bytes = b"",
        stall: bool = False,
        host: str = "127.0.0.1",
        timeout: float = PATIENCE,
    ) -> None:
        super().__init__("proxy", host=host, tls=tls, timeout=timeout)
        self.routes = dict(routes or {})
        self.auth = auth
        self.refuse = refuse
        self.extra = extra
        self.stall = stall
        self.requests: list[Request] = []
        self.tunnels: list[str] = []

    @property
    def proxy_url(self) -> str:
        """The URL to configure in a client, credentials included."""
        if self.auth is None:
            return f"{self.scheme}://{self.authority}"
        user, password = (quote(part, safe="") for part in self.auth)
        return f"{self.scheme}://{user}:{password}@{self.authority}"

    def environ(self, ca: Path, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return an environment in which a program goes through this proxy and trusts ``ca``."""
        named = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
        kept = {key: value for key, value in base.items() if key.lower() not in named}
        url = self.proxy_url
        return kept | {"HTTP_PROXY": url, "HTTPS_PROXY": url, "SSL_CERT_FILE": str(ca)}

    def handle(self, sock: socket.socket, index: int) -> None:
        """Serve one client until it leaves, a tunnel ends or a request has been forwarded."""
        client: End = sock
        if self.tls is not None:
            client = TlsEnd(sock, self.tls)
            client.handshake()
        reader = Reader(lambda: client.recv(65536))
        while self._serve(client, reader):
            pass
        end_of(client)

    def _serve(self, client: End, reader: Reader) -> bool:
        """Serve one request; tell whether the connection may carry another."""
        head = reader.head()
        with self.changed:
            self.requests.append(head)
            self.changed.notify_all()
        if self.stall:
            self.halted.wait(self.timeout)
            return False
        if self.refuse is not None:
            client.sendall(self.refuse)
            return False
        if not self._is_welcome(head):
            reader.body(head)
            challenge = [("Proxy-Authenticate", 'Basic realm="proxy"')]
            client.sendall(response(407, b"who are you?\n", challenge))
            return True
        if head.method == "CONNECT":
            self._tunnel(client, reader, head.target)
        else:
            self._forward(client, reader, head)
        return False

    def _is_welcome(self, head: Request) -> bool:
        if self.auth is None:
            return True
        token = base64.b64encode(":".join(self.auth).encode()).decode()
        return head.header("proxy-authorization") == f"Basic {token}"

    def _tunnel(self, client: End, reader: Reader, authority: str) -> None:
        origin = self._connect(client, authority)
        if origin is None:
            return
        try:
            with self.changed:
                self.tunnels.append(authority)
                self.changed.notify_all()
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n" + self.extra)
            origin.sendall(reader.exactly(len(reader.buffer)))
            join(client, origin)
        finally:
            self.release(origin)

    def _forward(self, client: End, reader: Reader, head: Request) -> None:
        """Send a request on in origin-form and relay the answer until the origin closes."""
        url = urlsplit(head.target)
        body, _ = reader.body(head)
        if url.hostname is None:
            client.sendall(response(400, b"a proxy wants an absolute target\n"))
            return
        origin = self._connect(client, f"{url.hostname}:{url.port or 80}")
        if origin is None:
            return
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            origin.sendall(_onward(replace(head, target=target, body=body)))
            pump(origin, client)
        finally:
            self.release(origin)

    def _connect(self, client: End, authority: str) -> socket.socket | None:
        host, _, port = authority.rpartition(":")
        bare = host.strip("[]").lower()
        address = self.routes.get(f"{bare}:{port}") or self.routes.get(bare)
        if address is None and bare in LOOPBACK:
            address = bare, int(port)
        try:
            if address is None:
                raise ConnectionError(f"no route to {authority}")
            return self.track(socket.create_connection(address, self.timeout))
        except OSError as error:
            client.sendall(response(502, f"{error}\n".encode(), reason="Bad Gateway"))
            return None


def _onward(request: Request) -> bytes:
    drop = _HOP_BY_HOP | {"transfer-encoding", "content-length"}
    fields = [(name, value) for name, value in request.headers if name.lower() not in drop]
    framed = any(request.header(name) for name in ("content-length", "transfer-encoding"))
    if framed:
        fields.append(("Content-Length", str(len(request.body))))
    fields.append(("Connection", "close"))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    line = f"{request.method} {request.target} HTTP/1.1\r\n"
    return f"{line}{head}\r\n".encode("latin-1") + request.body
