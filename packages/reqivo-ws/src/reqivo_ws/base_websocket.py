"""What a WebSocket is in every world: its options, its connection, and the next one when that is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypedDict, Unpack

from reqivo_core.errors import (
    ConnectionClosed,
    InvalidRequest,
    WebSocketError,
)
from reqivo_core.options import checked
from reqivo_core.timeouts import Timeout
from reqivo_ws.closing import ABNORMAL, MAX_REASON, NORMAL, Ending, is_transient, is_valid_on_wire
from reqivo_ws.codec import MAX_CONTROL
from reqivo_ws.connection import Connection
from reqivo_ws.deflate import Deflate
from reqivo_ws.handshake import checked_subprotocols
from reqivo_ws.opening import Target, open_stream
from reqivo_ws.reconnecting import Reconnector
from reqivo_ws.settings import Settings
from reqivo_ws.verdicts import closed_error

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from reqivo_core.auth import AuthTypes
    from reqivo_core.base_response import BaseResponse
    from reqivo_core.base_session import BaseSession
    from reqivo_core.headers import HeaderTypes
    from reqivo_core.options import ParamTypes, TimeoutTypes
    from reqivo_core.proxies import ProxyTypes
    from reqivo_core.tls_config import Cert, Verify
    from reqivo_core.urls import URL
    from reqivo_ws.messages import Data, Fragment
    from reqivo_ws.opening import Opened

Octets: TypeAlias = "bytes | bytearray | memoryview"
Sendable: TypeAlias = "str | Octets | Iterable[str | Octets] | AsyncIterable[str | Octets]"

_MISSING: Any = object()

UNREAD = 16
"""Connections that were lost and replaced, of which messages are kept for an application that receives none."""

_SETTINGS = ("max_message_size", "ping_interval", "ping_timeout", "close_timeout")
_SENDING = ("verify", "cert", "http2")
_OR_NONE = ("auth", "proxy")


class WebSocketOptions(TypedDict, total=False):
    """The keywords of a WebSocket.

    Attributes:
        headers: Field lines to add to the handshake.
        subprotocols: Names to offer, the preferred one first.
        timeout: Time limits of the opening handshake, and of writing; the session's where absent. A handshake whose
            total is not limited takes 30 s at most.
        compression: Whether to offer permessage-deflate (RFC 7692), or one or several ``Deflate`` that say how, the
            preferred one first. True by default.
        max_message_size: Octets of a message, inflated; 16 MiB by default, None for no limit.
        ping_interval: Seconds between pings of our own; 20 by default, None for none.
        ping_timeout: Seconds of silence after a ping that mean the peer has died; 20 by default, None for never.
        close_timeout: Seconds for the closing handshake; 10 by default.
        auto_reconnect: Whether to connect again when the connection is lost, or when the server is not there at first.
        max_reconnect_attempts: How often in a row; 5 by default, None for ever.
        reconnect_delay: Seconds before the first attempt; twice as many before each that follows, up to a minute,
            shortened by chance to as little as half.
        on_reconnect: Called with the WebSocket whenever a lost connection was replaced, to subscribe again or the like.
        session: Whose pool, cookies, proxies, authentication and hooks to use; one of its own by default.
        params: For the URL's query.
        cookies: To send along with the session's.
        auth: Instead of the session's; None for none.
        max_redirects: How many redirects of the handshake to follow; 10 by default.
        verify: As of a request.
        cert: As of a request.
        proxy: As of a request; None for none.
        http2: Whether a stream of an HTTP/2 connection may be used (RFC 8441): None where the server offers it.
    """

    headers: HeaderTypes
    subprotocols: Sequence[str] | None
    timeout: TimeoutTypes
    compression: bool | Deflate | Sequence[Deflate]
    max_message_size: int | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    auto_reconnect: bool
    max_reconnect_attempts: int | None
    reconnect_delay: float
    on_reconnect: Callable[[Any], Any] | None
    session: Any
    params: ParamTypes
    cookies: Mapping[str, str] | None
    auth: AuthTypes
    max_redirects: int
    verify: Verify
    cert: Cert
    proxy: ProxyTypes
    http2: bool | None


OPTIONS = frozenset(WebSocketOptions.__annotations__)


class BaseWebSocket:
    """The options of a WebSocket, and its conversations."""

    _session_class: ClassVar[type[Any]]

    def __init__(self, url: str | URL, **options: Unpack[WebSocketOptions]) -> None:
        """Make a WebSocket; nothing is sent before ``connect``.

        Args:
            url: ``ws://`` or ``wss://``, or relative to the session's ``base_url``.
            options: See WebSocketOptions.

        Raises:
            TypeError: A keyword is not known.
            ValueError: A number cannot be what it is given for.
            InvalidRequest: A subprotocol cannot be offered.
        """
        given = checked(options, OPTIONS, type(self).__name__)
        self.url = url
        self._session: BaseSession[Any] | None = given.get("session")
        self._owns_session = self._session is None
        timeout = given.get("timeout", _MISSING)
        limits = None if timeout is _MISSING else Timeout.of(timeout)
        self._target = Target(
            url=url,
            headers=given.get("headers"),
            params=given.get("params"),
            cookies=given.get("cookies"),
            subprotocols=checked_subprotocols(given.get("subprotocols")),
            offers=_offers(given.get("compression", True)),
            timeout=limits,
            max_redirects=given.get("max_redirects", 10),
            sending=_sending(given),
        )
        changes = {name: given[name] for name in _SETTINGS if name in given}
        if limits is not None:
            changes["write_timeout"] = limits.write
        self._settings = Settings(**changes)
        self._is_reconnecting = bool(given.get("auto_reconnect", False))
        self._reconnector = Reconnector(
            given.get("reconnect_delay", 1.0),
            given.get("max_reconnect_attempts", 5),
            given.get("on_reconnect"),
        )
        self._connection: Connection | None = None
        self._unread: deque[Connection] = deque(maxlen=UNREAD)
        self._opened: Opened | None = None
        self._is_closed = False

    # What is known.

    @property
    def response(self) -> BaseResponse | None:
        """The response that opened it; None before ``connect``."""
        return None if self._opened is None else self._opened.response

    @property
    def subprotocol(self) -> str | None:
        """What the server chose of ``subprotocols``."""
        return None if self._opened is None else self._opened.negotiated.subprotocol

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent, as far as known."""
        return self._connection is not None and self._connection.is_open

    @property
    def latency(self) -> float | None:
        """Seconds of the last round trip that a ping measured; None before the first."""
        return None if self._connection is None else self._connection.latency

    @property
    def close_code(self) -> int | None:
        """The close code (RFC 6455 §7.1.5), 1005 or 1006 where none came; None while it is open."""
        ending = self._ending
        return None if ending is None else ending.code

    @property
    def close_reason(self) -> str | None:
        """The reason that goes with the close code; None while it is open."""
        ending = self._ending
        return None if ending is None else ending.reason

    @property
    def _ending(self) -> Ending | None:
        return None if self._connection is None else self._connection.ending

    # Conversations, for either world.

    def _its_session(self) -> BaseSession[Any]:
        """The session; a new one of its own where none was given."""
        if self._session is None or (self._owns_session and self._session.is_closed):
            self._session = self._session_class()
        session: BaseSession[Any] = self._session
        return session

    async def _connect(self) -> None:
        if self.is_open:
            return
        self._is_closed = False
        self._reconnector.begin(self._its_session().runtime)
        await (self._reconnector.connect(self) if self._is_reconnecting else self._open())

    async def _open(self) -> Connection:
        """Open a connection, and make it the one in use."""
        session = self._its_session()
        opened = await open_stream(session, self._target)
        connection = Connection(opened.stream, session.runtime, opened.negotiated.deflate, self._settings)
        if self._is_closed:
            connection.abort()
            raise closed_error(Ending(ABNORMAL, "", story="the WebSocket was closed while it was being opened"))
        if self._connection is not None and self._is_reconnecting:
            self._unread.append(self._connection)
        self._opened, self._connection = opened, connection
        return connection

    def _current(self) -> Connection:
        if self._connection is None:
            raise WebSocketError("the WebSocket is not connected: call connect(), or use it in a with statement")
        return self._connection

    async def _receive(self, timeout: float | None) -> Any:
        """Wait for a message, over however many connections it takes."""
        message, _ = await self._receive_from(timeout, Connection.receive)
        return message

    async def _receive_from(
        self, timeout: float | None, receive: Callable[[Connection, float | None], Any]
    ) -> tuple[Any, Connection]:
        """Wait for something; that, and over which connection it came."""
        now = self._current().now
        until = None if timeout is None else now() + timeout
        while True:
            # What connections that were replaced had brought comes before what the new one brings.
            connection = self._unread[0] if self._unread else self._current()
            left = None if until is None else max(0.0, until - now())
            try:
                return await receive(connection, left), connection
            except ConnectionClosed as error:
                if connection not in self._unread:
                    await self._recover(connection, error, until)
                else:
                    with suppress(ValueError):  # another has found out as well
                        self._unread.remove(connection)

    async def _recover(self, connection: Connection, error: ConnectionClosed, until: float | None = None) -> None:
        """Connect again after an error, or raise it."""
        if not self._is_reconnecting or self._is_closed:
            raise error
        ending = await connection.await_end(until)  # another may be amid the closing handshake
        if self._is_closed or ending is None or not is_transient(ending.code):
            raise error
        await self._reconnector.reconnect(self, connection, error, until)

    async def _ready(self) -> Connection:
        """A connection that something can be sent over. An error that comes later is the caller's."""
        while True:
            connection = self._current()
            if not self._is_reconnecting and connection.is_ready():
                return connection
            try:
                await connection.look()
                return connection
            except ConnectionClosed as error:
                await self._recover(connection, error)

    async def _send(self, data: Any) -> None:
        if isinstance(data, str):
            await (await self._ready()).send(_encoded(data), True)
        elif isinstance(data, bytes):
            await (await self._ready()).send(data, False)
        elif (octets := _octets(data)) is not None:
            await (await self._ready()).send(octets, False)
        else:
            await self._send_fragments(_fragments(data))

    async def _send_fragments(self, fragments: Any) -> None:
        """Send an iterable's items as the fragments of one message; one without items sends nothing."""
        connection = await self._ready()
        await connection.begin_fragments()
        kind: bool | None = None
        try:
            while (item := await fragments()) is not _MISSING:
                is_text = isinstance(item, str)
                payload = _encoded(item) if isinstance(item, str) else _octets(item)
                if payload is None or is_text is not (is_text if kind is None else kind):
                    raise TypeError("the fragments of a message are all str or all bytes")
                await connection.send_fragment(payload, is_text, kind is None, False)
                kind = is_text
            if kind is not None:
                await connection.send_fragment(b"", kind, False, True)
        except BaseException:
            if kind is not None:
                await connection.give_up_fragments()
            raise
        finally:
            connection.end_fragments()

    async def _ping(self, data: str | Octets | None, timeout: float | None) -> float:
        payload = None if data is None else _control_payload(data)
        connection = await self._ready()
        return await connection.ping(payload, self._settings.ping_timeout if timeout is None else timeout)

    async def _pong(self, data: str | Octets) -> None:
        payload = _control_payload(data)
        await (await self._ready()).pong(payload)

    async def _close(self, code: int, reason: str) -> None:
        """Do the closing handshake, unless that was done."""
        if not isinstance(code, int) or not is_valid_on_wire(code):
            raise InvalidRequest(f"close code {code!r} cannot be sent: give {NORMAL}, or 3000 to 4999 (RFC 6455 §7.4)")
        if len(reason.encode("utf-8", "replace")) > MAX_REASON:
            raise InvalidRequest(f"close reason: at most {MAX_REASON} octets in UTF-8 (RFC 6455 §5.5)")
        self._is_closed = True
        self._reconnector.stop()
        if self._connection is not None:
            await self._connection.close(code, reason)

    def _fragment_source(self, timeout: float | None) -> Callable[[], Any]:
        """What gives the fragments of the next message one by one, then None."""
        connection: Connection | None = None
        is_over = False

        async def next_fragment() -> Data | None:
            nonlocal connection, is_over
            if is_over:
                return None
            fragment: Fragment
            if connection is None:
                fragment, connection = await self._receive_from(timeout, _first_fragment)
            else:
                fragment = await connection.receive_fragment(timeout)
            data, is_over = fragment
            return data

        return next_fragment

    def __repr__(self) -> str:
        state = "open" if self.is_open else "not connected" if self._connection is None else "closed"
        return f"<{type(self).__name__} {self._shown_url}: {state}>"

    @property
    def _shown_url(self) -> str:
        """The URL without credentials."""
        return getattr(self.url, "redacted", None) or str(self.url).rpartition("@")[2]


def _first_fragment(connection: Connection, timeout: float | None) -> Coroutine[Any, Any, Fragment]:
    return connection.receive_fragment(timeout, is_first=True)


def _sending(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the handshake's requests: what is not given is the session's, and None is none where it can be."""
    sending = {name: given[name] for name in _SENDING if given.get(name) is not None}
    return sending | {name: given[name] for name in _OR_NONE if name in given}


def _offers(compression: Any) -> tuple[Deflate, ...]:
    if isinstance(compression, bool):
        return (Deflate(),) if compression else ()
    offers = (compression,) if isinstance(compression, Deflate) else tuple(compression or ())
    if not all(isinstance(offer, Deflate) for offer in offers):
        raise TypeError("compression: give True, False, a Deflate or several of them, the preferred one first")
    return offers


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest("the text has half a surrogate pair, which UTF-8 cannot hold: send bytes") from None


def _octets(data: Any) -> bytes | None:
    """The octets of anything with a buffer; None for what has none."""
    if isinstance(data, bytes):
        return data
    try:
        return bytes(memoryview(data))
    except TypeError:
        return None


def _control_payload(data: str | Octets) -> bytes:
    payload = _encoded(data) if isinstance(data, str) else _octets(data)
    if payload is None:
        raise TypeError(f"a ping carries str or bytes, not {type(data).__name__}")
    if len(payload) > MAX_CONTROL:
        raise InvalidRequest(f"a ping carries at most {MAX_CONTROL} octets (RFC 6455 §5.5), not {len(payload)}")
    return payload


def _fragments(data: Any) -> Callable[[], Any]:
    """What gives the items of an iterable one by one, then ``_MISSING``.

    Raises:
        TypeError: It is none, or a mapping, whose keys nobody wants to send.
    """
    if isinstance(data, Mapping):
        raise TypeError("a WebSocket sends str, bytes or an iterable of them, not a mapping; did you mean json.dumps?")
    if isinstance(data, AsyncIterable):
        later = data.__aiter__()

        async def next_later() -> Any:
            try:
                return await later.__anext__()
            except StopAsyncIteration:
                return _MISSING

        return next_later
    if not isinstance(data, Iterable):
        raise TypeError(f"a WebSocket sends str, bytes or an iterable of them, not {type(data).__name__}")
    iterator = iter(data)

    async def next_now() -> Any:
        return next(iterator, _MISSING)

    return next_now


__all__ = ["BaseWebSocket", "Octets", "Sendable", "WebSocketOptions"]
