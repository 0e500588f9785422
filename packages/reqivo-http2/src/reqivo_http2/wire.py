"""Wire: one connection as its conversations see it: the state, its lock, the reader's and the writer's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from reqivo_http2.guard import Guard
from reqivo_http2.reading import Reading
from reqivo_http2.receiving import Receiver
from reqivo_http2.upload import took_nothing
from reqivo_http2.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.interfaces import NetworkStream, TransportContext, Waiter
    from reqivo_core.timeouts import Deadline
    from reqivo_http2.connection_state import ConnectionState
    from reqivo_http2.faults import Failure
    from reqivo_http2.push import PushBook
    from reqivo_http2.streams import Stream


class Wire:
    """See the module.

    Attributes:
        state: The state; to be touched under the guard.
        guard: Its lock.
        stream: The octets' connection.
        runtime: The leaves.
    """

    __slots__ = ("_reading", "_writing", "guard", "runtime", "state", "stream")

    def __init__(
        self, stream: NetworkStream, state: ConnectionState, context: TransportContext, pushes: PushBook | None
    ) -> None:
        self.stream = stream
        self.state = state
        self.runtime = context.runtime
        self.guard = Guard(state, context.on_change, context.trace, stream.close)
        self._writing = Writing(stream, state, self.guard, context.runtime)
        self._reading = Reading(stream, state, Receiver(state, pushes), self.guard, self._writing, context.runtime)

    # Sending.

    async def flush(self, deadline: Deadline, stream: Stream | None = None) -> None:
        """Write what may leave, unless somebody else is at it: see :class:`Writing`."""
        await self._writing.flush(deadline, stream)

    def flush_now(self, stream: Stream | None = None) -> None:
        """Write what may leave without waiting: see :class:`Writing`."""
        self._writing.flush_now(stream)

    def hand_over(self, stream: Stream, data: bytes | memoryview, *, ends: bool) -> None:
        """Put octets where they will be sent from."""
        with self.guard:
            if not stream.is_local_closed:
                self.state.send(stream, data, ends=ends)

    async def take_turn(self, stream: Stream, deadline: Deadline) -> bool:
        """Wait while somebody else writes: see :class:`Writing`."""
        return await self._writing.take_turn(stream, deadline)

    async def drain(self, stream: Stream, deadline: Deadline, is_stopped: Callable[[], bool]) -> None:
        """Wait until what a stream has pending has left.

        Args:
            stream: The stream.
            deadline: Bounds it.
            is_stopped: Whether there is a reason to stop waiting for that; called under the lock too.

        Raises:
            WriteTimeout: The server's windows stayed shut.
            RequestError: The connection broke.
        """
        while True:
            if self.stream.is_readable():
                self._reading.look()  # an early answer, or a window: neither may wait until all is sent
            await self._writing.flush(deadline, stream)
            if not stream.has_pending or is_stopped():
                return
            if await self._writing.take_turn(stream, deadline):
                continue
            seconds = deadline.write()
            if not await self._reading.wait(
                stream.waiters,
                lambda: not stream.has_pending or is_stopped() or self.state.outgoing.may_send(stream),
                seconds,
                deadline,
            ):
                raise took_nothing(seconds)

    # Receiving.

    async def wait(
        self, waiters: dict[Waiter, None], is_ready: Callable[[], bool], seconds: float | None, deadline: Deadline
    ) -> bool:
        """Wait until something has come: see :class:`Reading`."""
        return await self._reading.wait(waiters, is_ready, seconds, deadline)

    def look(self) -> None:
        """Take in what has arrived, without waiting."""
        self._reading.look()

    # Giving up.

    def cancel(self, stream: Stream, code: int = ErrorCodes.CANCEL) -> None:
        """Reset a stream if it is not over, from anywhere, finalizers too; the frame leaves with the next write."""

        def action() -> None:
            self.state.cancel(stream, code, self.runtime.now())
            stream.discard()

        self.guard.defer(action)

    def close(self, failure: Failure) -> None:
        """Let go of the connection, from anywhere."""
        self.guard.defer(lambda: self.state.fail(failure))
        self.stream.close()
