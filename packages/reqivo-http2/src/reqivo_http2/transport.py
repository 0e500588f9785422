"""Http2Transport: HTTP/2 over one connection (RFC 9113), shared by any number of conversations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from h2.errors import ErrorCodes

from reqivo_core.errors import (
    ReadTimeout,
    RequestError,
    ServerDisconnected,
    StreamReset,
)
from reqivo_core.headers import Headers, checked_value
from reqivo_core.interfaces import IncomingResponse, Transport
from reqivo_http2 import frames
from reqivo_http2.codec import VARIABLE, load_codec
from reqivo_http2.connection_state import ConnectionState, Policy
from reqivo_http2.extended_connect import TunnelStream, no_extended_connect
from reqivo_http2.faults import Failure
from reqivo_http2.flow_control import AutoTuningFlowControlManager
from reqivo_http2.pings import Complaints
from reqivo_http2.push import PushBook, Pushes, PushPolicy
from reqivo_http2.request_fields import OutgoingHead, build_head
from reqivo_http2.response_body import Http2Body
from reqivo_http2.upload import Upload
from reqivo_http2.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reqivo_core.interfaces import Exchange, NetworkStream, TransportContext
    from reqivo_core.messages import Request
    from reqivo_http2.codec import Codec
    from reqivo_http2.streams import Stream

CODEC = load_codec(os.environ.get(VARIABLE))
"""The codec that was chosen at import."""

COMPLAINTS = Complaints()
"""Of servers that were asked for signs of life too often; for all sessions, since servers know clients by address."""

CONTINUE_WAIT = 1.0
"""Seconds that a body waits for ``100 Continue`` (RFC 9110 §10.1.1: not for ever)."""
_DECODABLE = 4
"""How many times the limit a header list may be before it is not even decoded, which costs the connection."""
_EXPECTATION_FAILED = 417


class Http2Transport(Transport):
    """One connection and its streams.

    Attributes:
        policy: How patient it is; a subclass may have another.
    """

    http_version = "HTTP/2"
    is_shared = True
    policy: ClassVar[Policy] = Policy()

    def __init__(
        self, stream: NetworkStream, context: TransportContext, codec: Callable[[int], Codec] | None = None
    ) -> None:
        """Speak over a connected stream. Nothing is written before the first request.

        Args:
            stream: The connection.
            context: What it is for; ``push`` and ``window_manager`` among its options are heeded.
            codec: The engine of header compression; the one chosen at import where none is given.
        """
        policy = PushPolicy.of(context.options.get("push"))
        self._state = state = ConnectionState(
            (codec or CODEC)(context.limits.max_response_headers * _DECODABLE),
            context.limits,
            context.runtime.now(),
            manager_class=context.options.get("window_manager") or AutoTuningFlowControlManager,
            max_pushes=policy.max_streams if policy is not None else 0,
            policy=self.policy,
            eagerness=COMPLAINTS.about(context.origin),
        )
        self._pushes = PushBook(state, policy, context) if policy is not None else None
        self._wire = Wire(stream, state, context, self._pushes)
        if self._pushes is not None:
            self._pushes.wire = self._wire

    # What the pool asks.

    @property
    def concurrency(self) -> int:
        """See :attr:`Transport.concurrency`."""
        return self._state.concurrency

    @property
    def is_closing(self) -> bool:
        """See :attr:`Transport.is_closing`."""
        return self._state.is_draining

    def is_usable(self) -> bool:
        """See :meth:`Transport.is_usable`: what has arrived meanwhile (GOAWAY, PING, the end) is taken in first."""
        self._wire.look()
        return not self._state.is_draining

    def close(self) -> None:
        """See :meth:`Transport.close`."""
        self._wire.close(
            Failure(ServerDisconnected, self._state.farewell or "the connection was closed on this side", is_cut=True)
        )

    async def aclose(self) -> None:
        """Say GOAWAY, if that takes no time, and close."""
        if self._state.failure is None and not self._state.streams:
            with self._wire.guard:
                self._state.is_draining = True
                self._state.outgoing.add(frames.goaway(self._state.last_promised, ErrorCodes.NO_ERROR))
            self._wire.flush_now()
        self.close()

    def describe(self) -> Mapping[str, Any]:
        """See :meth:`Transport.describe`: streams and windows."""
        return self._state.describe()

    # Requests.

    async def send(self, request: Request, exchange: Exchange) -> IncomingResponse:
        """Send a request, body and all, and wait for the head of the final response.

        Raises:
            InvalidRequest: It cannot be sent; nothing was.
            UnsupportedProtocol: It asks for a protocol over a stream that the server does not offer;
                ``unprocessed`` and ``requires_http11`` are set.
            RequestError: What else happened, on this stream or to the connection.
        """
        head = build_head(request)
        if head.protocol is not None:
            await self._await_settings(exchange)
        while True:
            try:
                incoming = await self._exchange(request, head, exchange)
            except StreamReset as error:
                if not self._may_wait_for_room(error, request):
                    raise
                await self._await_room(exchange)
                continue
            if incoming.status != _EXPECTATION_FAILED or not (head.awaits_continue and request.content.can_be_sent):
                return incoming
            # The server does not like to be asked (RFC 9110 §10.1.1): the same request, without asking.
            await incoming.body.aclose()
            head = _without_expectation(head)

    async def _exchange(self, request: Request, head: OutgoingHead, exchange: Exchange) -> IncomingResponse:
        """One request on one stream."""
        wire = self._wire
        content = request.content
        with wire.guard:
            if not self._state.has_opened:
                self._state.begin(wire.runtime.now())
            stream = self._state.open(
                head, exchange.limits, is_head=request.method == "HEAD", data=_whole(head, content)
            )
        upload: Upload | None = None
        try:
            deadline = exchange.deadline
            await wire.flush(deadline, stream)
            if not stream.is_local_closed:
                upload = Upload(wire, stream, content, head.length)
                if head.is_tunnel:
                    upload.is_over = True
                elif head.awaits_continue:
                    await self._await_continue(request, stream, exchange)
            await self._await_head(request, stream, upload, exchange)
            if upload is not None and not upload.is_over:
                await upload.finish(deadline)
            if upload is not None and stream.stops_upload:
                await upload.aclose()
            return self._respond(head, stream, upload, exchange)
        except BaseException as error:
            wire.cancel(stream)
            wire.flush_now()
            if isinstance(error, RequestError) and error.unprocessed and not content.can_be_sent:
                error.args = (f"{error}; it was not sent again, since its body can be read only once",)
            raise
        finally:
            if upload is not None and (stream.failure is not None or stream.status is None):
                await upload.aclose()

    async def _await_head(self, request: Request, stream: Stream, upload: Upload | None, exchange: Exchange) -> None:
        """Wait for the final head, sending the body meanwhile and showing interim responses."""
        wire = self._wire
        deadline = exchange.deadline
        while True:
            while stream.interim:
                _inform(request, stream)
            if stream.failure is not None and stream.status is None:
                raise stream.failure.error()
            if stream.status is not None:
                return
            if upload is not None and not upload.is_over:
                await upload.run(deadline)
                continue
            seconds = deadline.read()
            if not await wire.wait(stream.waiters, lambda: stream.has_news, seconds, deadline):
                raise ReadTimeout(f"the server did not answer within {seconds:g} s (stream {stream.id})", phase="read")

    async def _await_continue(self, request: Request, stream: Stream, exchange: Exchange) -> None:
        """Wait until the body may be sent: for an interim or final response, or long enough."""
        limit = exchange.deadline.read()
        seconds = CONTINUE_WAIT if limit is None else min(limit, CONTINUE_WAIT)
        end = self._wire.runtime.now() + seconds
        while stream.status is None and stream.failure is None:
            left = end - self._wire.runtime.now()
            if left <= 0 or not await self._wire.wait(stream.waiters, lambda: stream.has_news, left, exchange.deadline):
                return
            while stream.interim:
                if _inform(request, stream) == 100:
                    return

    def _respond(
        self, head: OutgoingHead, stream: Stream, upload: Upload | None, exchange: Exchange
    ) -> IncomingResponse:
        """Make the response of a head that has come."""
        assert stream.status is not None, "the head has come"
        wire = self._wire
        extensions: dict[str, Any] = {"stream_id": stream.id}
        if head.is_tunnel and 200 <= stream.status < 300:
            extensions["network_stream"] = TunnelStream(wire, stream)
            body = Http2Body(wire, stream, exchange)
            body._is_over = True
        else:
            if upload is not None and head.is_tunnel:
                upload = None  # a tunnel that was refused
            body = Http2Body(wire, stream, exchange, upload)
            if self._pushes is not None:
                extensions["pushes"] = Pushes(wire, stream, exchange)
        return IncomingResponse(stream.status, "", "HTTP/2", Headers.from_raw(stream.fields), body, extensions)

    # Waiting for the connection itself.

    def _may_wait_for_room(self, error: RequestError, request: Request) -> bool:
        """Whether the server refused because it takes nothing at the moment, which may change."""
        state = self._state
        return (
            error.unprocessed
            and not state.is_draining
            and state.peer.max_concurrent_streams == 0
            and request.content.is_replayable
        )

    async def _await_room(self, exchange: Exchange) -> None:
        """Wait until the server takes requests again (SETTINGS_MAX_CONCURRENT_STREAMS may be 0 for a while)."""
        state = self._state
        seconds = exchange.deadline.read()
        if not await self._wire.wait(
            state.waiters, lambda: state.is_draining or state.concurrency > 0, seconds, exchange.deadline
        ):
            raise ReadTimeout(f"the server took no requests at all for {seconds:g} s", phase="read")

    async def _await_settings(self, exchange: Exchange) -> None:
        """Wait for the server's first SETTINGS, and see whether it knows extended CONNECT (RFC 8441 §3)."""
        state = self._state
        deadline = exchange.deadline
        seconds = deadline.read()
        await self._wire.flush(deadline)
        if not await self._wire.wait(
            state.waiters, lambda: state.peer.has_come or state.failure is not None, seconds, deadline
        ):
            raise ReadTimeout(f"the server sent no SETTINGS within {seconds:g} s", phase="read")
        if state.failure is not None:
            raise state.unavailable().error()
        if not state.peer.connect_protocol:
            raise no_extended_connect()

    async def ping(self, exchange: Exchange) -> float:
        """Send PING and wait for its answer.

        Returns:
            Seconds that it took.

        Raises:
            ReadTimeout: No answer came in time.
            RequestError: The connection broke.
        """
        state, wire = self._state, self._wire
        took: list[float] = []
        with wire.guard:
            if state.failure is not None:
                raise state.unavailable().error()
            payload = state.pings.make(wire.runtime.now(), lambda sent, now: took.append(now - sent))
            state.outgoing.add(frames.frame(frames.PING, 0, 0, payload))
        await wire.flush(exchange.deadline)
        seconds = exchange.deadline.read()
        if not await wire.wait(
            state.waiters, lambda: bool(took) or state.failure is not None, seconds, exchange.deadline
        ):
            raise ReadTimeout(f"the server did not answer a PING within {seconds:g} s", phase="read")
        if not took:
            assert state.failure is not None, "one of the two was waited for"
            raise state.failure.error()
        return took[0]

    async def update_priority(self, stream_id: int, priority: str, exchange: Exchange) -> None:
        """Change the priority of a request that is on its way (RFC 9218 §7.1).

        Args:
            stream_id: ``response.extensions["stream_id"]``.
            priority: As in the ``Priority`` header: ``"u=1, i"``.
            exchange: Bounds the write.

        Raises:
            InvalidRequest: It is no value of a header.
        """
        value = checked_value("priority", priority).encode("latin-1")
        with self._wire.guard:
            if stream_id in self._state.streams:
                self._state.outgoing.add(frames.priority_update(stream_id, value))
        await self._wire.flush(exchange.deadline)


def _whole(head: OutgoingHead, content: Any) -> bytes | None:
    """The body, where it is in memory and can be handed over at once; None where it follows."""
    if head.is_tunnel:
        return None
    data: bytes | None = content.data
    return None if data is None or (head.length is not None and len(data) != head.length) else data


def _inform(request: Request, stream: Stream) -> int:
    """Show an interim response to whoever asked for it."""
    status, fields = stream.interim.popleft()
    show = request.extensions.get("on_informational")
    if show is not None:
        show(status, Headers.from_raw(fields))
    return status


def _without_expectation(head: OutgoingHead) -> OutgoingHead:
    """The same head, not asking for ``100 Continue``."""
    head.awaits_continue = False
    head.fields = [field for field in head.fields if field[0] != b"expect"]
    return head
