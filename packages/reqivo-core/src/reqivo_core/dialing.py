"""Dialing: from an origin and a route to a transport that is ready to send.

Resolve, connect (RFC 8305), tunnel, start TLS; the ALPN answer names the transport. All of it together takes no longer
than the connect timeout.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from reqivo_core.address_cache import AddressCache
from reqivo_core.errors import (
    CertificateError,
    ConnectError,
    ConnectTimeout,
    PoolTimeout,
    ProxyError,
    RequestError,
    TimeoutException,
    TlsError,
    TotalTimeout,
    UnsupportedProtocol,
)
from reqivo_core.interfaces import Address, Exchange, NetworkStream, Runtime, Transport, TransportContext, TransportSpec
from reqivo_core.proxies import open_tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from reqivo_core.limits import Limits
    from reqivo_core.plugins import PluginSet
    from reqivo_core.routes import Proxy, Route
    from reqivo_core.timeouts import Deadline
    from reqivo_core.urls import Origin

SECURE_SCHEMES = frozenset({"https", "wss"})
HTTP11 = "http/1.1"
HTTP2 = "h2"
_UNKNOWN_ISSUER = "issuer certificate", "self-signed", "self signed"
"""What OpenSSL says where nobody who is trusted has signed: its words depend on its version."""


class AddressCheck(Protocol):
    """Decides which addresses may be reached; ``address_guard=`` takes one."""

    def check(self, host: str, address: Address) -> None:
        """Raise to refuse an address, of the host that was asked for, before it is dialled."""

    def check_proxied(self, origin: Origin, proxy: Proxy) -> None:
        """Raise to refuse a request that a proxy would carry to an address that nobody here sees."""


def eligible(specs: Sequence[TransportSpec], route: Route) -> list[TransportSpec]:
    """The transports that a route allows, the preferred one first.

    Args:
        specs: Those that serve the scheme.
        route: Whose ``http1`` and ``http2`` decide.

    Raises:
        UnsupportedProtocol: None is left; the message says what to install or allow.
    """
    allowed = [
        spec
        for spec in specs
        if not (spec.alpn == HTTP2 and route.http2 is False)
        and not (spec.alpn == HTTP11 and (route.http2 is True or not route.http1))
    ]
    if allowed:
        return allowed
    if route.http2 is True or not route.http1:
        raise UnsupportedProtocol("HTTP/2 is asked for, but no installed transport speaks it; pip install reqivo-http2")
    raise UnsupportedProtocol("HTTP/1.1 is asked for, but no installed transport speaks it; pip install reqivo-http11")


def may_share(specs: Sequence[TransportSpec], origin: Origin, route: Route) -> bool:
    """Whether a connection to be opened might turn out to carry several requests at once."""
    if route.http2 is True:
        return True
    return origin.scheme in SECURE_SCHEMES and route.http2 is not False and any(spec.alpn == HTTP2 for spec in specs)


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Alternate between the address families, beginning with that of the first (RFC 8305 §4)."""
    first = [address for address in addresses if address.is_ipv6 == addresses[0].is_ipv6]
    second = [address for address in addresses if address.is_ipv6 != addresses[0].is_ipv6]
    paired = [address for pair in zip(first, second, strict=False) for address in pair]
    return paired + first[len(second) :] + second[len(first) :]


class Dialer:
    """Opens the connections of one session."""

    def __init__(
        self,
        runtime: Runtime,
        plugins: PluginSet,
        limits: Limits,
        options: Mapping[str, Any],
        resolve: Mapping[str, Any] | Callable[[str, int], Any] | None = None,
        address_check: AddressCheck | None = None,
    ) -> None:
        """Make a dialler.

        Args:
            runtime: The leaves.
            plugins: Where transports and tunnels come from.
            limits: For the transports.
            options: The session's options for transports.
            resolve: Addresses to use instead of DNS: a map from host (or ``host:port``) to an address, ``(address,
                port)`` or a list of either; or a function of host and port that returns such, or None to ask DNS.
            address_check: Looks at each address before it is dialled. A proxy's own is the user's choice.
        """
        self._runtime = runtime
        self._plugins = plugins
        self._limits = limits
        self._options = options
        self._resolve = resolve
        self._address_check = address_check
        self._cache = AddressCache(limits.max_dns_entries, limits.dns_ttl)

    async def dial(self, origin: Origin, route: Route, exchange: Exchange, on_change: Callable[[], None]) -> Transport:
        """Open a connection.

        Args:
            origin: To whom.
            route: How.
            exchange: Whose deadline bounds it.
            on_change: For the transport, to be called when its concurrency changes.

        Raises:
            RequestError: It failed; the classes tell where (DNSError, ConnectError, ProxyError, TlsError …).
        """
        specs = eligible(self._plugins.specs_for(origin.scheme), route)
        context = TransportContext(origin, self._runtime, self._limits, self._options, on_change, exchange.trace)
        deadline = exchange.deadline.narrowed(exchange.deadline.timeout.connect)
        try:
            if specs[0].dial is not None:
                return await specs[0].dial(context, deadline)
            return await self._dial_stream(origin, route, specs, context, exchange, deadline)
        except TimeoutException as error:
            raise self._timed_out(error, origin, exchange) from error

    def _timed_out(self, error: TimeoutException, origin: Origin, exchange: Exchange) -> TimeoutException:
        """Whatever leaf it was that waited, connecting took too long."""
        if exchange.deadline.has_passed():
            return error if isinstance(error, TotalTimeout) else exchange.deadline.expired()
        if isinstance(error, ConnectTimeout | PoolTimeout):
            return error
        seconds = exchange.deadline.timeout.connect or 0.0
        # A TotalTimeout is here that of connecting, which tells nothing more.
        why = "" if isinstance(error, TotalTimeout) else f": {error}"
        return ConnectTimeout(f"no connection to {origin} within {seconds:g} s{why}", phase=error.phase or "connect")

    async def _dial_stream(
        self,
        origin: Origin,
        route: Route,
        specs: list[TransportSpec],
        context: TransportContext,
        exchange: Exchange,
        deadline: Deadline,
    ) -> Transport:
        """Connect, tunnel, encrypt and choose the transport."""
        is_secure = origin.scheme in SECURE_SCHEMES or specs[0].is_secure
        if route.proxy is not None and self._address_check is not None:
            self._address_check.check_proxied(origin, route.proxy)
        if route.proxy is None:
            stream = await self._connect(origin, route, exchange, deadline)
        elif is_secure or route.is_tunnelled or origin.scheme != "http" or not _is_http(route.proxy):
            stream = await self._tunnel(route.proxy, origin, route, exchange, deadline)
        else:
            stream = await self._connect_proxy(route.proxy, route, exchange, deadline)
            context.forward_proxied = True
        try:
            spec = _without_negotiation(specs, route)
            if is_secure:
                offers = [spec.alpn for spec in specs if spec.alpn]
                hostname = route.tls.server_hostname or origin.host
                try:
                    stream = await self._start_tls(stream, route.tls, hostname, offers, exchange, deadline)
                except CertificateError as error:
                    if any(reason in error.args[0] for reason in _UNKNOWN_ISSUER):
                        error.args = (f"{error.args[0]}; verify= says whom to trust",)
                    raise
                spec = _chosen(specs, stream.get_info("alpn_protocol"), route, origin)
            assert spec.open is not None, "a spec without dial has open: checked when it was registered"
            return spec.open(stream, context)
        except BaseException:
            stream.close()
            raise

    async def _connect(self, origin: Origin, route: Route, exchange: Exchange, deadline: Deadline) -> NetworkStream:
        """Connect to where an origin (or a proxy) lives."""
        if route.socket_path is not None:
            with _phase(exchange, "connect", {"path": route.socket_path}):
                return await self._runtime.connect_unix(route.socket_path, deadline.left())
        addresses = await self._permitted(origin, exchange, deadline, is_checked=route.proxy is None)
        with _phase(exchange, "connect", {"host": origin.host, "port": origin.port}):
            try:
                return await self._runtime.connect_tcp(
                    interleaved(addresses), deadline.left(), local_address=route.local_address
                )
            except RequestError:
                self._cache.forget(origin.host)  # it may have moved
                raise

    async def _permitted(
        self, origin: Origin, exchange: Exchange, deadline: Deadline, *, is_checked: bool = True
    ) -> list[Address]:
        """An origin's addresses, none of them refused."""
        with _phase(exchange, "dns", {"host": origin.host}):
            addresses = await self._addresses(origin.host, origin.port, deadline)
        if self._address_check is not None and is_checked:
            for address in addresses:
                self._address_check.check(origin.host, address)
        return addresses

    async def _addresses(self, host: str, port: int, deadline: Deadline) -> list[Address]:
        """Look a host up: first where the session says, then in DNS."""
        chosen = None
        if callable(self._resolve):
            chosen = self._resolve(host, port)
        elif self._resolve is not None:
            chosen = self._resolve.get(f"{host}:{port}", self._resolve.get(host, self._resolve.get("*")))
        if chosen is None:
            return await self._ask_dns(host, port, deadline)
        several = chosen if isinstance(chosen, list) else [chosen]
        addresses: list[Address] = []
        for one in several:
            target, target_port = one if isinstance(one, tuple) else (one, port)
            addresses += await self._runtime.resolve(target, target_port, deadline.left())
        return addresses

    async def _ask_dns(self, host: str, port: int, deadline: Deadline) -> list[Address]:
        """Ask DNS, or remember what it said."""
        known = self._cache.get(host, self._runtime.now())
        if known is not None:
            return [Address(address.host, port) for address in known]
        addresses = await self._runtime.resolve(host, port, deadline.left())
        if addresses != [Address(host, port)]:  # nobody has to remember what an address is the address of
            self._cache.put(host, addresses, self._runtime.now())
        return addresses

    async def _connect_proxy(self, proxy: Proxy, route: Route, exchange: Exchange, deadline: Deadline) -> NetworkStream:
        """Connect to a proxy, encrypted if its URL says so. Its TLS settings are its own, not the origin's."""
        try:
            stream = await self._connect(proxy.url.origin, route, exchange, deadline)
        except ConnectError as error:
            error.args = (f"proxy {proxy.url.redacted}: {error.args[0]}",)
            raise
        if proxy.url.scheme == "https":
            try:
                stream = await self._start_tls(stream, proxy.tls, proxy.url.host, [HTTP11], exchange, deadline)
            except CertificateError as error:
                error.args = (
                    f"proxy {proxy.url.redacted}: {error.args[0]}; Proxy.of(url, verify=…) says what is trusted",
                )
                raise
        return stream

    async def _tunnel(
        self, proxy: Proxy, origin: Origin, route: Route, exchange: Exchange, deadline: Deadline
    ) -> NetworkStream:
        """Reach an origin through a proxy."""
        tunnel = self._plugins.tunnels.get(proxy.url.scheme)
        if tunnel is None and not _is_http(proxy):
            raise UnsupportedProtocol(
                f"proxy {proxy.url.redacted}: no installed part speaks {proxy.url.scheme}:// to a proxy", phase="proxy"
            )
        stream = await self._connect_proxy(proxy, route, exchange, deadline)
        with _phase(exchange, "proxy", {"proxy": str(proxy.url), "target": str(origin)}):
            try:
                if tunnel is not None:
                    if getattr(tunnel, "wants_address", False):
                        address = (await self._permitted(origin, exchange, deadline))[0]
                        origin = origin._replace(host=address.host, port=address.port)
                    return await tunnel(stream, proxy, origin, deadline)
                transport = self._http11(stream, proxy)
                patient = Exchange(self._runtime, deadline, exchange.limits, exchange.trace)
                return await open_tunnel(transport, proxy, origin, patient)
            except BaseException:
                stream.close()
                raise

    def _http11(self, stream: NetworkStream, proxy: Proxy) -> Transport:
        """The HTTP/1.1 transport, to speak to a proxy with."""
        for spec in self._plugins.specs_for("http"):
            if spec.alpn == HTTP11 and spec.open is not None:
                context = TransportContext(proxy.url.origin, self._runtime, self._limits, self._options)
                return spec.open(stream, context)
        raise ProxyError(
            "an HTTP proxy is spoken to in HTTP/1.1, for which nothing is installed; pip install reqivo-http11"
        )

    async def _start_tls(
        self,
        stream: NetworkStream,
        config: Any,
        hostname: str,
        offers: Sequence[str],
        exchange: Exchange,
        deadline: Deadline,
    ) -> NetworkStream:
        try:
            with _phase(exchange, "tls", {"server_hostname": hostname, "alpn": offers}) as found:
                encrypted = await stream.start_tls(config, hostname, offers, deadline.left())
                found["resumed"] = getattr(encrypted.get_info("ssl_object"), "session_reused", False)
                return encrypted
        except BaseException:
            stream.close()
            raise


def _is_http(proxy: Proxy) -> bool:
    """Whether a proxy is spoken to in HTTP."""
    return proxy.url.scheme in ("http", "https")


def _without_negotiation(specs: Sequence[TransportSpec], route: Route) -> TransportSpec:
    """The transport to use where nothing is negotiated: HTTP/2 only by prior knowledge, else the one for HTTP/1.1."""
    plain = [spec for spec in specs if spec.alpn in (None, HTTP11)]
    return plain[0] if plain and route.http2 is not True else specs[0]


def _chosen(specs: Sequence[TransportSpec], alpn: str | None, route: Route, origin: Origin) -> TransportSpec:
    """The transport that ALPN chose.

    Raises:
        TlsError: The server chose nothing, and what it speaks then is not allowed.
    """
    if alpn is not None:
        for spec in specs:
            if spec.alpn == alpn:
                return spec
        raise TlsError(f"{origin} chose the protocol {alpn!r} by ALPN, which was not offered", phase="tls")
    spec = _without_negotiation(specs, route)
    if spec.alpn not in (None, HTTP11):
        raise TlsError(
            f"{origin} does not speak HTTP/2 (it chose no protocol by ALPN); do not ask for http2=True", phase="tls"
        )
    return spec


@contextmanager
def _phase(exchange: Exchange, name: str, info: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Time a phase of connecting, tell observers (what was found, too), and name the phase in what it raises."""
    trace = exchange.trace
    found: dict[str, Any] = {}
    if trace is not None:
        trace(name, "started", info)
    started = exchange.runtime.now()
    try:
        yield found
    except BaseException as error:
        if isinstance(error, RequestError) and error.phase is None:
            error.phase = name
        if trace is not None:
            trace(name, "failed", {**info, "error": repr(error)})
        raise
    exchange.timings[name] = exchange.timings.get(name, 0.0) + exchange.runtime.now() - started
    if trace is not None:
        trace(name, "complete", {**info, **found})
