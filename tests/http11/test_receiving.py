import pytest

from http11.memory import segments
from reqivo_core.errors import HeadersTooLarge, IncompleteBody, RemoteProtocolError, ServerDisconnected
from reqivo_core.limits import Limits
from reqivo_http11.codec import Head, load_codec
from reqivo_http11.framing import LARGE_READ, READ_SIZE
from reqivo_http11.receiving import BodyReceiver, HeadReceiver, LengthReceiver


class Answer:
    """What receivers made of octets: heads, content, and where it stopped."""

    def __init__(self, data: bytes, codec: str, how: str, method: str = "GET", limits: Limits | None = None) -> None:
        self.heads: list[Head] = []
        self.content = b""
        self.body: BodyReceiver | None = None
        self.receiver = HeadReceiver(load_codec(codec)())
        self.receiver.start(method, limits or Limits())
        for segment in segments(data, how):
            self.take(segment)

    def take(self, data: bytes) -> None:
        while self.body is None and data:
            head = self.receiver.receive(data)
            data = b""
            if head is not None:
                self.heads.append(head)
                data = self.receiver.rest
                if head.status >= 200:
                    self.body = self.receiver.body()
        if self.body is not None and data:
            if self.body.is_complete:
                self.body.has_surplus = True
            else:
                self.content += self.body.receive(data)

    @property
    def complete(self) -> BodyReceiver:
        assert self.body is not None
        assert self.body.is_complete
        return self.body


def test_a_body_of_known_length(codec: str, how: str) -> None:
    answer = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", codec, how)
    assert [head.status for head in answer.heads] == [200]
    assert answer.content == b"hello"
    assert not answer.complete.has_surplus


def test_surplus_is_never_content(codec: str, how: str) -> None:
    answer = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", codec, how)
    assert answer.content == b"hello"
    assert answer.complete.has_surplus


def test_chunks_and_trailers(codec: str, how: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"5\r\nhello\r\n6\r\n world\r\n0\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\n\r\n"
    answer = Answer(head + chunks, codec, how)
    assert answer.content == b"hello world"
    trailers = answer.complete.trailers
    assert trailers is not None
    assert trailers.raw == [(b"Set-Cookie", b"a=b"), (b"Content-Length", b"9")]
    assert not answer.complete.has_surplus
    assert answer.heads[0].headers.multi_items() == [("Transfer-Encoding", "chunked")]


def test_surplus_after_chunks(codec: str, how: str) -> None:
    answer = Answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nX", codec, how)
    assert answer.content == b"a"
    assert answer.complete.has_surplus
    assert answer.complete.trailers is None


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified")]
)
def test_no_body_whatever_the_fields_say(codec: str, how: str, method: str, status: bytes) -> None:
    answer = Answer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 1000000000\r\n\r\n", codec, how, method)
    assert answer.content == b""
    assert not answer.complete.has_surplus
    answer = Answer(b"HTTP/1.1 " + status + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", codec, how, method)
    assert answer.content == b""
    assert answer.complete.has_surplus


def test_until_close(codec: str, how: str) -> None:
    answer = Answer(b"HTTP/1.0 200 OK\r\n\r\nabc", codec, how)
    assert answer.content == b"abc"
    assert answer.body is not None
    assert not answer.body.is_complete
    answer.body.receive_end()
    assert answer.body.is_complete


def test_interim_responses_come_first(codec: str, how: str) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    answer = Answer(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", codec, how)
    assert [head.status for head in answer.heads] == [100, 103, 200]
    assert answer.heads[1].headers.multi_items() == [("Link", "x")]
    assert answer.content == b"a"


def test_interim_responses_are_counted(codec: str, how: str) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    Answer(interim * 32, codec, how)
    with pytest.raises(RemoteProtocolError, match="more than 32 interim"):
        Answer(interim * 33, codec, how)


def test_a_101_that_was_not_asked_for(codec: str, how: str) -> None:
    with pytest.raises(RemoteProtocolError, match="not asked for"):
        Answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", codec, how)


HUGE = {
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    "a long field": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 1_000_000 + b"\r\n\r\n",
    "a long status line": b"HTTP/1.1 200 " + b"O" * 1_000_000 + b"\r\n\r\n",
    "many long fields": b"HTTP/1.1 200 OK\r\n" + (b"Abcdefgh: " + b"b" * 500 + b"\r\n") * 200,
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE)
def test_heads_are_limited_however_they_come(codec: str, data: bytes) -> None:
    with pytest.raises(HeadersTooLarge, match=r"Limits\("):
        Answer(data, codec, "whole")
    with pytest.raises(HeadersTooLarge, match=r"Limits\("):
        Answer(data[:70_000], codec, "single octets")


def test_the_limit_is_the_same_to_the_octet(codec: str, how: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nA: " + b"b" * 60 + b"\r\n\r\n"
    Answer(head, codec, how, limits=Limits(max_response_headers=len(head)))
    with pytest.raises(HeadersTooLarge):
        Answer(head, codec, how, limits=Limits(max_response_headers=len(head) - 1))


def test_no_more_is_held_than_the_limit(codec: str) -> None:
    receiver = HeadReceiver(load_codec(codec)())
    receiver.start("GET", Limits(max_response_headers=1000))
    taken = 0
    with pytest.raises(HeadersTooLarge):
        while taken < 5_000:
            receiver.receive(b"HTTP/1.1 2"[taken : taken + 10] or b"0123456789")
            taken += 10
    assert taken <= 1000


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH\r\n", b"\x15\x03\x01\x00\x02\x02\x16", b"<html>", b"\r\n"])
def test_what_is_not_http_is_noticed_at_once(codec: str, how: str, data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"no HTTP/1\.1|bare CR, LF or NUL"):
        Answer(data, codec, how)


def test_an_end_before_the_head(codec: str) -> None:
    receiver = HeadReceiver(load_codec(codec)())
    receiver.start("GET", Limits())
    assert not receiver.has_begun
    error = receiver.end()
    assert isinstance(error, ServerDisconnected)
    assert vars(error)["response_started"] is False
    receiver.receive(b"HTTP/1.1 200 OK\r\nA:")
    assert receiver.has_begun
    error = receiver.end()
    assert isinstance(error, RemoteProtocolError)
    assert "incomplete" in str(error)


def test_an_end_after_an_interim_response(codec: str) -> None:
    receiver = HeadReceiver(load_codec(codec)())
    receiver.start("GET", Limits())
    receiver.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert receiver.has_begun
    error = receiver.end()
    assert isinstance(error, RemoteProtocolError)
    assert "interim" in str(error)


@pytest.mark.parametrize(
    ("data", "received", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 3, 10),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nabc" % 2**60, 3, 2**60),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 3, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", 3, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", 3, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\nA: b\r\n", 3, None),
    ],
)
def test_an_end_within_the_body(codec: str, how: str, data: bytes, received: int, expected: int | None) -> None:
    body = Answer(data, codec, how).body
    assert body is not None
    with pytest.raises(IncompleteBody, match="not the whole response") as caught:
        body.receive_end()
    assert (caught.value.received, caught.value.expected) == (received, expected)


def test_large_reads_for_large_bodies() -> None:
    body = LengthReceiver(LARGE_READ + READ_SIZE)
    assert body.read_size == LARGE_READ
    body.receive(bytes(READ_SIZE + 1))
    assert body.read_size == READ_SIZE
    endless = BodyReceiver()
    assert endless.read_size == READ_SIZE
    endless.receive(bytes(LARGE_READ))
    assert endless.read_size == LARGE_READ
