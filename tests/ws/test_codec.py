"""The frame codec: two engines that must agree on everything."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from reqivo_ws import codec as codec_module
from reqivo_ws.closing import Violation
from reqivo_ws.codec import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Codec, FrameCodec, load_codec
from reqivo_ws.wsproto_codec import WsprotoCodec
from support.frames import FIN, RSV1, RSV2, RSV3, frame

ENGINES = [FrameCodec, WsprotoCodec]


@pytest.fixture(params=ENGINES, ids=["fast", "wsproto"])
def engine(request: pytest.FixtureRequest) -> Any:
    return request.param


def received(codec: Codec, data: bytes, cuts: list[int]) -> list[Any]:
    """Frames as lists of opcode, payload, FIN, RSV1 and completeness; a violation's code ends them."""
    frames: list[Any] = []
    try:
        for start, end in pairwise([0, *cuts, len(data)]):
            codec.feed(data[start:end])
            while (piece := codec.next_piece()) is not None:
                if piece.starts:
                    frames.append([piece.opcode, b"", piece.is_final, piece.is_compressed, False])
                frames[-1][1] += piece.data
                frames[-1][4] = piece.ends
    except Violation as violation:
        frames.append(violation.code)
    return frames


def random_frames(dice: random.Random) -> bytes:
    data = b""
    for _ in range(dice.randint(1, 6)):
        opcode = dice.choice([TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG, *([3, 11] if dice.random() < 0.1 else [])])
        is_control = opcode >= CLOSE
        length = dice.randint(0, 125) if is_control else dice.choice([0, 1, 7, 125, 126, 300, 65535, 65536, 70000])
        fin = dice.random() < (0.97 if is_control else 0.6)
        rsv = dice.choice([0] * 12 + [RSV1, RSV1, RSV2, RSV3])
        data += frame(opcode, dice.randbytes(min(length, 500)).ljust(length, b"."), fin, rsv, dice.random() < 0.02)
    return data


@pytest.mark.parametrize("seed", range(40))
def test_w01_both_engines_see_the_same_in_any_segmentation(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(25):
        data = random_frames(dice)
        cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randint(0, 12)))
        has_deflate = dice.random() < 0.5
        ours = received(FrameCodec(has_deflate), data, cuts)
        assert ours == received(WsprotoCodec(has_deflate), data, cuts)
        assert ours == received(FrameCodec(has_deflate), data, [])


@pytest.mark.parametrize("length", [0, 5, 125, 126, 65535, 65536])
def test_w01_a_frame_cut_at_every_octet(engine: Any, length: int) -> None:
    data = frame(BINARY, b"a" * length) + frame(PING, b"p")
    ends = [*range(min(len(data), 20)), *range(len(data) - 20, len(data))]
    whole = [[BINARY, b"a" * length, True, False, True], [PING, b"p", True, False, True]]
    for cut in ends:
        assert received(engine(), data, [max(cut, 0)]) == whole
    if length < 200:
        assert received(engine(), data, list(range(1, len(data)))) == whole


def test_w01_a_hundred_frames_in_one_segment(engine: Any) -> None:
    data = b"".join(frame(TEXT, b"%d" % n) for n in range(100))
    assert [got[1] for got in received(engine(), data, [])] == [b"%d" % n for n in range(100)]


def header(first: int, second: int, rest: bytes = b"") -> bytes:
    return bytes([first, second]) + rest


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(TEXT, b"x", masked=True), id="masked"),
        pytest.param(frame(TEXT, b"x", rsv=RSV1), id="RSV1 without deflate"),
        pytest.param(frame(TEXT, b"x", rsv=RSV2), id="RSV2"),
        pytest.param(frame(TEXT, b"x", rsv=RSV3), id="RSV3"),
        *[pytest.param(frame(opcode, b""), id=f"opcode {opcode}") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        pytest.param(header(FIN | TEXT, 126, b"\x00\x7d" + b"x" * 125), id="16 bits for 125"),
        pytest.param(header(FIN | TEXT, 127, (65535).to_bytes(8, "big")), id="64 bits for 65535"),
        pytest.param(header(FIN | TEXT, 127, (1 << 63).to_bytes(8, "big")), id="2^63"),
        pytest.param(header(FIN | PING, 126, b"\x00\x7e" + b"x" * 126), id="long ping"),
        pytest.param(frame(PING, b"", fin=False), id="fragmented ping"),
        pytest.param(frame(CLOSE, b"", fin=False), id="fragmented close"),
    ],
)
def test_w07_w08_violations_are_found_in_the_header(engine: Any, data: bytes) -> None:
    assert received(engine(), data, []) == [1002]


@pytest.mark.parametrize("opcode", [CONTINUATION, PING, CLOSE])
def test_w07_rsv1_belongs_to_the_first_frame_of_a_message(engine: Any, opcode: int) -> None:
    assert received(engine(True), frame(opcode, b"", rsv=RSV1), []) == [1002]
    assert received(engine(True), frame(BINARY, b"x", rsv=RSV1), []) == [[BINARY, b"x", True, True, True]]


def test_our_engine_judges_what_it_has_seen_of_a_header() -> None:
    assert received(FrameCodec(), header(FIN | RSV2 | TEXT, 126), []) == [1002]
    assert received(FrameCodec(), header(FIN | PING, 127), []) == [1002]


@pytest.mark.parametrize("length", [101, 1 << 32, (1 << 62) + 5])
def test_j4_a_length_beyond_the_limit_is_refused_at_the_header(engine: Any, length: int) -> None:
    codec = engine()
    codec.max_payload = 100
    small = header(FIN | BINARY, length) if length < 126 else header(FIN | BINARY, 127, length.to_bytes(8, "big"))
    assert received(codec, small, []) == [1009]


def test_what_is_left_of_a_frame_is_known(engine: Any) -> None:
    codec = engine()
    codec.feed(frame(BINARY, b"x" * 1000)[:104])
    piece = codec.next_piece()
    assert piece is not None and len(piece.data) == 100 and codec.left == 900
    assert codec.next_piece() is None


@pytest.mark.parametrize("length", [0, 1, 125, 126, 1023, 1024, 65535, 65536, 200_000])
def test_what_is_encoded_is_what_the_peer_reads(engine: Any, length: int) -> None:
    payload = random.Random(length).randbytes(length)
    data = b"".join(engine().encode(BINARY, payload))
    assert data[1] & 0x80
    assert peer_reads(data) == PeerFrame(Opcode.BINARY, payload)


def test_fragments_and_control_frames_are_encoded_by_both_engines(engine: Any) -> None:
    codec = engine(True)
    sent = [
        codec.encode(TEXT, b"a", False),
        codec.encode(PING, b"p"),
        codec.encode(CONTINUATION, b"b", True),
        codec.encode(PONG, b"q"),
        codec.encode(CLOSE, b"\x03\xe8"),
    ]
    assert [peer_reads(b"".join(parts)) for parts in sent] == [
        PeerFrame(Opcode.TEXT, b"a", fin=False),
        PeerFrame(Opcode.PING, b"p"),
        PeerFrame(Opcode.CONT, b"b"),
        PeerFrame(Opcode.PONG, b"q"),
        PeerFrame(Opcode.CLOSE, b"\x03\xe8"),
    ]


def test_rsv1_is_set_on_demand(engine: Any) -> None:
    codec = engine(True)
    assert codec.encode(TEXT, b"a", True, True)[0][0] == FIN | RSV1 | TEXT
    assert codec.encode(TEXT, b"a")[0][0] == FIN | TEXT


def test_small_frames_leave_in_one_piece(engine: Any) -> None:
    assert len(engine().encode(BINARY, b"x" * 64 * 1024)) == 1


def peer_reads(data: bytes) -> PeerFrame:
    """What the server side of ``websockets`` makes of a frame."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parser = PeerFrame.parse(reader.read_exact, mask=True)
    try:
        while True:
            next(parser)
    except StopIteration as stop:
        result: PeerFrame = stop.value
        return result


def test_engines_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_codec("wsproto") is WsprotoCodec
    monkeypatch.setenv(codec_module.VARIABLE, "wsproto")
    assert load_codec() is WsprotoCodec
    monkeypatch.delenv(codec_module.VARIABLE)
    assert load_codec() is FrameCodec
    with pytest.raises(ValueError, match="give 'fast' or 'wsproto'"):
        load_codec("slow")


def test_the_longest_frame_to_be_taken_is_as_it_was_set(engine: Any) -> None:
    codec = engine()
    assert codec.max_payload is None
    codec.max_payload = 5
    assert codec.max_payload == 5
    codec.feed(frame(TEXT, b"123456"))
    with pytest.raises(Violation):
        codec.next_piece()
