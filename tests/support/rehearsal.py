"""Conversations over one simulated HTTP/2 connection, in an order of a seed's choosing, and the server they talk to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpack import Encoder
from hyperframe import frame as frames

from reqivo_core.content import to_content
from reqivo_core.interfaces import Exchange, TransportContext
from reqivo_core.limits import DEFAULT_LIMITS
from reqivo_core.messages import Request
from reqivo_core.timeouts import Deadline, Timeout
from reqivo_core.urls import URL
from reqivo_http2 import Http2Transport

from .simulation import SimulatedStream, Simulation, Stuck

ORIGIN = URL.parse("http://127.0.0.1/").origin
CREDIT = frames.WindowUpdateFrame(0, 10_000_000).serialize()


class Server:
    """Reads what was written, and answers in any order."""

    def __init__(self, stream: SimulatedStream) -> None:
        self.stream = stream
        self.encoder = Encoder()
        self.asked: list[int] = []
        self.bodies: dict[int, bytes] = {}
        self.resets: set[int] = set()
        self.ended: set[int] = set()
        self._at = 0
        stream.feed(frames.SettingsFrame(0, {4: 100}).serialize())

    def look(self) -> None:
        """Take in the frames that were written since; they must be whole, and stream ids must rise."""
        data = bytes(self.stream.written)
        if not self._at:
            if not data:
                return
            assert data.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            self._at = 24
        while self._at < len(data):
            frame, length = frames.Frame.parse_frame_header(memoryview(data[self._at : self._at + 9]))
            frame.parse_body(memoryview(data[self._at + 9 : self._at + 9 + length]))
            self._at += 9 + length
            self._take(frame)

    def _take(self, frame: frames.Frame) -> None:
        number = frame.stream_id
        if isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
            self.stream.feed(frames.SettingsFrame(0, flags=["ACK"]).serialize())
        elif isinstance(frame, frames.PingFrame) and "ACK" not in frame.flags:
            self.stream.feed(frames.PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
        elif isinstance(frame, frames.HeadersFrame):
            assert number > max(self.asked, default=0)
            self.asked.append(number)
            self.bodies[number] = b""
        elif isinstance(frame, frames.DataFrame):
            self.bodies[number] += frame.data
            if frame.data:
                self.stream.feed(frames.WindowUpdateFrame(number, len(frame.data)).serialize())
        elif isinstance(frame, frames.RstStreamFrame):
            self.resets.add(number)
        if "END_STREAM" in frame.flags:
            self.ended.add(number)

    @property
    def waiting(self) -> list[int]:
        """Requests that came whole and were not answered."""
        return [number for number in self.asked if number in self.ended and number not in self.resets]

    def answer(self, number: int) -> None:
        """Answer a request with its stream's number and what it sent."""
        self.asked.remove(number)
        block = self.encoder.encode([(b":status", b"200")])
        head = frames.HeadersFrame(number, block, flags=["END_HEADERS"])
        body = frames.DataFrame(number, b"%d " % number + self.bodies[number][:10], flags=["END_STREAM"])
        self.stream.feed(head.serialize())
        self.stream.feed(body.serialize())


class Rehearsal:
    """Some conversations over one connection, in an order of a seed's choosing."""

    def __init__(self, seed: int, make_stream: Callable[[Simulation], SimulatedStream] = SimulatedStream) -> None:
        self.world = Simulation(seed)
        self.stream = make_stream(self.world)
        self.stream.blocks = bool(seed % 2)
        context = TransportContext(ORIGIN, self.world, DEFAULT_LIMITS, {})
        self.transport = Http2Transport(self.stream, context)
        self.server = Server(self.stream)
        self.server.stream.feed(CREDIT)

    def exchange(self, timeout: Timeout) -> Exchange:
        return Exchange(self.world, Deadline(timeout, self.world.now), DEFAULT_LIMITS)

    async def converse(self, name: str, timeout: Timeout, body: bytes) -> bytes:
        """One request, from its sending to the end of its body."""
        request = Request("POST", f"http://127.0.0.1/{name}", content=to_content(body))
        response = await self.transport.send(request, self.exchange(timeout))
        chunks = []
        while chunk := await response.body.read_chunk():
            chunks.append(chunk)
        data = b"".join(chunks)
        assert data == b"%d " % response.extensions["stream_id"] + body[:10]
        return data

    def play(self, count: int, lost: float, cancelled: float) -> dict[str, Any]:
        """Run conversations, some of which are never answered or are cancelled; return their outcomes."""
        world, dice, server = self.world, self.world.dice, self.server
        for number in range(count):
            timeout = Timeout(read=dice.choice([1.0, 5.0]), write=5.0)
            body = bytes([number]) * dice.choice([0, 5, 350])
            world.start(f"c{number}", self.converse(f"c{number}", timeout, body))
        deaf: set[int] = set()
        while world.names:
            server.look()
            waiting = [number for number in server.waiting if number not in deaf]
            if waiting and (dice.random() < 0.2 or not world.is_lively):
                number = dice.choice(waiting)
                if dice.random() < lost:
                    deaf.add(number)
                else:
                    server.answer(number)
            elif dice.random() < cancelled:
                world.cancel(dice.choice(world.names))
            elif not world.step():
                raise Stuck(f"{world.names} wait, and nobody will wake them")
        return world.outcomes
