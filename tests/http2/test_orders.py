"""Uploads under windows that open, shut and fall below nothing, answered early, late or not at all, in any order.

The order is a seed's. Whatever it is: nobody waits for ever, no window is exceeded, no octet is lost or another's.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core.content import to_content
from reqivo_core.errors import StreamReset
from reqivo_core.messages import Request
from reqivo_core.timeouts import Timeout
from support.rehearsal import Rehearsal, Server
from support.simulation import Cancelled, SimulatedStream, Stuck

WINDOW = frames.SettingsFrame.INITIAL_WINDOW_SIZE
FOREVER = Timeout(timeout=None)
EARLY = ("413", "200", "103", "reset")


class Miser(Server):
    """Counts every octet of its windows, and gives credit as it likes."""

    def __init__(self, stream: SimulatedStream, dice: random.Random) -> None:
        self.dice = dice
        self.window = 65535
        self.initial = 65535
        self.windows: dict[int, int] = {}
        self.unacknowledged: list[int] = []
        self.answered: set[int] = set()
        self.has_greeted = False
        super().__init__(stream)
        self.set_initial(dice.choice([0, 1, 10, 100]))

    def set_initial(self, size: int) -> None:
        """Set the window of all streams; it counts from the acknowledgement on."""
        self.unacknowledged.append(size)
        self.stream.feed(frames.SettingsFrame(0, {WINDOW: size}).serialize())

    def _take(self, frame: frames.Frame) -> None:
        number = frame.stream_id
        if isinstance(frame, frames.DataFrame):
            self.bodies[number] += frame.data
            self.window -= len(frame.data)
            self.windows[number] -= len(frame.data)
            assert not frame.data or min(self.window, self.windows[number]) >= 0, "more than a window allows"
            if "END_STREAM" in frame.flags:
                self.ended.add(number)
            return
        super()._take(frame)
        if isinstance(frame, frames.HeadersFrame):
            self.windows[number] = self.initial
        elif isinstance(frame, frames.SettingsFrame) and "ACK" in frame.flags and self.has_greeted:
            size = self.unacknowledged.pop(0)
            self.windows = {key: window + size - self.initial for key, window in self.windows.items()}
            self.initial = size
        elif isinstance(frame, frames.SettingsFrame) and "ACK" in frame.flags:
            self.has_greeted = True

    @property
    def unfinished(self) -> list[int]:
        """Requests of which more is to come."""
        return [number for number in self.asked if number not in self.ended | self.resets]

    @property
    def allowed(self) -> list[int]:
        """Requests of which more could have come."""
        return [number for number in self.unfinished if min(self.window, self.windows[number]) > 0]

    def give_credit(self) -> None:
        """Open a window, or change those of all."""
        choice = self.dice.random()
        if self.unfinished and choice < 0.8:
            number, size = self.dice.choice(self.unfinished), self.dice.choice([1, 30, 400])
            self.windows[number] += size
            self.stream.feed(frames.WindowUpdateFrame(number, size).serialize())
        elif choice < 0.9:
            self.set_initial(self.dice.choice([0, 1, 10, 100, 300]))
        else:
            self.window += 1000
            self.stream.feed(frames.WindowUpdateFrame(0, 1000).serialize())

    def answer_early(self) -> None:
        """Say something about a request that has not come whole."""
        numbers = [number for number in self.unfinished if number not in self.answered]
        if not numbers:
            return
        number, kind = self.dice.choice(numbers), self.dice.choice(EARLY)
        if kind == "reset":
            self.asked.remove(number)
            self.stream.feed(frames.RstStreamFrame(number, 2).serialize())
            return
        block = self.encoder.encode([(b":status", kind.encode())])
        self.stream.feed(frames.HeadersFrame(number, block, flags=["END_HEADERS"]).serialize())
        if kind == "413":
            self.asked.remove(number)
            self.stream.feed(frames.DataFrame(number, b"%d no" % number, flags=["END_STREAM"]).serialize())
        elif kind == "200":
            self.answered.add(number)
            self.stream.feed(frames.DataFrame(number, b"%d " % number).serialize())

    def answer(self, number: int) -> None:
        """End the answer, of which the head may have been sent."""
        if number not in self.answered:
            super().answer(number)
            return
        self.asked.remove(number)
        rest = frames.DataFrame(number, self.bodies[number][:10], flags=["END_STREAM"])
        self.stream.feed(rest.serialize())


class Uploads(Rehearsal):
    """Uploads of all kinds to a miser."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.stream.arrived.clear()  # another server's greeting
        self.server: Miser = Miser(self.stream, self.world.dice)
        self.transport._state.outgoing.window = self.server.window = 700

    async def upload(self, name: str, body: bytes) -> bytes:
        """Send a body, in one piece or many, and check what is answered."""
        pieces = [body[start : start + 37] for start in range(0, len(body), 37)]
        content = to_content(iter(pieces) if len(body) % 2 else body)
        request = Request("POST", f"http://127.0.0.1/{name}", content=content)
        response = await self.transport.send(request, self.exchange(FOREVER))
        number = response.extensions["stream_id"]
        data = b""
        while chunk := await response.body.read_chunk():
            data += chunk
        if response.status == 413:
            assert data == b"%d no" % number
        else:
            assert data == b"%d " % number + body[:10]
            assert self.server.bodies[number] == body
        return data

    def play_uploads(self, count: int, cancelled: float) -> dict[str, Any]:
        """Run so many; return their outcomes."""
        world, dice, server = self.world, self.world.dice, self.server
        for number in range(count):
            body = bytes([65 + number]) * dice.choice([0, 1, 5, 36, 350, 1001])
            world.start(f"c{number}", self.upload(f"c{number}", body))
        for _ in range(100_000):
            if not world.names:
                return world.outcomes
            server.look()
            if not world.is_lively:
                assert server.allowed == [], "somebody may send, and was not told"
            choice = dice.random()
            if server.waiting and (choice < 0.1 or not world.is_lively):
                server.answer(dice.choice(server.waiting))
            elif choice < 0.15:
                server.answer_early()
            elif choice < 0.15 + cancelled:
                world.cancel(dice.choice(world.names))
            elif choice < 0.4 or not world.is_lively:
                server.give_credit()
            else:
                world.step()
        raise Stuck(f"{world.names} wait, and nobody will wake them")


@pytest.mark.parametrize("chunk", range(4))
@pytest.mark.parametrize("cancelled", [0.0, 0.03])
def test_uploads_end_whatever_the_windows_do(chunk: int, cancelled: float) -> None:
    kinds = set()
    for seed in range(chunk * 100, chunk * 100 + 100, 2):  # even: writes get through at once, so none is cut off
        uploads = Uploads(seed)
        outcomes = uploads.play_uploads(6, cancelled)
        assert len(outcomes) == 6
        assert uploads.world.time == 0, f"seed {seed}: somebody was only woken by a time limit"
        for outcome in outcomes.values():
            assert isinstance(outcome, bytes | StreamReset | Cancelled), f"seed {seed}: {outcome!r}"
            kinds.add(type(outcome))
        assert not uploads.transport.is_closing
        assert uploads.transport.describe()["streams"] == {}
    assert kinds >= {bytes, StreamReset}
