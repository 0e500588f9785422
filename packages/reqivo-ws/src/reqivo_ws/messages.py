"""Messages: pieces of frames put together under the rules of RFC 6455 §5.4 and our limits, and the queue of them."""

from __future__ import annotations

from codecs import utf_8_decode
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from reqivo_ws.closing import INVALID_DATA, PROTOCOL_ERROR, TOO_BIG, Violation
from reqivo_ws.codec import CONTINUATION, TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reqivo_ws.codec import Codec, Piece
    from reqivo_ws.deflate import Inflater

Data: TypeAlias = "str | bytes"
Fragment: TypeAlias = "tuple[Data, bool]"
"""What one frame brought, and whether it ended the message."""

MAX_FRAGMENTS = 4096
"""Frames that one message may have ..."""

OCTETS_PER_FRAGMENT = 32
"""... beside one for so many octets: an honest sender of many small fragments passes, one of empty ones does not."""

COMPRESSED_SLACK = 1024
"""Octets by which deflated data may be longer than what it holds (stored blocks have headers)."""

_SMALL = 1024
_MANY = 512


class Pieces:
    """Octets or characters gathered bit by bit; what comes in tiny bits is joined now and then, to save memory."""

    __slots__ = ("_items", "_joiner", "_run")

    def __init__(self, joiner: Any) -> None:
        self._joiner = joiner
        self._items: list[Any] = []
        self._run = 0

    def add(self, item: Any) -> None:
        """Add some."""
        items = self._items
        items.append(item)
        if len(item) >= _SMALL:
            self._run = len(items)
        elif len(items) - self._run >= _MANY:
            joined = self._joiner.join(items[self._run :])
            del items[self._run :]
            items.append(joined)
            if len(joined) >= _SMALL:
                self._run = len(items)

    def take(self) -> Any:
        """All of it, as one; nothing is left."""
        items = self._items
        whole = items[0] if len(items) == 1 else self._joiner.join(items)
        self._items = []
        self._run = 0
        return whole


class Assembler:
    """Makes fragments of pieces: inflates, decodes, and checks while they come.

    Args:
        codec: Where they come from; it is told how much may still come.
        max_size: Octets that a message may have, inflated; None for any number.
        inflater: For compressed messages, if they were agreed upon.
    """

    __slots__ = (
        "_carry",
        "_codec",
        "_fragments",
        "_inflater",
        "_is_compressed",
        "_is_open",
        "_is_text",
        "_max_size",
        "_pieces",
        "_size",
        "_wire_size",
    )

    def __init__(self, codec: Codec, max_size: int | None, inflater: Inflater | None = None) -> None:
        self._codec = codec
        self._max_size = max_size
        self._inflater = inflater
        self._is_open = False
        self._is_text = False
        self._is_compressed = False
        self._pieces: Pieces | None = None
        self._carry = b""
        self._fragments = 0
        self._size = 0
        self._wire_size = 0
        self._allow(0)

    def _allow(self, used: int) -> None:
        """Tell the codec how long the next data frame may be."""
        if self._max_size is not None:
            slack = COMPRESSED_SLACK + self._max_size // 64 if self._inflater is not None else 0
            self._codec.max_payload = self._max_size + slack - used

    def add(self, piece: Piece) -> Fragment | None:
        """Take a piece of a data frame.

        Returns:
            What the frame brought, if it is complete now.

        Raises:
            Violation: It must not come here, is not UTF-8, or is too much.
        """
        opcode, data, starts, ends, is_final, is_compressed = piece
        if starts:
            if opcode != CONTINUATION and is_final and ends and not is_compressed and not self._is_open:
                return self._whole(opcode, data)
            self._start_frame(opcode, is_compressed)
        ends_message = ends and is_final
        if self._is_compressed and self._inflater is not None:
            self._wire_size += len(data)
            limit = None if self._max_size is None else self._max_size - self._size
            self._keep(self._inflater.inflate(data, limit, ends_message))
        else:
            self._check_size(len(data))
            self._keep((data,))
        if not ends:
            return None
        return self._end_frame(ends_message)

    def _whole(self, opcode: int, data: bytes) -> Fragment:
        """A message in one frame that came in one piece: nearly all are."""
        if self._max_size is not None and len(data) > self._max_size:
            self._check_size(len(data))
        if opcode != TEXT:
            return data, True
        try:
            return data.decode("utf-8"), True
        except UnicodeDecodeError:
            raise _not_utf8() from None

    def _start_frame(self, opcode: int, is_compressed: bool) -> None:
        if opcode == CONTINUATION:
            if not self._is_open:
                raise Violation(PROTOCOL_ERROR, "continuation of nothing")
            self._fragments += 1
            if self._fragments > MAX_FRAGMENTS + max(self._size, self._wire_size) // OCTETS_PER_FRAGMENT:
                raise Violation(TOO_BIG, f"message in more than {self._fragments - 1} fragments")
            return
        if self._is_open:
            raise Violation(PROTOCOL_ERROR, "new message before the last one ended")
        self._is_open = True
        self._is_text = opcode == TEXT
        self._is_compressed = is_compressed
        self._fragments = 1
        self._size = self._wire_size = 0

    def _check_size(self, length: int) -> None:
        """Count octets that are not compressed."""
        self._size += length
        if self._max_size is not None and self._size > self._max_size:
            raise Violation(TOO_BIG, f"message of more than {self._max_size} octets")

    def _keep(self, chunks: Iterable[bytes]) -> None:
        """Keep what came, decoded as far as it can be: what is not UTF-8 is found at the first wrong octet."""
        if self._pieces is None:
            self._pieces = Pieces("" if self._is_text else b"")
        for chunk in chunks:
            if self._is_compressed:
                self._size += len(chunk)
            self._pieces.add(self._decode(chunk, False) if self._is_text else chunk)

    def _decode(self, data: bytes, is_final: bool) -> str:
        if self._carry:
            data = self._carry + data
        try:
            text, used = utf_8_decode(data, "strict", is_final)
        except UnicodeDecodeError:
            raise _not_utf8() from None
        self._carry = carry = data[used:]
        if carry[:1] == b"\xed" and carry[1:2] >= b"\xa0":  # half a surrogate, of which Python expects the third octet
            raise _not_utf8()
        return text

    def _end_frame(self, ends_message: bool) -> Fragment:
        if ends_message:
            if self._is_text and self._carry:
                self._decode(b"", True)
            self._is_open = False
        self._allow(0 if ends_message else self._wire_size if self._is_compressed else self._size)
        assert self._pieces is not None, "every piece was kept"
        data = self._pieces.take()
        self._pieces = None
        return data, ends_message


def _not_utf8() -> Violation:
    return Violation(INVALID_DATA, "text is not UTF-8")


class Inbox:
    """What has come and was not yet asked for. One may put in and one take out at once: each keeps its own counts.

    Args:
        max_messages: So many complete messages are enough.
        max_size: So many octets (or characters) are enough.
    """

    __slots__ = ("_fragments", "_is_amid", "_max_messages", "_max_size", "_put", "_put_size", "_taken", "_taken_size")

    def __init__(self, max_messages: int, max_size: int | None) -> None:
        self._fragments: deque[Fragment] = deque()
        self._max_messages = max_messages
        self._max_size = max_size
        self._put = self._put_size = 0
        self._taken = self._taken_size = 0
        self._is_amid = False

    @property
    def is_full(self) -> bool:
        """Whether whoever reads for another reason than to take something out should stop."""
        if self._put - self._taken >= self._max_messages:
            return True
        return self._max_size is not None and self._put_size - self._taken_size >= max(self._max_size, 1)

    @property
    def has_message(self) -> bool:
        """Whether a complete one is there."""
        return self._put > self._taken

    @property
    def has_fragment(self) -> bool:
        """Whether there is anything."""
        return bool(self._fragments)

    def put(self, fragment: Fragment) -> None:
        """Put a fragment in."""
        self._fragments.append(fragment)
        self._put_size += len(fragment[0])
        if fragment[1]:
            self._put += 1

    def take_fragment(self) -> Fragment | None:
        """Take the first fragment; None if there is none."""
        if not self._fragments:
            return None
        fragment = self._fragments.popleft()
        self._taken_size += len(fragment[0])
        self._taken += fragment[1]
        self._is_amid = not fragment[1]
        return fragment

    def take_first_fragment(self) -> Fragment | None:
        """Do the same with a message's first fragment: the rest of one that was left amid is skipped."""
        while self._is_amid:
            if self.take_fragment() is None:
                return None
        return self.take_fragment()

    def take_message(self) -> Any:
        """Take the first complete message; None if there is none. The rest of one that was left amid is skipped."""
        while self._put > self._taken:
            data, is_final = self._fragments.popleft()
            if not is_final:
                data = self._rest_of(data)
            self._taken_size += len(data)
            self._taken += 1
            if not self._is_amid:
                return data
            self._is_amid = False
        return None

    def _rest_of(self, first: Any) -> Any:
        """A message whose first fragment was taken, whole."""
        parts = [first]
        is_final = False
        while not is_final:
            data, is_final = self._fragments.popleft()
            parts.append(data)
        return type(first)().join(parts)
