"""Content-codings: ours by themselves and in chains, all of them in sessions, and request bodies sent encoded (E)."""

from __future__ import annotations

import gzip
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqivo import DecodedSizeExceeded, DecodeError, InvalidRequest, Limits, Request, Session
from reqivo import codings as our_codings
from reqivo.codings import BrotliDecoder, ZstdDecoder, compress_flow, installed_codings
from reqivo_core.codings import BUILTIN_CODINGS, STEP, Codings
from reqivo_core.content import to_content
from support.asgi_app import pattern
from support.flows import play, reply
from support.messages import response
from support.scripted import Peer, answers
from support.world import World

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstd.compress,
}
OURS = {"br": BrotliDecoder, "zstd": ZstdDecoder}
codings = pytest.mark.parametrize("coding", ENCODE)
ours = pytest.mark.parametrize("coding", OURS)
TEXT = b"".join(b"line %d of a text that repeats itself\n" % number for number in range(5000))


def decoded(coding: str, data: bytes, *, cut: int = 1 << 30, step: int = STEP) -> bytes:
    """Undo a coding (or several) as a session does."""
    decoder = Codings(BUILTIN_CODINGS, installed_codings()).decoder_for(coding)
    assert decoder is not None
    pieces = []
    for start in range(0, len(data), cut):
        pieces.append(decoder.decode(data[start : start + cut], step))
        while decoder.pending:
            pieces.append(decoder.decode(b"", step))
            assert len(pieces[-1]) <= step
    return b"".join(pieces) + decoder.flush()


# -- the decoders


@ours
@pytest.mark.parametrize("cut", [1, 7, 1000, 1 << 30])
@pytest.mark.parametrize("step", [1000, STEP])
def test_whatever_the_cuts_the_result_is_the_same(coding: str, cut: int, step: int) -> None:
    assert decoded(coding, ENCODE[coding](TEXT), cut=cut, step=step) == TEXT


@ours
@given(data=st.binary(max_size=5000), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_any_octets_survive(coding: str, data: bytes, seed: int) -> None:
    dice = random.Random(seed)
    assert decoded(coding, ENCODE[coding](data), cut=dice.randint(1, 500), step=dice.randint(1, 500)) == data


@ours
def test_a_step_gives_no_more_than_was_asked_for(coding: str) -> None:
    decoder = OURS[coding]()
    bomb = ENCODE[coding](bytes(10_000_000))
    sizes = [len(decoder.decode(bomb, 10))]
    while decoder.pending:
        sizes.append(len(decoder.decode(b"", 100_000)))
    assert (sizes[0], max(sizes), sum(sizes)) == (10, 100_000, 10_000_000)
    assert decoder.flush() == b""


@ours
@pytest.mark.parametrize("end", [1, 2, -1])
def test_a_body_cut_short_is_an_error(coding: str, end: int) -> None:
    with pytest.raises(DecodeError, match=f"{coding}: .*cut short"):
        decoded(coding, ENCODE[coding](TEXT)[:end])


@ours
def test_garbage_is_an_error(coding: str) -> None:
    for data in (b"\xff" * 100, ENCODE[coding](TEXT) + b"garbage"):
        with pytest.raises(DecodeError, match=coding):
            decoded(coding, data)


@ours
def test_an_empty_body_is_empty(coding: str) -> None:
    assert decoded(coding, b"") == decoded(coding, ENCODE[coding](b"")) == b""


def test_zstd_may_have_several_frames() -> None:
    skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    data = zstd.compress(b"one ") + skippable + zstd.compress(b"two")
    for cut in (1, 5, 1000):
        assert decoded("zstd", data, cut=cut) == b"one two"


def test_zstd_may_not_ask_for_more_memory_than_the_standard_grants() -> None:
    options = {zstd.CompressionParameter.window_log: 24}
    encoder = zstd.ZstdCompressor(options=options)
    data = encoder.compress(b"x" * 1000) + encoder.flush()
    with pytest.raises(DecodeError, match="memory"):
        decoded("zstd", data)


def test_codings_can_be_chained() -> None:
    data = ENCODE["zstd"](ENCODE["br"](ENCODE["gzip"](TEXT)))
    assert decoded("gzip, br, zstd", data, cut=100) == TEXT


def test_what_is_not_installed_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(installed_codings()) == ["br", "zstd"]
    monkeypatch.setattr(our_codings, "find_spec", lambda name: None if name == "brotli" else object())
    assert list(installed_codings()) == ["zstd"]
    monkeypatch.undo()
    monkeypatch.setattr(our_codings, "_ZSTD", "no_such_package.zstd")
    assert list(installed_codings()) == ["br"]


# -- sessions


def encoded_response(coding: str, body: bytes) -> bytes:
    return response(200, body, [("Content-Encoding", coding)])


@codings
def test_every_coding_is_asked_for_and_undone(world: World, serve: Any, coding: str) -> None:
    server = serve(answers(encoded_response(coding, ENCODE[coding](TEXT))))
    with world.client() as client:
        assert client.read(client.get(server.url("/"))) == TEXT
    asked = server.requests[0].header("accept-encoding").split(", ")
    assert [name for name in asked if not name.startswith("x-")] == ["gzip", "deflate", "br", "zstd"]


@codings
def test_a_bomb_read_whole_stops_at_the_limit(world: World, serve: Any, coding: str) -> None:
    bomb = ENCODE[coding](bytes(20_000_000))
    server = serve(answers(encoded_response(coding, bomb)))
    limits = Limits(decoded_ratio_floor=1_000_000, max_decoded_ratio=10)
    with world.client(limits=limits) as client:
        client.session.headers["X"] = "y"  # modules and caches are loaded before memory is measured
        tracemalloc.start()
        try:
            with pytest.raises(DecodedSizeExceeded):
                client.read(client.get(server.url("/")))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert client.session.pool.active == 0
    assert peak < 1_000_000 * 2 + 1024 * 1024 + len(bomb)


@codings
def test_a_large_body_can_be_streamed_in_bounded_steps(world: World, serve: Any, coding: str) -> None:
    size = 10_000_000
    server = serve(answers(encoded_response(coding, ENCODE[coding](bytes(size)))))
    limits = Limits(decoded_ratio_floor=1_000_000, max_decoded_ratio=10)
    with world.client(limits=limits) as client, client.stream("GET", server.url("/")) as answer:
        sizes = [len(piece) for piece in client.pieces(answer, "bytes")]
    assert (sum(sizes), max(sizes) <= STEP) == (size, True)


def test_more_codings_than_five_are_refused(world: World, serve: Any) -> None:
    lines = [("Content-Encoding", "gzip")] * 6
    server = serve(
        [answers(response(200, b"x", lines)), answers(response(200, b"x", [("Content-Encoding", "gzip," * 1000)]))]
    )
    with world.client() as client:
        for _ in range(2):
            with pytest.raises(DecodeError, match="max_codings"):
                client.get(server.url("/"))
        assert client.session.pool.active == 0


@codings
def test_a_broken_body_is_never_passed_off_as_whole(world: World, serve: Any, coding: str) -> None:
    broken = [ENCODE[coding](TEXT)[:-3], b"\xff" * 50, ENCODE[coding](TEXT) + b"rest"]
    server = serve([answers(encoded_response(coding, body)) for body in broken])
    with world.client() as client:
        for _ in broken:
            with pytest.raises(DecodeError) as caught:
                client.read(client.get(server.url("/")))
            assert caught.value.request is not None
        assert client.session.pool.active == 0


@codings
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_body_needs_no_decoding(world: World, serve: Any, coding: str, method: str) -> None:
    length = "0" if method == "GET" else "1000"
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n".encode()
    server = serve(answers(head))
    with world.client() as client:
        assert client.read(client.request(method, server.url("/"))) == b""


@codings
def test_the_raw_body_can_be_had(world: World, serve: Any, coding: str) -> None:
    body = ENCODE[coding](TEXT)
    server = serve(answers(encoded_response(coding, body), encoded_response(coding, body)))
    with world.client() as client:
        with client.stream("GET", server.url("/")) as answer:
            assert b"".join(client.pieces(answer, "raw")) == body
        whole = client.get(server.url("/"))
        assert world.run(getattr(whole, world.method("read"))(decode_content=False)) == body


@codings
def test_what_is_left_of_a_closed_response_is_not_decoded(
    world: World, serve: Any, coding: str, monkeypatch: Any
) -> None:
    def script(peer: Peer) -> Iterator[bytes]:
        peer.expect_request()
        yield encoded_response(coding, ENCODE[coding](random.Random(1).randbytes(200_000)))
        peer.expect_close()

    server = serve(script)
    with world.client() as client, client.stream("GET", server.url("/")) as answer:
        assert len(world.run(getattr(answer, world.method("read"))(10))) == 10
        decoder = answer.body_reader._decoder
        taken = [stage._taken for stage in decoder._stages]
        client.close(answer)
        assert [stage._taken for stage in decoder._stages] == taken


@codings
@given(sizes=st.lists(st.integers(1, 100_000), max_size=5), rest=st.sampled_from(["read", "bytes", "content"]))
@settings(max_examples=5, deadline=None)
def test_any_mix_of_readers_gives_the_same_octets(coding: str, sizes: list[int], rest: str) -> None:
    from support.scripted import ScriptedServer

    text = pattern(300_000)
    with (
        ScriptedServer(answers(encoded_response(coding, ENCODE[coding](text)))) as server,
        Session() as session,
        session.stream("GET", server.url("/")) as answer,
    ):
        pieces = [answer.read(size) for size in sizes]
        assert [len(piece) for piece in pieces][:1] == [min(size, len(text)) for size in sizes][:1]
        pieces += [answer.read()] if rest == "read" else list(getattr(answer, f"iter_{rest}")())
    assert b"".join(pieces) == text


# -- requests


@codings
@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_is_sent_encoded(world: World, serve: Any, coding: str, streamed: bool) -> None:
    server = serve(answers(response()))
    body: Any = iter([TEXT[:1000], TEXT[1000:]]) if streamed else TEXT
    with world.client() as client:
        client.post(server.url("/"), body=body, compress=coding)
    seen = server.requests[0]
    assert decoded(coding, seen.body) == TEXT
    assert seen.all("content-encoding") == [coding]
    assert len(seen.all("content-length")) == (0 if streamed else 1)


def test_an_async_body_is_sent_encoded(serve: Any) -> None:
    from support import world as worlds

    async def body() -> Any:
        yield TEXT[:1000]
        yield TEXT[1000:]

    server = serve(answers(response()))
    with worlds.make("async") as world, world.client(compress="gzip") as client:
        client.post(server.url("/"), body=body())
    assert gzip.decompress(server.requests[0].body) == TEXT


def test_a_session_encodes_what_has_a_body(world: World, serve: Any) -> None:
    server = serve(answers(*[response()] * 4))
    with world.client(compress="gzip") as client:
        client.post(server.url("/"), json={"a": 1})
        client.get(server.url("/"))
        client.post(server.url("/"), body=b"x", compress=None)
        client.post(server.url("/"), body=b"ready", headers={"Content-Encoding": "mine", "Content-Length": "5"})
    assert [seen.header("content-encoding") for seen in server.requests] == ["gzip", "", "", "mine"]
    assert gzip.decompress(server.requests[0].body) == b'{"a":1}'
    assert server.requests[0].header("content-type") == "application/json"


def test_an_encoded_body_is_sent_again_if_the_plain_one_can_be(world: World, serve: Any, tmp_path: Any) -> None:
    path = tmp_path / "body"
    path.write_bytes(TEXT)
    server = serve(answers(response(307, headers=[("Location", "/there")]), response()))
    with world.client(compress="zstd") as client, path.open("rb") as file:
        client.post(server.url("/"), body=file)
    assert [decoded("zstd", seen.body) for seen in server.requests] == [TEXT, TEXT]


@pytest.mark.parametrize("coding", ["lzma", "GZIP", 5, ["gzip"]])
def test_a_coding_that_we_cannot_apply_is_refused(coding: Any) -> None:
    with pytest.raises(InvalidRequest, match="compress=.*gzip, deflate, br, zstd"):
        compress_flow(coding)


def test_the_length_that_was_given_for_the_plain_body_is_not_sent() -> None:
    flow = compress_flow("gzip")
    assert flow is not None
    request = Request("POST", "http://a/", headers={"Content-Length": "3"}, content=to_content(b"abc"))
    sent = play(flow, request, reply()).sent[0]
    assert "content-length" not in sent.headers and "content-length" in request.headers
