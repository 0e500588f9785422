"""Route: all that makes a connection what it is besides the origin it leads to.

Origin and Route together are the identity of a connection. Requests share one only if both are equal, so an option of
one call (``verify=False``, a proxy, a client certificate) never reaches another call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reqivo_core.tls_config import TlsConfig

if TYPE_CHECKING:
    from reqivo_core.urls import URL


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        url: Where it is, without credentials.
        username: For Basic authentication to it.
        password: Likewise.
        headers: Further field lines for it alone.
        tls: What is wanted of TLS to an ``https://`` proxy, apart from what is wanted of the origin's.
    """

    url: URL
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: TlsConfig = field(default_factory=TlsConfig)


@dataclass(frozen=True, slots=True)
class Route:
    """How connections are made.

    Attributes:
        tls: What is wanted of TLS.
        proxy: The proxy between, if any.
        local_address: The local IP address to connect from.
        socket_path: A Unix socket to connect to instead of the origin's address.
        http1: Whether HTTP/1.1 may be spoken.
        http2: None if it may, True if it must, False if it must not.
    """

    tls: TlsConfig = field(default_factory=TlsConfig)
    proxy: Proxy | None = None
    local_address: str | None = None
    socket_path: str | None = None
    http1: bool = True
    http2: bool | None = None
