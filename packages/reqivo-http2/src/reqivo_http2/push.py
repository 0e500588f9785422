"""Server push (RFC 9113 §8.4): what is promised, whether it is wanted, and how its response is read.

Off unless the session says ``push=True`` or gives a :class:`PushPolicy`. What breaks the standard's rules (a foreign
origin, a method that is not safe, a body) is refused whatever the policy; what passes its limits too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from h2.errors import ErrorCodes

from reqivo_core.errors import InvalidRequest, InvalidURL, ReadTimeout, StreamClosed, StreamReset
from reqivo_core.headers import Headers
from reqivo_core.interfaces import Exchange, IncomingResponse
from reqivo_core.messages import Request
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.timeouts import Deadline
from reqivo_http2.faults import Failure, StreamFault
from reqivo_http2.flow_control import STREAM_WINDOW
from reqivo_http2.frames import rst_stream
from reqivo_http2.response_body import Http2Body
from reqivo_http2.response_fields import check_fields, malformed
from reqivo_http2.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.headers import RawHeaders
    from reqivo_core.interfaces import TransportContext
    from reqivo_core.urls import URL
    from reqivo_http2.connection_state import ConnectionState
    from reqivo_http2.wire import Wire

_PUSHABLE = frozenset({b"GET", b"HEAD"})
_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPolicy:
    """What a server may push.

    Attributes:
        max_streams: Pushed responses on their way at once, or waiting to be taken; what is promised beyond them is
            refused.
        max_body: Octets of one pushed body; a longer one is cancelled. None for any number.
        same_origin: Whether only what belongs to the connection's own origin is accepted.
        accept: Called with the promised request; refuses it by returning something false. None accepts all. What it
            raises refuses too, and comes out of ``response.pushes`` at the place of the push.
    """

    max_streams: int = 100
    max_body: int | None = None
    same_origin: bool = True
    accept: Callable[[Request], Any] | None = None

    @classmethod
    def of(cls, value: Any) -> PushPolicy | None:
        """Take a policy as users write it: None or False for none, True for the defaults.

        Raises:
            InvalidRequest: It is something else.
        """
        if value is None or value is False:
            return None
        if value is True:
            return cls()
        if isinstance(value, cls):
            return value if value.max_streams > 0 else None
        raise InvalidRequest(f"push={value!r}: give True, False or a PushPolicy")


class Promise:
    """One promised response.

    Attributes:
        request: The request that the server answers by itself.
        stream: Where the response comes.
    """

    def __init__(self, wire: Wire, request: Request, stream: Stream) -> None:
        self._wire = wire
        self.request = request
        self.stream = stream
        self.is_claimed = False

    async def receive(self, parent: Exchange) -> Any:
        """Wait for the head of the response, and make a response of it.

        Args:
            parent: The exchange that it was promised in, whose time limits count from now on for this one.
        """
        if self.is_claimed:
            raise StreamClosed("the pushed response was taken or cancelled before")
        self.is_claimed = True
        wire, stream = self._wire, self.stream
        exchange = Exchange(parent.runtime, Deadline(parent.deadline.timeout, wire.runtime.now), parent.limits)
        exchange.trace, exchange.respond = parent.trace, parent.respond
        try:
            seconds = exchange.deadline.read()
            is_there = await wire.wait(
                stream.waiters,
                lambda: stream.status is not None or stream.failure is not None,
                seconds,
                exchange.deadline,
            )
            if not is_there:
                raise ReadTimeout(f"the promised response did not come within {seconds:g} s", phase="read")
            if stream.status is None:
                assert stream.failure is not None, "one of the two was waited for"
                raise stream.failure.error()
        except BaseException:
            wire.cancel(stream)
            raise
        incoming = IncomingResponse(
            stream.status,
            "",
            "HTTP/2",
            Headers.from_raw(stream.fields),
            Http2Body(wire, stream, exchange),
            {"stream_id": stream.id},
        )
        assert exchange.respond is not None, "the engine sets it before it hands out promises"
        return exchange.respond(self.request, incoming, exchange)

    async def cancel(self, deadline: Deadline) -> None:
        """Tell the server that the response is not wanted."""
        self.is_claimed = True
        self._wire.cancel(self.stream)
        await self._wire.flush(deadline)

    def __del__(self) -> None:
        if not self.is_claimed:
            self._wire.cancel(self.stream)


class BasePush:
    """A promised response: what was promised."""

    def __init__(self, promise: Promise, exchange: Exchange) -> None:
        self._promise = promise
        self._exchange = exchange

    @property
    def path(self) -> str:
        """The path (and query) of what was promised."""
        return self._promise.request.url.target

    @property
    def method(self) -> str:
        """The method: GET or HEAD."""
        return self._promise.request.method

    @property
    def url(self) -> URL:
        """The URL of what was promised."""
        return self._promise.request.url

    @property
    def request_headers(self) -> Headers:
        """The headers of the request that the server answers by itself."""
        return self._promise.request.headers

    def getrequestheaders(self) -> Headers:
        """The headers of the request, under the name that users of hyper know."""
        return self.request_headers

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.url}>"


class Push(BasePush):
    """A promised response, for blocking sessions."""

    def get_response(self) -> Any:
        """Wait for the response; its body is read like any other's.

        Raises:
            StreamClosed: It was taken or cancelled before.
            RequestError: The server did not deliver.
        """
        return run_blocking(self._promise.receive(self._exchange))

    getresponse = get_response

    def cancel(self) -> None:
        """Tell the server that the response is not wanted (RST_STREAM)."""
        run_blocking(self._promise.cancel(self._deadline()))

    def _deadline(self) -> Deadline:
        return Deadline(self._exchange.deadline.timeout, self._exchange.runtime.now)


class AsyncPush(BasePush):
    """A promised response, for asynchronous sessions."""

    async def get_response(self) -> Any:
        """Wait for the response, body and all.

        Raises:
            StreamClosed: It was taken or cancelled before.
            RequestError: The server did not deliver.
        """
        response = await self._promise.receive(self._exchange)
        await response.load()
        return response

    getresponse = get_response

    async def cancel(self) -> None:
        """Tell the server that the response is not wanted (RST_STREAM)."""
        await self._promise.cancel(Deadline(self._exchange.deadline.timeout, self._exchange.runtime.now))


class Pushes:
    """What is promised with one response, in the order in which it is."""

    def __init__(self, wire: Wire, parent: Stream, exchange: Exchange) -> None:
        self._wire = wire
        self._parent = parent
        self._exchange = exchange

    async def next(self, index: int) -> Promise | Exception | None:
        """Wait for a promise.

        Args:
            index: Which one.

        Returns:
            The promise, or what the application's own judgement of it raised; None if there are no more, or none can
            come before more of the response has been read.

        Raises:
            ReadTimeout: The server said nothing for too long.
            RequestError: The response broke.
        """
        parent, wire = self._parent, self._wire
        deadline = self._exchange.deadline
        while True:
            with wire.guard:
                if index < len(parent.pushes):
                    found: Promise | Exception = parent.pushes[index]
                    return found
                if self._is_complete():
                    return None
            if wire.state.outgoing.has_control:
                await wire.flush(deadline)
            seconds = deadline.read()
            if not await wire.wait(
                parent.waiters, lambda: index < len(parent.pushes) or self._is_complete(), seconds, deadline
            ):
                raise ReadTimeout(f"the server neither promised anything nor ended in {seconds:g} s", phase="read")

    def _is_complete(self) -> bool:
        """Whether nothing more can come: the response is whole, or its window is full of what nobody reads."""
        parent = self._parent
        if parent.promises_open:
            return False
        return parent.is_remote_closed or parent.receive_window <= 0

    def for_blocking(self) -> Iterator[Push]:
        """The promises of a blocking session's response."""
        return _BlockingPushes(self, self._exchange)

    def for_async(self) -> AsyncIterator[AsyncPush]:
        """The promises of an asynchronous session's response."""
        return _AsyncPushes(self, self._exchange)


class _BlockingPushes(Iterator[Push]):
    def __init__(self, pushes: Pushes, exchange: Exchange) -> None:
        self._pushes = pushes
        self._exchange = exchange
        self._next = 0

    def __next__(self) -> Push:
        found = run_blocking(self._pushes.next(self._next))
        if found is None:
            raise StopIteration
        self._next += 1
        if isinstance(found, Exception):
            raise found
        return Push(found, self._exchange)


class _AsyncPushes(AsyncIterator[AsyncPush]):
    def __init__(self, pushes: Pushes, exchange: Exchange) -> None:
        self._pushes = pushes
        self._exchange = exchange
        self._next = 0

    async def __anext__(self) -> AsyncPush:
        found = await self._pushes.next(self._next)
        if found is None:
            raise StopAsyncIteration
        self._next += 1
        if isinstance(found, Exception):
            raise found
        return AsyncPush(found, self._exchange)


class PushBook:
    """Judges the promises on one connection.

    Attributes:
        wire: The connection; set once it is there.
    """

    wire: Wire

    def __init__(self, state: ConnectionState, policy: PushPolicy, context: TransportContext) -> None:
        self._state = state
        self._policy = policy
        self._origin = context.origin
        self._promises: WeakSet[Promise] = WeakSet()

    def receive(self, parent: Stream | None, promised: int, fields: RawHeaders) -> None:
        """Take a promise. The guard is held.

        Args:
            parent: The stream that it came on; None if that is over.
            promised: The stream that the response is to come on.
            fields: The promised request.
        """
        state = self._state
        try:
            request = self._request(fields)
        except (StreamFault, InvalidURL, InvalidRequest) as error:
            self._refuse(promised, ErrorCodes.PROTOCOL_ERROR, str(error))
            return
        url = request.url.redacted
        if parent is None or parent.is_remote_closed:
            self._refuse(promised, ErrorCodes.CANCEL, "it was promised after the response it belongs to", url)
            return
        if self._held() >= self._policy.max_streams:
            most = self._policy.max_streams
            self._refuse(promised, ErrorCodes.REFUSED_STREAM, f"PushPolicy(max_streams={most})", url)
            return
        manager = state.manager_class(STREAM_WINDOW)
        stream = Stream(promised, parent.limits, manager, send_window=0, is_head=request.method == "HEAD")
        stream.is_local_closed = True
        stream.max_body = self._policy.max_body
        stream.promised_url = url
        state.streams[promised] = stream
        promise = Promise(self.wire, request, stream)
        self._promises.add(promise)
        parent.promises_open += 1
        state.events.append(("push", "started", {"url": url, "stream": promised}))
        state.after.append(lambda: self._judge(parent, promise))

    def _held(self) -> int:
        """How many pushed responses are on their way, or whole and waiting to be taken, each with its octets."""
        whole = [promise for promise in self._promises if promise.stream.is_over]
        for promise in whole:
            if promise.is_claimed:
                self._promises.discard(promise)
        on_their_way = sum(stream_id % 2 == 0 for stream_id in self._state.streams)
        return on_their_way + sum(not promise.is_claimed for promise in whole)

    def _refuse(self, promised: int, code: int, reason: str, url: str | None = None) -> None:
        """Refuse a promise that breaks the rules or passes the limits."""
        self._state.outgoing.add(rst_stream(promised, code))
        self._state.events.append(("push", "failed", {"url": url, "stream": promised, "error": reason}))

    def _request(self, fields: RawHeaders) -> Request:
        """The promised request, if it is one that may be promised (RFC 9113 §8.4)."""
        pseudo: dict[bytes, bytes] = {}
        while fields and fields[0][0][:1] == b":":
            name, value = fields.pop(0)
            if name in pseudo or name not in _PSEUDO:
                raise malformed("a promise with wrong pseudo-fields")
            pseudo[name] = value
        limits = self._state.limits
        check_fields(fields, limits.max_response_headers, limits.max_response_fields, "promise")
        has_body = any(name == b"content-length" and value != b"0" for name, value in fields)
        if len(pseudo) != len(_PSEUDO) or pseudo[b":method"] not in _PUSHABLE or has_body:
            raise malformed("a promise of something that cannot be promised")
        url = b"%b://%b%b" % (pseudo[b":scheme"], pseudo[b":authority"], pseudo[b":path"])
        request = Request(pseudo[b":method"].decode("ascii"), url.decode("latin-1"), headers=Headers.from_raw(fields))
        if self._policy.same_origin and request.url.origin != self._origin:
            raise malformed("a promise for another origin")
        return request

    def _judge(self, parent: Stream, promise: Promise) -> None:
        """Ask the application whether it wants what was promised. The guard is not held."""
        accept = self._policy.accept
        error: BaseException | None = None
        try:
            is_wanted = accept is None or bool(accept(promise.request))
        except BaseException as raised:  # the reader may be another request's, whose conversation must not die of it
            is_wanted, error = False, raised
        with self.wire.guard:
            parent.promises_open -= 1
            if is_wanted:
                parent.pushes.append(promise)
            else:
                self._turn_down(promise, error)
                if isinstance(error, Exception):
                    parent.pushes.append(error)
            self._state.woken += parent.waiters
        if error is not None and not isinstance(error, Exception):
            raise error

    def _turn_down(self, promise: Promise, error: BaseException | None) -> None:
        """Refuse what the application does not want. The guard is held."""
        promise.is_claimed = True
        reason = "the application refused the push" + (f": it raised {error!r}" if error is not None else "")
        code = ErrorCodes.REFUSED_STREAM
        failure = Failure(StreamReset, reason, code=code, is_cut=True)
        self._state.cancel(promise.stream, code, self.wire.runtime.now(), failure)
