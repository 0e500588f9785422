"""The handshake's words, without a network."""

from __future__ import annotations

import pytest

from reqivo_core.errors import InvalidRequest, InvalidURL
from reqivo_core.headers import Headers
from reqivo_core.urls import URL
from reqivo_ws.deflate import Deflate
from reqivo_ws.handshake import (
    Negotiated,
    Refused,
    check_response,
    checked_subprotocols,
    http_url,
    is_accepted,
    new_key,
    request_fields,
)
from support.frames import accept_key

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)]


def check(*changes: tuple[str, str | None], deflate: Deflate | None = None, version: str = "HTTP/1.1") -> Negotiated:
    headers = Headers(GOOD)
    for name, value in changes:
        if value is None:
            headers.discard(name)
        elif name in headers and not name.startswith("+"):
            headers[name] = value
        else:
            headers.add(name.removeprefix("+"), value)
    return check_response(version, headers, KEY, ("chat", "superchat"), [] if deflate is None else [deflate])


def test_the_example_of_the_rfc() -> None:
    assert accept_key(KEY) == ACCEPT
    assert check() == Negotiated(None, None)
    assert len(new_key()) == 24 and new_key() != new_key()


@pytest.mark.parametrize(
    "change",
    [("Upgrade", "WebSocket"), ("Connection", "keep-alive, upgrade"), ("Connection", "UPGRADE")],
)
def test_w03_case_and_lists_where_they_are_allowed(change: tuple[str, str]) -> None:
    assert check(change) == Negotiated(None, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("Upgrade", None), "its Upgrade is missing"),
        (("Upgrade", "h2c"), "its Upgrade is 'h2c'"),
        (("Upgrade", "websocket, h2c"), "its Upgrade"),
        (("Connection", None), "its Connection is missing"),
        (("Connection", "keep-alive"), "its Connection"),
        (("Sec-WebSocket-Accept", None), "missing does not answer"),
        (("Sec-WebSocket-Accept", ACCEPT.lower()), "does not answer"),
        (("+Sec-WebSocket-Accept", ACCEPT), "does not answer"),
        (("Sec-WebSocket-Protocol", "other"), "was not offered"),
        (("Sec-WebSocket-Protocol", "Chat"), "was not offered"),
        (("Sec-WebSocket-Protocol", "chat, superchat"), "several subprotocols"),
        (("Sec-WebSocket-Extensions", "x-webkit-deflate-frame"), "was not offered"),
        (("Sec-WebSocket-Extensions", "permessage-deflate"), "was not offered"),
        (("Sec-WebSocket-Extensions", "=,;"), "cannot be read"),
    ],
)
def test_w03_w06_what_must_not_be_accepted(change: tuple[str, str | None], why: str) -> None:
    with pytest.raises(Refused, match=why):
        check(change)


def test_w06_two_lines_with_subprotocols() -> None:
    with pytest.raises(Refused, match="several"):
        check(("Sec-WebSocket-Protocol", "chat"), ("+Sec-WebSocket-Protocol", "superchat"))
    assert check(("Sec-WebSocket-Protocol", " chat ")).subprotocol == "chat"


@pytest.mark.parametrize(
    "extensions",
    [
        "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=abc",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate;",
        "permessage-deflate; ; x",
        'permessage-deflate; server_max_window_bits="',
        "foo, permessage-deflate",
    ],
)
def test_j2_bad_compression_parameters_are_refused(extensions: str) -> None:
    with pytest.raises(Refused):
        check(("Sec-WebSocket-Extensions", extensions), deflate=Deflate())


@pytest.mark.parametrize("bits", ["8", '"8"', "15"])
def test_w06_good_compression_parameters(bits: str) -> None:
    extensions = f"PerMessage-Deflate ; Server_Max_Window_Bits = {bits};client_no_context_takeover"
    agreed = check(("Sec-WebSocket-Extensions", extensions), deflate=Deflate()).deflate
    assert agreed is not None
    assert (agreed.server_window_bits, agreed.client_no_context_takeover) == (int(bits.strip('"')), True)


def test_w06_of_several_offers_the_first_that_is_answered_counts() -> None:
    offers = [Deflate(server_max_window_bits=10), Deflate(client_no_context_takeover=True)]
    assert (
        "server_max_window_bits=10; client_max_window_bits, permessage-deflate; client_no"
        in dict(request_fields(KEY, (), offers))["Sec-WebSocket-Extensions"]
    )
    headers = Headers(GOOD)
    headers["Sec-WebSocket-Extensions"] = "permessage-deflate; client_no_context_takeover"
    agreed = check_response("HTTP/1.1", headers, KEY, (), offers).deflate
    assert agreed is not None and agreed.settings is offers[1]


def test_w29_over_http2_no_upgrade_is_answered() -> None:
    headers = Headers([("sec-websocket-protocol", "chat")])
    assert check_response("HTTP/2", headers, KEY, ("chat",), []).subprotocol == "chat"
    assert [is_accepted(200, "HTTP/2"), is_accepted(204, "HTTP/2"), is_accepted(302, "HTTP/2")] == [True, True, False]
    assert [is_accepted(101, "HTTP/1.1"), is_accepted(200, "HTTP/1.1")] == [True, False]


def test_w05_http_1_0_knows_no_upgrade() -> None:
    with pytest.raises(Refused, match=r"HTTP/1\.0"):
        check(version="HTTP/1.0")


def test_what_is_asked() -> None:
    fields = dict(request_fields(KEY, ("chat", "superchat"), [Deflate()]))
    assert fields == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "chat, superchat",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    }
    assert len(request_fields(KEY, (), [])) == 4


@pytest.mark.parametrize("names", ["chat", ["chat", "chat"], ["with space"], [""], ["ü"], [5]])
def test_subprotocols_that_cannot_be_offered(names: object) -> None:
    with pytest.raises(InvalidRequest):
        checked_subprotocols(names)  # type: ignore[arg-type]  # what the test is about


def test_w27_urls() -> None:
    assert str(http_url(URL("wss://example.com/chat?room=1"))) == "https://example.com/chat?room=1"
    assert str(http_url(URL("ws://[::1]:8080/"))) == "http://[::1]:8080/"
    assert http_url(URL("ws://bücher.example/")).authority == "xn--bcher-kva.example"
    assert http_url(URL("ws://example.com:80/")).authority == "example.com"
    assert str(http_url(URL("http://example.com/"))) == "http://example.com/"
    with pytest.raises(InvalidURL, match="no fragment"):
        http_url(URL("ws://example.com/#top"))
    with pytest.raises(InvalidURL, match="ws://"):
        http_url(URL("ftp://example.com/"))
