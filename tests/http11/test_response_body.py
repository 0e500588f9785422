import pytest

from http11.memory import END, Wire, read_all, run
from reqivo_core.errors import IncompleteBody, ReadError, ReadTimeout, RemoteProtocolError, StreamClosed
from reqivo_core.messages import Request
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.timeouts import Deadline, Timeout
from reqivo_http11.response_body import CompleteBody

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("ending", [END, ReadError("reset")], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    ("data", "received", "expected"),
    [
        (LENGTH + b"abc", 3, 10),
        (LENGTH, 0, 10),
        (LENGTH.replace(b"10", b"%d" % 2**60) + b"abc", 3, 2**60),
        (CHUNKED + b"5\r\nabc", 3, None),
        (CHUNKED + b"3\r\nabc\r\n", 3, None),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", 3, None),
    ],
)
def test_a_body_cut_short(
    codec: str, how: str, data: bytes, received: int, expected: int | None, ending: bytes | Exception
) -> None:
    wire = Wire(data, ending, codec=codec, how=how)
    response = wire.send()
    got = b""
    with pytest.raises(IncompleteBody) as caught:
        while chunk := run(response.body.read_chunk()):
            got += chunk
    assert len(got) == received
    assert (caught.value.received, caught.value.expected) == (received, expected)
    assert wire.stream.is_closed
    with pytest.raises(IncompleteBody):
        run(response.body.read_chunk())


def test_a_body_that_ends_with_the_connection(codec: str, how: str) -> None:
    wire = Wire(UNTIL_CLOSE + b"hello", END, codec=codec, how=how)
    assert wire.fetch()[1] == b"hello"
    assert wire.stream.is_closed


def test_the_end_of_such_a_body_must_be_clean(codec: str, how: str) -> None:
    wire = Wire(UNTIL_CLOSE + b"hello", ReadError("TLS ended without close_notify"), codec=codec, how=how)
    with pytest.raises(IncompleteBody, match="close_notify") as caught:
        wire.fetch()
    assert (caught.value.received, caught.value.expected) == (5, None)
    assert isinstance(caught.value.__cause__, ReadError)


def test_a_truncated_tls_stream_behind_a_complete_body_does_no_harm(codec: str, how: str) -> None:
    wire = Wire(LENGTH + b"0123456789", ReadError("TLS ended without close_notify"), codec=codec, how=how)
    assert wire.fetch()[1] == b"0123456789"
    assert not wire.transport.is_usable()


@pytest.mark.parametrize("rest", [b"zz\r\n", b"5 \r\nhello", b"3\r\nabcd\r\n", b"3;" + b"e" * 20_000])
def test_a_malformed_body_is_an_error_of_the_body(codec: str, how: str, rest: bytes) -> None:
    wire = Wire(CHUNKED + rest, END, codec=codec, how=how)
    response = wire.send()
    assert response.status == 200
    with pytest.raises(RemoteProtocolError):
        read_all(response)
    assert wire.stream.is_closed
    with pytest.raises(RemoteProtocolError):
        run(response.body.read_chunk())


def test_chunks_of_one_read_are_one(codec: str) -> None:
    wire = Wire(CHUNKED, b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n", codec=codec)
    response = wire.send()
    assert run(response.body.read_chunk()) == b"x" * 1000
    assert run(response.body.read_chunk()) == b""


def test_framing_alone_is_not_returned_as_an_end(codec: str) -> None:
    wire = Wire(CHUNKED, b"3", b"\r", b"\n", b"abc", b"\r\n0\r\n", b"\r\n", codec=codec)
    response = wire.send()
    assert run(response.body.read_chunk()) == b"abc"
    assert run(response.body.read_chunk()) == b""
    assert wire.is_reusable


def test_large_bodies_are_read_in_large_pieces(codec: str) -> None:
    size = 2**20
    wire = Wire(LENGTH.replace(b"10", b"%d" % size), bytes(size), codec=codec)
    assert len(wire.fetch()[1]) == size
    assert wire.stream.read_sizes == [65536] + [262144] * 4
    assert wire.is_reusable


def test_the_connection_is_free_as_soon_as_all_has_come(codec: str) -> None:
    wire = Wire(LENGTH + b"0123456789", codec=codec)
    response = wire.send()
    assert wire.is_reusable
    assert read_all(response) == b"0123456789"


def test_close_before_the_end(codec: str) -> None:
    wire = Wire(LENGTH + b"012", codec=codec)
    response = wire.send()
    assert run(response.body.read_chunk()) == b"012"
    response.body.close()
    response.body.close()
    assert wire.stream.is_closed
    assert wire.transport.is_closing
    with pytest.raises(StreamClosed):
        run(response.body.read_chunk())


def test_close_when_all_has_come_but_was_not_asked_for(codec: str) -> None:
    wire = Wire(LENGTH + b"0123456789", codec=codec)
    response = wire.send()
    run(response.body.aclose())
    assert wire.is_reusable
    with pytest.raises(StreamClosed):
        run(response.body.read_chunk())


def test_close_after_the_end(codec: str) -> None:
    wire = Wire(LENGTH + b"0123456789", codec=codec)
    response, _ = wire.fetch()
    response.body.close()
    assert run(response.body.read_chunk()) == b""
    assert wire.is_reusable


def test_close_while_another_thread_reads(codec: str) -> None:
    wire = Wire(LENGTH + b"012", codec=codec)
    response = wire.send()
    run(response.body.read_chunk())

    async def closed_meanwhile(max_bytes: int, timeout: float | None) -> bytes:
        response.body.close()
        raise ReadError("it was closed on this side")

    wire.stream.read = closed_meanwhile  # type: ignore[method-assign]  # what the other thread does
    with pytest.raises(StreamClosed):
        run(response.body.read_chunk())
    assert wire.stream.is_closed


def test_silence_ends_it(codec: str) -> None:
    wire = Wire(LENGTH + b"012", codec=codec)
    response = wire.send()
    run(response.body.read_chunk())
    with pytest.raises(ReadTimeout):
        run(response.body.read_chunk())
    assert wire.stream.is_closed
    with pytest.raises(ReadTimeout):
        run(response.body.read_chunk())


def test_an_interruption_ends_it(codec: str) -> None:
    wire = Wire(LENGTH + b"012", codec=codec, fail_at=3, failure=KeyboardInterrupt())
    response = wire.send()
    run(response.body.read_chunk())
    with pytest.raises(KeyboardInterrupt):
        run(response.body.read_chunk())
    assert wire.stream.is_closed
    with pytest.raises(StreamClosed, match="broken off"):
        run(response.body.read_chunk())


def test_the_deadline_may_be_replaced_while_the_body_is_read(codec: str) -> None:
    wire = Wire(LENGTH + b"012", b"3456789", codec=codec)
    exchange = wire.exchange()
    response = run(wire.transport.send(Request("GET", wire.url), exchange))
    run(response.body.read_chunk())
    exchange.deadline = Deadline(Timeout(timeout=0.0), wire.clock.now)
    assert run(response.body.read_chunk()) == b"3456789"
    assert wire.stream.timeouts[-1] == 0.0


def test_a_body_that_came_whole_is_taken_or_read_once() -> None:
    body = CompleteBody(b"abc")
    assert (body.length, body.is_over) == (3, False)
    assert body.take_whole() == b"abc"
    assert body.is_over
    assert body.take_whole() == b""
    body.close()  # nothing is left to be given up
    assert body.take_whole() == b""


def test_a_body_that_came_whole_can_be_given_up() -> None:
    body = CompleteBody(b"abc")
    body.close()
    body.close()
    assert body.take_whole() is None
    assert not body.is_over
    with pytest.raises(StreamClosed, match="closed before its end"):
        run_blocking(body.read_chunk())


@pytest.mark.parametrize("data", [LENGTH + b"0123456789", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"])
def test_closing_what_has_come_whole_saves_the_connection_and_is_told(codec: str, data: bytes) -> None:
    wire = Wire(data, codec=codec)
    response = wire.send()
    response.body.close()
    for _ in range(2):
        with pytest.raises(StreamClosed):
            run(response.body.read_chunk())
    assert response.body.take_whole() is None
    assert wire.is_reusable
