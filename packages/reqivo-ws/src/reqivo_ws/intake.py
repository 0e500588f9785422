"""Intake: what comes over a connection, from octets to messages in an inbox, pongs that are owed, and the farewell."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import ReqivoError
from reqivo_ws.closing import Ending, Violation, parse_close
from reqivo_ws.codec import CLOSE, PING
from reqivo_ws.messages import Assembler, Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.interfaces import NetworkStream
    from reqivo_ws.codec import Codec, Piece
    from reqivo_ws.deflate import Inflater
    from reqivo_ws.keepalive import Pings
    from reqivo_ws.settings import Settings
    from reqivo_ws.writing import Writer

READ_SIZE = 64 * 1024


class Intake:
    """What one connection brings; whoever reads uses it.

    Args:
        codec: Makes pieces of frames.
        settings: The limits.
        inflater: For compressed messages, if they were agreed upon.
        writer: Who owes the pongs.
        pings: Those whose pongs are waited for.
        now: The runtime's clock.

    Attributes:
        inbox: The messages.
        verdict: How the connection is to end: by the peer's close frame, or ours; None as long as it is not.
        latency: Seconds of the last round trip that was measured; None before the first.
        received: Messages and fragments so far.
    """

    def __init__(
        self,
        codec: Codec,
        settings: Settings,
        inflater: Inflater | None,
        writer: Writer,
        pings: Pings,
        now: Callable[[], float],
    ) -> None:
        self._codec = codec
        self._assembler = Assembler(codec, settings.max_message_size, inflater)
        self.inbox = Inbox(settings.max_queue, settings.max_message_size)
        self._writer = writer
        self._pings = pings
        self._now = now
        self.verdict: Ending | None = None
        self.latency: float | None = None
        self.received = 0
        self._is_over = False

    def digest(self) -> bool:
        """Look at what has come, up to something that somebody may wait for; False if all of it was looked at.

        Raises:
            Violation: The peer did wrong.
        """
        if self.verdict is not None:
            return True
        while (piece := self._codec.next_piece()) is not None:
            if piece.opcode >= CLOSE:
                if self._take_control(piece):
                    return True
            elif (fragment := self._assembler.add(piece)) is not None:
                # After our close frame what there is room for may still be asked for; nothing follows a gap.
                self._is_over = self._is_over or (self._writer.is_closed and self.inbox.is_full)
                if not self._is_over:
                    self.inbox.put(fragment)
                    self.received += 1
                    return True
        return False

    def look(self) -> bool:
        """Do the same where nobody is left to be told of a violation: that is the verdict."""
        try:
            return self.digest()
        except Violation as violation:
            self.verdict = Ending(violation.code, violation.why, is_ours=True)
            return True

    def salvage(self, take: Callable[[], Any]) -> Any:
        """Look at what had come before the connection broke, up to what is wanted.

        Args:
            take: Gives what is wanted, None as long as it is not there.
        """
        while (taken := take()) is None and self.verdict is None and self.look():
            pass
        return taken

    async def drain(self, stream: NetworkStream) -> None:
        """Read what has come over a connection that broke, as far as there is room for it."""
        with suppress(ReqivoError):
            while self.verdict is None and not self.inbox.is_full:
                if not self.look():
                    if not (data := await stream.read(READ_SIZE, 0)):
                        return
                    self._codec.feed(data)

    def _take_control(self, piece: Piece) -> bool:
        """Take a control frame; whether somebody may wait for it."""
        if piece.opcode == PING:
            self._writer.owe_pong(piece.data)
            return False
        if piece.opcode == CLOSE:
            self.verdict = Ending(*parse_close(piece.data))
            return True
        latency = self._pings.acknowledge(piece.data, self._now())
        if latency is not None:
            self.latency = latency
        return latency is not None
