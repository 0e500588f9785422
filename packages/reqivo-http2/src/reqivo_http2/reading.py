"""Reading: leader and followers. Whoever needs an event and finds nobody reading reads, for all.

The leader takes what arrives into the state, which wakes everybody who has got something. When it has what it wants, or
its time is up, or it is cancelled, it leaves and wakes one of those who still wait, to lead in its place.

No wait is forgotten because of one rule, kept whenever the lock is let go: *if anybody waits, somebody leads, or one of
those who wait has been woken to lead.* And since everybody looks at its condition again after each step, waking too
often is harmless. What a leader waits for must come by reading: it sits in a read that nobody else can end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reqivo_core.errors import ReadError, ReadTimeout, RequestError
from reqivo_core.runtime.driving import run_blocking
from reqivo_http2.writing import broken_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.interfaces import NetworkStream, Runtime, Waiter
    from reqivo_core.timeouts import Deadline
    from reqivo_http2.connection_state import ConnectionState
    from reqivo_http2.guard import Guard
    from reqivo_http2.receiving import Receiver
    from reqivo_http2.writing import Writing

READ_SIZE = 128 * 1024

LOOKS = 16
"""How often a look reads at most: a server that sends without end must not keep anybody looking."""


class Reading:
    """The reader's place of one connection."""

    __slots__ = ("_called", "_followers", "_guard", "_is_led", "_receiver", "_runtime", "_state", "_stream", "_writing")

    def __init__(
        self,
        stream: NetworkStream,
        state: ConnectionState,
        receiver: Receiver,
        guard: Guard,
        writing: Writing,
        runtime: Runtime,
    ) -> None:
        self._stream = stream
        self._state = state
        self._receiver = receiver
        self._guard = guard
        self._writing = writing
        self._runtime = runtime
        self._is_led = False
        self._followers: dict[Waiter, None] = {}
        self._called: Waiter | None = None

    async def wait(
        self, waiters: dict[Waiter, None], is_ready: Callable[[], bool], seconds: float | None, deadline: Deadline
    ) -> bool:
        """Wait until something has come.

        Args:
            waiters: Where the state looks for whom to wake: a stream's, or the connection's.
            is_ready: Whether it has come; called under the lock. A failure must count as well.
            seconds: How long to wait; None for ever.
            deadline: Bounds writes that reading makes necessary.

        Returns:
            Whether it came (False: time ran out).
        """
        end = None if seconds is None else self._runtime.now() + seconds
        waiter: Waiter | None = None
        leads = False
        has_looked = False
        due: float | None = None
        try:
            while True:
                with self._guard:
                    if leads:
                        self._is_led = leads = False
                    elif waiter is not None:
                        self._forget(waiter, waiters)
                        waiter = None
                    left = None if end is None else end - self._runtime.now()
                    if (came := is_ready()) or (has_looked and left is not None and left <= 0):
                        self._call_next()
                        return came
                    if not self._is_led:
                        self._is_led = leads = True
                        due = self._state.due()
                    else:
                        waiter = self._runtime.waiter()
                        waiters[waiter] = self._followers[waiter] = None
                has_looked = True
                if left is not None and left < 0:
                    left = 0
                if waiter is not None:
                    await waiter.wait(left)
                else:
                    await self._lead(left, due, deadline)
        except BaseException:
            if leads:
                self._is_led = False
            with self._guard:
                if waiter is not None:
                    self._forget(waiter, waiters)
                self._call_next()
            raise

    def _forget(self, waiter: Waiter, waiters: dict[Waiter, None]) -> None:
        """Somebody waits no more, or was struck before it stood in line. The guard is held."""
        self._followers.pop(waiter, None)
        waiters.pop(waiter, None)
        if self._called is waiter:
            self._called = None

    def _call_next(self) -> None:
        """Wake somebody to lead, if nobody does and nobody has been called. The guard is held."""
        if not self._is_led and self._called is None and self._followers:
            self._called = next(iter(self._followers))
            self._state.woken.append(self._called)

    async def _lead(self, seconds: float | None, due: float | None, deadline: Deadline) -> None:
        """Read once, for all; when nothing comes look at the clock."""
        if due is not None:
            pause = max(0.0, due - self._runtime.now())
            if seconds is None or pause < seconds:
                seconds = pause
        if self._state.severed is not None:
            # Nobody is there any more: what has come is taken in, nothing is waited for.
            seconds = 0
            self._stream.is_readable()  # asyncio looks into the system's buffer only then
        try:
            data = await self._stream.read(READ_SIZE, seconds)
            with self._guard:
                self._receiver.receive(data, self._runtime.now())
        except ReadTimeout:
            with self._guard:
                self._tick(self._runtime.now())
        except RequestError as error:
            self._break(error)
            return
        except self._runtime.cancelled:
            raise  # it has taken nothing, and another reads on
        except BaseException as error:
            self._break(interrupted(error))  # octets may be lost, and with them the meaning of all that follow
            raise
        if self._state.outgoing.has_control:
            await self._answer(deadline)
        if self._state.failure is not None:
            self._stream.close()

    def _tick(self, now: float) -> None:
        """Nothing came: look at the clock. The guard is held."""
        if self._state.severed is not None:
            self._state.end()
        elif self._writing.has_left_behind:
            self._state.pings.restart(now)  # they leave only now, so nobody has been asked for a sign of life yet
        else:
            self._state.tick(now)

    async def _answer(self, deadline: Deadline) -> None:
        """Write what the state has to say to what it took in."""
        if self._state.failure is not None:
            self._writing.flush_now()  # a farewell: not worth waiting for
            return
        try:
            await self._writing.flush(deadline, only_control=True)
        except RequestError:
            pass  # the state knows, and so will everybody who waits

    def _break(self, error: RequestError) -> None:
        """The connection broke while reading."""
        with self._guard:
            if self._state.farewell is not None or self._state.severed is not None:
                self._state.end()
            else:
                self._state.fail(broken_by(error))
        self._stream.close()

    def look(self) -> None:
        """Take in what has arrived, without waiting, unless somebody reads already."""
        leads = False
        try:
            with self._guard:
                if self._is_led or self._state.failure is not None:
                    return
                self._is_led = leads = True
            for _ in range(LOOKS):
                if self._state.failure is not None or not self._stream.is_readable():
                    break
                data = run_blocking(self._stream.read(READ_SIZE, 0))
                with self._guard:
                    self._receiver.receive(data, self._runtime.now())
        except ReadTimeout:
            pass
        except RequestError as error:
            self._break(error)
        except BaseException as error:
            self._break(interrupted(error))
            raise
        finally:
            if leads:  # pragma: no branch  # who does not has left by the return above
                self._is_led = False  # first of all, without the lock: a signal may strike where that is taken
                with self._guard:
                    self._state.tick(self._runtime.now())
                    self._call_next()
        if self._state.outgoing.has_control:
            self._writing.flush_now()
        if self._state.failure is not None:
            self._stream.close()


def interrupted(error: BaseException) -> ReadError:
    """What others on a connection are told that was closed, since a signal struck the thread that read for all."""
    return ReadError(
        f"{type(error).__name__} was raised in the thread that was reading for all requests on this connection; octets "
        f"may be lost, so it was closed",
        phase="read",
    )
