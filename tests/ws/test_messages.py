"""Messages put together from frames, within limits, and the queue of them."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from reqivo_ws.closing import Violation
from reqivo_ws.codec import FrameCodec
from reqivo_ws.deflate import Deflate, Inflater
from reqivo_ws.messages import MAX_FRAGMENTS, Assembler, Inbox, Pieces
from support.frames import BINARY, CONTINUATION, RSV1, TEXT, frame


class Receiver:
    """A codec and an assembler, fed with octets."""

    def __init__(self, max_size: int | None = None, deflate: bool = False) -> None:
        self.codec = FrameCodec(deflate)
        inflater = Inflater(Deflate().accept([])) if deflate else None
        self.assembler = Assembler(self.codec, max_size, inflater)
        self.fragments: list[Any] = []

    def feed(self, data: bytes, size: int | None = None) -> list[Any]:
        """Feed octets, ``size`` at a time; return the fragments so far."""
        for start in range(0, len(data), size or len(data) or 1):
            self.codec.feed(data[start : start + (size or len(data))])
            while (piece := self.codec.next_piece()) is not None:
                if (fragment := self.assembler.add(piece)) is not None:
                    self.fragments.append(fragment)
        return self.fragments

    def verdict(self, data: bytes, size: int | None = None) -> int:
        with pytest.raises(Violation) as caught:
            self.feed(data, size)
        return caught.value.code


def deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return (engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


def fragments_of(payloads: list[bytes], opcode: int = TEXT) -> bytes:
    last = len(payloads) - 1
    return b"".join(frame(CONTINUATION if n else opcode, part, fin=n == last) for n, part in enumerate(payloads))


@pytest.mark.parametrize("size", [None, 1, 2, 3])
def test_messages_whole_and_fragmented_in_any_segmentation(size: int | None) -> None:
    data = frame(TEXT, "grüße".encode()) + fragments_of([b"ab", b"", b"c"], BINARY) + frame(TEXT, b"") + frame(BINARY)
    expected = [("grüße", True), (b"ab", False), (b"", False), (b"c", True), ("", True), (b"", True)]
    assert Receiver(100).feed(data, size) == expected


def test_w09_fragments_out_of_order_are_violations() -> None:
    assert Receiver().verdict(frame(CONTINUATION, b"x")) == 1002
    assert Receiver().verdict(frame(TEXT, b"x", fin=False) + frame(TEXT, b"y")) == 1002


@pytest.mark.parametrize("size", [None, 1])
def test_w10_a_character_may_be_split_between_fragments(size: int | None) -> None:
    message = "κόσμε \U0001f600 ende"
    octets = message.encode()
    got = Receiver().feed(fragments_of([octets[n : n + 1] for n in range(len(octets))]), size)
    assert "".join(text for text, _ in got) == message
    assert [final for _, final in got] == [False] * (len(octets) - 1) + [True]


@pytest.mark.parametrize(
    "octets",
    [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xfe", b"\xe2\x82"],
    ids=["surrogate", "overlong", "beyond", "F5", "tail", "FE", "half"],
)
def test_w10_what_is_not_utf8_is_invalid_data(octets: bytes) -> None:
    assert Receiver().verdict(frame(TEXT, b"ok" + octets)) == 1007
    assert Receiver().verdict(fragments_of([b"ok", octets, b"ok"])) == 1007


@pytest.mark.parametrize("octets", [b"\xed\xa0", b"\xf4\x90", b"\xc0", b"\xff"])
def test_w10_it_is_found_before_the_frame_ends(octets: bytes) -> None:
    data = frame(TEXT, b"fine" + octets + b"x" * 1000)
    assert Receiver().verdict(data[: 4 + 4 + len(octets)]) == 1007
    assert Receiver().verdict(data[: 4 + 4 + len(octets)], 1) == 1007


@pytest.mark.parametrize("deflate", [False, True])
def test_w11_the_largest_message_passes_and_one_octet_more_does_not(deflate: bool) -> None:
    def framed(length: int) -> bytes:
        payload = random.Random(7).randbytes(length)
        return frame(BINARY, deflated(payload), rsv=RSV1) if deflate else frame(BINARY, payload)

    assert len(Receiver(5000, deflate).feed(framed(5000))[0][0]) == 5000
    assert Receiver(5000, deflate).verdict(framed(5001)) == 1009


def test_w11_the_limit_is_for_the_sum_of_fragments() -> None:
    assert len(Receiver(100).feed(fragments_of([b"x" * 50, b"y" * 50]))) == 2
    receiver = Receiver(100)
    assert receiver.verdict(fragments_of([b"x" * 50, b"y" * 51])[: 2 + 50 + 2]) == 1009  # by the header alone
    assert len(Receiver(100).feed(fragments_of([b"x" * 99, b"y"]) * 3)) == 6
    assert Receiver(10).verdict(frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"x" * 11)) == 1009


def test_w11_a_stale_limit_of_the_codec_is_not_the_only_guard() -> None:
    receiver = Receiver(100, deflate=True)  # compressed frames may be a little longer, so the codec lets this pass
    assert receiver.verdict(frame(BINARY, b"x" * 101)) == 1009
    assert Receiver(100, deflate=True).verdict(frame(BINARY, b"x" * 101), 50) == 1009


@pytest.mark.parametrize("is_split", [False, True])
def test_j1_a_bomb_takes_no_more_memory_than_the_limit(is_split: bool) -> None:
    bomb = deflated(bytes(50_000_000))
    half = len(bomb) // 2
    parts = [bomb[:half], bomb[half:]] if is_split else [bomb]
    data = frame(BINARY, parts[0], fin=not is_split, rsv=RSV1)
    if is_split:
        data += frame(CONTINUATION, parts[1])
    receiver = Receiver(4_000_000, deflate=True)
    tracemalloc.start()
    try:
        assert receiver.verdict(data) == 1009
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000 + 2**20


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_w12_endless_tiny_fragments_are_bounded(payload: bytes) -> None:
    data = frame(TEXT, b"", fin=False) + frame(CONTINUATION, payload, fin=False) * 10_000
    receiver = Receiver(16 * 2**20)
    assert receiver.verdict(data) == 1009
    assert MAX_FRAGMENTS <= len(receiver.fragments) < 5000


def test_many_honest_fragments_pass() -> None:
    got = Receiver(2**20).feed(fragments_of([b"x" * 64] * 16384))
    assert len(got) == 16384


def test_j4_octets_that_come_singly_take_hardly_more_memory() -> None:
    data = frame(BINARY, bytes(100_000))
    receiver = Receiver(2**20)
    receiver.feed(data[:10], 1)
    tracemalloc.start()
    try:
        for octet in range(10, len(data)):
            receiver.feed(data[octet : octet + 1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert receiver.fragments == [(bytes(100_000), True)]
    assert peak < 1_000_000


def test_compressed_text_is_decoded_and_plain_messages_may_come_between() -> None:
    message = "schön " * 1000
    data = frame(TEXT, deflated(message.encode()), rsv=RSV1) + frame(TEXT, b"plain")
    assert Receiver(10_000, deflate=True).feed(data, 7) == [(message, True), ("plain", True)]


@pytest.mark.parametrize("joiner", ["", b""])
def test_pieces_large_and_small_come_out_in_order(joiner: Any) -> None:
    make: Callable[[int], Any] = (lambda n: chr(65 + n % 26)) if joiner == "" else (lambda n: bytes([n % 256]))
    pieces = Pieces(joiner)
    expected = []
    for number in range(3000):
        item = make(number) * (2000 if number % 700 == 5 else 1)
        pieces.add(item)
        expected.append(item)
    assert pieces.take() == joiner.join(expected)
    assert pieces.take() == joiner


class TestInbox:
    def test_messages_are_joined_and_counted(self) -> None:
        inbox = Inbox(2, None)
        assert inbox.take_message() is None and inbox.take_fragment() is None
        inbox.put(("a", False))
        assert inbox.has_fragment and not inbox.has_message
        assert inbox.take_message() is None
        inbox.put(("b", True))
        inbox.put((b"c", True))
        assert inbox.is_full
        assert [inbox.take_message(), inbox.take_message(), inbox.take_message()] == ["ab", b"c", None]
        assert not inbox.is_full and not inbox.has_fragment

    def test_it_is_full_by_size_too(self) -> None:
        inbox = Inbox(10, 100)
        inbox.put((b"x" * 100, True))
        assert inbox.is_full
        assert inbox.take_fragment() == (b"x" * 100, True)
        assert not inbox.is_full

    def test_the_rest_of_a_message_left_amid_is_skipped(self) -> None:
        inbox = Inbox(10, None)
        for fragment in [("a", False), ("b", False), ("c", True), ("next", True)]:
            inbox.put(fragment)
        assert inbox.take_fragment() == ("a", False)
        assert inbox.take_message() == "next"
        assert inbox.take_message() is None
