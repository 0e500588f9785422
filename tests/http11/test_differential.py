"""Both codecs get the same octets, cut in several ways: the same result, or the same class of error (A17)."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from http11.memory import CODECS, segments
from http11.test_chunked import BAD as BAD_CHUNKS
from http11.test_chunked import GOOD as GOOD_CHUNKS
from http11.test_framing import BAD_HEADS, GOOD_HEADS
from reqivo_core.errors import HeadersTooLarge, RemoteProtocolError, RequestError
from reqivo_core.limits import Limits
from reqivo_http11.codec import load_codec
from reqivo_http11.receiving import BodyReceiver, HeadReceiver

pytestmark = pytest.mark.skipif(len(CODECS) < 2, reason="only one codec is installed")
LIMITS = Limits(max_response_headers=2000, max_response_fields=10, max_trailers=200, max_chunk_overhead=300)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def outcome(data: bytes, codec: str, how: str | list[int], method: str = "GET") -> Any:
    """Everything that a caller could learn from octets that end with the connection."""
    receiver = HeadReceiver(load_codec(codec)())
    receiver.start(method, LIMITS, asks_upgrade=True)
    heads: list[Any] = []
    body: BodyReceiver | None = None
    content = b""
    try:
        for rest in segments(data, how):
            while body is None and rest:
                head = receiver.receive(rest)
                rest = b""
                if head is not None:
                    fields = [
                        (name, value.lower() if value.lower() == "chunked" else value)
                        for name, value in head.headers.multi_items()
                    ]
                    heads.append(((head.version, head.status, head.reason), fields, receiver.framing))
                    rest = receiver.rest
                    if head.status >= 200 or head.status == 101:
                        body = receiver.body()
            if body is not None and rest:
                if body.is_complete:
                    body.has_surplus = True
                else:
                    content += body.receive(rest)
        if body is None:
            raise receiver.end()
        if not body.is_complete:
            body.receive_end()
    except RequestError as error:
        return type(error)
    trailers = None if body.trailers is None else body.trailers.raw
    return heads, content, trailers, body.has_surplus


def check(data: bytes, method: str = "GET", *ways: str | list[int]) -> Any:
    """Compare, and return the common outcome."""
    expected = outcome(data, "h11", "whole", method)
    assert outcome(data, "httptools", "whole", method) == expected
    for how in ways or ("single octets", "random 1", "random 2"):
        here = [outcome(data, codec, how, method) for codec in CODECS]
        assert here[0] == here[1]
        # Of two faults in one message, the one that is met first depends on how much is seen at once.
        if here[0] is HeadersTooLarge:
            here[0] = expected if expected is RemoteProtocolError else HeadersTooLarge
        elif expected is HeadersTooLarge and here[0] is RemoteProtocolError:
            here[0] = HeadersTooLarge
        assert here[0] == expected
    return expected


TEMPLATES = {
    "before the status line": b"%sHTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok",
    "in the version": b"HTTP/1.%s1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok",
    "before the status": b"HTTP/1.1 %s200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok",
    "after the status": b"HTTP/1.1 200%s OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok",
    "before the reason": b"HTTP/1.1 200 %sOK\r\nA: b\r\nContent-Length: 2\r\n\r\nok",
    "in the reason": b"HTTP/1.1 200 O%sK\r\nA: b\r\nContent-Length: 2\r\n\r\nok",
    "after the status line": b"HTTP/1.1 200 OK%s\r\nA: b\r\nContent-Length: 2\r\n\r\nok",
    "before a name": b"HTTP/1.1 200 OK\r\n%sA: b\r\nContent-Length: 2\r\n\r\nok",
    "in a name": b"HTTP/1.1 200 OK\r\nA%sA: b\r\nContent-Length: 2\r\n\r\nok",
    "before a colon": b"HTTP/1.1 200 OK\r\nA%s: b\r\nContent-Length: 2\r\n\r\nok",
    "after a colon": b"HTTP/1.1 200 OK\r\nA:%sb\r\nContent-Length: 2\r\n\r\nok",
    "in a value": b"HTTP/1.1 200 OK\r\nA: b%sb\r\nContent-Length: 2\r\n\r\nok",
    "after a value": b"HTTP/1.1 200 OK\r\nA: b%s\r\nContent-Length: 2\r\n\r\nok",
    "in a later line": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n%sA: b\r\n\r\nok",
    "before a length": b"HTTP/1.1 200 OK\r\nContent-Length: %s2\r\n\r\nok",
    "after a length": b"HTTP/1.1 200 OK\r\nContent-Length: 2%s\r\n\r\nok",
    "before a coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %schunked\r\n\r\n0\r\n\r\n",
    "after a coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked%s\r\n\r\n0\r\n\r\n",
    "in a connection option": b"HTTP/1.1 200 OK\r\nConnection: clo%sse\r\nContent-Length: 2\r\n\r\nok",
    "before the empty line": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\nok",
    "before a chunk-size": CHUNKED + b"%s2\r\nok\r\n0\r\n\r\n",
    "after a chunk-size": CHUNKED + b"2%s\r\nok\r\n0\r\n\r\n",
    "in an extension": CHUNKED + b"2;a%sb\r\nok\r\n0\r\n\r\n",
    "in an extension's value": CHUNKED + b"2;a=%sb\r\nok\r\n0\r\n\r\n",
    "in a quoted value": CHUNKED + b'2;a="%s"\r\nok\r\n0\r\n\r\n',
    "escaped in a quoted value": CHUNKED + b'2;a="\\%sb"\r\nok\r\n0\r\n\r\n',
    "before a chunk": CHUNKED + b"2\r\n%sok\r\n0\r\n\r\n",
    "after a chunk": CHUNKED + b"2\r\nok%s\r\n0\r\n\r\n",
    "before the last chunk": CHUNKED + b"2\r\nok\r\n%s0\r\n\r\n",
    "after the last chunk": CHUNKED + b"2\r\nok\r\n0%s\r\n\r\n",
    "before the trailers": CHUNKED + b"2\r\nok\r\n0\r\n%sA: b\r\n\r\n",
    "in a trailer's name": CHUNKED + b"2\r\nok\r\n0\r\nA%s: b\r\n\r\n",
    "in a trailer's value": CHUNKED + b"2\r\nok\r\n0\r\nA: b%sb\r\n\r\n",
    "after the trailers": CHUNKED + b"2\r\nok\r\n0\r\nA: b\r\n%s\r\n",
}
CORPUS = [
    *(section + b"body" for section in GOOD_HEADS + BAD_HEADS),
    *(CHUNKED + chunks for chunks in GOOD_CHUNKS + BAD_CHUNKS),
    *(template % oddity for template in TEMPLATES.values() for oddity in (b"", b"\n", b" ", b"\0", b"_")),
]


@settings(max_examples=300)
@given(st.data())
def test_any_segmentation_of_all_corpora(data: st.DataObject) -> None:  # A17
    octets = data.draw(st.sampled_from(CORPUS))
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=12).map(sorted))
    check(octets, "GET", cuts)


ODDITIES = [
    bytes([octet]) for octet in (*range(33), 0x22, 0x2B, 0x2C, 0x2D, 0x30, 0x3A, 0x3B, 0x3D, 0x5C, 0x7F, 0x80, 0xFF)
]
ODDITIES += [b"\r\n", b"\n\n", b"\r\r\n", b"\r\n ", b"\r\n\t", b"_", b"0x", b" \t ", b"\r\n\r\n", b"a" * 3000]


@pytest.mark.parametrize("place", TEMPLATES)
def test_an_oddity_at_every_place(place: str) -> None:
    before, _, after = TEMPLATES[place].partition(b"%s")
    assert isinstance(check(before + after), tuple)
    results = {oddity: check(before + oddity + after) for oddity in ODDITIES}
    # Whatever is let through, a NUL or a bare CR or LF is not, except as content.
    if "a chunk" not in place:
        for oddity in (b"\0", b"\x01", b"\n", b"\r", b"\x7f"):
            assert isinstance(results[oddity], type), (place, oddity)
            assert issubclass(results[oddity], RemoteProtocolError)


@pytest.mark.parametrize("section", GOOD_HEADS + BAD_HEADS)
def test_heads(section: bytes) -> None:
    assert isinstance(check(section + b"body"), tuple) is (section in GOOD_HEADS)


@pytest.mark.parametrize("chunks", GOOD_CHUNKS + BAD_CHUNKS)
def test_chunks(chunks: bytes) -> None:
    assert isinstance(check(CHUNKED + chunks), tuple) is (chunks in GOOD_CHUNKS)


@pytest.mark.parametrize(
    "fields",
    [
        *(
            b"Content-Length: " + value
            for value in (b"2, 2", b"2,2", b"2 ,\t2", b"2,3", b"02", b"2, 02", b",2", b"2,", b"")
        ),
        *(
            b"Content-Length: " + value
            for value in (b"+2", b"-2", b"2_0", b"0x2", b"2.0", b"2 2", "٢".encode(), b"9" * 23)
        ),
        *(b"Content-Length: %d" % length for length in (2**60, 2**63, 2**64 - 1, 2**64)),
        b"Content-Length: " + b"0" * 19 + b"2",
        b"Content-Length: " + b"0" * 29 + b"2",
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: 2\r\ncontent-length: 2, 2",
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        *(
            b"Transfer-Encoding: " + value
            for value in (b"gzip, chunked", b"chunked, identity", b"xchunked", b"identity", b"")
        ),
        *(
            b"Transfer-Encoding: " + value
            for value in (b"CHUNKED", b"chunked,", b"chunked;a=b", b'"chunked"', b"\x0bchunked")
        ),
        b"Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 2",
        b"Connection: close, \xff\r\nProxy-Connection: \xff\r\nContent-Length: 2",
        b"Content-Length : 2",
        b"A:\r\nB:\t\r\nContent-Length:2",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "CONNECT"])
@pytest.mark.parametrize(
    "status", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 304 Not", b"HTTP/1.1 101 Go"]
)
def test_framing_fields(fields: bytes, method: str, status: bytes) -> None:
    result = check(status + b"\r\n" + fields + b"\r\n\r\n0\r\n\r\n", method, "single octets")
    assert isinstance(result, tuple) or issubclass(result, RemoteProtocolError)


FRAGMENTS = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 404\r\n", b"HTTP/1.1 304 Not\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"A: b\r\n", b"A:\r\n"),
    *(b" fold\r\n", b"A: " + b"b" * 999, b"5\r\nhello\r\n", b"5;a=b\r\n", b"0\r\n\r\n", b"0\r\n", b"hello"),
    *(b"F" * 16 + b"\r\n", b"F" * 17, b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"\x80"),
]


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12), st.sampled_from(["GET", "HEAD", "CONNECT"]))
def test_any_sequence_of_fragments(fragments: list[bytes], method: str) -> None:
    result = check(b"".join(fragments), method)
    assert isinstance(result, tuple) or issubclass(result, RequestError)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sound message with a few octets changed, added or lost."""
    data = bytearray(draw(st.sampled_from([template.replace(b"%s", b"") for template in TEMPLATES.values()])))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(data)


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_any_mutation(data: bytes) -> None:
    result = check(data)
    assert isinstance(result, tuple) or issubclass(result, RequestError)
