"""An HTTP/2 server's side of a connection, frame by frame, for scripted peers: on hyperframe and hpack.

::

    def script(peer: Peer) -> None:
        server = H2Peer(peer)
        server.greet()
        request = server.expect_request()
        server.respond(request, 200, b"hello")
        server.expect_close()

    with ScriptedServer(script) as server:
        session.get(server.url("/"), http2=True)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hpack import Decoder, Encoder
from hyperframe import frame as frames

from .scripted import Peer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Pairs = Sequence[tuple[str | bytes, str | bytes]]
F = TypeVar("F", bound=frames.Frame)

# RFC 9113 §7
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)
INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = 12, 13


@dataclass
class H2Request:
    """A request as it came.

    Attributes:
        stream_id: Its stream.
        headers: Its fields, in order.
        body: Its octets, as far as read.
        trailers: What came behind them.
        has_ended: Whether END_STREAM came.
    """

    stream_id: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    has_ended: bool = False

    def __getitem__(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


class H2Peer:
    """Speaks HTTP/2 as a server, or breaks it on request.

    Args:
        peer: The scripted connection.
        acknowledges: Whether SETTINGS and PING are answered by themselves.

    Attributes:
        frames: Every frame that was read, in order.
        settings: The client's settings.
    """

    def __init__(self, peer: Peer, *, acknowledges: bool = True) -> None:
        self.peer = peer
        self.acknowledges = acknowledges
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.frames: list[frames.Frame] = []
        self.settings: dict[int, int] = {}
        self.requests: dict[int, H2Request] = {}
        self.waiting: list[H2Request] = []

    # -- reading

    def greet(self, settings: dict[int, int] | None = None) -> None:
        """Read the client's preface and send our SETTINGS."""
        self.expect_preface()
        self.send_settings(settings or {})

    def expect_preface(self) -> None:
        """Read the client's preface only."""
        assert self.peer.expect(len(PREFACE)) == PREFACE

    def expect_frame(self) -> frames.Frame:
        """Read a frame."""
        head = self.peer.expect(9)
        frame, length = frames.Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(self.peer.expect(length)))
        self.frames.append(frame)
        self._note(frame)
        return frame

    def _note(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
            self.settings.update(frame.settings)
            if self.acknowledges:
                self.send_frame(frames.SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, frames.PingFrame) and "ACK" not in frame.flags and self.acknowledges:
            self.send_frame(frames.PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, frames.HeadersFrame):
            assert "END_HEADERS" in frame.flags, "no test sends heads as long as that"
            pairs = [(str(name), str(value)) for name, value in self.decoder.decode(frame.data)]
            request = self.requests.get(frame.stream_id)
            if request is None:
                assert frame.stream_id > max(self.requests, default=0), "stream ids have to rise"
                request = self.requests[frame.stream_id] = H2Request(frame.stream_id, pairs)
                self.waiting.append(request)
            else:
                request.trailers = pairs
            request.has_ended = "END_STREAM" in frame.flags
        elif isinstance(frame, frames.DataFrame):
            request = self.requests[frame.stream_id]
            request.body += frame.data
            request.has_ended = "END_STREAM" in frame.flags

    def expect_request(self, *, whole: bool = True) -> H2Request:
        """Read until a request is there, with its body unless told otherwise."""
        while not self.waiting:
            self.expect_frame()
        request = self.waiting.pop(0)
        while whole and not request.has_ended:
            self.expect_frame()
        return request

    def expect(self, kind: type[F], matches: Callable[[F], Any] = lambda frame: True) -> F:
        """Read until a frame of this kind comes that matches."""
        while True:
            frame = self.expect_frame()
            if isinstance(frame, kind) and matches(frame):
                return frame

    def expect_goaway(self, code: int) -> frames.GoAwayFrame:
        """Read until GOAWAY, which has to give this reason."""
        frame = self.expect(frames.GoAwayFrame)
        assert frame.error_code == code, f"GOAWAY says {frame.error_code}, not {code}"
        return frame

    def expect_reset(self, stream_id: int, code: int) -> frames.RstStreamFrame:
        """Read until this stream is reset, for this reason."""
        frame = self.expect(frames.RstStreamFrame)
        assert (frame.stream_id, frame.error_code) == (stream_id, code), f"{frame!r} where {stream_id} {code} was due"
        return frame

    def expect_close(self) -> None:
        """Read until the client closes."""
        self.peer.expect_close()

    def seen(self, kind: type[F]) -> list[F]:
        """The frames of a kind that were read."""
        return [frame for frame in self.frames if isinstance(frame, kind)]

    # -- writing

    def send_frame(self, *many: frames.Frame) -> None:
        """Send frames in one piece."""
        self.peer.send(b"".join(frame.serialize() for frame in many))

    def send_settings(self, settings: dict[int, int]) -> None:
        """Send SETTINGS."""
        self.send_frame(frames.SettingsFrame(0, settings))

    def headers(self, stream_id: int, pairs: Pairs, *flags: str) -> frames.HeadersFrame:
        """A header section in one frame."""
        fields = [(_octets(name), _octets(value)) for name, value in pairs]
        huffman = sum(len(value) for _, value in fields) < 1000  # hpack takes seconds for more
        block = self.encoder.encode(fields, huffman=huffman)
        return frames.HeadersFrame(stream_id, block, flags=["END_HEADERS", *flags])

    def head(self, request: H2Request | int, status: int | str, fields: Pairs = (), *flags: str) -> frames.HeadersFrame:
        """A response's head."""
        stream_id = request if isinstance(request, int) else request.stream_id
        return self.headers(stream_id, [(":status", str(status)), *fields], *flags)

    @staticmethod
    def data(request: H2Request | int, data: bytes = b"", *flags: str) -> frames.DataFrame:
        """A piece of a body."""
        stream_id = request if isinstance(request, int) else request.stream_id
        return frames.DataFrame(stream_id, data, flags=list(flags))

    def respond(self, request: H2Request | int, status: int = 200, body: bytes = b"", fields: Pairs = ()) -> None:
        """Send a whole response in one piece."""
        fields = [("content-length", str(len(body))), *fields]
        if not body:
            self.send_frame(self.head(request, status, fields, "END_STREAM"))
            return
        pieces = [body[start : start + 16384] for start in range(0, len(body), 16384)]
        sent = [self.data(request, piece) for piece in pieces]
        sent[-1].flags.add("END_STREAM")
        self.send_frame(self.head(request, status, fields), *sent)

    def reset(self, request: H2Request | int, code: int) -> None:
        """Send RST_STREAM."""
        stream_id = request if isinstance(request, int) else request.stream_id
        self.send_frame(frames.RstStreamFrame(stream_id, code))

    def goaway(self, last: int, code: int = NO_ERROR, debug: bytes = b"") -> None:
        """Send GOAWAY."""
        self.send_frame(frames.GoAwayFrame(0, last, code, debug))

    def open_window(self, stream_id: int, increment: int) -> None:
        """Send WINDOW_UPDATE."""
        self.send_frame(frames.WindowUpdateFrame(stream_id, increment))

    def promise(self, parent: int, promised: int, pairs: Pairs) -> frames.PushPromiseFrame:
        """A PUSH_PROMISE."""
        block = self.encoder.encode([(_octets(name), _octets(value)) for name, value in pairs])
        return frames.PushPromiseFrame(parent, promised, block, flags=["END_HEADERS"])

    def serve(self, answers: Iterable[bytes] = ()) -> None:
        """Answer requests as they come, with these bodies or their paths, until the client leaves."""
        bodies = iter(answers)
        while True:
            request = self.expect_request()
            self.respond(request, 200, next(bodies, request[":path"].encode()))


def serving(server: H2Peer) -> None:
    """A script that greets, and answers every request with its path."""
    server.greet()
    server.serve()


def raw(kind: int, flags: int, stream_id: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """A frame of any kind, or the lie of one."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
