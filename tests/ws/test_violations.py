"""Servers that break the protocol, in every mode: J3 and J4, over plain text and TLS, by both engines, however cut."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from reqivo_core.errors import ConnectionClosedError, MessageTooBig
from reqivo_ws.codec import VARIABLE
from support.certs import Authority
from support.fixtures import Serve
from support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    close_frame,
    frame,
    text,
)
from support.sockets import connected
from support.world import World
from ws.scripts import Told, sending, ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")

NULL = b"\x00"


class Mode(NamedTuple):
    """How a server's octets come, and who reads them.

    Attributes:
        options: Of the server.
        trust: Of the client.
    """

    options: dict[str, Any]
    trust: dict[str, Any]


@pytest.fixture(params=["plain-fast-whole", "tls-fast-random", "plain-wsproto-byte", "tls-wsproto-whole"])
def mode(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Mode:
    security, engine, segmentation = request.param.split("-")
    monkeypatch.setenv(VARIABLE, engine)
    if security == "plain":
        return Mode({"segmentation": segmentation}, {})
    tls = authority.server_context(alpn=["http/1.1"])
    return Mode({"segmentation": segmentation, "tls": tls}, {"verify": str(authority.path)})


def long_header(opcode: int, length: int, octets: int) -> bytes:
    """The header of a frame whose length is written in so many octets."""
    return bytes([0x80 | opcode, 126 if octets == 2 else 127]) + length.to_bytes(octets, "big")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"x", masked=True), 1002, id="w07 masked"),
        pytest.param(frame(TEXT, b"x", rsv=RSV1), 1002, id="w07 RSV1"),
        pytest.param(frame(TEXT, b"x", rsv=RSV2), 1002, id="w07 RSV2"),
        pytest.param(frame(BINARY, b"x", rsv=RSV3), 1002, id="w07 RSV3"),
        pytest.param(frame(PING, b"x", rsv=RSV1), 1002, id="w07 RSV1 on a ping"),
        *[pytest.param(frame(opcode), 1002, id=f"w07 opcode {opcode}") for opcode in (3, 7, 11, 15)],
        pytest.param(frame(PING, b"x" * 126), 1002, id="w08 long ping"),
        pytest.param(frame(PING, b"", fin=False), 1002, id="w08 fragmented ping"),
        pytest.param(long_header(TEXT, 5, 2) + b"hello", 1002, id="w08 5 octets in a medium header"),
        pytest.param(long_header(TEXT, 300, 8) + b"x" * 300, 1002, id="w08 300 octets in a long header"),
        pytest.param(long_header(TEXT, 1 << 63, 8), 1002, id="w08 2^63 octets"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="w09 continuation"),
        pytest.param(frame(TEXT, b"x", fin=False) + text("y"), 1002, id="w09 text amid"),
        pytest.param(frame(TEXT, b"\xff"), 1007, id="w10 UTF-8"),
        pytest.param(frame(TEXT, b"x\xffyz")[:-1], 1007, id="w10 UTF-8 amid a frame"),
        pytest.param(frame(TEXT, b"x\xff", fin=False), 1007, id="w10 UTF-8 amid a message"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="w10 surrogate"),
        pytest.param(frame(TEXT, b"\xc0\xaf"), 1007, id="w10 overlong"),
        pytest.param(frame(TEXT, b"\xf4\x90\x80\x80"), 1007, id="w10 beyond U+10FFFF"),
        pytest.param(frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION), 1007, id="w10 half a character"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="w10 reason"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="w17 half a code"),
        *[
            pytest.param(close_frame(code), 1002, id=f"w17 {code}")
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999)
        ],
    ],
)
def test_j3_violations_fail_the_connection(world: World, serve: Serve, mode: Mode, data: bytes, code: int) -> None:
    told = Told()
    server = serve(sending(data, told), **mode.options)
    with connected(world, ws_url(server), compression=False, **mode.trust) as ws:
        with pytest.raises(ConnectionClosedError) as caught:
            ws.recv()
        assert caught.value.code == code == ws.close_code
        assert told.value[0] == code
        with pytest.raises(ConnectionClosedError):
            ws.send("too late")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(CONTINUATION, b"x", rsv=RSV1), id="a continuation"),
        pytest.param(frame(PING, b"x", rsv=RSV1), id="a ping"),
        pytest.param(frame(TEXT, b"\xca\x49", fin=False, rsv=RSV1) + frame(CONTINUATION, b"", rsv=RSV1), id="both"),
    ],
)
def test_w07_rsv1_belongs_to_the_first_frame_of_a_compressed_message(
    world: World, serve: Serve, mode: Mode, data: bytes
) -> None:
    told = Told()
    with connected(world, ws_url(serve(sending(data, told, True), **mode.options)), **mode.trust) as ws:
        with pytest.raises(ConnectionClosedError):
            ws.recv()
        assert told.value[0] == 1002


@pytest.mark.parametrize("length", [1 << 62, 1 << 32, 1001])
def test_j4_w11_a_frame_too_long_is_refused_by_its_header(world: World, serve: Serve, mode: Mode, length: int) -> None:
    told = Told()
    header = long_header(BINARY, length, 8 if length > 65535 else 2)
    server = serve(sending(header, told), **mode.options)
    with connected(world, ws_url(server), max_message_size=1000, compression=False, **mode.trust) as ws:
        with pytest.raises(MessageTooBig, match="1000"):
            ws.recv()
        assert told.value[0] == 1009


def test_w11_the_limit_is_for_the_sum_of_fragments(world: World, serve: Serve, mode: Mode) -> None:
    told = Told()
    fitting = frame(BINARY, NULL * 600, fin=False) + frame(CONTINUATION, NULL * 400)
    data = fitting + frame(BINARY, NULL * 600, fin=False) + frame(CONTINUATION, NULL * 401)
    server = serve(sending(data, told), **mode.options)
    with connected(world, ws_url(server), max_message_size=1000, compression=False, **mode.trust) as ws:
        assert ws.recv() == NULL * 1000
        with pytest.raises(MessageTooBig):
            ws.recv()
        assert told.value[0] == 1009


def test_w01_w10_what_is_right_in_every_mode(world: World, serve: Serve, mode: Mode) -> None:
    told = Told()
    split = frame(TEXT, b"\xe2\x82", fin=False) + frame(PING, b"amid") + frame(CONTINUATION, b"\xac")
    many = b"".join(text(str(number)) for number in range(100))
    data = text("") + split + frame(BINARY, NULL * 70_000) + many + close_frame(1001, "\u20ac")
    server = serve(sending(data, told), **mode.options)
    with connected(world, ws_url(server), compression=False, **mode.trust) as ws:
        assert ws.messages() == ["", "\u20ac", NULL * 70_000, *map(str, range(100))]
        assert (ws.close_code, ws.close_reason) == told.value == (1001, "\u20ac")
