import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqivo_core.errors import HeadersTooLarge, RemoteProtocolError
from reqivo_core.headers import Headers
from reqivo_core.limits import Limits
from reqivo_http11.codec import Head
from reqivo_http11.framing import (
    HEADERS,
    TRAILERS,
    Framing,
    Kind,
    decide,
    parse_head,
    parse_trailers,
    section_end,
)

LIMITS = Limits()


def head(*fields: tuple[bytes, bytes], status: int = 200, version: str = "1.1") -> Head:
    return Head(version, status, "", Headers.from_raw(list(fields)))


@pytest.mark.parametrize(
    ("method", "response", "expected"),
    [
        ("GET", head((b"Content-Length", b"5")), Framing(Kind.LENGTH, 5, True)),
        ("GET", head((b"Content-Length", b"0")), Framing(Kind.LENGTH, 0, True)),
        ("GET", head((b"Transfer-Encoding", b"Chunked")), Framing(Kind.CHUNKED, 0, True)),
        ("GET", head(), Framing(Kind.UNTIL_CLOSE, 0, False)),
        ("HEAD", head((b"Content-Length", b"1000000000")), Framing(Kind.NONE, 0, True)),
        ("HEAD", head((b"Transfer-Encoding", b"chunked")), Framing(Kind.NONE, 0, True)),
        ("GET", head((b"Content-Length", b"9"), status=204), Framing(Kind.NONE, 0, True)),
        ("GET", head((b"Content-Length", b"9"), status=304), Framing(Kind.NONE, 0, True)),
        ("GET", head(status=103), Framing(Kind.NONE, 0, True)),
        ("CONNECT", head((b"Content-Length", b"9")), Framing(Kind.TUNNEL, 0, False)),
        ("CONNECT", head((b"Content-Length", b"9"), status=407), Framing(Kind.LENGTH, 9, True)),
        ("GET", head((b"Content-Length", b"%d" % (2**64 - 1))), Framing(Kind.LENGTH, 2**64 - 1, True)),
    ],
)
def test_decide_how_a_body_ends(method: str, response: Head, expected: Framing) -> None:
    assert decide(method, response) == expected


@pytest.mark.parametrize(
    ("version", "connection", "expected"),
    [
        ("1.1", [], True),
        ("1.1", [b"close"], False),
        ("1.1", [b"Close"], False),
        ("1.1", [b"keep-alive"], True),
        ("1.1", [b"keep-alive", b"close"], False),
        ("1.1", [b"x , close\t,y"], False),
        ("1.1", [b"closed"], True),
        ("1.0", [], False),
        ("1.0", [b"Keep-Alive"], True),
        ("1.0", [b"x, keep-alive"], True),
        ("1.0", [b"keep-alive, close"], False),
    ],
)
def test_decide_whether_the_connection_persists(version: str, connection: list[bytes], expected: bool) -> None:
    fields = [(b"Connection", value) for value in connection]
    assert decide("GET", head((b"Content-Length", b"0"), *fields, version=version)).keeps_alive is expected


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")],
        [(b"Content-Length", b"3"), (b"Content-Length", b"4")],
        *([(b"Content-Length", value)] for value in (b"", b"+3", b"-1", b"3_0", b"3 0", b"0x3", b"3,4", b"9" * 23)),
        [(b"Content-Length", "٣".encode())],
        [(b"Content-Length", b"%d" % 2**64)],
        *(
            [(b"Transfer-Encoding", value)]
            for value in (b"gzip, chunked", b"chunked, identity", b"xchunked", b"", b"gzip")
        ),
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_decide_refuses_what_two_recipients_could_read_differently(
    method: str, fields: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decide(method, head(*fields))
    assert caught.value.phase == "read"


def test_decide_refuses_chunks_in_http_1_0() -> None:
    with pytest.raises(RemoteProtocolError, match=r"HTTP/1\.0"):
        decide("GET", head((b"Transfer-Encoding", b"chunked"), version="1.0"))


GOOD_HEADS = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200\r\nA:\r\n\r\n",
    b"HTTP/1.1 200 \r\nA:b  \t\r\n\r\n",
    b"HTTP/1.1 999 \xc3\xa4 \t!\r\nA:\t\xff\x80 \r\n\r\n",
]
BAD_HEADS = [
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.2 200 OK\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/0.9 200 OK\r\n\r\n",
    b"HTTP/11 200 OK\r\n\r\n",
    b"http/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1 99 OK\r\n\r\n",
    b"HTTP/1.1 099 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 20x OK\r\n\r\n",
    b"HTTP/1.1 +20 OK\r\n\r\n",
    b"HTTP/1.1 200OK\r\n\r\n",
    b"HTTP/1.1 200 O\x01K\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA\t: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA\xe9: c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n(A): c\r\n\r\n",
    *(b"HTTP/1.1 200 OK\r\nA: b%sc\r\n\r\n" % bytes([octet]) for octet in (*range(9), 11, 12, *range(14, 32), 127)),
    b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
    b"HTTP/1.1 200 OK\r\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n\r\r\n\r\n",
]


@pytest.mark.parametrize("section", GOOD_HEADS)
def test_parse_head_lets_pass(section: bytes) -> None:
    parse_head(section, LIMITS)
    assert section_end(section, HEADERS, LIMITS) == len(section)


@pytest.mark.parametrize("section", BAD_HEADS)
def test_parse_head_refuses_and_escapes(section: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_head(section, LIMITS)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_parse_head_shows_the_line_at_fault() -> None:
    with pytest.raises(RemoteProtocolError, match=r"malformed header line: 'X : y'"):
        parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\nX : y\r\n\r\n", LIMITS)


def test_field_count_limit() -> None:
    limits = Limits(max_response_fields=3)
    parse_head(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 3 + b"\r\n", limits)
    with pytest.raises(HeadersTooLarge, match="more than 3 field lines"):
        parse_head(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 4 + b"\r\n", limits)


def test_line_length_limit() -> None:
    limits = Limits(max_line=20)
    parse_head(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 17 + b"\r\n\r\n", limits)
    with pytest.raises(HeadersTooLarge, match="longer than 20 octets"):
        parse_head(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 18 + b"\r\n\r\n", limits)


def test_section_end_waits_within_the_limit() -> None:
    limits = Limits(max_response_headers=30)
    complete = b"HTTP/1.1 200 OK\r\nA: 45678\r\n\r\n"
    assert len(complete) == 29
    assert section_end(complete, HEADERS, limits) == 29
    assert all(section_end(complete[:size], HEADERS, limits, 0, size - 1) == -1 for size in range(1, 29))
    with pytest.raises(HeadersTooLarge, match=r"max_response_headers"):
        section_end(b"HTTP/1.1 200 OK\r\nA: 4567890\r\n\r\n", HEADERS, limits)


def test_section_end_finds_it_behind_a_start() -> None:
    assert section_end(b"0\r\nA: b\r\n\r\nmore", TRAILERS, LIMITS, 3) == 11
    with pytest.raises(HeadersTooLarge, match="max_trailers"):
        section_end(b"0\r\n" + b"A" * 20, TRAILERS, Limits(max_trailers=20), 3)


def test_section_end_gives_a_long_line_up_early() -> None:
    limits = Limits(max_line=20)
    assert section_end(b"A: b\r\n" + b"c" * 20, HEADERS, limits) == -1
    with pytest.raises(HeadersTooLarge, match="max_line"):
        section_end(b"A: b\r\n" + b"c" * 21, HEADERS, limits)


@pytest.mark.parametrize("partial", [b"HTTP/1.1 200 OK\nA", b"HTTP/1.1 200 OK\rA", b"HTTP/1.1 \x00"])
def test_section_end_does_not_wait_for_an_end_that_cannot_come(partial: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="bare CR, LF or NUL"):
        section_end(partial, HEADERS, LIMITS)
    with pytest.raises(RemoteProtocolError, match="bare CR, LF or NUL"):
        section_end(partial, HEADERS, LIMITS, 0, len(partial) - 1)


def test_section_end_cannot_tell_a_cr_at_the_end_yet() -> None:
    assert section_end(b"HTTP/1.1 200 OK\r", HEADERS, LIMITS) == -1
    assert section_end(b"HTTP/1.1 200 OK\r\n", HEADERS, LIMITS, 0, 16) == -1


def test_trailers() -> None:
    assert parse_trailers(b"A: b \r\nC:\r\n\r\n", LIMITS).multi_items() == [("A", "b"), ("C", "")]
    with pytest.raises(RemoteProtocolError, match="malformed trailer line: ' C: d'"):
        parse_trailers(b"A: b\r\n C: d\r\n\r\n", LIMITS)
    with pytest.raises(HeadersTooLarge, match="more than 1 field lines"):
        parse_trailers(b"A: b\r\nC: d\r\n\r\n", Limits(max_response_fields=1))


def test_parse_head_takes_it_apart() -> None:
    head = parse_head(b"HTTP/1.0 404 \tNot  \xe9 \r\nA:  b  c \t\r\na:\r\nD:e:f\r\n\r\n", LIMITS)
    assert (head.version, head.status, head.reason) == ("1.0", 404, "Not  \xe9")
    assert head.headers.multi_items() == [("A", "b  c"), ("a", ""), ("D", "e:f")]
    assert parse_head(b"HTTP/1.1 200\r\n\r\n", LIMITS) == Head("1.1", 200, "", Headers())


@pytest.mark.parametrize(
    "lines", [b"Content-Length: 3, 3 \r\nA: b\r\nCONTENT-length:3\r\n", b"Content-Length: 3,3\r\nA: b\r\n"]
)
def test_one_length_stands_for_several(lines: bytes) -> None:
    headers = parse_head(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n", LIMITS).headers
    assert headers.multi_items() == [("Content-Length", "3"), ("A", "b")]


@pytest.mark.parametrize("lengths", ["3, 4", "3,", ",", "x", ""])
def test_lengths_that_differ_stay_as_they_are(lengths: str) -> None:
    headers = parse_head(f"HTTP/1.1 200 OK\r\nContent-Length: {lengths}\r\n\r\n".encode(), LIMITS).headers
    assert headers.multi_items() == [("Content-Length", lengths)]


_TEXT = rb"[^\x00-\x08\n-\x1f\x7f]*"
_HEAD = re.compile(
    rb"HTTP/1\.[01] [1-9][0-9][0-9](?: " + _TEXT + rb")?\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:" + _TEXT + rb"\r\n)*\r\n"
)
_PIECES = [b"HTTP/1.1 200 OK", b"A", b":", b" ", b"\t", b"\r", b"\n", b"\r\n", b"A: b\r\n", b"c:d", b"\0", b"\xe9"]


@given(st.lists(st.sampled_from(_PIECES), max_size=12), st.booleans())
def test_parse_head_takes_what_the_grammar_takes_as_a_whole(pieces: list[bytes], is_begun: bool) -> None:
    data = b"HTTP/1.1 200 OK\r\n" * is_begun + b"".join(pieces)
    section = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    try:
        head = parse_head(section, LIMITS)
    except RemoteProtocolError:
        assert not _HEAD.fullmatch(section)
    else:
        assert _HEAD.fullmatch(section)
        lines = [line.partition(":") for line in section.decode("latin-1").split("\r\n")[1:-2]]
        assert head.headers.multi_items() == [(name, value.strip(" \t")) for name, _, value in lines]
