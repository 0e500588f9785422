"""Proxies: which one a request goes through (pure), and how a tunnel through it is made (RFC 9110 §9.3.6).

The ``ws`` and ``wss`` schemes go where ``http`` and ``https`` go. A proxy is spoken to by the installed HTTP/1.1
transport; nothing here knows the protocol's octets. Other kinds of proxies (SOCKS) come as plugins, which register a
:data:`~reqivo_core.interfaces.Tunnel` for the scheme of their URLs.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any, TypeAlias

from reqivo_core.auth import basic_credentials
from reqivo_core.errors import InvalidRequest, InvalidURL, ProxyError, RequestError, excerpt
from reqivo_core.messages import Request
from reqivo_core.routes import Proxy
from reqivo_core.urls import URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from reqivo_core.interfaces import Exchange, NetworkStream, Transport
    from reqivo_core.tls_config import TlsConfig
    from reqivo_core.urls import Origin

_USUAL = "http", "https", "ws", "wss", "all"
_LIKE = {"ws": "http", "wss": "https"}
"""Schemes that go where another goes, unless something is said of them."""

ProxyTypes: TypeAlias = "str | URL | Proxy | None"


def to_proxy(proxy: ProxyTypes, tls: TlsConfig) -> Proxy | None:
    """Take ``proxy=`` in any form that users write.

    Args:
        proxy: A URL, with or without credentials; ``host:port`` means ``http://``; a Proxy; None.
        tls: What is wanted of TLS to an ``https://`` proxy.

    Raises:
        InvalidURL: It is no URL of a proxy.
    """
    if proxy is None or isinstance(proxy, Proxy):
        return proxy
    return Proxy.of(proxy, verify=tls)


def authorization(proxy: Proxy) -> str | None:
    """The Proxy-Authorization that a proxy needs; None where no credentials were given."""
    if proxy.username is None:
        return None
    return "Basic " + basic_credentials(proxy.username, proxy.password or "")


class ProxyMap:
    """Which proxy a URL goes through."""

    def __init__(self, by_pattern: Mapping[str, Proxy | None], exceptions: NoProxy | None = None) -> None:
        """Make a map.

        Args:
            by_pattern: Keys as in ``proxies=``: ``scheme://host``, ``scheme``, ``all://host`` or ``all``; a key may be
                given with ``://`` behind it. The most specific one counts; None means no proxy.
            exceptions: Hosts that are reached directly.
        """
        self._by_pattern = {key.lower().removesuffix("://"): proxy for key, proxy in by_pattern.items()}
        self._exceptions = exceptions or NoProxy("")

    def __bool__(self) -> bool:
        return any(self._by_pattern.values())

    def select(self, origin: Origin) -> Proxy | None:
        """The proxy for an origin; None to go there directly."""
        if not self._by_pattern or self._exceptions.covers(origin.host, origin.port):
            return None
        for scheme in (origin.scheme, _LIKE.get(origin.scheme, origin.scheme), "all"):
            for key in (f"{scheme}://{origin.host}", scheme):
                if key in self._by_pattern:
                    return self._by_pattern[key]
        return None

    @classmethod
    def of(cls, proxies: Mapping[str, ProxyTypes], tls: TlsConfig, schemes: Iterable[str] = ()) -> ProxyMap:
        """Take ``proxies=`` as users write it; ``no_proxy`` in it lists exceptions.

        Args:
            proxies: Proxies by scheme or scheme and host.
            tls: What is wanted of TLS to an ``https://`` proxy.
            schemes: Those that are spoken here beside the usual ones.

        Raises:
            InvalidURL: A value is no URL of a proxy.
            InvalidRequest: A key fits no URL, so that what should go through its proxy would not.
        """
        exceptions = NoProxy(str(proxies.get("no_proxy") or proxies.get("no") or ""))
        known = {*_USUAL, *schemes}
        chosen = {
            _pattern(key, known): to_proxy(value, tls)
            for key, value in proxies.items()
            if key not in ("no_proxy", "no")
        }
        return cls(chosen, exceptions)

    @classmethod
    def from_environment(cls, tls: TlsConfig, environ: Mapping[str, str] | None = None) -> ProxyMap:
        """What ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say; lower case wins.

        Under CGI (``REQUEST_METHOD`` is set) an upper-case ``HTTP_PROXY`` is a request header of somebody's, not a
        setting, and is not looked at.

        Raises:
            InvalidURL: A variable holds no URL of a proxy; the message names it.
        """
        environ = os.environ if environ is None else environ
        chosen: dict[str, Proxy | None] = {}
        for scheme in ("http", "https", "all"):
            name = f"{scheme}_proxy"
            value = environ.get(name)
            if value is None and not (scheme == "http" and "REQUEST_METHOD" in environ):
                name = name.upper()
                value = environ.get(name)
            if value:
                try:
                    chosen[scheme] = to_proxy(value, tls)
                except RequestError as error:
                    error.args = (f"environment variable {name}: {error}",)
                    raise
        return cls(chosen, NoProxy(environ.get("no_proxy", environ.get("NO_PROXY", ""))))


def _pattern(key: object, schemes: AbstractSet[str]) -> str:
    """A key of ``proxies=`` as origins are looked up by.

    Raises:
        InvalidRequest: It fits none.
    """
    scheme, _, host = key.lower().partition("://") if isinstance(key, str) else ("", "", "")
    if scheme not in schemes:
        raise InvalidRequest(f"proxies: the key {key!r} fits no URL; give {', '.join(_USUAL)}, or one with ://host")
    if not host:
        return scheme
    try:
        url = URL.parse(f"unknown://{host}")
    except InvalidURL as error:
        raise InvalidRequest(f"proxies: the key {key!r} fits no URL: {error}") from None
    if url.origin.port:
        raise InvalidRequest(f"proxies: the key {key!r} has a port, but goes by scheme and host; leave it out")
    return f"{scheme}://{url.host}"


class NoProxy:
    """The hosts of ``NO_PROXY``: names (and their sub-domains), addresses, networks (CIDR), ``*``; a port narrows."""

    def __init__(self, text: str) -> None:
        """Read a comma-separated list; a leading dot or ``*.`` means the same as none."""
        self._all = False
        self._names: list[tuple[str, int | None]] = []
        self._networks: list[tuple[Any, int | None]] = []
        for part in text.replace(" ", ",").split(","):
            self._read(part.strip().lower())

    def _read(self, part: str) -> None:
        if part == "*":
            self._all = True
        elif part:
            host, port = _split_port(part)
            try:
                self._networks.append((ipaddress.ip_network(host.strip("[]"), strict=False), port))
            except ValueError:
                name = host.removeprefix("*").strip(".")
                if not name.isascii():
                    name = URL.parse(f"http://{name}/").host
                if name:
                    self._names.append((name, port))

    def covers(self, host: str, port: int) -> bool:
        """Whether a host is reached directly."""
        if self._all:
            return True
        host = host.rstrip(".")
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return any(
                (host == name or host.endswith(f".{name}")) and wanted in (None, port) for name, wanted in self._names
            )
        mapped = getattr(address, "ipv4_mapped", None)
        candidates = [address] if mapped is None else [address, mapped]
        return any(
            candidate.version == network.version and candidate in network and wanted in (None, port)
            for network, wanted in self._networks
            for candidate in candidates
        )


def _split_port(part: str) -> tuple[str, int | None]:
    """Take a port off a host, an IPv6 address in brackets or without left whole."""
    host, colon, port = part.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.endswith("]")):
        return host, int(port)
    return part, None


async def open_tunnel(transport: Transport, proxy: Proxy, origin: Origin, exchange: Exchange) -> NetworkStream:
    """Ask an HTTP proxy for a tunnel.

    Args:
        transport: HTTP/1.1 over the connection to the proxy.
        proxy: The proxy.
        origin: Where the tunnel is to lead.
        exchange: Whose deadline bounds it.

    Returns:
        The stream to the origin.

    Raises:
        ProxyError: The proxy refused, or sent octets that cannot be the origin's.
    """
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}"
    headers: list[tuple[str, str]] = [("Host", target), *proxy.headers]
    credentials = authorization(proxy)
    if credentials is not None:
        headers.append(("Proxy-Authorization", credentials))
    request = Request("CONNECT", proxy.url, headers=headers, extensions={"target": target})
    try:
        response = await transport.send(request, exchange)
        stream: NetworkStream | None = response.extensions.get("network_stream")
        if stream is None:
            raise ProxyError(
                f"proxy {proxy.url.redacted} refused a tunnel to {target}: {response.status} {excerpt(response.reason)}"
                + ("; give its user name and password in the proxy's URL" if response.status == 407 else ""),
                status=response.status,
            )
        if stream.is_readable():
            raise ProxyError(
                f"proxy {proxy.url.redacted} sent octets into the tunnel to {target}, or its end, before we did"
            )
    except BaseException as error:
        transport.close()
        if isinstance(error, RequestError) and not isinstance(error, ProxyError | TimeoutError):
            raise ProxyError(f"proxy {proxy.url.redacted} failed to open a tunnel to {target}: {error}") from error
        raise
    return stream
