"""Receiver: what a server's frames do to a connection's state (RFC 9113 §6). Pure.

Every kind of frame has its method in a table. What is wrong with one stream is that stream's error (StreamFault); what
is wrong with the connection ends it (ConnectionFault). Frames that bring no request forward have a budget, so that a
server cannot keep us busy with nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes

from reqivo_core.errors import ServerDisconnected, StreamReset, excerpt
from reqivo_http2 import faults, frames
from reqivo_http2.codec import CompressionFault
from reqivo_http2.faults import ConnectionFault, Failure, StreamFault, code_name
from reqivo_http2.flow_control import SCANT_WINDOW
from reqivo_http2.frames import ACK, END_HEADERS, END_STREAM, HAS_PRIORITY, LARGEST_WINDOW, FrameReader, number
from reqivo_http2.pings import TOO_MANY_PINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.headers import RawHeaders
    from reqivo_http2.connection_state import ConnectionState
    from reqivo_http2.frames import Octets
    from reqivo_http2.push import PushBook
    from reqivo_http2.streams import Stream

_MOST_CONTINUATIONS = 64
_PRIORITY_SIZE = 5
_LEAST_LATE = 1024
"""What a late frame counts for at least, so that they are no way to send many."""
_SLOW = 60.0
"""Seconds that make frames in a row none of a flood: a server may ask for signs of life all day."""


class _Block:
    """A header block that has not come whole yet."""

    __slots__ = ("count", "data", "ends", "promised", "stream_id")

    def __init__(self, stream_id: int, data: bytes, ends: bool, promised: int = 0) -> None:
        self.stream_id = stream_id
        self.data = bytearray(data)
        self.ends = ends
        self.promised = promised
        self.count = 0


class Receiver:
    """Takes in what arrives on one connection."""

    def __init__(self, state: ConnectionState, pushes: PushBook | None = None) -> None:
        """Make a receiver.

        Args:
            state: What it acts on.
            pushes: Takes promises; None where there may be none.
        """
        self._state = state
        self._pushes = pushes
        self._reader = FrameReader()
        self._block: _Block | None = None
        self._fed: dict[Stream, None] = {}  # what got octets from what arrived last
        self._idle_frames = 0
        self._idle_since = 0.0
        self._sent_before = 0
        self._now = 0.0

    def receive(self, data: bytes, now: float) -> None:
        """Take octets; after a fault the connection's state says so, and the rest is ignored.

        Args:
            data: What has arrived; nothing at the end of the connection.
            now: The time.
        """
        state = self._state
        if state.failure is not None:
            return
        if not data:
            state.end()
            return
        self._now = state.last_received = now
        handlers = _HANDLERS
        try:
            for kind, flags, stream_id, payload in self._reader.receive(data):
                if self._block is not None and (kind != frames.CONTINUATION or stream_id != self._block.stream_id):
                    raise _protocol_error("another frame inside a header section")
                if kind < 10:
                    handlers[kind](self, flags, stream_id, payload)
                else:
                    self._count_idle()  # of a kind that we do not know (RFC 9113 §5.5)
        except ConnectionFault as fault:
            state.break_off(fault)
        finally:
            if self._fed:
                for stream in self._fed:
                    stream.settle()
                self._fed.clear()

    # Budgets.

    def _count_idle(self) -> None:
        """Count a frame that brings nothing forward.

        Raises:
            ConnectionFault: There were too many since anything moved.
        """
        self._idle_frames += 1
        if self._idle_frames == 1:
            self._idle_since = self._now
        most = self._state.limits.max_control_frames
        if self._idle_frames > most:
            sent = self._state.outgoing.sent
            if sent != self._sent_before or self._now - self._idle_since >= _SLOW:  # an upload goes on, or little comes
                self._sent_before = sent
                self._idle_frames = 0
                return
            raise ConnectionFault(
                ErrorCodes.ENHANCE_YOUR_CALM,
                f"the server sent {self._idle_frames} frames in a row that bring no response forward; "
                f"Limits(max_control_frames={most})",
            )

    def _stream(self, stream_id: int, what: str, size: int = 0) -> Stream | None:
        """The stream that a frame is for; None if it is over.

        Args:
            stream_id: Its number.
            what: What came, for messages.
            size: Octets that came with it, which may have been on their way when we reset the stream.

        Raises:
            ConnectionFault: It was never opened.
        """
        stream = self._state.streams.get(stream_id)
        if stream is None:
            last = self._state.next_id if stream_id % 2 else self._state.last_promised + 1
            if stream_id == 0 or stream_id >= last:
                raise _protocol_error(f"{what} for stream {stream_id}, which was never opened")
            if size and self._state.late_octets > 0:
                self._state.late_octets -= max(size, _LEAST_LATE)
            else:
                self._count_idle()
        return stream

    # Messages.

    def _data(self, flags: int, stream_id: int, payload: Octets) -> None:
        state = self._state
        size = len(payload)
        state.receive_window -= size
        if state.receive_window < 0:
            raise _flow_control_error("the connection's window")
        stream = self._stream(stream_id, "DATA", size)
        if size:
            self._refund(size)
        if stream is None:
            return
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise _flow_control_error(f"the window of stream {stream_id}")
        data = frames.unpadded(bytes(payload), flags) if flags & frames.PADDED else payload
        ends = bool(flags & END_STREAM)
        if data or ends:
            self._idle_frames = 0
        else:
            self._count_idle()
        self._fed[stream] = None
        try:
            stream.receive_data(data, ends)
        except StreamFault as fault:
            state.fault(stream, fault, self._now)
            return
        if size > len(data):
            state.consume(stream, size - len(data))  # padding is of no use to anybody
        state.woken += stream.waiters
        if ends:
            state.forget_if_over(stream)

    def _refund(self, size: int) -> None:
        """Open the connection's window again at once: streams hold back what is not read, each for itself."""
        state = self._state
        increment = state.manager.used(size)
        if state.receive_window + increment < SCANT_WINDOW:
            increment += state.manager.waits()
        if increment:
            state.receive_window += increment
            state.outgoing.add(frames.window_update(0, increment))
        if state.estimator is not None and state.estimator.receive(size, self._now):
            payload = state.pings.make(self._now, self._measured)
            state.outgoing.add(frames.frame(frames.PING, 0, 0, payload))

    def _measured(self, sent: float, now: float) -> None:
        """A PING that measures the way has come back."""
        state = self._state
        if state.estimator is not None and state.estimator.acknowledge(now):
            product = state.estimator.product
            state.manager.tune(product)
            for stream in state.streams.values():
                stream.manager.tune(product)
            state.events.append(
                ("window", "complete", {"stream": 0, "bandwidth_delay_product": product, "round_trip": now - sent})
            )

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = frames.unpadded(payload, flags)
        if flags & HAS_PRIORITY:
            if len(block) < _PRIORITY_SIZE:
                raise _size_error("HEADERS", len(payload))
            block = block[_PRIORITY_SIZE:]
        ends = bool(flags & END_STREAM)
        if stream_id == 0:
            raise _protocol_error("HEADERS for stream 0, which was never opened")
        if flags & END_HEADERS:
            self._header_section(stream_id, block, ends)
        else:
            self._block = _Block(stream_id, block, ends)

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise _protocol_error("CONTINUATION without HEADERS")
        block.data += payload
        block.count += 1
        if block.count > _MOST_CONTINUATIONS or len(block.data) > 2 * self._state.limits.max_response_headers:
            raise ConnectionFault(
                ErrorCodes.ENHANCE_YOUR_CALM,
                f"the server sent a header section of {block.count} CONTINUATION frames, {len(block.data)} octets",
            )
        if flags & END_HEADERS:
            self._block = None
            if block.promised:
                self._promise_section(block.stream_id, block.promised, bytes(block.data))
            else:
                self._header_section(block.stream_id, bytes(block.data), block.ends)

    def _decode(self, block: bytes) -> RawHeaders:
        """Decompress: for streams that are over too, or the tables of the two sides would differ."""
        try:
            return self._state.codec.decode(block)
        except CompressionFault as fault:
            if fault.is_excess:
                code, message = ErrorCodes.ENHANCE_YOUR_CALM, "the server sent far too large a header section"
            else:
                code, message = ErrorCodes.COMPRESSION_ERROR, "the server's header compression is broken"
            raise ConnectionFault(code, f"{message}: {excerpt(str(fault))}") from fault

    def _header_section(self, stream_id: int, block: bytes, ends: bool) -> None:
        state = self._state
        fields = self._decode(block)
        stream = self._stream(stream_id, "HEADERS", len(block))
        if stream is None:
            return
        self._idle_frames = 0
        try:
            stream.receive_headers(fields, ends)
        except StreamFault as fault:
            state.fault(stream, fault, self._now)
            return
        state.woken += stream.waiters
        if ends:
            state.forget_if_over(stream)

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = frames.unpadded(payload, flags)
        if self._pushes is None:
            raise _protocol_error("PUSH_PROMISE, which our SETTINGS forbid")
        if len(block) < 4:
            raise _size_error("PUSH_PROMISE", len(payload))
        promised = number(block) & LARGEST_WINDOW
        if promised % 2 or promised <= self._state.last_promised or not stream_id % 2:
            raise _protocol_error(f"PUSH_PROMISE of stream {promised} on stream {stream_id}")
        self._state.last_promised = promised
        if flags & END_HEADERS:
            self._promise_section(stream_id, promised, block[4:])
        else:
            self._block = _Block(stream_id, block[4:], False, promised)

    def _promise_section(self, stream_id: int, promised: int, block: bytes) -> None:
        fields = self._decode(block)
        parent = self._stream(stream_id, "PUSH_PROMISE")
        self._count_idle()
        assert self._pushes is not None, "without it no promise gets here"
        self._pushes.receive(parent, promised, fields)

    def _rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _size_error("RST_STREAM", len(payload))
        stream = self._stream(stream_id, "RST_STREAM")
        if stream is None:
            return
        state = self._state
        code = number(payload)
        if code == ErrorCodes.PROTOCOL_ERROR:
            state.is_draining = state.has_changed = True  # who is right does not matter: the two do not go together
        stream.is_silent = False
        stream.fail(faults.reset(code))
        state.woken += stream.waiters
        state.forget_if_over(stream)

    # The connection.

    def _priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != _PRIORITY_SIZE:
            raise _size_error("PRIORITY", len(payload))
        self._count_idle()

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        state = self._state
        if stream_id:
            raise _protocol_error("SETTINGS on a stream")
        self._count_idle()
        if flags & ACK:
            if payload:
                raise _size_error("an acknowledgement of SETTINGS", len(payload))
            state.is_acknowledged = True
            return
        peer = state.peer
        window, streams, is_first = peer.initial_window, peer.max_concurrent_streams, not peer.has_come
        peer.receive(payload)
        state.outgoing.answer(frames.frame(frames.SETTINGS, ACK, 0))
        state.outgoing.max_frame_size = peer.max_frame_size
        state.settle_table_size()
        if peer.initial_window != window:
            self._shift_windows(peer.initial_window - window)
        if peer.max_concurrent_streams != streams or is_first:
            state.has_changed = True
            state.woken += state.waiters

    def _shift_windows(self, change: int) -> None:
        """A new initial window counts for streams that are open, too, and may put them below 0 (RFC 9113 §6.9.2)."""
        state = self._state
        for stream in state.streams.values():
            stream.send_window += change
            if stream.send_window > LARGEST_WINDOW:
                raise _flow_control_error("what a window can be, by SETTINGS")
            state.outgoing.refresh(stream)
            state.woken += stream.waiters

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        state = self._state
        if stream_id:
            raise _protocol_error("PING on a stream")
        if len(payload) != 8:
            raise _size_error("PING", len(payload))
        if not flags & ACK:
            self._count_idle()
            state.outgoing.answer(frames.frame(frames.PING, ACK, 0, payload))
        elif not state.pings.acknowledge(payload, self._now):
            self._count_idle()
        else:
            if state.unconfirmed and not state.pings.is_probing:
                state.unconfirmed.clear()
                state.has_changed = True
            state.woken += state.waiters

    def _goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        state = self._state
        if stream_id:
            raise _protocol_error("GOAWAY on a stream")
        if len(payload) < 8:
            raise _size_error("GOAWAY", len(payload))
        self._count_idle()
        last, code, debug = number(payload) & LARGEST_WINDOW, number(payload, 4), payload[8:]
        if state.farewell is None or (code and "NO_ERROR" in state.farewell):
            said = f", saying {excerpt(debug)}" if debug else ""
            state.farewell = f"the server closed the connection (GOAWAY {code_name(code)}{said})"
        if code == ErrorCodes.ENHANCE_YOUR_CALM and debug.startswith(TOO_MANY_PINGS):
            state.eagerness.complain()
        state.is_draining = state.has_changed = True
        state.woken += state.waiters
        wants_http11 = code in (ErrorCodes.HTTP_1_1_REQUIRED, ErrorCodes.INADEQUATE_SECURITY)
        for stream in [stream for stream in state.streams.values() if stream.id % 2 and stream.id > last]:
            # A connection that is refused from its first request on will be refused again, unless it is of another
            # kind: then it is no use to retry.
            is_hopeless = code != ErrorCodes.NO_ERROR and stream.id == 1 and not wants_http11
            kind = ServerDisconnected if code == ErrorCodes.NO_ERROR else StreamReset
            stream.is_silent = False
            stream.fail(
                Failure(kind, state.farewell, code=code, is_unprocessed=not is_hopeless, requires_http11=wants_http11)
            )
            state.woken += stream.waiters
            state.forget_if_over(stream)

    def _window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _size_error("WINDOW_UPDATE", len(payload))
        self._count_idle()
        state = self._state
        increment = number(payload) & LARGEST_WINDOW
        if stream_id == 0:
            if not increment:
                raise _protocol_error("WINDOW_UPDATE of 0")
            state.outgoing.open_window(increment)
            for stream in state.streams.values():
                if stream.has_pending:
                    state.woken += stream.waiters
            return
        updated = self._stream(stream_id, "WINDOW_UPDATE")
        if updated is not None:
            self._open_stream_window(updated, increment)

    def _open_stream_window(self, stream: Stream, increment: int) -> None:
        state = self._state
        stream.send_window += increment
        if not increment or stream.send_window > LARGEST_WINDOW:
            code = ErrorCodes.FLOW_CONTROL_ERROR if increment else ErrorCodes.PROTOCOL_ERROR
            state.fault(stream, StreamFault(code, f"the server opened a window by {increment}"), self._now)
            return
        state.outgoing.refresh(stream)
        state.woken += stream.waiters


_HANDLERS: tuple[Callable[[Receiver, int, int, Any], None], ...] = (
    Receiver._data,
    Receiver._headers,
    Receiver._priority,
    Receiver._rst_stream,
    Receiver._settings,
    Receiver._push_promise,
    Receiver._ping,
    Receiver._goaway,
    Receiver._window_update,
    Receiver._continuation,
)


def _protocol_error(what: str) -> ConnectionFault:
    return ConnectionFault(ErrorCodes.PROTOCOL_ERROR, f"the server sent {what}")


def _size_error(what: str, size: int) -> ConnectionFault:
    return ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, f"the server sent {what} of {size} octets")


def _flow_control_error(what: str) -> ConnectionFault:
    return ConnectionFault(ErrorCodes.FLOW_CONTROL_ERROR, f"the server sent more than {what} allows")
