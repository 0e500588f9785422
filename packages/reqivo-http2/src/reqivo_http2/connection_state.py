"""ConnectionState: one connection's state on our side. Pure: no lock, no wait, no I/O.

The transport asks under its lock and acts on the answer outside of it: it writes what ``outgoing`` holds, wakes those
in ``woken``, tells observers of ``events`` and the pool of ``has_changed``. What the server sends is taken in by
:mod:`reqivo_http2.receiving`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from reqivo_core.errors import InvalidRequest, RemoteProtocolError, ServerDisconnected, StreamReset
from reqivo_http2 import frames
from reqivo_http2.codec import TABLE_SIZE
from reqivo_http2.faults import ConnectionFault, Failure, StreamFault, code_name, disconnected
from reqivo_http2.flow_control import (
    CONNECTION_WINDOW,
    SCANT_WINDOW,
    STREAM_WINDOW,
    AutoTuningFlowControlManager,
    BandwidthDelayEstimator,
    BaseFlowControlManager,
)
from reqivo_http2.outgoing import Outgoing
from reqivo_http2.peer_settings import NO_RFC7540_PRIORITIES, PeerSettings
from reqivo_http2.pings import Eagerness, Pings
from reqivo_http2.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reqivo_core.interfaces import Waiter
    from reqivo_core.limits import Limits
    from reqivo_http2.codec import Codec
    from reqivo_http2.request_fields import OutgoingHead

LAST_STREAM_ID = 2**31 - 1
DEFAULT_WINDOW = 65535


class Policy:
    """How patient a connection is, and how it begins. The attributes of a subclass override these.

    Attributes:
        first_stream_id: The number of the first stream.
        ping_interval: Seconds without a sign of the peer, while requests wait, after which it is asked for one; None
            never asks. Servers may count PINGs, so this is no shorter than it has to be.
        ping_timeout: Seconds that the peer has to show that it is alive.
        settings_timeout: Seconds that the peer has to acknowledge our SETTINGS.
    """

    first_stream_id: int = 1
    ping_interval: float | None = 30.0
    ping_timeout: float = 15.0
    settings_timeout: float = 20.0


class ConnectionState:
    """See the module.

    Attributes:
        streams: The streams that are not over, by number; pushed ones have even numbers.
        outgoing: What is to be written.
        peer: The server's settings.
        limits: The session's limits.
        policy: How patient it is.
        eagerness: How often this server wants to be asked for a sign of life.
        failure: Why the connection is over; None while it lives.
        severed: Why nothing can be sent any more, though what the server sent before is still taken in; else None.
        farewell: What the server's GOAWAY said; None before one.
        is_draining: Whether no stream may be opened any more.
        is_acknowledged: Whether the server has taken our SETTINGS.
        unconfirmed: Streams that were cancelled before the server had shown that it knows of them.
        late_octets: Octets that may still be on their way to streams that we have reset.
        started: When our SETTINGS were on their way, as far as is known.
        last_received: When anything came last.
        woken: Waiters to wake.
        waiters: Who waits for news of the connection itself, in order.
        events: What observers are to be told: name, state, details.
        after: What is to be called once the lock is free.
        has_changed: Whether the number of streams that may be open is another than it was.
    """

    def __init__(
        self,
        codec: Codec,
        limits: Limits,
        now: float,
        *,
        manager_class: type[BaseFlowControlManager] = AutoTuningFlowControlManager,
        max_pushes: int = 0,
        policy: Policy | None = None,
        eagerness: Eagerness | None = None,
    ) -> None:
        self.codec = codec
        self.limits = limits
        self.policy = policy or Policy()
        self.eagerness = eagerness or Eagerness()
        self.streams: dict[int, Stream] = {}
        self.outgoing = Outgoing(self._end_local)
        self.peer = PeerSettings()
        self.pings = Pings()
        self.failure: Failure | None = None
        self.severed: Failure | None = None
        self.farewell: str | None = None
        self.is_draining = False
        self.is_acknowledged = False
        self.unconfirmed: set[int] = set()
        self.late_octets = 0
        self.last_received = self.started = now
        self.woken: list[Waiter] = []
        self.waiters: dict[Waiter, None] = {}
        self.events: list[tuple[str, str, Mapping[str, Any]]] = []
        self.after: list[Callable[[], None]] = []
        self.has_changed = False
        self.next_id = self.policy.first_stream_id
        self.last_promised = 0
        self.max_pushes = max_pushes
        self._own_streams = 0
        self._table_size = TABLE_SIZE
        self.manager_class = manager_class
        self.manager = manager_class(CONNECTION_WINDOW)
        self.receive_window = CONNECTION_WINDOW
        is_tuned = manager_class.tune is not BaseFlowControlManager.tune
        self.estimator = BandwidthDelayEstimator() if is_tuned else None
        self._greet()

    def _greet(self) -> None:
        """Queue the preface, our settings and the connection's window; they leave with the first request."""
        settings: dict[int, int] = {
            SettingCodes.ENABLE_PUSH: 1 if self.max_pushes else 0,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_FRAME_SIZE: frames.FRAME_SIZE,
            SettingCodes.MAX_HEADER_LIST_SIZE: self.limits.max_response_headers,
            NO_RFC7540_PRIORITIES: 1,
        }
        if self.max_pushes:
            settings[SettingCodes.MAX_CONCURRENT_STREAMS] = self.max_pushes
        self.outgoing.add(
            frames.PREFACE + frames.settings(settings) + frames.window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW)
        )

    def begin(self, now: float) -> None:
        """Note that our SETTINGS leave only now: the server has had no time to acknowledge them."""
        self.started = self.last_received = now

    # What the connection is good for.

    @property
    def concurrency(self) -> int:
        """Streams that may be open at once."""
        if self.failure is not None or self.is_draining:
            return 0
        return max(0, self.peer.max_concurrent_streams - len(self.unconfirmed))

    @property
    def has_opened(self) -> bool:
        """Whether there was ever a stream."""
        return self.next_id != self.policy.first_stream_id

    @property
    def has_room(self) -> bool:
        """Whether a stream may be opened now."""
        return self._own_streams < self.concurrency

    def unavailable(self) -> Failure:
        """Why no stream can be opened."""
        if self.failure is not None:
            return self.failure.unprocessed()
        if self.is_draining:
            return Failure(
                ServerDisconnected, self.farewell or "the connection takes no more requests", is_unprocessed=True
            )
        return Failure(
            StreamReset,
            f"the server takes {self.concurrency} requests at once on this connection, and has them",
            code=ErrorCodes.REFUSED_STREAM,
            is_unprocessed=True,
        )

    # Streams.

    def open(self, head: OutgoingHead, limits: Limits, *, is_head: bool, data: bytes | None) -> Stream:
        """Open a stream: its number, the compression of its head and its place in the queue are taken in one step.

        Args:
            head: The request's head.
            limits: The exchange's limits.
            is_head: Whether it is a HEAD request.
            data: The whole body, where it is in memory; None where it follows.

        Raises:
            InvalidRequest: The server does not take a head as large as this one.
            RequestError: There is no room; ``unprocessed`` is set.
        """
        if self.failure is not None or not self.has_room:
            raise self.unavailable().error()
        most = self.peer.max_header_list
        if most is not None and head.size > most:
            raise InvalidRequest(f"the request's head has {head.size} octets; the server takes {most}")
        stream_id = self.next_id
        self.next_id += 2
        if self.next_id > LAST_STREAM_ID:
            self.is_draining = self.has_changed = True
        manager = self.manager_class(STREAM_WINDOW)
        if self.estimator is not None:
            manager.tune(self.estimator.product)
        stream = Stream(
            stream_id,
            limits,
            manager,
            send_window=self.peer.initial_window,
            is_head=is_head,
            is_tunnel=head.is_tunnel,
        )
        has_body = data is None or bool(data) or head.trailers is not None
        block = self.codec.encode(head.fields)
        flags = 0 if has_body else frames.END_STREAM
        self.outgoing.add(frames.header_frames(stream_id, block, flags, self.outgoing.max_frame_size))
        self.streams[stream_id] = stream
        self._own_streams += 1
        stream.pending_trailers = head.trailers
        if not has_body:
            stream.is_local_closed = True
        elif data is not None and not head.awaits_continue:
            self.send(stream, data, ends=True)
        return stream

    def send(self, stream: Stream, data: bytes | memoryview, *, ends: bool) -> None:
        """Hand over octets to send; those handed over before must have left."""
        stream.pending = memoryview(data)
        stream.ends_with_pending = ends
        self.outgoing.refresh(stream)

    def may_send_octets(self, stream: Stream) -> bool:
        """Whether octets could leave at once, if there were any."""
        return not stream.has_pending and stream.send_window > 0 and self.outgoing.window > 0

    def _end_local(self, stream: Stream) -> None:
        """The last octet of a request has left; trailers may follow."""
        if stream.pending_trailers is not None:
            block = self.codec.encode(stream.pending_trailers)
            self.outgoing.add(frames.header_frames(stream.id, block, frames.END_STREAM, self.outgoing.max_frame_size))
        stream.is_local_closed = True
        self.woken += stream.waiters
        self.forget_if_over(stream)

    def forget_if_over(self, stream: Stream) -> None:
        """Take a stream that is over out of the books."""
        if stream.is_over and self.streams.pop(stream.id, None) is not None:
            self.outgoing.forget(stream)
            if stream.id % 2:
                self._own_streams -= 1
            else:
                self._tell_of_push(stream)

    def _tell_of_push(self, stream: Stream) -> None:
        """Tell the observers how a pushed response ended."""
        info: dict[str, Any] = {"url": stream.promised_url, "stream": stream.id, "received": stream.received}
        if stream.failure is None:
            self.events.append(("push", "complete", info))
        else:
            self.events.append(("push", "failed", {**info, "error": stream.failure.message}))

    def cancel(self, stream: Stream, code: int, now: float, failure: Failure | None = None) -> None:
        """Reset a stream, if it is not over. Late frames for it are ignored from now on."""
        if stream.id in self.streams and self.failure is None:
            self.outgoing.add(frames.rst_stream(stream.id, code))
            if not stream.is_remote_closed:
                self.late_octets += max(0, stream.receive_window)
            if stream.is_silent and stream.id % 2:
                self._probe(stream, now)
        stream.fail(failure or Failure(StreamReset, "the request was cancelled", code=code, is_cut=True))
        self.woken += stream.waiters
        self.forget_if_over(stream)

    def _probe(self, stream: Stream, now: float) -> None:
        """A request was cancelled for which nothing had come: the peer may be dead, and others should find out soon.

        Its slot stays taken until the peer shows that it is alive, or a dead one would collect streams for ever.
        """
        self.unconfirmed.add(stream.id)
        if not self.pings.is_probing:
            self.outgoing.add(frames.frame(frames.PING, 0, 0, self.pings.make(now)))

    def consume(self, stream: Stream, size: int) -> None:
        """The application has taken octets of a body: the server may send as many again, or as the manager says."""
        if stream.is_remote_closed or self.failure is not None:
            return
        self.grant(stream, stream.manager.used(size))

    def await_octets(self, stream: Stream) -> None:
        """The application waits for octets; if the window is used up, its manager may open it."""
        if stream.receive_window < SCANT_WINDOW and not stream.is_remote_closed and self.failure is None:
            self.grant(stream, stream.manager.waits())

    def grant(self, stream: Stream, increment: int) -> None:
        """Let the server send more on a stream."""
        if increment:
            stream.receive_window += increment
            self.outgoing.add(frames.window_update(stream.id, increment))
            self.events.append(
                ("window", "complete", {"stream": stream.id, "window": stream.receive_window, "granted": increment})
            )

    # The end.

    def fail(self, failure: Failure) -> None:
        """The connection is over, and all its streams with it; the first reason stays."""
        if self.failure is None:
            self.failure = failure
            self.is_draining = self.has_changed = True
        for stream in list(self.streams.values()):
            stream.fail(self.failure)
            self.woken += stream.waiters
            if not stream.id % 2:
                self._tell_of_push(stream)
        self.streams.clear()
        self._own_streams = 0
        self.woken += self.waiters

    def break_off(self, fault: ConnectionFault) -> None:
        """End the connection because the server broke the rules: GOAWAY is all that is still to be sent."""
        self.outgoing.clear()
        self.outgoing.add(frames.goaway(self.last_promised, fault.code))
        about = f"; before that: {self.farewell}" if self.farewell else ""
        self.fail(Failure(RemoteProtocolError, f"{fault.message} ({code_name(fault.code)}){about}", code=fault.code))

    def sever(self, failure: Failure) -> None:
        """A write failed: the server is gone, but what it sent before may not have been read yet.

        No stream sends any more. Those for which enough has come end well; the others fail when reading comes to its
        end (``end``), for the reason given here.
        """
        self.severed = failure
        self.is_draining = self.has_changed = True
        self.outgoing.shut()
        for stream in list(self.streams.values()):
            stream.stop_sending()
            self.woken += stream.waiters
            self.forget_if_over(stream)
        self.woken += self.waiters

    def end(self) -> None:
        """The server closed the connection."""
        if self.severed is not None and self.farewell is None:
            self.fail(self.severed)
        else:
            self.fail(disconnected(self.farewell or "the server closed the connection without answering"))

    def fault(self, stream: Stream, fault: StreamFault, now: float) -> None:
        """Reset a stream on which the server broke the rules. A response that had come whole before stays whole."""
        stream.is_silent = False
        if not (fault.failure.is_cut or stream.is_remote_closed):  # else what came is sound as far as it goes
            stream.discard()
        self.cancel(stream, fault.code, now, fault.failure)

    # Time.

    def due(self) -> float | None:
        """When ``tick`` has to be called next; None for never."""
        policy = self.policy
        due: float | None = None
        asked = self.pings.oldest_probe()
        if asked is not None:
            due = max(asked, self.last_received) + policy.ping_timeout
        elif policy.ping_interval is not None and self.streams:
            due = self.last_received + policy.ping_interval * self.eagerness.pause
        if not self.is_acknowledged:
            patience = self.started + policy.settings_timeout
            due = patience if due is None else min(due, patience)
        return due

    def tick(self, now: float) -> None:
        """Look at the clock: ask for a sign of life, or give the peer up."""
        due = self.due()
        if due is None or now < due or self.failure is not None:
            return
        asked = self.pings.oldest_probe()
        policy = self.policy
        if not self.is_acknowledged and now >= self.started + policy.settings_timeout:
            self.break_off(
                ConnectionFault(
                    ErrorCodes.SETTINGS_TIMEOUT,
                    f"the server did not acknowledge our SETTINGS within {policy.settings_timeout:g} s",
                )
            )
        elif asked is not None:
            self.fail(
                disconnected(f"connection lost: the server did not answer a PING within {policy.ping_timeout:g} s")
            )
        else:
            self.outgoing.add(frames.frame(frames.PING, 0, 0, self.pings.make(now)))

    def settle_table_size(self) -> None:
        """Follow the server's offer of a compression table, within our own bound.

        One that was smaller for a moment is followed too: the server has emptied its table (RFC 7541 §4.2).
        """
        for offer in (self.peer.least_table_size, self.peer.table_size):
            size = min(offer, TABLE_SIZE, self.limits.max_encoder_table)
            if size != self._table_size:
                self._table_size = size
                self.codec.limit_encoder(size)

    def describe(self) -> dict[str, Any]:
        """Facts for ``session.pool``."""
        return {
            "codec": self.codec.name,
            "streams": {
                stream.id: {
                    "receive_window": stream.receive_window,
                    "send_window": stream.send_window,
                    "buffered": stream.buffered,
                }
                for stream in list(self.streams.values())
            },
            "receive_window": self.receive_window,
            "send_window": self.outgoing.window,
            "max_concurrent_streams": self.peer.max_concurrent_streams,
            "bandwidth_delay_product": self.estimator.product if self.estimator is not None else None,
            "round_trip": self.estimator.round_trip if self.estimator is not None else None,
            "is_draining": self.is_draining,
        }
