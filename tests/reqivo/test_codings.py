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

from reqivo import DecodedSizeExceeded, DecodeError, InvalidRequest, Limits, Request
from reqivo import codings as our_codings
from reqivo.codings import BrotliDecoder, ZstdDecoder, compress_flow, installed_codings
from reqivo_core.codings import BUILTIN_CODINGS, STEP, Codings
from reqivo_core.content import to_content
from reqivo_core.runtime.driving import run_blocking
from support import world as worlds
from support.asgi_app import Exchange, pattern
from support.certs import Authority
from support.flows import play, reply
from support.messages import response
from support.scenarios import Stage
from support.scripted import Peer, ScriptedServer, answers
from support.servers import AsgiServer
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


# -- sessions (E), in all modes


def encoded_response(coding: str, body: bytes) -> bytes:
    return response(200, body, [("Content-Encoding", coding)])


@codings
def test_every_coding_is_asked_for_and_undone(stage: Stage, coding: str) -> None:
    server = stage.server(answers(encoded_response(coding, ENCODE[coding](TEXT))))
    with stage.client() as client:
        assert client.read(client.get(server.url("/"))) == TEXT
    asked = server.requests[0].header("accept-encoding").split(", ")
    assert [name for name in asked if not name.startswith("x-")] == ["gzip", "deflate", "br", "zstd"]


@codings
def test_a_bomb_read_whole_stops_at_the_limit(stage: Stage, coding: str) -> None:  # E1
    bomb = ENCODE[coding](bytes(20_000_000))
    server = stage.server(
        [answers(encoded_response(coding, ENCODE[coding](TEXT))), answers(encoded_response(coding, bomb))]
    )
    limits = Limits(decoded_ratio_floor=1_000_000, max_decoded_ratio=10)
    peaks = []
    with stage.client(limits=limits) as client:
        # Modules and caches are loaded before memory is measured.
        assert client.read(client.get(server.url("/"))) == TEXT
        for _ in range(20):  # servers of other tests, in this process too, may still be sending to who has left
            tracemalloc.start()
            try:
                with pytest.raises(DecodedSizeExceeded):
                    client.read(client.get(server.url("/")))
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
            assert client.session.pool.active == 0
            if peaks[-1] < 1_000_000 + 1024 * 1024:
                break
    assert min(peaks) < 1_000_000 + 1024 * 1024, f"{peaks} octets; the bomb has {len(bomb)}"


@codings
def test_a_large_body_can_be_streamed_in_bounded_steps(stage: Stage, coding: str) -> None:  # E1
    size = 10_000_000
    server = stage.server(answers(encoded_response(coding, ENCODE[coding](bytes(size)))))
    limits = Limits(decoded_ratio_floor=1_000_000, max_decoded_ratio=10)
    with stage.client(limits=limits) as client, client.stream("GET", server.url("/")) as answer:
        sizes = [len(piece) for piece in client.pieces(answer, "bytes")]
    assert (sum(sizes), max(sizes) <= STEP) == (size, True)


def test_more_codings_than_five_are_refused(stage: Stage) -> None:  # E2
    lines = [("Content-Encoding", "gzip")] * 6
    server = stage.server(
        [answers(response(200, b"x", lines)), answers(response(200, b"x", [("Content-Encoding", "gzip," * 1000)]))]
    )
    with stage.client() as client:
        for _ in range(2):
            with pytest.raises(DecodeError, match="max_codings"):
                client.get(server.url("/"))
        assert client.session.pool.active == 0


@codings
def test_a_broken_body_is_never_passed_off_as_whole(stage: Stage, coding: str) -> None:  # E3
    broken = [ENCODE[coding](TEXT)[:-3], b"\xff" * 50, ENCODE[coding](TEXT) + b"rest"]
    server = stage.server([answers(encoded_response(coding, body)) for body in broken])
    with stage.client() as client:
        for _ in broken:
            with pytest.raises(DecodeError) as caught:
                client.read(client.get(server.url("/")))
            assert caught.value.request is not None
        assert client.session.pool.active == 0


@codings
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_body_needs_no_decoding(stage: Stage, coding: str, method: str) -> None:  # E3
    length = "0" if method == "GET" else "1000"
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n".encode()
    server = stage.server(answers(head))
    with stage.client() as client:
        assert client.read(client.request(method, server.url("/"))) == b""


@codings
def test_the_raw_body_can_be_had(stage: Stage, coding: str) -> None:
    body = ENCODE[coding](TEXT)
    server = stage.server(answers(encoded_response(coding, body), encoded_response(coding, body)))
    with stage.client() as client:
        with client.stream("GET", server.url("/")) as answer:
            assert b"".join(client.pieces(answer, "raw")) == body
        whole = client.get(server.url("/"))
        assert client.world.run(getattr(whole, client.world.method("read"))(decode_content=False)) == body


@codings
def test_what_is_left_of_a_closed_response_is_not_decoded(stage: Stage, coding: str, monkeypatch: Any) -> None:  # E5
    def script(peer: Peer) -> Iterator[bytes]:
        peer.expect_request()
        yield encoded_response(coding, ENCODE[coding](random.Random(1).randbytes(200_000)))
        peer.expect_close()

    server = stage.server(script)
    with stage.client() as client, client.stream("GET", server.url("/")) as answer:
        assert len(client.world.run(getattr(answer, client.world.method("read"))(10))) == 10
        decoder = answer.body_reader._decoder
        taken = [stage._taken for stage in decoder._stages]
        client.close(answer)
        assert [stage._taken for stage in decoder._stages] == taken


@pytest.mark.parametrize("raw", [False, True], ids=["zlib", "raw"])
@pytest.mark.parametrize("members", [1, 3])
def test_what_servers_call_gzip_and_deflate(stage: Stage, raw: bool, members: int) -> None:  # E3
    packed = zlib.compressobj(wbits=-15 if raw else 15)
    deflated = packed.compress(TEXT) + packed.flush()
    zipped = b"".join(gzip.compress(TEXT) for _ in range(members))
    server = stage.server(answers(encoded_response("deflate", deflated), encoded_response("gzip", zipped)))
    with stage.client() as client:
        assert client.read(client.get(server.url("/"))) == TEXT
        assert client.read(client.get(server.url("/"))) == TEXT * members


@codings
def test_a_damaged_check_sum(stage: Stage, coding: str) -> None:  # E3
    body = bytearray(ENCODE[coding](TEXT))
    body[len(body) // 2] ^= 0x55
    server = stage.server(answers(encoded_response(coding, bytes(body))))
    with stage.client() as client:
        try:
            got = client.read(client.get(server.url("/")))
        except DecodeError as error:
            assert error.request is not None
        else:
            assert coding in ("br", "zstd"), "these have a check sum"
            assert got != b""


@pytest.mark.thorough
@pytest.mark.parametrize(("coding", "gigabytes"), [("gzip", 1), ("zstd", 10)])
def test_gigabytes_are_streamed(stage: Stage, coding: str, gigabytes: int) -> None:  # E1
    """They come over the wire as members or frames of ten million octets; gzip would take a minute for ten of them."""
    body = ENCODE[coding](bytes(10_000_000)) * 100 * gigabytes
    server = stage.server(answers(encoded_response(coding, body)), timeout=120)
    with stage.client(timeout=120) as client, client.stream("GET", server.url("/")) as answer:
        pieces = getattr(answer, client.world.method("iter_bytes"))()
        sizes = client.world.run(sizes_of(pieces)) if hasattr(pieces, "__aiter__") else [len(piece) for piece in pieces]
    assert sum(sizes) == gigabytes * 1_000_000_000
    assert max(sizes) <= STEP


async def sizes_of(pieces: Any) -> list[int]:
    return [len(piece) async for piece in pieces]


def first_of(world: World, pieces: Any) -> bytes:
    """What an iterator gives next; nothing at its end."""
    return bytes(next(pieces, b"") if world.name == "blocking" else world.run(anext(pieces, b"")))


READERS = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 100_000)), st.tuples(st.sampled_from(["bytes", "content"]), st.none())
)


@codings
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", worlds.NAMES)
@given(readers=st.lists(READERS, max_size=8), rest=st.sampled_from(["read", "bytes", "content"]))
@settings(max_examples=6)
def test_any_mix_of_readers_gives_the_same_octets(
    coding: str, name: str, tls: bool, authority: Authority, readers: list[tuple[str, Any]], rest: str
) -> None:  # E8
    """Some octets or whatever has come, in any order, then all that is left: nothing is lost, nothing comes twice."""
    text = pattern(300_000)
    context = authority.server_context() if tls else None
    with (
        ScriptedServer(answers(encoded_response(coding, ENCODE[coding](text))), tls=context) as server,
        worlds.make(name) as world,
        world.client(verify=str(authority.path)) as client,
        client.stream("GET", server.url("/")) as answer,
    ):
        got = b""
        for how, size in readers:
            if how == "read":
                piece = world.run(getattr(answer, world.method("read"))(size))
                assert len(piece) <= size
            elif len(got) == len(text):  # to iterate over what is gone is an error
                continue
            else:
                piece = first_of(world, getattr(answer, world.method(f"iter_{how}"))(None))
            assert piece or size == 0 or len(got) == len(text)
            got += piece
        if rest == "read" or len(got) == len(text):
            got += client.read(answer)
        else:
            got += b"".join(client.pieces(answer, rest))
    assert got == text


# -- HTTP/2, where windows and resets have their say


@pytest.fixture
def h2_bodies(authority: Authority, coding: str) -> Iterator[AsgiServer]:
    """A server of bodies in a coding: a good one, a bomb, and some that are broken."""
    whole = ENCODE[coding](TEXT)
    bodies = {"good": whole, "bomb": ENCODE[coding](bytes(20_000_000)), "cut": whole[:-3], "more": whole + b"rest"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await Exchange(scope, receive, send).answer(200, bodies[scope["path"][1:]], [("content-encoding", coding)])

    with AsgiServer(app, tls=authority.server_context(alpn=["h2"])) as server:
        yield server


@codings
def test_codings_over_http2(world: World, h2_bodies: AsgiServer, authority: Authority, coding: str) -> None:  # E1, E3
    limits = Limits(decoded_ratio_floor=1_000_000, max_decoded_ratio=10)
    url = h2_bodies.url
    with world.client(http2=True, verify=str(authority.path), limits=limits, timeout=30) as client:
        for path, error in {"/bomb": DecodedSizeExceeded, "/cut": DecodeError, "/more": DecodeError}.items():
            with pytest.raises(error) as caught:
                client.read(client.get(url(path)))
            assert caught.value.request is not None
            assert client.read(client.get(url("/good"))) == TEXT
        with client.stream("GET", url("/bomb")) as answer:
            sizes = [len(piece) for piece in client.pieces(answer, "bytes")]
        assert (sum(sizes), max(sizes) <= STEP) == (20_000_000, True)
        with client.stream("GET", url("/bomb")) as answer:
            assert len(client.world.run(getattr(answer, client.world.method("read"))(10))) == 10
        assert (client.get(url("/good")).http_version, client.session.pool.active) == ("HTTP/2", 0)
    assert h2_bodies.connections == 1, "what is wrong with a body is wrong with its stream alone"


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


@pytest.mark.parametrize("close", ["close", "aclose"])
def test_what_is_sent_encoded_is_closed_when_it_is_given_up(close: str) -> None:
    def body() -> Any:
        try:
            yield random.Random(1).randbytes(100_000)
            yield b"c"
        finally:
            seen.append("closed")

    seen: list[str] = []
    flow: Any = compress_flow("gzip")
    encoded = next(flow(Request("POST", "http://a/", content=to_content(body()))))
    reader = encoded.content.open()
    assert len(run_blocking(reader.read_chunk())) > 0
    assert seen == []
    if close == "close":
        reader.close()
    else:
        run_blocking(reader.aclose())
    assert seen == ["closed"]
