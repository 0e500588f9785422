"""The contracts between the parts: what a runtime gives, what a transport does, what passes between them.

The rule behind all of them: *decide purely, speak once, wait at the bottom.* Every ``async def`` here ends in a leaf
of a :class:`Runtime`. The blocking runtime's leaves never suspend, so a whole conversation runs to its end with one
``coroutine.send(None)``; the asyncio runtime's leaves suspend as usual. Nothing above the leaves knows which it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from reqivo_core.errors import UnsupportedProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence

    from reqivo_core.headers import Headers
    from reqivo_core.limits import Limits
    from reqivo_core.messages import Request
    from reqivo_core.routes import Proxy
    from reqivo_core.timeouts import Deadline
    from reqivo_core.tls_config import TlsConfig
    from reqivo_core.urls import Origin


class Address(NamedTuple):
    """Where a TCP connection may be made.

    Attributes:
        host: An IP address, as text (a scope may follow ``%`` in a link-local IPv6 one).
        port: The port.
    """

    host: str
    port: int

    @property
    def is_ipv6(self) -> bool:
        """Whether it is an IPv6 address."""
        return ":" in self.host


class NetworkStream(ABC):
    """A connection's octets, both ways.

    One reader and one writer may use it at once, from two threads or tasks. After a failed or cancelled write the
    stream is unusable: nobody knows how much left.

    Attributes:
        keeps_writes: Whether it is usable all the same after a write that was cancelled or took too long, since all
            that was handed over is kept, and leaves before what is written next.
    """

    keeps_writes: bool = False

    @abstractmethod
    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Wait for octets. Cancelled, it takes none: those that have arrived stay for the next read.

        Args:
            max_bytes: How many to return at most.
            timeout: Seconds to wait; 0 takes only what has arrived; None waits for ever.

        Returns:
            At least one octet, or ``b""`` once the peer has ended its side cleanly.

        Raises:
            ReadTimeout: Nothing came in time.
            ReadError: The connection broke (reset; TLS ended without close_notify).
        """

    @abstractmethod
    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """Hand over all octets to the network.

        Args:
            data: What to write.
            timeout: Seconds that it may take; None for ever.

        Raises:
            WriteTimeout: The peer did not take them in time.
            WriteError: The connection broke.
        """

    @abstractmethod
    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        """Start TLS as the client.

        On any failure the stream is closed.

        Args:
            config: What is wanted of TLS.
            server_hostname: The name or address to verify (SNI is sent for names only, RFC 6066 §3).
            alpn: Protocols to offer, the preferred one first; empty offers none.
            timeout: Seconds for the whole handshake; None for ever.

        Returns:
            The encrypted stream that replaces this one. ``get_info("alpn_protocol")`` tells what was chosen.

        Raises:
            CertificateError: The server's certificate was not accepted.
            TlsError: The handshake failed in another way.
            ConnectTimeout: It took too long.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection at once. Never waits, never raises, may be called again and from any thread."""

    @abstractmethod
    def is_readable(self) -> bool:
        """Whether a read would return at once: octets arrived, or the peer has ended or broken the connection."""

    def is_writable(self) -> bool:
        """Whether the peer (or what is buffered on the way to it) would take a few octets at once, as far as known."""
        return True

    def get_info(self, name: str) -> Any:
        """Facts about the connection: ``peername``, ``sockname``, ``socket``, ``ssl_object``, ``alpn_protocol``.

        Where it is one stream among others of a connection, ``stream_id`` is its number.

        Returns:
            The fact, None where it does not apply.
        """
        return None


class Waiter(ABC):
    """A place where one conversation waits until another wakes it."""

    @abstractmethod
    def wake(self) -> None:
        """Let ``wait`` return, now or when it is called. From any thread; never blocks; again is harmless."""

    @abstractmethod
    async def wait(self, timeout: float | None) -> bool:
        """Wait for ``wake``.

        Args:
            timeout: Seconds; None for ever.

        Returns:
            Whether it was woken (False: time ran out).
        """


class Runtime(ABC):
    """The leaves of one concurrency world. Everything that waits does so in one of these methods.

    Attributes:
        name: What the world is called.
        cancelled: What a wait raises that was cancelled from outside, and has taken nothing. Whatever else comes out of
            one that is no error of this library (a signal's, in threads) may have struck anywhere.
        check_cancelled: Raises where any wait would that began now, being cancelled. None where that is only found out
            by a wait that suspends, so that a write which finds room is never cancelled.
    """

    name: str
    cancelled: tuple[type[BaseException], ...] = ()
    check_cancelled: Callable[[], Awaitable[None]] | None = None

    @abstractmethod
    def now(self) -> float:
        """The world's monotonic clock, in seconds."""

    @abstractmethod
    def world(self) -> Hashable:
        """What connections made now are bound to (an event loop); the same value for as long as they can be used."""

    @abstractmethod
    def waiter(self) -> Waiter:
        """A new waiter."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def give_way(self) -> None:
        """Let others run who are ready to, where they cannot while the caller does (tasks of one loop)."""
        await self.sleep(0)

    @abstractmethod
    async def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        """Look up a host's addresses, in the system's order of preference (RFC 6724).

        Args:
            host: A host name, ASCII; or an IP address, which is returned as it is.
            port: The port to put into the addresses.
            timeout: Seconds; None for ever.

        Raises:
            DNSError: There are none.
            ConnectTimeout: It took too long.
        """

    @abstractmethod
    async def connect_tcp(
        self,
        addresses: Sequence[Address],
        timeout: float | None,
        *,
        local_address: str | None = None,
        stagger: float = 0.25,
    ) -> NetworkStream:
        """Connect to whichever address answers first (RFC 8305 §5).

        Args:
            addresses: In the order in which to try them; at least one.
            timeout: Seconds for all together; None for ever.
            local_address: The local IP address to connect from, or the name of a network interface.
            stagger: Seconds after which the next address is tried beside those that have not answered.

        Raises:
            ConnectError: None could be reached; the message tells what each said.
            ConnectTimeout: It took too long.
        """

    @abstractmethod
    async def connect_unix(self, path: str, timeout: float | None) -> NetworkStream:
        """Connect to a Unix domain socket.

        Raises:
            ConnectError: It could not be reached.
            ConnectTimeout: It took too long.
        """


class TraceEvent(NamedTuple):
    """Something observable.

    Attributes:
        name: ``dns``, ``connect``, ``tls``, ``proxy``, ``request``, ``response``, ``push``, ``window``, ``reconnect``.
        state: ``started``, ``complete`` or ``failed``.
        time: When, on the runtime's monotonic clock, in seconds.
        info: Details; never a credential.
    """

    name: str
    state: str
    time: float
    info: Mapping[str, Any]


Trace: TypeAlias = "Callable[[str, str, Mapping[str, Any]], None]"
"""Called with an event's name, state and details. Where nobody observes there is no trace at all (None)."""


class Exchange:
    """The circumstances of one request that its conversations need.

    Attributes:
        runtime: The leaves.
        deadline: When the request must be over.
        limits: The session's limits.
        trace: Where events go; None where nobody observes.
        timings: Seconds by phase, filled in as they end: dns, connect, tls, wait (for a connection), first_byte, body.
        respond: Makes a response, of the session's kind, of one that nobody asked for (a pushed one): called with the
            request that was promised, the response and the exchange to read it by. The engine sets it.
    """

    __slots__ = ("deadline", "limits", "respond", "runtime", "timings", "trace")

    def __init__(self, runtime: Runtime, deadline: Deadline, limits: Limits, trace: Trace | None = None) -> None:
        self.runtime = runtime
        self.deadline = deadline
        self.limits = limits
        self.trace = trace
        self.timings: dict[str, float] = {}
        self.respond: Callable[[Request, IncomingResponse, Exchange], Any] | None = None


class ResponseBody(ABC):
    """A response body as a transport gives it: framed, not decoded.

    Attributes:
        length: Octets announced; None where the framing does not say.
        trailers: The trailer section, once the end was read (RFC 9110 §6.5); kept apart from the headers for good.
    """

    length: int | None = None
    trailers: Headers | None = None

    @property
    def is_over(self) -> bool:
        """Whether the chunk that was given last is known to have been the last, so that nobody has to ask again.

        False is always right; True saves those who read a body whole from asking for its end.
        """
        return False

    def take_whole(self) -> bytes | None:
        """Take all that is left, where all of it has come and ends well, without trailers.

        Returns:
            The octets, the body being over then; None where they have to be read, which is always right.
        """
        return None

    @abstractmethod
    async def read_chunk(self) -> bytes:
        """Wait for octets of the body.

        Flow-control credit for the chunk returned last is given back by asking for the next: that is consumption.

        Returns:
            Some octets; ``b""`` at the end, and again after it.

        Raises:
            IncompleteBody: The body ended before its end.
            RequestError: Anything else that ends it: time-outs, resets, violations.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the body up. Never waits, never raises, may be called again, from any thread and from a finalizer."""

    async def aclose(self) -> None:
        """Give the body up, telling the peer where the protocol has words for it (HTTP/2: RST_STREAM)."""
        self.close()


@dataclass(slots=True)
class IncomingResponse:
    """A response whose head has come.

    Attributes:
        status: The final status code.
        reason: The reason phrase; empty in HTTP/2.
        http_version: ``"HTTP/1.1"``, ``"HTTP/2"`` …
        headers: The header section.
        body: The body still to be read.
        extensions: ``network_stream`` (a NetworkStream, after a 101 or a 2xx to CONNECT), ``stream_id``, ``pushes`` …
    """

    status: int
    reason: str
    http_version: str
    headers: Headers
    body: ResponseBody
    extensions: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class TransportContext:
    """What a transport is told when it is opened.

    Attributes:
        origin: Whom it speaks to.
        runtime: The leaves, for waiters and clocks.
        limits: The session's limits.
        options: The session's options for transports by name: ``push``, ``window_manager`` …
        on_change: To be called (without locks held) when ``concurrency`` changed other than by an exchange's end.
        trace: Where events go that belong to no request; None where nobody observes.
        forward_proxied: Whether requests go to a proxy in absolute-form (RFC 9112 §3.2.2).
    """

    origin: Origin
    runtime: Runtime
    limits: Limits
    options: Mapping[str, Any]
    on_change: Callable[[], None] = lambda: None
    trace: Trace | None = None
    forward_proxied: bool = False


class Transport(ABC):
    """One protocol, spoken over one connection to one origin.

    The pool never calls ``send`` more than ``concurrency`` times at once. An exchange ends when its body has been read
    to the end or closed, or ``send`` has raised; the transport then says by ``concurrency`` what it is good for.

    Attributes:
        http_version: What it speaks, as responses name it.
        is_shared: Whether it can carry several exchanges at once.
    """

    http_version: str = ""
    is_shared: bool = False

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """How many exchanges it may carry at once from now on.

        1 for HTTP/1.1, 0 for ever once it is closed, broken or draining. A shared transport may say 0
        for a while (MAX_CONCURRENT_STREAMS) as long as ``is_closing`` is False.
        """

    @property
    @abstractmethod
    def is_closing(self) -> bool:
        """Whether it will take no more requests, ever."""

    @abstractmethod
    async def send(self, request: Request, exchange: Exchange) -> IncomingResponse:
        """Send a request, body and all, and wait for the head of the final response.

        Whatever is raised, the exchange is over and its resources are released. Errors that prove the server did not
        act on the request have ``unprocessed`` set.

        Raises:
            RequestError: What happened.
        """

    async def ping(self, exchange: Exchange) -> float:
        """Ask the peer for a sign of life, where the protocol has words for it.

        Returns:
            Seconds that it took.

        Raises:
            UnsupportedProtocol: The protocol has none.
            RequestError: The peer did not answer.
        """
        raise UnsupportedProtocol(f"{self.http_version or type(self).__name__} has no ping; HTTP/2 has")

    @abstractmethod
    def is_usable(self) -> bool:
        """Look, without waiting, whether an idle connection can still be used (no end, no surplus octets arrived)."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection at once; exchanges in progress fail. Never waits or raises; any thread."""

    async def aclose(self) -> None:
        """Close with the protocol's farewell where it has one (GOAWAY, close frame)."""
        self.close()

    def describe(self) -> Mapping[str, Any]:
        """Facts for ``session.pool``: streams, windows …."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSpec:
    """How to get a transport; what ``reqivo_register_transports`` returns.

    Attributes:
        name: For messages and listings.
        schemes: URL schemes that it serves.
        alpn: The protocol's ALPN id; None for a scheme of its own without negotiation.
        open: Makes the transport over a connected (and encrypted) stream: a Transport class will do. It must not wait.
        dial: Makes the transport without a stream of ours (``asgi://``): called with the origin instead of ``open``.
        is_secure: Whether to start TLS before ``open`` for a scheme of its own (``https`` and ``wss`` always do).
        priority: Where several could serve, the highest is preferred (offered first by ALPN).
    """

    name: str
    schemes: tuple[str, ...]
    alpn: str | None = None
    open: Callable[[NetworkStream, TransportContext], Transport] | None = None
    dial: Callable[[TransportContext, Deadline], Awaitable[Transport]] | None = None
    is_secure: bool = False
    priority: int = 0


Tunnel: TypeAlias = "Callable[[NetworkStream, Proxy, Origin, Deadline], Awaitable[NetworkStream]]"
"""Makes a tunnel to an origin over a connection to a proxy (SOCKS); returns the stream to the origin.

Where the function has a true attribute ``wants_address``, the origin's host is an IP address, resolved as the session
resolves names; without it, it is what the URL says, for the proxy to resolve.
"""
