from collections.abc import Mapping
from typing import Any

import pytest

from http11.memory import raw_headers
from reqivo_core.content import BytesContent, Content, ContentReader
from reqivo_core.errors import InvalidRequest
from reqivo_core.headers import Headers
from reqivo_core.messages import Request
from reqivo_http11.serialization import SMALL_BODY, Outgoing, encode_trailers, serialize


class Unknown(Content):
    """A body whose length nobody knows."""

    def open(self) -> ContentReader:
        raise NotImplementedError


def outgoing(method: str = "GET", url: str = "http://example.com/", **options: Any) -> Outgoing:
    return serialize(Request(method, url, **options))


def lines(result: Outgoing) -> list[str]:
    head, _, _ = result.data.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n")


def test_a_plain_get() -> None:
    result = outgoing(url="http://example.com:8080/a?b#c", headers=[("X-b", "1"), ("x-A", "2"), ("X-b", "3")])
    assert result.data == b"GET /a?b HTTP/1.1\r\nHost: example.com:8080\r\nX-b: 1\r\nx-A: 2\r\nX-b: 3\r\n\r\n"
    assert result == Outgoing(result.data, True, 0, None, False, False, False)


def test_a_host_of_the_users_comes_first_all_the_same() -> None:
    assert lines(outgoing(headers=[("A", "b"), ("hOsT", "other:1")])) == ["GET / HTTP/1.1", "Host: other:1", "A: b"]


def test_values_may_hold_latin_1() -> None:
    assert b"\r\nA: caf\xe9\r\n" in outgoing(headers={"A": "café"}).data


@pytest.mark.parametrize(
    ("method", "declares"),
    [("POST", True), ("PUT", True), ("PATCH", True), ("QUERY", True)]
    + [(method, False) for method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "PROPFIND")],
)
def test_only_where_a_body_is_expected_none_is_declared(method: str, declares: bool) -> None:
    assert ("Content-Length: 0" in lines(outgoing(method))) is declares


def test_a_small_body_is_in_the_same_octets() -> None:
    result = outgoing("POST", content=BytesContent(b"hello"))
    assert result.data.endswith(b"\r\nContent-Length: 5\r\n\r\nhello")
    assert result.is_whole


def test_a_large_body_is_not() -> None:
    assert outgoing("POST", content=BytesContent(bytes(SMALL_BODY))).is_whole
    result = outgoing("POST", content=BytesContent(bytes(SMALL_BODY + 1)))
    assert not result.is_whole
    assert result.length == SMALL_BODY + 1
    assert result.data.endswith(b"\r\n\r\n")


def test_a_body_of_unknown_length_goes_in_chunks() -> None:
    result = outgoing("POST", content=Unknown())
    assert lines(result)[-1] == "Transfer-Encoding: chunked"
    assert (result.is_whole, result.length) == (False, None)


def test_the_users_length_is_kept_for_a_body_of_unknown_length() -> None:
    result = outgoing("POST", content=Unknown(), headers={"content-length": "7"})
    assert lines(result)[2:] == ["content-length: 7"]
    assert result.length == 7


def test_the_users_chunks_are_not_doubled() -> None:
    result = outgoing("POST", content=BytesContent(b"hello"), headers={"transfer-encoding": "Chunked"})
    assert lines(result)[2:] == ["transfer-encoding: Chunked"]
    assert (result.is_whole, result.length) == (False, None)


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "4")],
        [("Content-Length", "5"), ("Content-Length", "5")],
        [("Content-Length", "5, 5")],
        [("Content-Length", "+5")],
        [("Content-Length", "")],
        [("Content-Length", "٥".encode())],
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "gzip")],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        [("Host", "a"), ("Host", "a")],
        [("Host", "a b")],
        [("Host", "a/b")],
        [("Host", "user@a")],
    ],
)
def test_headers_that_contradict_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest, match="header "):
        outgoing("POST", content=BytesContent(b"hello"), headers=headers)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_have_no_body(method: str) -> None:
    with pytest.raises(InvalidRequest, match="no body"):
        outgoing(method, content=BytesContent(b"x"))


@pytest.mark.parametrize("ending", ["close", "Close", "x, CLOSE"])
def test_close_is_seen(ending: str) -> None:
    result = outgoing(headers={"Connection": ending})
    assert result.closes
    assert lines(result)[2:] == [f"Connection: {ending}"]
    assert not outgoing(headers={"Connection": "keep-alive"}).closes


def test_expectation() -> None:
    result = outgoing("POST", content=BytesContent(b"x"), headers={"Expect": "100-Continue"})
    assert result.awaits_continue
    assert not result.is_whole
    assert not outgoing("POST", headers={"Expect": "100-continue"}).awaits_continue
    assert not outgoing("POST", content=BytesContent(b"x"), headers={"Expect": "other"}).awaits_continue


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, ["Connection: upgrade", "Upgrade: foo/2"]),
        ({"Connection": "Upgrade", "Upgrade": "bar"}, ["Connection: Upgrade", "Upgrade: bar"]),
        ({"Connection": "Upgrade"}, ["Connection: Upgrade", "Upgrade: foo/2"]),
    ],
)
def test_upgrade(headers: Mapping[str, str], expected: list[str]) -> None:
    result = outgoing(headers=headers, extensions={"upgrade": "foo/2"})
    assert result.asks_upgrade
    assert lines(result)[2:] == expected


def test_upgrade_by_header_alone() -> None:
    assert outgoing(headers={"Upgrade": "foo"}).asks_upgrade
    assert not outgoing(extensions={"upgrade": None}).asks_upgrade


def test_upgrade_cannot_smuggle() -> None:
    with pytest.raises(InvalidRequest):
        outgoing(extensions={"upgrade": "a\r\nB: c"})


def test_absolute_form_for_proxies() -> None:
    assert serialize(Request("GET", "http://user:pw@a:81/b?c"), True).data.startswith(
        b"GET http://a:81/b?c HTTP/1.1\r\nHost: a:81\r\n"
    )
    assert serialize(Request("GET", "ws://a/b"), True).data.startswith(b"GET http://a/b HTTP/1.1\r\nHost: a\r\n")


@pytest.mark.parametrize(
    ("url", "target"),
    [("http://a/x", "a:80"), ("https://a/", "a:443"), ("http://a:81/", "a:81"), ("http://[::1]/", "[::1]:80")],
)
def test_authority_form_for_connect(url: str, target: str) -> None:
    for is_forwarded in (False, True):
        data = serialize(Request("CONNECT", url), is_forwarded).data
        assert data == f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()


@pytest.mark.parametrize("target", ["*", b"*"])
def test_a_target_of_the_users(target: str | bytes) -> None:
    assert lines(outgoing("OPTIONS", extensions={"target": target}))[0] == "OPTIONS * HTTP/1.1"


@pytest.mark.parametrize("target", ["", "/a b", "/a\r\nB: c", "/a\0", "/ä", "/a\x7f", b"/\xe4"])
def test_a_target_that_cannot_be_sent(target: str | bytes) -> None:
    with pytest.raises(InvalidRequest, match="target"):
        outgoing(extensions={"target": target})


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "a\r\nb", "a\0b"])
def test_the_last_door_holds_for_headers_that_went_round_the_first(text: str) -> None:
    for line in ((b"A", text.encode()), (text.encode(), b"b")):
        with pytest.raises(InvalidRequest, match="nothing was sent"):
            serialize(Request("GET", "http://a/", headers=raw_headers(line)))


@pytest.mark.parametrize("method", ["GET /x", "GET\r\n", "GE\0T"])
def test_the_last_door_holds_for_a_method_set_behind_the_constructor(method: str) -> None:
    request = Request("GET", "http://a/")
    request.method = method
    with pytest.raises(InvalidRequest, match="nothing was sent"):
        serialize(request)


def test_the_last_door_holds_for_characters_beyond_latin_1() -> None:
    request = Request("GET", "http://a/")
    request.headers.lines.append(("A", "€"))
    with pytest.raises(InvalidRequest, match="Latin-1"):
        serialize(request)


@pytest.mark.parametrize("trailers", [{"Digest": "x"}, Headers({"Digest": "x"}), [("Digest", "x")]])
def test_trailers_need_chunks(trailers: Any) -> None:
    result = outgoing("POST", content=BytesContent(b"x"), extensions={"trailers": trailers})
    assert lines(result)[2:] == ["Transfer-Encoding: chunked"]
    assert result.length is None
    assert encode_trailers(result.trailers) == b"0\r\nDigest: x\r\n\r\n"
    with pytest.raises(InvalidRequest, match="beside chunks"):
        outgoing("POST", content=BytesContent(b"x"), headers={"Content-Length": "1"}, extensions={"trailers": trailers})


def test_no_trailers() -> None:
    assert outgoing("POST", content=BytesContent(b"x"), extensions={"trailers": {}}).is_whole
    assert encode_trailers(None) == b"0\r\n\r\n"


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Host", "Authorization"])
def test_trailers_that_would_frame_route_or_authenticate(name: str) -> None:
    with pytest.raises(InvalidRequest, match="RFC 9110"):
        outgoing("POST", content=BytesContent(b"x"), extensions={"trailers": {name: "1"}})
