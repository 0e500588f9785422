"""Content-codings undone in bounded steps, and what hostile bodies cannot do to them."""

from __future__ import annotations

import gzip
import itertools
import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqivo_core.codings import (
    BUILTIN_CODINGS,
    DEFAULT_CODINGS,
    STEP,
    Codings,
    DecodedBudget,
    DecoderChain,
    DeflateDecoder,
    GzipDecoder,
)
from reqivo_core.errors import BodyTooLarge, DecodedSizeExceeded, DecodeError, PluginError

RANDOM = os.urandom(100_000)
MIB = 1024 * 1024


def bare_deflate(data, level=6):
    compressor = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


ENCODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}
ALL_FORMS = [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", bare_deflate)]
PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=20), st.integers(1, 20_000)),
    st.integers(0, len(RANDOM)).map(lambda length: RANDOM[:length]),
)


def pieces_of(decoder, segments, max_length=STEP):
    """What a body gives, piece by piece, as a reader would take it; no piece larger than asked for."""
    for segment in segments:
        piece = decoder.decode(segment, max_length)
        assert len(piece) <= max_length
        yield piece
        while decoder.pending:
            piece = decoder.decode(b"", max_length)
            assert len(piece) <= max_length
            yield piece
    yield decoder.flush()


def decoded(decoder, segments, max_length=STEP):
    return b"".join(pieces_of(decoder, segments, max_length))


def cut(data, sizes):
    """The data in segments of these sizes, over and over."""
    sizes = itertools.cycle(sizes)
    while data:
        size = next(sizes)
        yield data[:size]
        data = data[size:]


# Small segments only beside a large one: else one example would take a hundred thousand steps.
SIZES = st.builds(
    lambda small, large: [*small, large],
    st.lists(st.sampled_from([1, 2, 3, 17]), max_size=4),
    st.sampled_from([1000, STEP, 10**6]),
)
NAMES = st.lists(st.sampled_from(sorted(ENCODERS)), min_size=2, max_size=5)
LENGTHS = st.sampled_from([100, 1000, STEP - 1, STEP, 10**6])


class TestDecoding:
    @given(data=PAYLOADS, form=st.sampled_from(ALL_FORMS), sizes=SIZES, max_length=LENGTHS)
    def test_gives_the_same_however_it_comes_and_is_taken(self, data, form, sizes, max_length):
        name, encode = form
        assert decoded(DEFAULT_CODINGS.decoder_for(name), cut(encode(data), sizes), max_length) == data

    @given(data=st.binary(max_size=300), form=st.sampled_from(ALL_FORMS), max_length=st.integers(1, 3))
    def test_gives_the_same_octet_by_octet(self, data, form, max_length):
        name, encode = form
        assert decoded(DEFAULT_CODINGS.decoder_for(name), cut(encode(data), [1]), max_length) == data

    @given(data=PAYLOADS, names=NAMES, sizes=SIZES, max_length=LENGTHS)
    def test_undoes_several_codings_from_the_last(self, data, names, sizes, max_length):
        body = data
        for name in names:
            body = ENCODERS[name](body)
        assert decoded(DEFAULT_CODINGS.decoder_for(", ".join(names)), cut(body, sizes), max_length) == data

    @given(members=st.lists(PAYLOADS, min_size=1, max_size=4), padding=st.integers(0, 40_000), sizes=SIZES)
    def test_of_gzip_takes_all_members_and_padding_between_them(self, members, padding, sizes):
        body = b"".join(gzip.compress(member) + b"\0" * padding for member in members)
        assert decoded(GzipDecoder(), cut(body, sizes)) == gzip.decompress(body) == b"".join(members)

    @given(data=PAYLOADS, level=st.integers(0, 9))
    def test_of_deflate_takes_both_formats_at_every_level(self, data, level):
        assert decoded(DeflateDecoder(), [zlib.compress(data, level)]) == data
        assert decoded(DeflateDecoder(), [bare_deflate(data, level)]) == data

    def test_of_flushed_streams_gives_what_has_come(self):
        compressor = zlib.compressobj(wbits=31)
        decoder = DEFAULT_CODINGS.decoder_for("gzip")
        for line in (b"one\n", b"two\n"):
            data = compressor.compress(line) + compressor.flush(zlib.Z_SYNC_FLUSH)
            assert decoder.decode(data) == line

    def test_takes_more_while_some_is_pending(self):
        decoder = DEFAULT_CODINGS.decoder_for("gzip, deflate")
        body = zlib.compress(gzip.compress(b"x" * 1000 + b"y"))
        pieces = [decoder.decode(body[:-4], 10), decoder.decode(body[-4:], 10)]
        while decoder.pending:
            pieces.append(decoder.decode(b"", 10))
        assert b"".join(pieces) == b"x" * 1000 + b"y" and decoder.flush() == b""

    @pytest.mark.parametrize("decoder", [GzipDecoder(), DeflateDecoder(), DEFAULT_CODINGS.decoder_for("gzip,deflate")])
    def test_of_nothing_gives_nothing(self, decoder):
        assert decoded(decoder, [b"", b""]) == b"" and not decoder.pending

    def test_asked_for_nothing_keeps_what_it_was_given(self):
        decoder = DEFAULT_CODINGS.decoder_for("gzip")
        assert decoder.decode(gzip.compress(b"abc"), 0) == b"" and decoder.pending
        assert decoder.decode(b"", 10) == b"abc"


class TestDamage:
    @given(data=st.binary(max_size=500), form=st.sampled_from(ALL_FORMS), sizes=SIZES, keep=st.floats(0, 1))
    def test_by_cutting_never_passes_unnoticed(self, data, form, sizes, keep):
        name, encode = form
        body = encode(data)
        short = body[: 1 + int(keep * (len(body) - 2))]
        with pytest.raises(DecodeError, match=f"{name}: the body (ended before its coding did|does not decode)"):
            decoded(DEFAULT_CODINGS.decoder_for(name), cut(short, sizes))

    @given(data=st.binary(max_size=300), at=st.floats(0, 1), bit=st.integers(0, 7), sizes=SIZES)
    def test_of_one_bit_never_changes_the_data(self, data, at, bit, sizes):
        body = bytearray(gzip.compress(data))
        body[int(at * (len(body) - 1))] ^= 1 << bit
        try:
            assert decoded(DEFAULT_CODINGS.decoder_for("gzip"), cut(bytes(body), sizes)) == data
        except DecodeError as error:
            assert str(error).startswith("gzip: ") and error.phase == "body"

    @given(data=st.binary(min_size=1, max_size=300), name=st.sampled_from(["gzip", "deflate", "gzip, deflate"]))
    def test_beyond_recognition_is_a_decode_error(self, data, name):
        try:
            result = decoded(DEFAULT_CODINGS.decoder_for(name), [data])
        except DecodeError:
            result = None
        # A bare deflate stream has no mark to know it by; what it makes may be nothing, which gzip takes for no body.
        assert result is None or name == "deflate" or (name == "gzip, deflate" and result == b"")

    @pytest.mark.parametrize(("name", "encode"), ALL_FORMS)
    @pytest.mark.parametrize("sizes", [[1], [10**6]])
    @pytest.mark.parametrize("garbage", [b"x", b"\r\n", b"\x1f", b"\x1f\x8b", b"\x1f\x8bxxxxxxxx" * 3])
    def test_after_the_end_is_not_passed_over(self, name, encode, sizes, garbage):
        with pytest.raises(DecodeError, match="surplus octets|ended before|does not decode"):
            decoded(DEFAULT_CODINGS.decoder_for(name), cut(encode(b"abc") + garbage, sizes))

    def test_of_zeros_after_deflate_is_not_padding(self):
        with pytest.raises(DecodeError, match="deflate: there are surplus octets"):
            decoded(DeflateDecoder(), [zlib.compress(b"abc") + b"\0"])

    @pytest.mark.parametrize("body", [b"\0\0", b"<html>", zlib.compress(b"abc")])
    def test_of_what_is_no_gzip_is_named(self, body):
        with pytest.raises(DecodeError, match="gzip: the body does not decode: .*header"):
            decoded(GzipDecoder(), [body])

    def test_of_the_checksum_is_found(self):
        body = gzip.compress(b"abc")
        with pytest.raises(DecodeError, match="incorrect data check"):
            decoded(GzipDecoder(), [body[:-8] + b"\0\0\0\0" + body[-4:]])
        with pytest.raises(DecodeError, match="incorrect length check"):
            decoded(GzipDecoder(), [body[:-4] + b"\0\0\0\0"])

    def test_by_marking_the_end_too_early_is_an_error(self):
        decoder = DEFAULT_CODINGS.decoder_for("gzip")
        decoder.decode(gzip.compress(b"x" * 100), 10)
        with pytest.raises(DecodeError, match="before all of it was decoded"):
            decoder.flush()


class TestBombs:
    @pytest.mark.parametrize("layers", [1, 2, 3])
    def test_come_in_steps_and_fill_no_memory(self, layers):
        body = b"\0" * 64 * MIB
        for _ in range(layers):
            body = gzip.compress(body, 6)
        decoder = DEFAULT_CODINGS.decoder_for(", ".join(["gzip"] * layers))
        total = 0
        tracemalloc.start()
        try:
            for piece in pieces_of(decoder, [body]):
                total += len(piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert total == 64 * MIB
        assert peak < MIB

    def test_given_up_inflate_no_further(self):
        decoder = DEFAULT_CODINGS.decoder_for("gzip")
        first = decoder.decode(gzip.compress(b"\0" * 16 * MIB))
        assert len(first) == STEP and decoder.pending
        assert len(decoder.decode(b"", 5)) == 5

    def test_that_swell_inside_and_give_nothing_are_stopped(self):
        inner = gzip.compress(b"") * 100_000  # 2 MB of members without content …
        decoder = DEFAULT_CODINGS.decoder_for("gzip, gzip")
        body = gzip.compress(inner)  # … in a few kilobytes
        with pytest.raises(DecodedSizeExceeded, match="made to waste time"):
            decoded(decoder, [body])

    def test_that_give_nothing_hand_back_control_between_steps(self):
        decoder = DEFAULT_CODINGS.decoder_for("gzip, gzip")
        assert decoder.decode(gzip.compress(gzip.compress(b"") * 20_000)) == b""
        assert decoder.pending

    def test_of_many_small_members_are_not_copied_over_and_over(self):
        members = 20_000
        decoder = GzipDecoder()
        body = gzip.compress(b"x") * members
        assert sum(map(len, pieces_of(decoder, [body]))) == members


class TestNegotiation:
    def test_asks_for_what_there_is(self):
        assert DEFAULT_CODINGS.accept_encoding == "gzip, deflate"
        assert Codings(BUILTIN_CODINGS, {"BR": GzipDecoder}).accept_encoding == "gzip, deflate, br"
        assert Codings().accept_encoding == "identity"

    def test_of_one_name_the_last_registration_counts(self):
        codings = Codings(BUILTIN_CODINGS, {"gzip": DeflateDecoder})
        assert codings.names == ("gzip", "deflate")
        assert decoded(codings.decoder_for("gzip"), [zlib.compress(b"abc")]) == b"abc"

    @pytest.mark.parametrize("name", ["", "a b", "br, zstd", "br\r\nX: y", "identity"])
    def test_refuses_names_that_are_none(self, name):
        with pytest.raises(PluginError, match="cannot be registered"):
            Codings({name: GzipDecoder})

    @pytest.mark.parametrize(
        "value", ["", " ", ",", "identity", "Identity, identity", "br", "gzip, br", "br, gzip", "gzip;q=1"]
    )
    def test_leaves_alone_what_it_does_not_know(self, value):
        assert DEFAULT_CODINGS.decoder_for(value) is None

    @pytest.mark.parametrize("value", ["gzip", "GZip", "x-gzip", " gzip\t", ",gzip,,", "identity, gzip"])
    def test_knows_gzip_however_it_is_written(self, value):
        assert decoded(DEFAULT_CODINGS.decoder_for(value), [gzip.compress(b"abc")]) == b"abc"

    @pytest.mark.parametrize("count", [6, 1000])
    def test_refuses_too_many_before_it_decodes(self, count):
        with pytest.raises(DecodeError, match=f"{count} content-codings, more than Limits.max_codings=5"):
            DEFAULT_CODINGS.decoder_for(", ".join(["gzip"] * count))
        assert DEFAULT_CODINGS.decoder_for("gzip, gzip", max_codings=2) is not None


class Plugin:
    """A decoder that upper-cases, and holds back its last octet until the end."""

    pending = False

    def __init__(self):
        self.held = b""

    def decode(self, data, max_length):
        data = self.held + data.upper()
        self.held = data[-1:]
        return data[:-1]

    def flush(self):
        return self.held


class TestPlugins:
    def test_hold_back_what_they_like(self):
        codings = Codings(BUILTIN_CODINGS, {"upper": Plugin})
        assert decoded(codings.decoder_for("upper"), [b"ab", b"c"]) == b"ABC"
        assert decoded(codings.decoder_for("upper, upper"), [b"ab", b"c"]) == b"ABC"
        assert decoded(codings.decoder_for("upper"), []) == b""

    def test_hand_their_rest_on_to_the_next_coding(self):
        class Late(Plugin):
            def decode(self, data, max_length):
                self.held += data
                return b""

        codings = Codings(BUILTIN_CODINGS, {"late": Late})
        data = b"x" * 3 * STEP
        assert decoded(codings.decoder_for("gzip, late"), [gzip.compress(data)]) == data

    @pytest.mark.parametrize("method", ["__init__", "decode", "flush"])
    def test_have_their_own_errors_told_as_ours(self, method):
        def fail(*args):
            raise RuntimeError("corrupt \x00 input")

        broken = type("Broken", (Plugin,), {method: fail})
        with pytest.raises(
            DecodeError, match=r"bad: the body does not decode: 'RuntimeError: corrupt \\x00 input'"
        ) as caught:
            decoded(DecoderChain([("bad", broken)]), [b"abc"])
        assert isinstance(caught.value.__cause__, RuntimeError)

    def test_that_raise_our_errors_keep_them(self):
        def fail(*args):
            raise DecodedSizeExceeded("too much")

        broken = type("Broken", (Plugin,), {"decode": fail})
        with pytest.raises(DecodedSizeExceeded, match="^too much$"):
            decoded(DecoderChain([("bad", broken)]), [b"abc"])

    def test_that_give_more_than_asked_for_are_stopped(self):
        class Flood(Plugin):
            def decode(self, data, max_length):
                return b"x" * (max_length + 1)

        with pytest.raises(DecodeError, match="flood: .*gave 65537 octets where at most 65536 were wanted"):
            decoded(DecoderChain([("flood", Flood)]), [b"abc"])

    def test_that_always_claim_to_have_more_are_stopped(self):
        class Stuck(Plugin):
            pending = True

            def decode(self, data, max_length):
                return b""

        with pytest.raises(DecodeError, match="stuck: .*says that it has more to give, and does not give it"):
            decoded(DecoderChain([("stuck", Stuck)]), [b"abc"])


class TestBudget:
    def test_without_limits_takes_anything(self):
        budget = DecodedBudget(None, None)
        budget.add(1, 10**15)
        assert (budget.raw, budget.decoded) == (1, 10**15)

    def test_stops_at_the_largest_body(self):
        budget = DecodedBudget(100)
        budget.add(60, 60)
        budget.add(40, 40)
        with pytest.raises(BodyTooLarge, match="Limits.max_body=100 octets; raise the limit or stream"):
            budget.add(1, 1)

    @pytest.mark.parametrize(("raw", "decoded"), [(1, 1000), (6, 1200), (10**6, 10**6)])
    def test_lets_pass_what_is_small_or_not_much_larger(self, raw, decoded):
        budget = DecodedBudget(None, ratio=200, ratio_floor=1000)
        budget.add(raw, decoded)
        assert budget.decoded == decoded

    def test_stops_what_is_large_and_much_larger(self):
        budget = DecodedBudget(None, ratio=200, ratio_floor=1000)
        budget.add(5, 1000)
        with pytest.raises(DecodedSizeExceeded, match="5 octets have decoded to 1001.*200 times.*max_decoded_ratio"):
            budget.add(0, 1)

    def test_lets_a_valid_gigabyte_pass_and_stops_a_bomb_of_one(self):
        honest, bomb = DecodedBudget(None), DecodedBudget(None)
        for _ in range(1024):
            honest.add(MIB // 100, MIB)
        assert honest.decoded == 1024 * MIB
        with pytest.raises(DecodedSizeExceeded):
            for _ in range(1024):
                bomb.add(MIB // 1000, MIB)
        assert bomb.decoded == 101 * MIB
