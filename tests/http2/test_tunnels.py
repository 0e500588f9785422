"""Streams as tunnels: CONNECT, and extended CONNECT for WebSocket (RFC 8441); scenario 47."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core import Timeout
from reqivo_core.content import to_content
from reqivo_core.errors import ReadError, ReadTimeout, UnsupportedProtocol, WriteError, WriteTimeout
from reqivo_core.limits import DEFAULT_LIMITS
from reqivo_core.messages import Request
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.timeouts import Deadline
from reqivo_http2.request_fields import build_head
from support import h2_peer
from support.h2_peer import H2Peer, H2Request

CLOSED = "END_STREAM"
OFFER = {0x8: 1}
UPGRADE = {"upgrade": "websocket"}
HEADERS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "c2VjcmV0",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "chat",
}


def opened(line: Any, **options: Any) -> tuple[Any, Any]:
    """A response and its stream."""
    response = line.get("/chat", headers=HEADERS, extensions=UPGRADE, **options)
    return response, response.extensions["network_stream"]


def accept(server: H2Peer) -> H2Request:
    """Open the tunnel that is asked for."""
    request = server.expect_request(whole=False)
    server.send_frame(server.head(request, 200, [("sec-websocket-protocol", "chat")]))
    return request


def until(server: H2Peer, request: H2Request, length: int) -> bytes:
    """Read until so much has come."""
    while len(request.body) < length:
        server.expect_frame()
    return request.body


def test_s47_a_websocket_is_a_stream(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet(OFFER)
        request = accept(server)
        assert request.headers[:5] == [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", f"127.0.0.1:{server.peer.server.port}"),
            (":path", "/chat"),
        ]
        assert request["sec-websocket-version"] == "13"
        assert request["sec-websocket-protocol"] == "chat"
        assert not any(request[name] for name in ("connection", "upgrade", "sec-websocket-key", "content-length"))
        assert until(server, request, 5) == b"hello"
        server.send_frame(server.data(request, b"world, again"))
        server.send_frame(server.data(request, b"", CLOSED))
        while not request.has_ended:
            server.expect_frame()
        server.serve([b"next"])

    line = h2line(script)
    response, stream = opened(line)
    run = line.drive
    assert response.status_code == 200
    assert response.headers["sec-websocket-protocol"] == "chat"
    assert stream.get_info("stream_id") == 1
    assert stream.get_info("peername")[1] == line.server.port
    run(stream.write(b"hello", 5))
    run(stream.write(b"", 5))
    assert run(stream.read(5, 5)) == b"world"
    assert stream.is_readable()
    assert run(stream.read(100, 5)) == b", again"
    assert run(stream.read(100, 5)) == b""
    stream.close()
    stream.close()
    assert line.body() == b"next"
    assert line.server.connections == 1
    assert line.session.pool.active == 0


def test_s47_without_the_servers_setting_nothing_is_sent(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.serve([b"only this"])

    line = h2line(script)
    error = line.fails(UnsupportedProtocol, headers=HEADERS, extensions=UPGRADE)
    assert error.unprocessed
    assert line.body() == b"only this"


def test_s47_a_reset_breaks_the_tunnel_only(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet(OFFER)
        request = accept(server)
        server.reset(request, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script)
    run = line.drive
    _, stream = opened(line)
    with pytest.raises(ReadError, match="CANCEL"):
        run(stream.read(10, 5))
    with pytest.raises(WriteError, match="CANCEL"):
        run(stream.write(b"x", 5))
    stream.close()
    assert line.body() == b"next"


def test_a_tunnel_that_is_closed_early_is_reset(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet(OFFER)
        request = accept(server)
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script)
    run = line.drive
    _, stream = opened(line)
    assert not stream.is_readable()
    with pytest.raises(ReadTimeout):
        run(stream.read(10, 0.05))
    with pytest.raises(ReadTimeout):
        run(stream.read(10, 0))
    stream.close()
    assert stream.is_readable()
    for action in (lambda: run(stream.write(b"x", 1)), lambda: run(stream.read(1, 1))):
        with pytest.raises((ReadError, WriteError), match="closed"):
            action()
    assert line.body() == b"next"


def test_a_tunnel_obeys_the_windows(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet(OFFER | {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 10})
        request = accept(server)
        assert until(server, request, 10) == b"x" * 10
        server.open_window(request.stream_id, 10)
        until(server, request, 20)
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script)
    run = line.drive
    _, stream = opened(line)
    run(stream.write(b"x" * 15, 5))
    with pytest.raises(WriteTimeout):
        run(stream.write(b"x" * 15, 0.1))
    assert line.body() == b"next"
    stream.close()


def test_an_upgrade_that_is_refused_is_a_response(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet(OFFER)
        request = server.expect_request(whole=False)
        server.respond(request, 403, b"no sockets")
        server.expect(frames.RstStreamFrame)
        server.expect_close()

    line = h2line(script)
    response = line.get(headers=HEADERS, extensions=UPGRADE)
    assert (response.status_code, line.client.read(response)) == (403, b"no sockets")
    assert "network_stream" not in response.extensions


def test_plain_connect(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request(whole=False)
        assert request.headers[:2] == [(":method", "CONNECT"), (":authority", "far.example:443")]
        assert request[":path"] == request[":scheme"] == ""
        server.send_frame(server.head(request, 200, [("content-length", "3")]))  # which means nothing here
        server.send_frame(server.data(request, b"through the tunnel"))
        server.expect_close()

    line = h2line(script)
    response = line.client.request("CONNECT", line.url(), extensions={"target": "far.example:443"})
    stream = response.extensions["network_stream"]
    assert line.drive(stream.read(100, 5)) == b"through the tunnel"
    stream.close()


def test_an_upgrade_waits_for_the_servers_settings_only_so_long(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.acknowledges = False
        server.expect_preface()
        server.expect_close()

    line = h2line(script)
    line.fails(ReadTimeout, headers=HEADERS, extensions=UPGRADE, timeout=Timeout(read=0.1))
    assert line.server.requests == []


def test_tls_through_a_tunnel(h2line: Callable, authority: Any) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request(whole=False)
        server.send_frame(server.head(request, 200))
        until(server, request, 50)
        server.send_frame(server.data(request, b"HTTP/1.1 400 no TLS here\r\n\r\n"))
        server.expect_close()

    from reqivo_core.errors import TlsError
    from reqivo_core.tls_config import TlsConfig

    line = h2line(script)
    response = line.client.request("CONNECT", line.url(), extensions={"target": "far.example:443"})
    stream = response.extensions["network_stream"]
    with pytest.raises(TlsError, match="does not speak TLS"):
        line.drive(stream.start_tls(TlsConfig(), "far.example", ["h2"], 5))


def test_a_tunnel_gives_credit_as_it_is_read(h2line: Callable) -> None:
    total = 600_000

    def script(server: H2Peer) -> None:
        server.greet(OFFER)
        request = accept(server)
        window, sent = server.settings[frames.SettingsFrame.INITIAL_WINDOW_SIZE], 0
        while sent < total:
            size = min(16384, window, total - sent)
            if size:
                server.send_frame(server.data(request, b"x" * size))
                window, sent = window - size, sent + size
            else:
                update = server.expect(frames.WindowUpdateFrame, lambda frame: frame.stream_id == request.stream_id)
                window += update.window_increment
        server.expect_close()

    line = h2line(script)
    _, stream = opened(line)
    received = 0
    while received < total:
        received += len(line.drive(stream.read(5000, 5)))
    stream.close()
    assert received == total


def test_a_tunnel_knows_whether_it_can_be_written_to(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet(OFFER | {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 10})
        request = accept(server)
        assert until(server, request, 10) == b"x" * 10
        server.open_window(request.stream_id, 10)
        server.send_frame(server.data(request, b"more room"))
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script)
    _, stream = opened(line)
    assert stream.is_writable()
    line.drive(stream.write(b"x" * 10, 5))
    assert not stream.is_writable()
    assert line.drive(stream.read(100, 5)) == b"more room"
    assert stream.is_writable()
    stream.close()
    assert stream.is_writable()  # a write fails at once
    assert line.body() == b"next"


def test_what_a_tunnel_writes_without_waiting_is_its_own(h2line: Callable) -> None:
    """Octets of others may be more than the system's buffer holds, and a write that does not fit ends them all."""

    def script(server: H2Peer) -> None:
        server.greet(OFFER)
        request = accept(server)
        assert until(server, request, 4) == b"mine"
        other = server.expect_request(whole=False)
        assert other.body == b""
        assert until(server, other, 6) == b"others"
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.respond(other)
        server.serve([b"next"])

    line = h2line(script)
    _, stream = opened(line)
    wire = stream._stream._wire
    deadline = Deadline(Timeout(timeout=5), wire.runtime.now)
    head = build_head(Request("POST", line.url(), content=to_content(b"others")))

    async def write() -> None:
        with wire.guard:
            wire.state.open(head, DEFAULT_LIMITS, is_head=False, data=b"others")
        run_blocking(stream.write(b"mine", 0))
        await wire.flush(deadline)

    line.drive(write())
    stream.close()
    assert line.body() == b"next"


def test_a_tunnel_is_asked_without_waiting(h2line: Callable) -> None:
    """TLS inside of it does so from where nothing can be awaited, whatever the world."""

    def script(server: H2Peer) -> None:
        server.greet(OFFER | {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 10})
        request, other = accept(server), accept(server)
        assert until(server, request, 5) == b"hello"
        server.send_frame(server.data(request, b"world"))
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.respond(other)
        server.serve([b"next"])

    line = h2line(script)
    _, stream = opened(line)
    opened(line)  # with more than one stream writers give way to others

    async def talk() -> bytes:
        with pytest.raises(ReadTimeout):
            run_blocking(stream.read(10, 0))
        run_blocking(stream.write(b"hello", 0))
        answer: bytes = await stream.read(10, 5)
        with pytest.raises(WriteTimeout, match="takes nothing"):
            run_blocking(stream.write(b"more than the window", 0))
        return answer

    assert line.drive(talk()) == b"world"
    assert line.body() == b"next"


def test_octets_that_have_arrived_in_a_tunnel_are_read_without_waiting(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet(OFFER)
        request = accept(server)
        server.send_frame(server.data(request, b"there"))
        server.expect(frames.PingFrame)
        server.expect_close()

    line = h2line(script)
    _, stream = opened(line)
    line.client.call(lambda session: session.ping(line.url(), timeout=5))

    async def take() -> bytes:
        data: bytes = run_blocking(stream.read(10, 0))
        return data

    assert line.drive(take()) == b"there"
    stream.close()
