"""What servers do to the framing of HTTP/1.1, and what becomes of it in whole sessions."""

from __future__ import annotations

from typing import Any

import pytest

from reqivo import HeadersTooLarge, IncompleteBody, RemoteProtocolError, ServerDisconnected
from support.messages import Segmentation, chunked, response
from support.scenarios import Scenario, Stage, bad, good, head, ids, ok

pytestmark = pytest.mark.thorough

Bad = RemoteProtocolError
CHUNKED = head("Transfer-Encoding: chunked")


def length(value: str) -> bytes:
    return head(f"Content-Length: {value}") + b"abc"


def coding(value: str, version: str = "HTTP/1.1") -> bytes:
    return head(f"Transfer-Encoding: {value}", status=f"{version} 200 OK") + chunked(b"abc")


def has_trailers(response: Any) -> None:
    assert response.trailers["X-Sum"] == "1"
    assert "x-sum" not in response.headers
    assert "content-length" not in response.headers
    assert "set-cookie" not in response.headers
    assert not response.cookies
    assert response.trailers.get("set-cookie") == "a=b"


def is_capped(name: str, count: int) -> Scenario:
    trailers = [(f"X-{number}", "1") for number in range(count)]
    return bad(name, CHUNKED + chunked(b"abc", trailers=trailers), HeadersTooLarge, words="trailer")


LENGTHS = [  # A1, A2
    bad("both length and coding", head("Content-Length: 3", "Transfer-Encoding: chunked") + chunked(b"abc"), Bad),
    bad("both coding and length", head("Transfer-Encoding: chunked", "Content-Length: 3") + chunked(b"abc"), Bad),
    good("one length in two lines", head("Content-Length: 3", "Content-Length: 3") + b"abc", b"abc"),
    bad("two lengths in two lines", head("Content-Length: 3", "Content-Length: 4") + b"abc", Bad),
    bad("two lengths in one line", length("3, 4"), Bad),
    bad("a positive length", length("+3"), Bad),
    bad("a negative length", length("-1"), Bad),
    bad("a length with an underscore", length("3_0"), Bad),
    bad(
        "a length in Arabic digits", head().replace(b"\r\n\r\n", b"\r\nContent-Length: \xd9\xa3\r\n\r\n") + b"abc", Bad
    ),
    bad("an empty length", length(""), Bad),
    bad("a hexadecimal length", length("0x3"), Bad),
    bad("a length beyond 64 bits", length("9" * 23), Bad),
    good("a length with zeros in front", length("003"), b"abc"),
]
CODINGS = [  # A3
    bad("gzip as a coding", coding("gzip, chunked"), Bad),
    bad("identity after chunked", coding("chunked, identity"), Bad),
    bad("an unknown coding", coding("xchunked"), Bad),
    bad("chunked twice", coding("chunked, chunked"), Bad),
    bad("chunked in two lines", head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunked(b"a"), Bad),
    bad("chunked in HTTP/1.0", coding("chunked", "HTTP/1.0"), Bad),
    good("chunked in capitals", coding("CHUNKED"), b"abc"),
]
ENDS = [  # A4 to A7
    bad("a short body", length("10"), IncompleteBody, ending="fin", words="3 of 10"),
    bad("a body reset", length("10"), IncompleteBody, ending="rst"),
    bad("a body cut", length("10"), IncompleteBody, ending="cut"),
    bad("a huge length", length(str(2**60)), IncompleteBody, ending="fin"),
    bad("a chunk cut", CHUNKED + b"5\r\nabc", IncompleteBody, ending="fin"),
    bad("a chunk reset", CHUNKED + b"5\r\nabc", IncompleteBody, ending="rst"),
    bad("no last chunk", CHUNKED + b"3\r\nabc\r\n", IncompleteBody, ending="fin"),
    bad("half a last chunk", CHUNKED + b"3\r\nabc\r\n0\r\n", IncompleteBody, ending="fin"),
    bad("a head cut", b"HTTP/1.1 200 OK\r\nContent-", Bad, ending="fin"),
    bad("no answer", b"", ServerDisconnected, ending="fin"),
    bad("a reset instead of an answer", b"", ServerDisconnected, ending="rst"),
    good("until the end of the connection", head() + b"abc", b"abc", ending="fin", is_reused=False),
    bad("until the end, reset", head() + b"abc", IncompleteBody, ending="rst"),
    good("octets behind the body", ok(b"abc") + b"x", b"abc", is_reused=False),
    good("a response behind the body", ok(b"abc") + ok(b"evil"), b"abc", is_reused=False),
    good("a response behind the chunks", CHUNKED + chunked(b"abc") + ok(b"evil"), b"abc", is_reused=False),
    good("close", ok(b"abc", [("Connection", "close")]), b"abc", is_reused=False),
    good("close among others", ok(b"abc", [("Connection", "x, Close")]), b"abc", is_reused=False),
    good("HTTP/1.0", head("Content-Length: 3", status="HTTP/1.0 200 OK") + b"abc", b"abc", is_reused=False),
    good(
        "HTTP/1.0 kept alive",
        head("Content-Length: 3", "Connection: keep-alive", status="HTTP/1.0 200 OK") + b"abc",
        b"abc",
    ),
    good("HEAD with a length", length("1000000000")[:-3], b"", method="HEAD"),
    good("HEAD with a coding", CHUNKED, b"", method="HEAD"),
    good("HEAD with gzip", head("Content-Encoding: gzip", "Content-Length: 20"), b"", method="HEAD"),
    good("HEAD with a body", length("3"), b"", method="HEAD", is_reused=False),
    good("204", head(status="HTTP/1.1 204 No Content"), b"", status=204),
    good("204 with a length", head("Content-Length: 1000", status="HTTP/1.1 204 No"), b"", status=204),
    good("204 with a body", response(204, b"abc"), b"", status=204, is_reused=False),
    good("304 with a length", head("Content-Length: 1000", status="HTTP/1.1 304 Not"), b"", status=304),
    good("304 with a body", response(304, b"abc"), b"", status=304, is_reused=False),
]
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
INTERIM = [  # A9
    good("32 interim responses", HINTS * 32 + ok(b"abc"), b"abc"),
    bad("33 interim responses", HINTS * 33 + ok(b"abc"), Bad, words="max_informational"),
    bad("endless interim responses", lambda peer: (peer.expect_request(), peer.flood(HINTS))[0], Bad, ending="fin"),
    bad("100 without end", lambda peer: (peer.expect_request(), peer.flood(head(status="HTTP/1.1 100 C")))[0], Bad),
    bad("101 without being asked", head("Upgrade: x", status="HTTP/1.1 101 Switching"), Bad, words="101"),
    bad("an interim response and the end", HINTS, Bad, ending="fin"),
]
CHUNKS = [  # A10, A11
    bad("extensions larger than chunks", CHUNKED + (b"1;a=" + b"x" * 8000 + b"\r\na\r\n") * 100, Bad, words="overhead"),
    bad("a chunk size of 17 digits", CHUNKED + b"F" * 17 + b"\r\nabc", Bad),
    bad("a chunk size of 21 digits", CHUNKED + b"0" * 20 + b"3\r\nabc\r\n0\r\n\r\n", Bad),
    bad("a chunk size with 0x", CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", Bad),
    bad("a chunk size with a sign", CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", Bad),
    bad("a negative chunk size", CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", Bad),
    bad("a chunk size with a space", CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", Bad),
    bad("an empty chunk size", CHUNKED + b"\r\nabc\r\n0\r\n\r\n", Bad),
    bad("a chunk size ended by LF", CHUNKED + b"3\nabc\r\n0\r\n\r\n", Bad),
    bad("a LF in an extension", CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", Bad),
    bad("a chunk longer than its size", CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", Bad),
    bad("a chunk without CR", CHUNKED + b"3\r\nabc\n0\r\n\r\n", Bad),
    bad("a chunk size that never ends", CHUNKED + b"3;a=" + b"x" * 40000, Bad),
    good("chunks of one octet", CHUNKED + chunked(*[b"a"] * 3000), b"a" * 3000),
    good("extensions", CHUNKED + b'3;a=b;c="d e"\r\nabc\r\n0;x\r\n\r\n', b"abc"),
    good(
        "trailers",
        CHUNKED
        + chunked(b"abc", trailers=[("X-Sum", "1"), ("Content-Length", "5"), ("Set-Cookie", "a=b"), ("TE", "x")]),
        b"abc",
        check=has_trailers,
    ),
    is_capped("10000 trailers", 10000),
    is_capped("201 trailers", 201),
    bad("a malformed trailer", CHUNKED + b"3\r\nabc\r\n0\r\nX Y: 1\r\n\r\n", Bad),
    bad("a folded trailer", CHUNKED + b"3\r\nabc\r\n0\r\nX: 1\r\n y\r\n\r\n", Bad),
]


def line(octets: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + octets + b"\r\nContent-Length: 3\r\n\r\nabc"


LINES = [  # A12, A13
    *[
        bad(f"{name} in a value", line(b"X: a" + octet + b"b"), Bad)
        for name, octet in (("NUL", b"\0"), ("CR", b"\r"), ("LF", b"\n"), ("SOH", b"\1"), ("DEL", b"\x7f"))
    ],
    bad("a space before the colon", line(b"X : a"), Bad),
    bad("no colon", line(b"nonsense"), Bad),
    bad("no name", line(b": a"), Bad),
    bad("a fold", line(b"X: a\r\n b"), Bad),
    bad("a fold at the beginning", line(b" X: a"), Bad),
    bad("a control character in a name", line(b"X\1: a"), Bad),
    bad("Latin-1 in a name", line(b"X\xe4: a"), Bad),
    bad("LF as line ends", b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", Bad),
    bad("an empty line first", b"\r\n" + ok(b"abc"), Bad),
    bad("HTTP/0.9", b"<html>abc</html>\r\n\r\n", Bad, ending="fin"),
    bad("HTTP/2", b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", Bad),
    bad("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 3\r\n\r\nabc", Bad),
    bad("a status of two digits", head("Content-Length: 3", status="HTTP/1.1 99 OK") + b"abc", Bad),
    bad("a status of four digits", head("Content-Length: 3", status="HTTP/1.1 2000 OK") + b"abc", Bad),
    bad("a status of letters", head("Content-Length: 3", status="HTTP/1.1 abc OK") + b"abc", Bad),
    bad("TLS where HTTP should be", b"\x15\x03\x01\x00\x02\x02\x50", Bad, ending="fin"),
    good("no reason", head("Content-Length: 3", status="HTTP/1.1 200") + b"abc", b"abc"),
    good("Latin-1 in a value", line(b"X: \xe4"), b"abc"),
    good("an empty value", line(b"X:"), b"abc"),
    good("an unknown status", head("Content-Length: 3", status="HTTP/1.1 799 Odd") + b"abc", b"abc", status=799),
]
SIZES = [  # A8
    bad("10000 fields", head(*[f"X-{n}: 1" for n in range(10000)]) + b"", HeadersTooLarge),
    bad("201 fields", head(*["X: 1"] * 201), HeadersTooLarge, words="max_response_fields"),
    good("200 fields", head(*["X: 1"] * 199, "Content-Length: 3") + b"abc", b"abc"),
    bad("one field of a megabyte", head("X: " + "a" * 2**20), HeadersTooLarge),
    bad(
        "an endless head",
        lambda peer: (peer.expect_request(), peer.send(b"HTTP/1.1 200 OK\r\n"), peer.flood(b"X: 1\r\n"))[0],
        HeadersTooLarge,
    ),
    bad("a status line of 8 megabytes", b"HTTP/1.1 200 " + b"a" * 2**23, HeadersTooLarge),
]
SCENARIOS = [*LENGTHS, *CODINGS, *ENDS, *INTERIM, *CHUNKS, *LINES, *SIZES]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=ids(SCENARIOS))
def test_framing(stage: Stage, codec: str, segmentation: Segmentation, scenario: Scenario) -> None:
    outcome = stage.run(scenario, segmentation=segmentation)
    assert isinstance(outcome, scenario.error) if scenario.error else outcome.status_code == scenario.status
