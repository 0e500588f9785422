"""A listening loopback socket and the addresses it gives rise to."""

from __future__ import annotations

import socket
import ssl

from . import ownership


def listen(host: str = "127.0.0.1", receive_buffer: int | None = None) -> socket.socket:
    """Bind and listen on a free port; accepted sockets inherit ``receive_buffer`` (bytes)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; else each response takes 40 ms longer.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((host, 0))
        sock.listen(512)
    except BaseException:
        sock.close()
        raise
    ownership.own(sock)
    ownership.own_port(sock.getsockname()[1])
    return sock


class Address:
    """Where a server listens, and the URLs to reach it; port 0 until it has started."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = 0
        self.tls = tls

    @property
    def scheme(self) -> str:
        """``https`` when the server speaks TLS, else ``http``."""
        return "http" if self.tls is None else "https"

    @property
    def authority(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """The pair that :func:`socket.create_connection` takes."""
        return self.host, self.port

    def url(self, path: str = "/", *, host: str | None = None, scheme: str | None = None) -> str:
        """Return an absolute URL; ``host`` puts another name (``localhost``) in the authority."""
        authority = self.authority if host is None else f"{host}:{self.port}"
        return f"{scheme or self.scheme}://{authority}{path}"
