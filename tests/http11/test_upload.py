from collections.abc import Iterable
from typing import Any

import pytest

from http11.memory import END, After, Broken, Wire
from reqivo_core.content import BytesContent, Content, ContentReader
from reqivo_core.errors import (
    InvalidRequest,
    LocalProtocolError,
    ReadError,
    RemoteProtocolError,
    ServerDisconnected,
    TotalTimeout,
    WriteError,
    WriteTimeout,
)
from reqivo_core.timeouts import Timeout

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = {"Expect": "100-continue"}


class Pieces(Content):
    """A body in pieces; an exception among them is raised."""

    def __init__(self, *pieces: bytes | BaseException, length: int | None = None) -> None:
        self.pieces: Iterable[bytes | BaseException] = pieces
        self.length = length
        self.readers: list[PiecesReader] = []

    def open(self) -> ContentReader:
        self.readers.append(PiecesReader(self.pieces))
        return self.readers[-1]

    @property
    def was_closed(self) -> bool:
        return [reader.closed for reader in self.readers] == [1]


class PiecesReader(ContentReader):
    def __init__(self, pieces: Iterable[bytes | BaseException]) -> None:
        self.pieces = iter(pieces)
        self.closed = 0

    async def read_chunk(self) -> bytes:
        piece = next(self.pieces, b"")
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self) -> None:
        self.closed += 1


def body_of(wire: Wire) -> bytes:
    return wire.stream.written.partition(b"\r\n\r\n")[2]


def test_chunks(codec: str) -> None:
    content = Pieces(b"a" * 10, b"b" * 17)
    wire = Wire(After(b"\r\n0\r\n\r\n"), OK, codec=codec)
    assert wire.fetch("POST", content=content)[1] == b"ok"
    head, *chunks = wire.stream.writes
    assert head.endswith(b"Transfer-Encoding: chunked\r\n\r\na\r\naaaaaaaaaa\r\n")
    assert chunks == [b"11\r\n" + b"b" * 17 + b"\r\n", b"0\r\n\r\n"]
    assert content.was_closed
    assert wire.is_reusable


def test_chunks_with_trailers(codec: str) -> None:
    wire = Wire(OK, codec=codec)
    wire.stream.script.appendleft(After(b"\r\n0\r\n"))
    wire.fetch("POST", content=BytesContent(b"hello"), extensions={"trailers": {"Digest": "x"}})
    assert body_of(wire) == b"5\r\nhello\r\n0\r\nDigest: x\r\n\r\n"
    assert wire.is_reusable


def test_an_empty_body_in_chunks(codec: str) -> None:
    wire = Wire(OK, codec=codec)
    wire.fetch("POST", content=Pieces())
    assert body_of(wire) == b"0\r\n\r\n"


def test_a_known_length(codec: str) -> None:
    content = Pieces(b"abc", b"de", length=5)
    wire = Wire(After(b"abcde"), OK, codec=codec)
    wire.fetch("POST", content=content)
    assert wire.stream.writes[1:] == [b"de"]
    assert b"Content-Length: 5\r\n" in wire.stream.written
    assert content.was_closed
    assert wire.is_reusable


def test_a_large_body_in_memory_is_written_in_slices(codec: str) -> None:
    data = bytes(range(256)) * 4096
    wire = Wire(After(data), OK, codec=codec)
    wire.fetch("POST", content=BytesContent(data))
    assert body_of(wire) == data
    assert [len(piece) for piece in wire.stream.writes[1:]] == [2**18] * 4
    assert wire.is_reusable


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"abc", b"def"), (b"abcde", b"f")])
def test_a_body_longer_than_declared(codec: str, pieces: tuple[bytes, ...]) -> None:
    content = Pieces(*pieces)
    wire = Wire(codec=codec)
    with pytest.raises(LocalProtocolError, match="longer than its Content-Length"):
        wire.send("POST", content=content, headers={"Content-Length": "5"})
    assert len(body_of(wire)) <= 5
    assert content.was_closed
    assert wire.stream.is_closed


@pytest.mark.parametrize("pieces", [(), (b"abcd",), (b"ab", b"cd")])
def test_a_body_shorter_than_declared(codec: str, pieces: tuple[bytes, ...]) -> None:
    content = Pieces(*pieces)
    wire = Wire(codec=codec)
    with pytest.raises(LocalProtocolError, match="shorter than its Content-Length"):
        wire.send("POST", content=content, headers={"Content-Length": "5"})
    assert content.was_closed
    assert wire.stream.is_closed


def test_a_body_that_fails(codec: str) -> None:
    content = Pieces(b"abc", KeyError("mine"))
    wire = Wire(codec=codec)
    with pytest.raises(KeyError, match="mine"):
        wire.send("POST", content=content)
    assert content.was_closed
    assert wire.stream.is_closed


def test_a_body_that_cannot_be_opened(codec: str) -> None:
    class Used(Pieces):
        def open(self) -> ContentReader:
            raise InvalidRequest("it was used")

    wire = Wire(codec=codec)
    with pytest.raises(InvalidRequest, match="it was used"):
        wire.send("POST", content=Used())
    assert wire.stream.writes == []
    assert wire.is_reusable


def test_a_body_that_fails_to_close(codec: str) -> None:
    class Stubborn(PiecesReader):
        def close(self) -> None:
            raise KeyError("mine")

    class Content(Pieces):
        def open(self) -> ContentReader:
            return Stubborn(self.pieces)

    wire = Wire(OK, codec=codec)
    with pytest.raises(KeyError, match="mine"):
        wire.send("POST", content=Content(b"a"))
    assert wire.stream.is_closed


@pytest.mark.parametrize("pieces", [(b"a", b"b", b"c"), (b"x" * 70_000, b"b", b"c")])
def test_an_early_refusal_stops_the_upload(codec: str, pieces: tuple[bytes, ...]) -> None:
    content = Pieces(*pieces)
    wire = Wire(After(b"\r\n\r\n"), TOO_LARGE, codec=codec)
    response, body = wire.fetch("POST", content=content)
    assert (response.status, body) == (413, b"big")
    assert b"1\r\nc\r\n" not in wire.stream.written
    assert content.was_closed
    assert wire.stream.is_closed


def test_an_early_refusal_that_comes_bit_by_bit(codec: str, how: str) -> None:
    wire = Wire(After(b"a"), TOO_LARGE, codec=codec, how=how)
    response, body = wire.fetch("POST", content=Pieces(*([b"a"] * 500)))
    assert (response.status, body) == (413, b"big")
    assert wire.stream.is_closed


def test_an_early_success_lets_the_upload_go_on(codec: str) -> None:
    content = Pieces(b"a", b"b", b"c")
    wire = Wire(After(b"1\r\na"), OK, codec=codec)
    response, body = wire.fetch("POST", content=content)
    assert (response.status, body) == (200, b"ok")
    assert body_of(wire).endswith(b"1\r\nc\r\n0\r\n\r\n")
    assert wire.is_reusable


def test_an_early_success_is_none_if_the_upload_breaks(codec: str) -> None:
    wire = Wire(After(b"1\r\na"), OK, Broken(), codec=codec)
    with pytest.raises(WriteError, match="it has answered with 200 before the request was over"):
        wire.fetch("POST", content=Pieces(b"a", b"b", b"c"))
    assert wire.stream.is_closed


def test_an_early_end_stops_the_upload(codec: str) -> None:
    wire = Wire(After(b"1\r\na"), END, codec=codec)
    with pytest.raises(ServerDisconnected):
        wire.fetch("POST", content=Pieces(b"a", b"b", b"c"))
    assert wire.stream.is_closed


def test_what_is_readable_may_be_nothing(codec: str) -> None:
    wire = Wire(After(b"0\r\n\r\n"), OK, codec=codec)
    wire.stream.is_readable = lambda: True  # type: ignore[method-assign]  # a TLS record without content
    assert wire.send("POST", content=Pieces(b"a", b"b")).status == 200
    assert body_of(wire) == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


def test_interim_responses_do_not_stop_the_upload(codec: str, how: str) -> None:
    seen: list[int] = []
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    wire = Wire(After(b"1\r\na"), interim, After(b"0\r\n\r\n"), OK, codec=codec, how=how)
    options: dict[str, Any] = {"extensions": {"on_informational": lambda status, headers: seen.append(status)}}
    assert wire.fetch("POST", content=Pieces(*[b"a"] * 40), **options)[1] == b"ok"
    assert seen == [102]
    assert wire.is_reusable


@pytest.mark.parametrize("error", [WriteError, WriteTimeout])
def test_when_writing_breaks_the_answer_is_read(
    codec: str, how: str, error: type[WriteError] | type[WriteTimeout]
) -> None:
    content = Pieces(b"a", b"b", b"c")
    wire = Wire(After(b"1\r\nb"), Broken(error), TOO_LARGE, codec=codec, how=how)
    response, body = wire.fetch("POST", content=content)
    assert (response.status, body) == (413, b"big")
    assert content.was_closed
    assert wire.stream.is_closed


@pytest.mark.parametrize("error", [WriteError, WriteTimeout])
@pytest.mark.parametrize("script", [(), (END,), (ReadError("reset"),), (b"HTTP/1.1 413 Con", END), (b"nonsense",)])
def test_when_writing_breaks_without_an_answer(
    codec: str, error: type[WriteError] | type[WriteTimeout], script: tuple[Any, ...]
) -> None:
    wire = Wire(After(b"1\r\na"), Broken(error), *script, codec=codec)
    with pytest.raises(error) as caught:
        wire.fetch("POST", content=Pieces(b"a", b"b", b"c"))
    assert vars(caught.value)["response_started"] is (script[:1] == (b"HTTP/1.1 413 Con",))
    assert wire.stream.is_closed


def test_expect_then_continue(codec: str, how: str) -> None:
    wire = Wire(After(b"\r\n\r\n"), CONTINUE, After(b"hello"), OK, codec=codec, how=how)
    assert wire.fetch("POST", content=BytesContent(b"hello"), headers=EXPECT)[1] == b"ok"
    assert len(wire.stream.writes) == 2
    assert body_of(wire) == b"hello"
    assert wire.is_reusable


@pytest.mark.parametrize("refusal", [TOO_LARGE, TOO_LARGE.replace(b"413", b"417"), OK])
def test_expect_then_a_final_response(codec: str, how: str, refusal: bytes) -> None:
    content = Pieces(b"hello")
    wire = Wire(After(b"\r\n\r\n"), refusal, codec=codec, how=how)
    response, body = wire.fetch("POST", content=content, headers=EXPECT)
    assert (response.status, body) == (int(refusal[9:12]), refusal[refusal.index(b"\r\n\r\n") + 4 :])
    assert body_of(wire) == b""
    assert content.was_closed
    assert wire.stream.is_closed


def test_expect_then_silence(codec: str) -> None:
    wire = Wire(After(b"hello"), OK, codec=codec)
    assert wire.fetch("POST", content=BytesContent(b"hello"), headers=EXPECT)[1] == b"ok"
    assert wire.clock.time == 1.0
    assert wire.is_reusable


def test_expect_then_continue_twice(codec: str, how: str) -> None:
    wire = Wire(After(b"\r\n\r\n"), CONTINUE * 2, After(b"hello"), CONTINUE, OK, codec=codec, how=how)
    assert wire.fetch("POST", content=BytesContent(b"hello"), headers=EXPECT)[1] == b"ok"
    assert wire.is_reusable


def test_expect_then_continue_and_a_refusal_at_once(codec: str) -> None:
    wire = Wire(After(b"\r\n\r\n"), CONTINUE + TOO_LARGE, codec=codec)
    response, _ = wire.fetch("POST", content=BytesContent(b"hello"), headers=EXPECT)
    assert response.status == 413
    assert body_of(wire) == b""
    assert wire.stream.is_closed


def test_expect_then_hints_are_no_permission(codec: str, how: str) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    wire = Wire(After(b"\r\n\r\n"), hints, After(b"hello"), OK, codec=codec, how=how)
    assert wire.fetch("POST", content=BytesContent(b"hello"), headers=EXPECT)[1] == b"ok"
    assert wire.clock.time == 1.0


def test_hints_do_not_prolong_the_wait(codec: str) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    wire = Wire(hints, hints, hints, After(b"hello"), OK, codec=codec)
    read = wire.stream.read

    async def read_slowly(max_bytes: int, timeout: float | None) -> bytes:
        wire.clock.time += 0.5
        return await read(max_bytes, timeout)

    wire.stream.read = read_slowly  # type: ignore[method-assign]  # a slower world
    assert wire.fetch("POST", content=BytesContent(b"hello"), headers=EXPECT)[1] == b"ok"
    assert wire.stream.timeouts[1:3] == [1.0, 0.5]


def test_expect_within_the_total(codec: str) -> None:
    wire = Wire(codec=codec, timeout=Timeout(total=0.5))
    with pytest.raises(TotalTimeout):
        wire.send("POST", content=BytesContent(b"hello"), headers=EXPECT)
    assert wire.clock.time == 0.5
    assert wire.stream.is_closed


def test_expect_without_any_timeout(codec: str) -> None:
    wire = Wire(After(b"hello"), OK, codec=codec, timeout=Timeout(timeout=None))
    assert wire.fetch("POST", content=BytesContent(b"hello"), headers=EXPECT)[1] == b"ok"
    assert wire.stream.timeouts == [None, 1.0, None, None]


@pytest.mark.parametrize(("step", "error"), [(END, ServerDisconnected), (b"nonsense", RemoteProtocolError)])
def test_expect_then_no_http(codec: str, step: bytes, error: type[Exception]) -> None:
    wire = Wire(step, codec=codec)
    with pytest.raises(error):
        wire.send("POST", content=BytesContent(b"hello"), headers=EXPECT)
    assert wire.stream.is_closed


def test_expect_when_writing_breaks_at_once(codec: str) -> None:
    wire = Wire(Broken(), TOO_LARGE, codec=codec)
    assert wire.fetch("POST", content=BytesContent(b"hello"), headers=EXPECT)[0].status == 413
    assert wire.stream.is_closed
