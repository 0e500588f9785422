"""Writing: one at a time writes for all.

Whoever has queued something and finds nobody writing takes the writer's place and writes what all have queued; who
finds it taken leaves its frames to whoever is there, or waits for the place. Frames are never interleaved so, and
header sections leave in the order in which they were compressed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reqivo_core.errors import ReqivoError, RequestError, WriteError, WriteTimeout
from reqivo_core.runtime.driving import run_blocking
from reqivo_http2.faults import Failure

if TYPE_CHECKING:
    from reqivo_core.interfaces import NetworkStream, Runtime, Waiter
    from reqivo_core.timeouts import Deadline
    from reqivo_http2.connection_state import ConnectionState
    from reqivo_http2.guard import Guard
    from reqivo_http2.streams import Stream


class Writing:
    """The writer's place of one connection."""

    __slots__ = ("_guard", "_is_passing", "_is_writing", "_runtime", "_state", "_stream", "_turns")

    def __init__(self, stream: NetworkStream, state: ConnectionState, guard: Guard, runtime: Runtime) -> None:
        self._stream = stream
        self._state = state
        self._guard = guard
        self._runtime = runtime
        self._is_writing = False
        self._is_passing = False  # whether who has the place writes one piece and no more
        self._turns: list[Waiter] = []

    async def flush(self, deadline: Deadline, stream: Stream | None = None, *, only_control: bool = False) -> None:
        """Write what may leave, unless somebody else is at it.

        Args:
            deadline: Bounds each write.
            stream: Whose octets the caller is concerned with: once they have left, others may take the place.
            only_control: Whether to leave DATA to those whose it is.

        A connection that turns out to be broken is no error here: what the server sent before may be an answer, and
        those who wait for one are told when there is none.

        Raises:
            RequestError: The write took too long, which ends the connection; or the deadline has passed.
        """
        state, guard, outgoing = self._state, self._guard, self._state.outgoing
        if not only_control and len(state.streams) > 1 and outgoing.has_something and not self._is_writing:
            # Others who are about to send queue their frames too: one write for many costs little more. The place is
            # taken behind that, not before: who is cancelled here would leave the frames of all who relied on it.
            await self._runtime.give_way()
        holds = False
        data = b""
        try:
            while not holds:
                with guard:
                    if not outgoing.has_something or (self._is_writing and not self._is_passing):
                        return
                    waiter = self._queue() if self._is_writing else None
                    if waiter is None:
                        self._is_writing = holds = True
                if waiter is not None:
                    await self._await_turn(waiter, None)
            has_written = False
            while True:
                seconds = deadline.write()  # before anything is taken: one request's deadline is no other's concern
                with guard:
                    if not (has_written and self._turns_wait_behind(stream)):
                        data = outgoing.take_control() if only_control else outgoing.take()
                    if not data:
                        self._leave()
                        holds = False
                        return
                await self._stream.write(data, seconds)
                data = b""
                has_written = True
        except WriteError as error:
            self._sever(error)
        except BaseException as error:
            if data and not self._is_kept(error, deadline):
                self._break(error)
            elif holds:
                self._abandon()
            raise

    def _is_kept(self, error: BaseException, deadline: Deadline) -> bool:
        """Whether a write was cut short because its caller gives up, and what was taken for it leaves all the same."""
        gives_up = isinstance(error, self._runtime.cancelled) or (
            isinstance(error, WriteTimeout) and deadline.has_passed()
        )
        return gives_up and self._stream.keeps_writes

    def _turns_wait_behind(self, stream: Stream | None) -> bool:
        """Whether somebody waits for the place, and who holds it has sent what it wanted to."""
        return bool(self._turns) and (stream is None or not stream.has_pending) and not self._state.outgoing.has_control

    def _leave(self) -> None:
        """Give the place up. The guard is held."""
        self._is_writing = self._is_passing = False
        if self._turns:
            self._state.woken += self._turns

    def _abandon(self) -> None:
        """Give the place up before all is written that others have left to whoever has it."""
        if self._stream.keeps_writes:
            with self._guard:
                data = self._state.outgoing.take_control()
            with suppress(ReqivoError):  # it is kept; or the connection is gone, as who reads from it will learn
                run_blocking(self._stream.write(data, 0))
        with self._guard:
            self._leave()
        self.flush_now()
        if self.has_left_behind:
            # They wait for answers to what has not left, and nobody is there to write it.
            self._break(WriteError("the connection took no more, so it had to be closed", phase="write"))

    def _sever(self, error: WriteError) -> None:
        """The connection broke: nothing can be sent any more. What has arrived is still to be read."""
        with self._guard:
            self._leave()
            self._state.sever(broken_by(error))

    def _break(self, error: BaseException) -> None:
        """A write timed out or was cancelled: nobody knows how much left, so the connection is over."""
        with self._guard:
            self._leave()
            self._state.outgoing.clear()
            self._state.fail(broken_by(error))
        self._stream.close()

    def flush_now(self, stream: Stream | None = None) -> None:
        """Write what may leave without waiting; for farewells, on the way out of an error.

        Args:
            stream: Whose DATA leaves too. That of others is left to them: it may be more than there is room for, and a
                piece of which only a part has left ends the connection.
        """
        while self._pass_by(stream) and self._state.outgoing.has_control:
            pass  # others in passing have left theirs

    def _pass_by(self, stream: Stream | None) -> bool:
        """Write one piece, if the place is free and that takes no time.

        Returns:
            Whether anything was written.
        """
        holds = False
        try:
            with self._guard:
                data = b""
                if not self._is_writing and self._stream.is_writable():
                    outgoing = self._state.outgoing
                    data = outgoing.take_control() if stream is None else outgoing.take_with(stream)
                if not data:
                    return False
                self._is_writing = self._is_passing = holds = True
            run_blocking(self._stream.write(data, 0))
            with self._guard:
                self._leave()
                holds = False
        except ReqivoError as error:
            if isinstance(error, WriteError) and self._stream.is_readable():
                self._sever(error)
            else:
                self._break(error)  # not broken, it may be, but out of reach from where a farewell is said
            return False
        except BaseException as error:
            if holds:
                self._break(error)
            raise
        return True

    @property
    def has_left_behind(self) -> bool:
        """Whether frames wait that nobody is about to write: they could not leave without waiting."""
        return self._state.outgoing.has_control and not self._is_writing

    async def take_turn(self, stream: Stream, deadline: Deadline) -> bool:
        """Wait for the writer's place, if it is taken and something of a stream could leave.

        Returns:
            Whether there was anything to wait for: if so, look again.
        """
        with self._guard:
            if not (self._is_writing and self._state.outgoing.may_send(stream)):
                return False
            waiter = self._queue()
        await self._await_turn(waiter, deadline)
        return True

    def _queue(self) -> Waiter:
        """Stand in line for the place. The guard is held."""
        waiter = self._runtime.waiter()
        self._turns.append(waiter)
        return waiter

    async def _await_turn(self, waiter: Waiter, deadline: Deadline | None) -> None:
        """Wait until the place is given up; a passer-by does so soon enough for no deadline to be asked."""
        try:
            await waiter.wait(None if deadline is None else deadline.write())
        finally:
            with self._guard:
                self._turns.remove(waiter)


def broken_by(error: BaseException) -> Failure:
    """Why a connection is over on which a read or a write failed."""
    if not isinstance(error, RequestError):
        return Failure(WriteError, "a write was cancelled half-way, which ends the connection", is_cut=True)
    kind, message, phase = type(error), str(error), error.phase
    return Failure(kind, message, is_cut=True, make_error=lambda: kind(message, phase=phase))
