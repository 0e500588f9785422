import pytest

from http11.memory import CODECS, segments
from reqivo_core.errors import HeadersTooLarge, RemoteProtocolError
from reqivo_core.limits import Limits
from reqivo_http11.chunked import ChunkScanner
from reqivo_http11.codec import load_codec
from reqivo_http11.receiving import HeadReceiver

GOOD = [
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"0005\r\nhello\r\n00\r\n\r\n",
    b"000000000000000A\r\nhellohello\r\n0\r\n\r\n",
    b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
    b'5;a="b c;\\" \\\\d";e;f=\r\nhello\r\n0\r\n\r\n',
    b"1\r\na\r\n2\r\n\r\n\r\n0\r\n\r\n",
    b"0\r\nA: b\r\nContent-Length: 7\r\n\r\n",
]
BAD = [
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloo\r\n0\r\n\r\n",
    b"5\r\nhello\rX0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5 ;a\r\nhello\r\n0\r\n\r\n",
    b"5; a\r\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    b'5;a="b\r\nhello\r\n0\r\n\r\n',
    b"\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    *(b"F" * digits + b"\r\nhello" for digits in (17, 20, 21, 100)),
    b"0\r\n A: b\r\n\r\n",
    b"0\r\nA: b\r\n c\r\n\r\n",
    b"0\r\nA: b\n\r\n",
    b"0\r\n\nA: b\r\n",
    b"0\r\nno colon\r\n\r\n",
]


def scan(data: bytes, how: str, limits: Limits | None = None) -> tuple[ChunkScanner, bytes]:
    """Feed a scanner as a receiver does; returns it and what it left."""
    scanner = ChunkScanner(limits or Limits())
    held = b""
    for segment in segments(data, how):
        held += segment
        if not scanner.is_complete:
            held = held[scanner.scan(held) :]
    return scanner, held


@pytest.mark.thorough
@pytest.mark.parametrize("codec", CODECS)
def test_a_million_chunks_of_one_octet(codec: str) -> None:  # A10
    count = 10**6 if codec == "httptools" else 10**5  # h11 takes ten times as long
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    receiver = HeadReceiver(load_codec(codec)())
    receiver.start("GET", Limits(), asks_upgrade=False)
    assert receiver.receive(head) is not None
    body = receiver.body()
    segment = b"1\r\na\r\n" * 10_000
    got = sum(len(body.receive(segment)) for _ in range(count // 10_000))
    assert got == count
    assert body.receive(b"0\r\n\r\n") == b""
    assert body.is_complete


@pytest.mark.parametrize("data", GOOD)
def test_passes(data: bytes, how: str) -> None:
    scanner, left = scan(data + b"surplus", how)
    assert scanner.is_complete
    assert left == b"surplus"


@pytest.mark.parametrize("data", GOOD)
def test_is_incomplete_before_its_end(data: bytes, how: str) -> None:
    scanner, _ = scan(data[:-1], how)
    assert not scanner.is_complete


@pytest.mark.parametrize("data", BAD)
def test_refuses(data: bytes, how: str) -> None:
    with pytest.raises(RemoteProtocolError):
        scan(data, how)


def test_trailers_are_kept(how: str) -> None:
    scanner, _ = scan(b"0\r\nA: b\r\nSet-Cookie: c=d\r\n\r\n", how)
    assert scanner.trailers is not None
    assert scanner.trailers.multi_items() == [("A", "b"), ("Set-Cookie", "c=d")]


def test_trailers_are_limited(how: str) -> None:
    with pytest.raises(HeadersTooLarge):
        scan(b"0\r\n" + b"A: bcdefgh\r\n" * 10, how, Limits(max_trailers=100))
    with pytest.raises(HeadersTooLarge):
        scan(b"0\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", "whole")


def test_a_whole_chunk_is_understood_before_its_line_end_comes() -> None:
    scanner = ChunkScanner(Limits())
    assert scanner.scan(b"5\r\nhello") == 8
    assert scanner.scan(b"\r") == 0
    assert scanner.scan(b"\r\n3\r\nab") == 7


def test_chunks_of_one_octet_are_within_the_budget(how: str) -> None:
    scanner, _ = scan(b"1\r\nx\r\n" * 5_000 + b"0\r\n\r\n", how)
    assert scanner.is_complete


def test_extensions_without_content_are_not(how: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"max_chunk_overhead"):
        scan((b"1;" + b"a" * 8_000 + b"\r\nx\r\n") * 100, how)


def test_an_endless_extension_is_not_waited_for(how: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"max_chunk_overhead"):
        scan(b"1;" + b"a" * 20_000, how)


def test_the_budget_grows_with_the_content() -> None:
    chunk = b"400;" + b"a" * 4_000 + b"\r\n" + b"x" * 1024 + b"\r\n"
    scanner, _ = scan(chunk * 100 + b"0\r\n\r\n", "whole", Limits(max_chunk_overhead=5_000))
    assert scanner.is_complete
