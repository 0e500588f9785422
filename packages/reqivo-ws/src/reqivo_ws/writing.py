"""Writing: frames in their order, whoever sends them. No two frames mix, and no two messages' fragments do."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakMethod

from reqivo_core.errors import ReqivoError
from reqivo_ws.batons import Baton
from reqivo_ws.closing import build_close
from reqivo_ws.codec import BINARY, CLOSE, CONTINUATION, PONG, TEXT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reqivo_core.interfaces import NetworkStream, Runtime
    from reqivo_ws.codec import Codec
    from reqivo_ws.deflate import Deflater

    OnBroken: TypeAlias = Callable[[BaseException], Awaitable[None]]

SLICE = 1024 * 1024
"""Octets handed to the network at once: the time-out of a write is for so many, not for a message of any length."""


MAX_PONGS = 16
"""Pings that are answered each; of more that wait for an answer at once, the earlier ones go without."""


class WriterClosed(Exception):
    """The close frame was sent, after which nothing may follow; it never leaves the distribution."""


class Writer:
    """One side of a connection.

    Args:
        stream: Where to write.
        runtime: For the batons.
        codec: Makes frames.
        deflater: Compresses, if that was agreed upon.
        timeout: Seconds that the peer may take to make room; None for ever.
        on_broken: A method, called with what a write raised, and awaited: half a frame may have gone out, so the
            connection is lost.

    Attributes:
        is_closed: Whether the close frame was sent, or is about to be.
    """

    def __init__(
        self,
        stream: NetworkStream,
        runtime: Runtime,
        codec: Codec,
        deflater: Deflater | None,
        timeout: float | None,
        on_broken: OnBroken,
    ) -> None:
        self._stream = stream
        self._codec = codec
        self._deflater = deflater
        self._timeout = timeout
        # Weak, for the same reason for which nothing else here points back: a connection that is dropped unclosed goes
        # at once, its stream before the socket, and not in the order of some garbage collection.
        self._on_broken = WeakMethod(on_broken)
        self._now = runtime.now
        # A write that is cancelled before it begins counts as one that was cut: so that is found out before.
        self._check_cancelled = runtime.check_cancelled
        self._messages = Baton(runtime)
        self._frames = Baton(runtime)
        self._pongs: deque[bytes] = deque(maxlen=MAX_PONGS)
        self.is_closed = False

    async def message(self, payload: bytes, is_text: bool) -> None:
        """Send a message in one frame.

        Raises:
            WriterClosed: It was too late.
            RequestError: Writing failed; the connection is lost.
        """
        # Who holds the frames and sees nobody amid a message need not hold the messages.
        if self._frames.try_take():
            if not self._messages.is_held:
                await self._frame(TEXT if is_text else BINARY, payload, True, True)
                return
            self._frames.give_back()
        await self.begin_fragments()
        try:
            await self._frames.take()
            await self._frame(TEXT if is_text else BINARY, payload, True, True)
        finally:
            self._messages.give_back()

    async def begin_fragments(self) -> None:
        """Wait until no other message is being sent; ``end_fragments`` must follow.

        Raises:
            WriterClosed: It was too late.
        """
        if not await self._messages.take():
            raise WriterClosed

    async def fragment(self, payload: bytes, is_text: bool, is_first: bool, is_final: bool) -> None:
        """Send one frame of a message; pings and pongs may go between it and the next.

        Raises:
            WriterClosed: It was too late.
            RequestError: Writing failed; the connection is lost.
        """
        opcode = CONTINUATION if not is_first else TEXT if is_text else BINARY
        await self._frames.take()
        await self._frame(opcode, payload, is_final, False)

    def end_fragments(self) -> None:
        """Let other messages go out."""
        self._messages.give_back()

    async def control(
        self, opcode: int, payload: bytes, timeout: float | None = None, on_turn: Callable[[], None] | None = None
    ) -> bool:
        """Send a ping or pong.

        Args:
            opcode: Which.
            payload: What it carries.
            timeout: Seconds to wait for somebody else who is writing; None for as long as that takes.
            on_turn: Called when it is about to be written.

        Returns:
            Whether it was sent.

        Raises:
            WriterClosed: It was too late.
            RequestError: Writing failed; the connection is lost.
        """
        if not await self._frames.take(timeout):
            return False
        if on_turn is not None:
            on_turn()
        await self._frame(opcode, payload)
        return True

    async def try_control(self, opcode: int, payload: bytes, on_broken: OnBroken | None = None) -> bool:
        """Send a ping unless somebody is writing, or the peer takes nothing; tell whether it went out.

        Args:
            opcode: What kind.
            payload: What it carries.
            on_broken: To be called instead of the writer's own, if the write fails.

        Raises:
            RequestError: Writing failed; the connection is lost.
        """
        if not self._stream.is_writable() or not self._frames.try_take():
            return False
        try:
            if self.is_closed:
                return False
            if self._check_cancelled is not None:
                await self._check_cancelled()
            await self._put(self._codec.encode(opcode, payload), on_broken=on_broken)
            return True
        finally:
            self._frames.give_back()

    async def close_frame(self, code: int, reason: str, timeout: float | None) -> bool:
        """Send the close frame, once; whether it went out.

        Args:
            code: Why.
            reason: Why, in words.
            timeout: Seconds that may be spent on it.
        """
        if self.is_closed:
            return False
        until = None if timeout is None else self._now() + timeout
        self.shut()
        if not await self._frames.take(timeout):
            return False
        try:
            left = None if until is None else max(0.0, until - self._now())
            await self._put(self._codec.encode(CLOSE, build_close(code, reason)), left)
            return True
        except ReqivoError:
            return False
        finally:
            self._frames.give_back()

    def shut(self) -> None:
        """Let nothing be sent any more, and whoever waits to send something go."""
        self.is_closed = True
        self._messages.dismiss()

    def owe_pong(self, payload: bytes) -> None:
        """Answer a ping as soon as may be. In a flood only the latest ones are answered (RFC 6455 §5.5.3)."""
        if not self.is_closed:
            self._pongs.append(payload)

    @property
    def is_writing(self) -> bool:
        """Whether somebody is writing, who finds out if the peer takes nothing."""
        return self._frames.is_held

    @property
    def owes_pong(self) -> bool:
        """Whether a ping was not answered yet."""
        return bool(self._pongs)

    async def flush(self, on_broken: OnBroken | None = None) -> None:
        """Send the pongs that are owed. If somebody is writing, that one will do it; if the peer takes nothing, nobody.

        Args:
            on_broken: To be called instead of the writer's own, if the write fails.

        Raises:
            RequestError: Writing failed; the connection is lost.
        """
        while self._pongs and self._stream.is_writable() and self._frames.try_take():
            try:
                await self._put_pongs(on_broken)
            finally:
                self._frames.give_back()

    async def _frame(self, opcode: int, payload: bytes, is_final: bool = True, is_whole: bool = True) -> None:
        """Send a frame and give back the baton, which is held."""
        try:
            if self.is_closed:
                raise WriterClosed
            if self._check_cancelled is not None:
                await self._check_cancelled()
            is_compressed = False
            try:
                if self._deflater is not None and opcode < CLOSE:
                    payload, is_compressed = self._deflate(self._deflater, opcode, payload, is_final, is_whole)
                parts = self._codec.encode(opcode, payload, is_final, is_compressed)
            except BaseException as error:
                if self._deflater is not None:  # what it has compressed, later messages would refer to
                    await self._tell(error)
                raise
            await self._put(parts)
            if self._pongs:
                await self._put_pongs()
        finally:
            self._frames.give_back()
        # A ping that came after the last look, while the reader could not write because we still held the baton.
        if self._pongs:
            await self.flush()

    @staticmethod
    def _deflate(deflater: Deflater, opcode: int, payload: bytes, is_final: bool, is_whole: bool) -> tuple[bytes, bool]:
        """Compress the payload of a data frame, in the order in which frames leave; whether RSV1 is to be set."""
        if not (deflater.is_worthwhile(len(payload)) if is_whole else deflater.is_able):
            return payload, False
        return deflater.deflate(payload, is_final), opcode != CONTINUATION

    async def _put_pongs(self, on_broken: OnBroken | None = None) -> None:
        """Write what is owed, in one go; the baton is held, and only its holder takes pongs out."""
        if self._check_cancelled is not None:
            await self._check_cancelled()
        frames: list[bytes] = []
        while self._pongs:
            frames += self._codec.encode(PONG, self._pongs.popleft())
        if not self.is_closed:
            await self._put([b"".join(frames)], on_broken=on_broken)

    async def _put(self, parts: list[bytes], timeout: float | None = None, on_broken: OnBroken | None = None) -> None:
        """Write octets; the baton is held."""
        seconds = self._timeout if timeout is None else timeout
        try:
            for part in parts:
                if len(part) <= SLICE:
                    await self._stream.write(part, seconds)
                else:
                    await self._put_slices(memoryview(part), seconds)
        except BaseException as error:
            await self._tell(error, on_broken)
            raise

    async def _tell(self, error: BaseException, on_broken: OnBroken | None = None) -> None:
        if (tell := on_broken or self._on_broken()) is not None:
            await tell(error)

    async def _put_slices(self, rest: memoryview, seconds: float | None) -> None:
        while rest:
            await self._stream.write(rest[:SLICE], seconds)
            rest = rest[SLICE:]
