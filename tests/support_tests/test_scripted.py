"""Scripts do what they say, in the three segmentations, plain and over TLS."""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from support.certs import Authority
from support.messages import SEGMENTATIONS, Segmentation, chunked, response, segments
from support.scripted import Peer, ScriptedServer, answers

Connect = Callable[[ScriptedServer], socket.socket]


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext | None:
    return authority.server_context() if request.param == "tls" else None


@pytest.fixture
def connect(authority: Authority) -> Iterator[Connect]:
    made: list[socket.socket] = []

    def connect(server: ScriptedServer) -> socket.socket:
        sock = socket.create_connection(server.address, 5)
        if server.tls is not None:
            sock = authority.client_context().wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
        made.append(sock)
        return sock

    yield connect
    for sock in made:
        sock.close()


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
def test_a_request_is_read_whole_and_the_answer_comes_whole(
    tls: ssl.SSLContext | None, connect: Connect, segmentation: Segmentation
) -> None:
    body = bytes(range(256)) * 80
    script = answers(response(200, body), response(404))
    with ScriptedServer(script, tls=tls, segmentation=segmentation) as server:
        sock = connect(server)
        sock.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sock.sendall(chunked(b"one", b"two", trailers=[("X-Sum", "7")]))
        sock.sendall(b"PUT /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz")
        assert read_all(sock) == response(200, body) + response(404)
        server.wait_until_idle()
        first, second = server.requests
    assert (first.method, first.target, first.body) == ("POST", "/a", b"onetwo")
    assert first.trailers == (("X-Sum", "7"),)
    assert (second.header("content-length"), second.body) == ("3", b"xyz")
    assert server.connections == 1


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
@pytest.mark.parametrize("length", [0, 1, 100, 9000, 300_000])
def test_segments_lose_nothing(segmentation: Segmentation, length: int) -> None:
    data = random.Random(length).randbytes(length)
    pieces = list(segments(data, segmentation, random.Random(1)))
    assert b"".join(pieces) == data
    assert pieces == list(segments(data, segmentation, random.Random(1)))
    assert len(pieces) < 20_000


def test_fin_is_a_clean_end(tls: ssl.SSLContext | None, connect: Connect) -> None:
    with ScriptedServer(lambda peer: peer.fin(), tls=tls) as server:
        assert read_all(connect(server)) == b""


def test_rst_resets(tls: ssl.SSLContext | None, connect: Connect) -> None:
    with ScriptedServer(lambda peer: (peer.expect(1), peer.rst()), tls=tls) as server:
        sock = connect(server)
        sock.sendall(b"x")
        # Python's ssl reports a reset as an end of file when it came through SSL_read_ex.
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            sock.recv(1)


def test_abort_tls_ends_without_close_notify(authority: Authority, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.expect(1)
        peer.send(b"half")
        peer.abort_tls()

    with ScriptedServer(script, tls=authority.server_context()) as server:
        sock = connect(server)
        sock.sendall(b"x")
        assert sock.recv(4) == b"half"
        with pytest.raises(ssl.SSLEOFError):
            sock.recv(1)


def test_half_close_goes_on_reading(tls: ssl.SSLContext | None, connect: Connect) -> None:
    heard: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.expect(1)
        peer.send(b"bye")
        peer.half_close()
        heard.append(peer.expect(5))

    with ScriptedServer(script, tls=tls) as server:
        sock = connect(server)
        sock.sendall(b"x")
        assert read_all(sock) == b"bye"
        sock.sendall(b"still")
        server.wait_until_idle()
    assert heard == [b"still"]


def test_each_connection_has_its_script_and_the_last_repeats(connect: Connect) -> None:
    scripts = [lambda peer, word=word: peer.send(word) for word in (b"one", b"two")]
    with ScriptedServer(scripts) as server:
        assert [read_all(connect(server)) for _ in range(3)] == [b"one", b"two", b"two"]
        assert server.connections == 3


def test_a_generator_may_be_a_script(connect: Connect) -> None:
    def script(peer: Peer) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        yield b"\r\n"

    with ScriptedServer(script) as server:
        assert read_all(connect(server)) == b"HTTP/1.1 200 OK\r\n\r\n"


def test_starttls_names_and_alpn_are_seen(authority: Authority) -> None:
    seen: list[tuple[str | None, str | None]] = []

    def script(peer: Peer) -> None:
        peer.expect_until(b"tls please\n")
        peer.send(b"go")
        peer.tls(authority.server_context(alpn=["h2"]))
        seen.append((peer.server_name, peer.alpn))
        peer.send(b"secret")

    with ScriptedServer(script) as server, socket.create_connection(server.address, 5) as raw:
        raw.sendall(b"tls please\n")
        assert raw.recv(2, socket.MSG_WAITALL) == b"go"
        context = authority.client_context(alpn=["h2"])
        with context.wrap_socket(raw, server_hostname="localhost") as sock:
            assert read_all(sock) == b"secret"
    assert seen == [("localhost", "h2")]


def test_failed_handshakes_are_noted(authority: Authority) -> None:
    with ScriptedServer(lambda peer: None, tls=authority.self_signed().server_context()) as server:
        with socket.create_connection(server.address, 5) as raw:
            with pytest.raises(ssl.SSLCertVerificationError):
                authority.client_context().wrap_socket(raw, server_hostname="localhost")
        server.wait_until_idle()
        assert len(server.tls_errors) == 1


def test_an_assertion_in_a_script_fails_the_test(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        assert peer.expect_request().target == "/other"

    with pytest.raises(AssertionError, match="/this"):
        with ScriptedServer(script) as server:
            connect(server).sendall(b"GET /this HTTP/1.1\r\n\r\n")
            server.wait_until_idle()


def test_waiting_in_vain_is_an_error_and_leaving_is_not(connect: Connect) -> None:
    with pytest.raises(TimeoutError, match="timed out"):
        with ScriptedServer(lambda peer: peer.expect_request(), timeout=0.05) as server:
            connect(server)
            while not server.errors:
                server.halted.wait(0.01)
    with ScriptedServer(lambda peer: peer.expect_request()) as server:
        connect(server).close()
        server.wait_for_connections(1)
        server.wait_until_idle()
        assert len(server.disconnects) == 1


def test_stop_wakes_whoever_waits(tls: ssl.SSLContext | None, connect: Connect) -> None:
    with ScriptedServer(lambda peer: peer.expect_request(), tls=tls) as server:
        connect(server)
        server.wait_for_connections(1)
    assert not [t for t in threading.enumerate() if t.name.startswith(server.name)]


def test_events_dripping_and_closing(connect: Connect) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.expect(1)
        peer.wait(go)
        peer.drip(b"drop", 1, 0.001)
        assert peer.expect_close() == b"tail"

    with ScriptedServer(script) as server:
        sock = connect(server)
        sock.sendall(b"x")
        go.set()
        assert b"".join(sock.recv(1) for _ in range(4)) == b"drop"
        sock.sendall(b"tail")
        sock.close()
        server.wait_for_closed(1)
        assert server.closed == 1


def test_a_server_that_stops_reading_blocks_the_writer(connect: Connect) -> None:
    with ScriptedServer(Peer.stop_reading, receive_buffer=4096) as server:
        sock = connect(server)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.sendall(bytes(1 << 25))
        server.wait_for_connections(1)
    assert server.errors == []
