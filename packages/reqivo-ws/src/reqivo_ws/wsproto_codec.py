"""The reference engine: wsproto's frames, with the checks that it leaves to others.

wsproto looks at no size, and tells of a frame's header only to extensions. So an extension of ours listens there: it
refuses what is too long when the header comes, remembers RSV1 for the inflater above (wsproto's own would inflate
without bound), and puts payload and RSV1 into frames that are sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsproto.extensions import Extension
from wsproto.frame_protocol import FrameDecoder, FrameProtocol, ParseFailed, RsvBits

from reqivo_ws.closing import PROTOCOL_ERROR, Violation
from reqivo_ws.codec import CLOSE, CONTINUATION, PING, PONG, TEXT, Codec, Piece, too_big

if TYPE_CHECKING:
    from wsproto.frame_protocol import CloseReason, Opcode


class _Listener(Extension):
    """What wsproto calls for every frame, both ways."""

    name = "reqivo-listener"

    def __init__(self, has_deflate: bool) -> None:
        self.has_deflate = has_deflate
        self.max_payload: int | None = None
        self.opcode = CONTINUATION
        self.left = 0
        self.starts = False
        self.is_compressed = False
        self.outgoing: tuple[bytes, bool] = (b"", False)

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:  # pragma: no cover  # wsproto asks as it shakes hands, which is not left to it
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        is_control = opcode >= CLOSE
        if not is_control and self.max_payload is not None and payload_length > self.max_payload:
            raise too_big(payload_length, self.max_payload)
        self.opcode = int(opcode)
        self.left = payload_length
        self.starts = True
        self.is_compressed = bool(rsv.rsv1)
        return RsvBits(self.has_deflate and not is_control and opcode != CONTINUATION, False, False)

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        payload, is_compressed = self.outgoing
        return RsvBits(is_compressed, False, False), payload


class WsprotoCodec(Codec):
    """wsproto behind the door.

    Args:
        has_deflate: Whether permessage-deflate was agreed upon, so that RSV1 means something.
    """

    def __init__(self, has_deflate: bool = False) -> None:
        self._listener = _Listener(has_deflate)
        self._decoder = FrameDecoder(client=True, extensions=[self._listener])
        self._protocol = FrameProtocol(client=True, extensions=[self._listener])
        self._kind: str | bytes = b""

    @property
    def max_payload(self) -> int | None:
        """See :class:`Codec`."""
        return self._listener.max_payload

    @max_payload.setter
    def max_payload(self, length: int | None) -> None:
        self._listener.max_payload = length

    @property
    def left(self) -> int:  # type: ignore[override]  # an attribute that is kept elsewhere
        """See :class:`Codec`."""
        return self._listener.left

    def feed(self, data: bytes) -> None:
        """See :meth:`Codec.feed`."""
        self._decoder.receive_bytes(data)

    def next_piece(self) -> Piece | None:
        """See :meth:`Codec.next_piece`."""
        try:
            frame = self._decoder.process_buffer()
        except ParseFailed as error:
            raise Violation(PROTOCOL_ERROR, str(error)) from error
        if frame is None:
            return None
        listener = self._listener
        data = bytes(frame.payload)  # type: ignore[arg-type]  # a decoder by itself gives bytes only
        listener.left -= len(data)
        starts, listener.starts = listener.starts, False
        return Piece(
            listener.opcode, data, starts, frame.frame_finished, frame.message_finished, listener.is_compressed
        )

    def encode(self, opcode: int, payload: bytes, is_final: bool = True, is_compressed: bool = False) -> list[bytes]:
        """See :meth:`Codec.encode`."""
        self._listener.outgoing = (payload, is_compressed)
        if opcode == CLOSE:
            return [bytes(self._protocol.close())]
        if opcode == PING:
            return [bytes(self._protocol.ping())]
        if opcode == PONG:
            return [bytes(self._protocol.pong())]
        # It derives the opcode from the type, and continuations from what went before: it has the same order of calls.
        if opcode != CONTINUATION:
            self._kind = "" if opcode == TEXT else b""
        return [bytes(self._protocol.send_data(self._kind, fin=is_final))]
