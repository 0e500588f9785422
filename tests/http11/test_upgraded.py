import pytest

from http11.memory import Wire, read_all, run
from reqivo_core.errors import RemoteProtocolError
from reqivo_core.interfaces import NetworkStream
from reqivo_core.tls_config import TlsConfig
from reqivo_http11.upgraded import UpgradedStream

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n"
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
UPGRADE = {"Connection": "upgrade", "Upgrade": "foo"}


def stream_of(wire: Wire, method: str) -> NetworkStream:
    response = wire.send("CONNECT") if method == "CONNECT" else wire.send(headers=UPGRADE)
    assert response.status == (200 if method == "CONNECT" else 101)
    assert read_all(response) == b""
    response.body.close()
    stream = response.extensions["network_stream"]
    assert isinstance(stream, NetworkStream)
    return stream


@pytest.mark.parametrize(("method", "head"), [("GET", SWITCH), ("CONNECT", TUNNEL)])
def test_the_stream_is_handed_over(codec: str, how: str, method: str, head: bytes) -> None:
    wire = Wire(head, codec=codec, how=how)
    stream = stream_of(wire, method)
    assert wire.transport.is_closing
    assert wire.transport.concurrency == 0
    assert not wire.stream.is_closed
    assert not stream.is_readable()
    run(stream.write(b"ping", 1.0))
    assert wire.stream.writes[-1] == b"ping"
    wire.stream.script.append(b"pong")
    assert run(stream.read(10, 1.0)) == b"pong"


@pytest.mark.parametrize(("method", "head"), [("GET", SWITCH), ("CONNECT", TUNNEL)])
def test_left_over_octets_come_first(codec: str, how: str, method: str, head: bytes) -> None:
    wire = Wire(head + b"abcdef", b"ghi", codec=codec, how=how)
    stream = stream_of(wire, method)
    assert stream.is_readable()
    octets = b""
    while len(octets) < 9:
        octets += run(stream.read(4, 1.0))
    assert octets == b"abcdefghi"
    assert not stream.is_readable()


def test_a_tunnel_ignores_what_its_head_says_about_length(codec: str, how: str) -> None:
    wire = Wire(TUNNEL[:-2] + b"Content-Length: 5\r\n\r\nhello", codec=codec, how=how)
    stream = stream_of(wire, "CONNECT")
    assert stream.is_readable()


def test_a_refused_tunnel_is_a_response(codec: str, how: str) -> None:
    wire = Wire(b"HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno", codec=codec, how=how)
    response, body = wire.fetch("CONNECT")
    assert (response.status, body) == (407, b"no")
    assert "network_stream" not in response.extensions
    assert wire.is_reusable


def test_an_upgrade_that_is_not_taken_up_is_a_response(codec: str, how: str) -> None:
    wire = Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", codec=codec, how=how)
    response, body = wire.fetch(headers=UPGRADE)
    assert (response.status, body) == (200, b"no")
    assert "network_stream" not in response.extensions
    assert wire.is_reusable


def test_a_switch_that_was_not_asked_for(codec: str, how: str) -> None:
    wire = Wire(SWITCH, codec=codec, how=how)
    with pytest.raises(RemoteProtocolError, match="not asked for"):
        wire.send()
    assert wire.stream.is_closed


def test_closing_the_transport_closes_what_was_handed_over(codec: str) -> None:
    wire = Wire(SWITCH, codec=codec)
    stream_of(wire, "GET")
    wire.transport.close()
    assert wire.stream.is_closed


def test_the_rest_of_a_stream() -> None:
    inner = Wire().stream
    stream = UpgradedStream(inner, b"rest")
    run(stream.write(b"x", None))
    assert inner.written == b"x"
    assert stream.get_info("peername") == "info of peername"
    stream.close()
    assert inner.is_closed


def test_octets_in_the_clear_never_come_before_tls() -> None:
    inner = Wire().stream
    stream = UpgradedStream(inner, b"evil")
    with pytest.raises(RemoteProtocolError, match="'evil'"):
        run(stream.start_tls(TlsConfig(), "a", (), None))
    assert inner.is_closed
    assert inner.tls is None


def test_tls_starts_once_they_are_read() -> None:
    inner = Wire().stream
    stream = UpgradedStream(inner, b"rest")
    assert run(stream.read(10, None)) == b"rest"
    assert run(stream.start_tls(TlsConfig(), "a", (), None)) is inner.tls
