"""Outgoing: what waits to be written, and in which order it leaves. Pure.

Control frames and header sections leave first, in the order in which they were made (so stream ids rise, and the header
compression of both sides stays the same). DATA follows, one frame of each sending stream in turn, as far as the two
windows allow. A stream has one piece pending at a time, so what lies here is bounded by what applications hand over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from reqivo_http2.faults import ConnectionFault
from reqivo_http2.frames import DEFAULT_FRAME_SIZE, END_STREAM, LARGEST_WINDOW, data_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_http2.streams import Stream

WRITE_SIZE = 128 * 1024
"""Octets of DATA handed over to the network at a time: readers and control frames get their turns in between."""
_MOST_CONTROL = 512 * 1024
_NO_OCTETS = memoryview(b"")


class Outgoing:
    """What one connection has to send.

    Attributes:
        window: Octets of DATA that the connection may send.
        max_frame_size: The largest payload that the server takes.
        control_size: Octets of frames other than DATA that wait.
        sent: Octets of DATA that have left since the connection began.
        on_end: Called with a stream whose last octet of DATA has left.
        is_shut: Whether nothing can be sent any more.
    """

    def __init__(self, on_end: Callable[[Stream], None]) -> None:
        self.window = 65535
        self.max_frame_size = DEFAULT_FRAME_SIZE
        self.sent = 0
        self.on_end = on_end
        self._control: list[bytes] = []
        self.control_size = 0
        self._sending: dict[Stream, None] = {}
        self.is_shut = False

    def add(self, frame: bytes) -> None:
        """Queue a frame other than DATA."""
        if self.is_shut:
            return
        self._control.append(frame)
        self.control_size += len(frame)

    def answer(self, frame: bytes) -> None:
        """Queue a frame that the server makes us send.

        Raises:
            ConnectionFault: It makes us answer, but takes no answers.
        """
        self.add(frame)
        if self.control_size > _MOST_CONTROL:
            raise ConnectionFault(
                ErrorCodes.ENHANCE_YOUR_CALM, f"{self.control_size} octets of answers wait for the server to read them"
            )

    def refresh(self, stream: Stream) -> None:
        """Look again at whether a stream has something that may leave."""
        if stream.has_pending and (stream.send_window > 0 or not stream.pending):
            self._sending[stream] = None
        else:
            self._sending.pop(stream, None)

    def forget(self, stream: Stream) -> None:
        """A stream sends no more."""
        self._sending.pop(stream, None)

    def may_send(self, stream: Stream) -> bool:
        """Whether something of a stream could leave now."""
        return stream in self._sending and (self.window > 0 or not stream.pending)

    @property
    def has_control(self) -> bool:
        """Whether frames other than DATA wait."""
        return bool(self._control)

    @property
    def has_something(self) -> bool:
        """Whether there is anything that might leave."""
        return bool(self._control) or bool(self._sending)

    def clear(self) -> None:
        """Forget everything."""
        self._control.clear()
        self.control_size = 0
        self._sending.clear()

    def shut(self) -> None:
        """Forget everything, and take nothing any more."""
        self.is_shut = True
        self.clear()

    def take_control(self) -> bytes:
        """Take the frames other than DATA."""
        control = self._control
        if not control:
            return b""
        data = control[0] if len(control) == 1 else b"".join(control)
        control.clear()
        self.control_size = 0
        return data

    def take_with(self, stream: Stream) -> bytes:
        """Take all control frames, and what one stream may send now: no more than who asks for it has handed over."""
        parts: list[bytes | memoryview] = [self.take_control()]
        while self.may_send(stream):
            size = min(len(stream.pending), stream.send_window, self.window, self.max_frame_size)
            self._take_frame(stream, max(size, 0), parts)
        parts.append(self.take_control())  # trailers, behind the DATA that they end
        return b"".join(parts)

    def take(self) -> bytes:
        """Take what may leave now: all control frames, and DATA up to a bound."""
        if not self._sending:
            return self.take_control()
        parts: list[bytes | memoryview] = list(self._control)
        self._control.clear()
        self.control_size = 0
        room = WRITE_SIZE
        while self._sending and room > 0:
            stream = next(iter(self._sending))
            size = min(len(stream.pending), stream.send_window, self.window, self.max_frame_size)
            if stream.pending and size <= 0:
                if not any(not other.pending for other in self._sending):
                    break  # the connection's window is used up
                self._sending[stream] = self._sending.pop(stream)  # behind those that only have to say the end
                continue
            self._take_frame(stream, max(size, 0), parts)
            room -= size
        parts += self._control  # trailers, behind the DATA that they end
        self._control.clear()
        self.control_size = 0
        return b"".join(parts)

    def _take_frame(self, stream: Stream, size: int, parts: list[bytes | memoryview]) -> None:
        """Take one frame of a stream, which goes to the end of the line."""
        del self._sending[stream]
        piece = stream.pending[:size]
        stream.pending = stream.pending[size:] if size < len(stream.pending) else _NO_OCTETS
        stream.send_window -= size
        self.window -= size
        self.sent += size
        is_last = stream.ends_with_pending and not stream.pending
        ends = is_last and stream.pending_trailers is None
        if size or ends:
            parts.append(data_header(size, END_STREAM if ends else 0, stream.id))
            parts.append(piece)
        if is_last:
            stream.ends_with_pending = False
            self.on_end(stream)
        else:
            self.refresh(stream)

    def open_window(self, increment: int) -> None:
        """The server lets the connection send more.

        Raises:
            ConnectionFault: More than can be.
        """
        self.window += increment
        if self.window > LARGEST_WINDOW:
            raise ConnectionFault(
                ErrorCodes.FLOW_CONTROL_ERROR, "the server opened the connection's window beyond what it can be"
            )
