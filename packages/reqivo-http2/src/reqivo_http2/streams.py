"""Stream: one exchange's state on a connection (RFC 9113 §5.1, §8.1). Pure: it neither waits nor writes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes

from reqivo_core.errors import BodyTooLarge, IncompleteBody
from reqivo_core.headers import Headers
from reqivo_http2.faults import Failure, StreamFault, headers_too_large
from reqivo_http2.response_fields import check_fields, content_length, malformed, take_status

if TYPE_CHECKING:
    from reqivo_core.headers import RawHeaders
    from reqivo_core.interfaces import Waiter
    from reqivo_core.limits import Limits
    from reqivo_http2.codec import OutgoingFields
    from reqivo_http2.flow_control import BaseFlowControlManager
    from reqivo_http2.frames import Octets

_BODILESS = frozenset({204, 304})
_MANY_CHUNKS = 256
_SMALL_CHUNK = 64
_NO_OCTETS = memoryview(b"")


class Stream:
    """One stream.

    Attributes:
        id: Its number.
        limits: The limits of its exchange.
        status: The final status, once it has come.
        fields: The response's fields; not to be touched before ``status`` is there.
        interim: Interim responses that nobody has been shown yet: status and fields.
        length: Octets that the response announced; None for none.
        received: Octets of the body that have come.
        buffered: Those of them that the application has not taken.
        trailers: The trailer section, if there was one.
        failure: Why it is over, if it did not end well.
        is_remote_closed: Whether the server will send no more.
        is_local_closed: Whether we will send no more.
        is_silent: Whether nothing at all has come on it.
        is_tunnel: Whether it is a CONNECT.
        receive_window: Octets that the server may send.
        send_window: Octets that we may send; below 0 after the server has taken some back.
        manager: Decides how the receive window grows.
        pending: What the application wants sent and flow control has not let out yet.
        ends_with_pending: Whether our side ends behind ``pending``.
        pending_trailers: Trailers to send behind ``pending``.
        pushes: What the server promised with it, in order.
        promises_open: Promises that are still being judged.
        waiters: Who waits for news of it, in order.
        max_body: Octets of body that are taken; None for any number.
        promised_url: What was promised, without credentials, if the server opened it.
    """

    __slots__ = (
        "_chunks",
        "_expects_body",
        "_fresh",
        "_interim_size",
        "_is_head",
        "buffered",
        "ends_with_pending",
        "failure",
        "fields",
        "id",
        "interim",
        "is_local_closed",
        "is_remote_closed",
        "is_silent",
        "is_tunnel",
        "length",
        "limits",
        "manager",
        "max_body",
        "pending",
        "pending_trailers",
        "promised_url",
        "promises_open",
        "pushes",
        "receive_window",
        "received",
        "send_window",
        "status",
        "trailers",
        "waiters",
    )

    def __init__(
        self,
        stream_id: int,
        limits: Limits,
        manager: BaseFlowControlManager,
        *,
        send_window: int,
        is_head: bool = False,
        is_tunnel: bool = False,
    ) -> None:
        self.id = stream_id
        self.limits = limits
        self.manager = manager
        self.receive_window = manager.initial_window_size
        self.send_window = send_window
        self.is_tunnel = is_tunnel
        self.max_body: int | None = None
        self.promised_url: str | None = None
        self.status: int | None = None
        self.fields: RawHeaders = []
        self.interim: deque[tuple[int, RawHeaders]] = deque()
        self.length: int | None = None
        self.received = 0
        self.buffered = 0
        self.trailers: Headers | None = None
        self.failure: Failure | None = None
        self.is_remote_closed = False
        self.is_local_closed = False
        self.is_silent = True
        self.pending: memoryview = _NO_OCTETS
        self.ends_with_pending = False
        self.pending_trailers: OutgoingFields | None = None
        self.pushes: list[Any] = []
        self.promises_open = 0
        self.waiters: dict[Waiter, None] = {}
        self._chunks: list[bytes] = []
        self._fresh: list[Octets] = []  # what came with the latest read
        self._is_head = is_head
        self._expects_body = True
        self._interim_size = 0

    @property
    def is_over(self) -> bool:
        """Whether neither side will send any more."""
        return self.is_remote_closed and self.is_local_closed

    @property
    def has_pending(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self.pending) or self.ends_with_pending

    @property
    def has_news(self) -> bool:
        """Whether there is something for who waits for the response's head."""
        return self.status is not None or bool(self.interim) or self.failure is not None

    @property
    def has_octets(self) -> bool:
        """Whether there is something for who waits for the body."""
        return bool(self.buffered) or self.is_remote_closed or self.failure is not None

    @property
    def stops_upload(self) -> bool:
        """Whether the server has answered in a way that makes the rest of the request pointless."""
        return self.failure is not None or self.is_remote_closed or (self.status is not None and self.status >= 300)

    # Receiving. Each raises StreamFault where the server broke the rules.

    def receive_headers(self, fields: RawHeaders, ends: bool) -> None:
        """Take a header section: an interim or the final response, or trailers."""
        self.is_silent = False
        if self.is_remote_closed:
            raise StreamFault(ErrorCodes.STREAM_CLOSED, "the server sent a header section after the end of a response")
        if self.status is not None:
            self._receive_trailers(fields, ends)
            return
        limits = self.limits
        if len(fields) > limits.max_response_fields + 1:
            raise headers_too_large(
                f"the response had {len(fields)} field lines; Limits(max_response_fields={limits.max_response_fields})"
            )
        status = take_status(fields)
        check_fields(fields, limits.max_response_headers, limits.max_response_fields, "response")
        if status < 200:
            self._receive_interim(status, fields, ends)
        else:
            self._receive_final(status, fields, ends)

    def _receive_interim(self, status: int, fields: RawHeaders, ends: bool) -> None:
        if ends:
            raise malformed(f"an interim response ({status}) that ends the stream")
        self._interim_size += 1
        if self._interim_size > self.limits.max_informational:
            raise StreamFault(
                ErrorCodes.ENHANCE_YOUR_CALM,
                f"the server sent more than {self.limits.max_informational} interim responses",
            )
        self.interim.append((status, fields))

    def _receive_final(self, status: int, fields: RawHeaders, ends: bool) -> None:
        length = content_length(fields)
        is_tunnel = self.is_tunnel and 200 <= status < 300
        self._expects_body = not (self._is_head or status in _BODILESS or is_tunnel)
        if self._expects_body:
            self.length = self.manager.document_size = length
        elif not is_tunnel:
            self.length = 0
        self.fields = fields
        self.status = status
        if ends:
            self._end()

    def _receive_trailers(self, fields: RawHeaders, ends: bool) -> None:
        if not ends:
            raise malformed("a second header section that does not end the response")
        check_fields(fields, self.limits.max_trailers, self.limits.max_response_fields, "trailer section")
        self.trailers = Headers.from_raw(fields)
        self._end()

    def receive_data(self, data: Octets, ends: bool) -> None:
        """Take octets of the body; ``settle`` is to be called once all that arrived together has been taken."""
        self.is_silent = False
        if self.is_remote_closed:
            raise StreamFault(ErrorCodes.STREAM_CLOSED, "the server sent DATA after the end of a response")
        if self.status is None:
            raise malformed("DATA before the response's head")
        if data:
            self.received += len(data)
            if self.length is not None and self.received > self.length:
                raise malformed(f"a body of at least {self.received} octets where {self.length} were due")
            if self.max_body is not None and self.received > self.max_body:
                raise StreamFault(ErrorCodes.CANCEL, f"the body has more than {self.max_body} octets", BodyTooLarge)
            self._fresh.append(data)
            self.buffered += len(data)
        if ends:
            self._end()

    def settle(self) -> None:
        """Put together what came with one read: octets are copied once, and no view keeps alive what it looks at.

        Very small pieces are put together too, for each costs more than it holds.
        """
        chunks, fresh = self._chunks, self._fresh
        if not fresh:
            return
        chunks.append(b"".join(fresh))
        fresh.clear()
        if len(chunks) >= _MANY_CHUNKS and self.buffered < len(chunks) * _SMALL_CHUNK:
            chunks[:] = [b"".join(chunks)]

    def _end(self) -> None:
        """Take the end of the response, which must be whole."""
        if self.length is not None and self.received < self.length and self._expects_body:
            failure = Failure(IncompleteBody, "the server ended the response too early", is_cut=True)
            fault = StreamFault(ErrorCodes.PROTOCOL_ERROR, failure.message)
            fault.failure = failure
            raise fault
        self.is_remote_closed = True

    # What the application does.

    def take(self) -> bytes:
        """Take what is there of the body."""
        self.settle()
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.buffered = 0
        return data

    def put_back(self, data: bytes) -> None:
        """Put octets in front of what is there."""
        self._chunks.insert(0, data)
        self.buffered += len(data)

    def discard(self) -> None:
        """Forget what is there of the body."""
        self._chunks.clear()
        self._fresh.clear()
        self.buffered = 0
        self.pending = _NO_OCTETS
        self.ends_with_pending = False

    def fail(self, failure: Failure) -> None:
        """Be over, on account of this; the first reason stays."""
        if self.failure is None and not self.is_remote_closed:
            self.failure = failure
        self.is_remote_closed = True
        self.stop_sending()

    def stop_sending(self) -> None:
        """Send no more."""
        self.is_local_closed = True
        self.pending = _NO_OCTETS
        self.ends_with_pending = False
