"""The two engines of header compression: the same octets, the same result or the same refusal."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from reqivo_core.errors import PluginError
from reqivo_http2.codec import TABLE_SIZE, Codec, CompressionFault, load_codec

pytest.importorskip("jh2")
NAMES = ("h2", "jh2")
LIMIT = 64 * 1024


@pytest.fixture(params=NAMES)
def codec(request: pytest.FixtureRequest) -> Codec:
    return load_codec(request.param)(LIMIT)


def test_the_fast_one_is_chosen_where_it_is_installed() -> None:
    assert load_codec()(LIMIT).name == "jh2"
    assert load_codec("h2")(LIMIT).name == "h2"


def test_the_environment_may_force_one() -> None:
    program = "from reqivo_http2.transport import CODEC; print(CODEC(1).name)"
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"REQIVO_HTTP2_CODEC": "h2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "h2"


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(PluginError, match="h2, jh2"):
        load_codec("zttp")


def test_one_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "reqivo_http2.jh2_codec", raising=False)
    monkeypatch.setitem(sys.modules, "jh2._hazmat", None)
    with pytest.raises(PluginError, match=r"reqivo-http2\[speed\]"):
        load_codec("jh2")


def test_what_is_encoded_can_be_decoded(codec: Codec) -> None:
    decoder = Decoder()
    decoder.max_allowed_table_size = TABLE_SIZE
    for number in range(50):
        fields = [(b":method", b"GET", False), (b"x-n", b"%d" % number, False), (b"authorization", b"secret", True)]
        block = codec.encode(fields)
        assert [tuple(field) for field in decoder.decode(block, raw=True)] == [field[:2] for field in fields]
    assert not any(name == b"authorization" for name, _ in decoder.header_table.dynamic_entries)


def test_a_smaller_table_is_announced(codec: Codec) -> None:
    decoder = Decoder()
    codec.limit_encoder(0)
    decoder.decode(codec.encode([(b"x-long", b"value", False)]), raw=True)
    assert decoder.header_table_size == 0


_token = st.binary(max_size=60)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), _token), max_size=20), st.booleans())
def test_both_decode_what_an_encoder_made(fields: list[tuple[bytes, bytes]], huffman: bool) -> None:
    encoder = Encoder()
    codecs = [load_codec(name)(LIMIT) for name in NAMES]
    for _ in range(2):
        block = encoder.encode(fields, huffman=huffman)
        results = [[tuple(field) for field in codec.decode(block)] for codec in codecs]
        assert results[0] == results[1] == fields


def _outcome(name: str, block: bytes) -> object:
    try:
        return [tuple(field) for field in load_codec(name)(LIMIT).decode(block)]
    except CompressionFault as fault:
        return "excess" if fault.is_excess else "broken"


BAD = {
    "index-0": b"\x80",
    "index-200": b"\xff\x49",
    "no-such-name": b"\x7f\x80\x01\x01x",
    "table-too-large": b"\x3f\xe2\x1f",
    "update-behind-a-field": b"\x82\x20",
    "cut-in-an-integer": b"\xff\x80",
    "cut-in-a-name": b"\x40\x05abc",
    "cut-in-a-value": b"\x40\x01a\x05abc",
    "cut-behind-a-name": b"\x40\x01a",
    "cut-in-a-long-string": b"\x40\x01a\x7f\x80\x01abc",
    "endless-integer": b"\xff" + b"\x80" * 20 + b"\x01",
    "eos": b"\x40\x01a\x84\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", BAD)
def test_both_refuse_what_is_broken(name: str) -> None:
    assert [_outcome(codec, BAD[name]) for codec in NAMES] == ["broken", "broken"]


@pytest.mark.parametrize(
    "block",
    [
        b"\x82" * 3000,
        Encoder().encode([(b"x", b"y" * 4000)] * 2000, huffman=False),
        Encoder().encode([(b"x", b"y" * 100_000)], huffman=False),
        b"\x00\x01a\x00" * 100_000,
    ],
    ids=["many", "bomb", "large", "enormous"],
)
def test_both_refuse_what_is_too_large(block: bytes) -> None:
    assert [_outcome(codec, block) for codec in NAMES] == ["excess", "excess"]


def test_both_say_the_same_of_any_octets() -> None:
    """Where one finds a fault, so does the other; with wrong Huffman padding the native one is known to be lenient."""
    dice = random.Random(20)
    differing = 0
    for _ in range(3000):
        block = bytes(dice.choice((dice.randrange(256), 0x82, 0x40, 0x01, 0x20)) for _ in range(dice.randrange(1, 12)))
        pure, native = (_outcome(name, block) for name in NAMES)
        if pure != native:
            assert pure == "broken", block.hex()
            differing += 1
    assert differing < 60


def test_blocks_that_are_known_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    jh2_codec = pytest.importorskip("reqivo_http2.jh2_codec")
    known: dict[bytes, int] = {}
    monkeypatch.setattr(jh2_codec, "_counts", known)
    monkeypatch.setattr(jh2_codec, "_COUNTS_SIZE", 2)
    codec = jh2_codec.Jh2Codec(1000)
    for block in (b"\x88", b"\x82\x86", b"\x88", b"\x84"):
        codec.decode(block)
    assert known == {b"\x84": 1}
