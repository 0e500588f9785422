"""A world in which a test decides who runs next: no threads, no loop, no clock but its own.

Conversations are coroutines as anywhere else; every wait of theirs suspends to :class:`Simulation`, which goes on with
any of those that could go on, chosen by a seed. What might happen between two threads or tasks happens here between two
steps, and happens again with the same seed. When nobody can go on although somebody waits, that is the bug to find.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Generator, Hashable, Sequence
from typing import Any

from reqivo_core.errors import ReadTimeout, WriteError
from reqivo_core.interfaces import Address, NetworkStream, Runtime, Waiter


class Stuck(AssertionError):
    """Somebody waits, and nobody will wake it."""


class Cancelled(BaseException):
    """Thrown into a conversation that is cancelled."""


class _Suspension:
    """What a coroutine yields: what it waits for, and until when."""

    def __init__(self, waits_for: SimulatedWaiter | SimulatedStream, end: float | None) -> None:
        self.waits_for = waits_for
        self.end = end

    def __await__(self) -> Generator[Any, None, None]:
        yield self


class SimulatedWaiter(Waiter):
    """A flag."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.is_ready = False

    def wake(self) -> None:
        self.is_ready = True

    async def wait(self, timeout: float | None) -> bool:
        if not self.is_ready:
            await _Suspension(self, self.world.end(timeout))
        return self.is_ready


class SimulatedStream(NetworkStream):
    """Octets that the test feeds, and octets that it can look at.

    Attributes:
        written: What was written.
        blocks: Whether a write suspends half-way.
        is_full: Whether it says that a write would have to wait.
    """

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.written = bytearray()
        self.arrived = bytearray()
        self.has_ended = False
        self.is_closed = False
        self.blocks = False
        self.is_full = False
        self._readers = 0
        self._writers = 0

    @property
    def is_ready(self) -> bool:
        return bool(self.arrived) or self.has_ended or self.is_closed

    def feed(self, data: bytes) -> None:
        """Let octets arrive."""
        self.arrived += data

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        assert not self._readers, "two read at once"
        self._readers += 1
        try:
            if not self.is_ready and timeout != 0:
                await _Suspension(self, self.world.end(timeout))
            if self.arrived:
                data = bytes(self.arrived[:max_bytes])
                del self.arrived[:max_bytes]
                return data
            if self.has_ended or self.is_closed:
                return b""
            raise ReadTimeout("simulated")
        finally:
            self._readers -= 1

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        assert not self._writers, "two write at once"
        self._writers += 1
        try:
            if self.is_closed:
                raise WriteError("simulated: closed")
            self.written += data
            if self.blocks and timeout != 0:
                pause = SimulatedWaiter(self.world)
                self.world.later.append(pause)
                await pause.wait(None)
        finally:
            self._writers -= 1

    async def start_tls(self, *args: Any) -> NetworkStream:
        raise NotImplementedError

    def close(self) -> None:
        self.is_closed = True

    def is_readable(self) -> bool:
        return self.is_ready

    def is_writable(self) -> bool:
        return not self.is_full


class Simulation(Runtime):
    """The scheduler, and the runtime of those that it schedules.

    Attributes:
        time: The clock; it moves when nobody can go on otherwise, and somebody's time limit is what comes next.
        later: Writes that have not got through yet.
        outcomes: What each conversation returned or raised, by name.
    """

    name = "simulated"
    cancelled = (Cancelled,)

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.time = 0.0
        self.later: list[SimulatedWaiter] = []
        self.outcomes: dict[str, Any] = {}
        self._running: dict[str, tuple[Coroutine[Any, Any, Any], _Suspension | None]] = {}

    def now(self) -> float:
        return self.time

    def end(self, timeout: float | None) -> float | None:
        """When a time limit that begins now is over."""
        return None if timeout is None else self.time + timeout

    def world(self) -> Hashable:
        return self

    def waiter(self) -> Waiter:
        return SimulatedWaiter(self)

    async def sleep(self, seconds: float) -> None:
        pause = SimulatedWaiter(self)
        pause.is_ready = not seconds
        await _Suspension(pause, self.end(seconds))

    async def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        raise NotImplementedError

    async def connect_tcp(self, addresses: Sequence[Address], timeout: float | None, **options: Any) -> NetworkStream:
        raise NotImplementedError

    async def connect_unix(self, path: str, timeout: float | None) -> NetworkStream:
        raise NotImplementedError

    # Running.

    def start(self, name: str, conversation: Coroutine[Any, Any, Any]) -> None:
        """Take a conversation on; it runs from the next step on."""
        self._running[name] = conversation, None

    def cancel(self, name: str) -> None:
        """Cancel a conversation where it waits."""
        self._go_on(name, Cancelled())

    @property
    def names(self) -> list[str]:
        """Conversations that are not over."""
        return list(self._running)

    @property
    def _able(self) -> list[str]:
        return [name for name, (_, waits) in self._running.items() if waits is None or waits.waits_for.is_ready]

    @property
    def is_lively(self) -> bool:
        """Whether somebody can go on without time having to pass."""
        return bool(self._able or self.later)

    def step(self) -> bool:
        """Let somebody who can go on do so.

        Returns:
            Whether there was anybody.
        """
        able = self._able
        choices = len(able) + len(self.later)
        if not choices:
            return self._let_time_pass()
        choice = self.dice.randrange(choices)
        if choice < len(able):
            self._go_on(able[choice])
        else:
            self.later.pop(choice - len(able)).wake()
        return True

    def _let_time_pass(self) -> bool:
        """Move the clock to the first time limit, whose conversation goes on."""
        limits = [(waits.end, name) for name, (_, waits) in self._running.items() if waits and waits.end is not None]
        if not limits:
            return False
        end, name = min(limits)
        self.time = max(self.time, end)
        self._go_on(name)
        return True

    def run(self) -> None:
        """Go on until all is over.

        Raises:
            Stuck: Somebody waits for what will never come.
        """
        for _ in range(100_000):
            if not self._running:
                return
            if not self.step():
                raise Stuck(f"{', '.join(self._running)} wait, and nobody will wake them")
        raise Stuck("this does not end")

    def _go_on(self, name: str, error: BaseException | None = None) -> None:
        conversation, _ = self._running[name]
        try:
            waits = conversation.send(None) if error is None else conversation.throw(error)
        except StopIteration as stop:
            self.outcomes[name] = stop.value
        except BaseException as raised:  # kept for the test to judge
            self.outcomes[name] = raised
        else:
            self._running[name] = conversation, waits
            return
        del self._running[name]
