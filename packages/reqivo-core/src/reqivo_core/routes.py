"""Route: all that makes a connection what it is besides the origin it leads to.

Origin and Route together are the identity of a connection. Requests share one only if both are equal, so an option of
one call (``verify=False``, a proxy, a client certificate) never reaches another call.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reqivo_core.errors import InvalidURL
from reqivo_core.headers import Headers
from reqivo_core.tls_config import Cert, TlsConfig, Verify
from reqivo_core.urls import URL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reqivo_core.urls import Origin


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        url: Where it is, without credentials.
        username: For Basic authentication to it.
        password: Likewise.
        headers: Further field lines for it, with CONNECT or with each request that it forwards (and may forward whole).
        tls: What is wanted of TLS to an ``https://`` proxy, apart from what is wanted of the origin's.
    """

    url: URL
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: TlsConfig = field(default_factory=TlsConfig)

    @classmethod
    def of(
        cls,
        url: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        verify: Verify = True,
        cert: Cert = None,
        trust_env: bool = True,
    ) -> Proxy:
        """Describe a proxy of which there is more to be said than its URL.

        Args:
            url: Where it is, with or without credentials; ``host:port`` means ``http://``.
            headers: Further field lines for it.
            verify: How an ``https://`` proxy's certificate is verified, as ``verify=`` of a session says for origins.
            cert: The client's certificate that such a proxy is shown.
            trust_env: Whether the environment names its authorities.

        Raises:
            InvalidURL: It is no URL of a proxy.
            InvalidRequest: A field line cannot be sent, or ``cert`` is none.
        """
        text = str(url)
        parsed = URL.parse(text if "://" in text else f"http://{text}")
        if parsed.path not in ("", "/") or parsed.query is not None:
            raise InvalidURL(f"proxy {parsed.redacted}: give scheme, host and port only", phase="proxy")
        lines = tuple(Headers(headers).multi_items())
        tls = TlsConfig.of(verify, cert, trust_env=trust_env)
        return cls(parsed.without_userinfo(), parsed.username, parsed.password, lines, tls)


@dataclass(frozen=True, slots=True)
class Route:
    """How connections are made.

    Attributes:
        tls: What is wanted of TLS.
        proxy: The proxy between, if any.
        local_address: The local IP address to connect from, or the name of a network interface.
        socket_path: A Unix socket to connect to instead of the origin's address.
        http1: Whether HTTP/1.1 may be spoken.
        http2: None if it may, True if it must, False if it must not.
        is_tunnelled: Whether even what needs no TLS goes through a tunnel of the proxy's (RFC 6455 §4.1).
    """

    tls: TlsConfig = field(default_factory=TlsConfig)
    proxy: Proxy | None = None
    local_address: str | None = None
    socket_path: str | None = None
    http1: bool = True
    http2: bool | None = None
    is_tunnelled: bool = False


class ConnectionKey:
    """The whole identity of a connection, hashed once.

    Attributes:
        origin: Whom it leads to.
        route: How it is made.
        may_share: Whether a connection still to be opened might carry several requests; filled in by the engine.
    """

    __slots__ = ("_hash", "_token", "may_share", "origin", "route")

    def __init__(self, origin: Origin, route: Route, token: object = None) -> None:
        self.origin = origin
        self.route = route
        self.may_share: bool | None = None
        self._token = token
        self._hash = hash((origin, route, token))

    def alone(self) -> ConnectionKey:
        """The same, for a connection that nobody else gets."""
        key = ConnectionKey(self.origin, self.route, object())
        key.may_share = False
        return key

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConnectionKey) and (self.origin, self.route, self._token) == (
            other.origin,
            other.route,
            other._token,
        )

    def __repr__(self) -> str:
        return f"<ConnectionKey {self.origin}>"


class Router:
    """Finds the route of each origin: the session's (or the call's) settings, and the proxy chosen for it."""

    CACHE_SIZE = 1024

    def __init__(self, route: Route, select_proxy: Callable[[Origin], Proxy | None] | None = None) -> None:
        """Make a router.

        Args:
            route: The settings; its own proxy counts where none is selected.
            select_proxy: Chooses a proxy by origin.
        """
        self.route = route
        self.select_proxy = select_proxy
        self._keys: dict[Origin, ConnectionKey] = {}
        self._upgrade_keys: dict[Origin, ConnectionKey] = {}

    def key(self, origin: Origin, is_upgrade: bool = False) -> ConnectionKey:
        """The identity of a connection to an origin.

        Args:
            origin: The origin.
            is_upgrade: Whether the connection is to become something else, which a forward proxy could not relay.
        """
        keys = self._upgrade_keys if is_upgrade else self._keys
        key = keys.get(origin)
        if key is None:
            route = self.route
            if self.select_proxy is not None and route.socket_path is None:
                route = replace(route, proxy=self.select_proxy(origin))
            if is_upgrade and route.proxy is not None and origin.scheme == "http":
                route = replace(route, is_tunnelled=True)
            if len(keys) >= self.CACHE_SIZE:
                keys.clear()
            key = keys[origin] = ConnectionKey(origin, route)
        return key

    def remember_http11(self, origin: Origin, is_upgrade: bool = False) -> ConnectionKey:
        """Speak HTTP/1.1 to an origin from now on (it answered HTTP_1_1_REQUIRED, RFC 9113 §7).

        Args:
            origin: The origin.
            is_upgrade: Whether it is upgrades that it does not take in HTTP/2 (RFC 8441); other requests do not mind.
        """
        key = ConnectionKey(origin, replace(self.key(origin, is_upgrade).route, http2=False))
        (self._upgrade_keys if is_upgrade else self._keys)[origin] = key
        return key
