"""TLS in every world, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from reqivo_core.errors import (
    CertificateError,
    ConnectTimeout,
    InvalidRequest,
    NetworkError,
    ReadError,
    ReadTimeout,
    ReqivoError,
    TlsError,
    WriteError,
    WriteTimeout,
)
from reqivo_core.interfaces import Address, NetworkStream
from reqivo_core.runtime import tls
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.runtime.tls import TlsStream
from reqivo_core.tls_config import TlsConfig
from support.processes import run_in_child
from support.tls import AUTHORITY, DAY, LOCALHOST, NOW, STRANGER, TlsServer, context_of, echo, issue
from support.worlds import BLOCKING, World


@pytest.fixture(scope="session")
def authority_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def config(authority_path):
    return TlsConfig(verify=authority_path)


@pytest.fixture(autouse=True)
def no_sessions():
    tls._sessions._sessions.clear()


async def dial(
    world: World,
    address: tuple[str, int],
    config: TlsConfig,
    name: str = "localhost",
    alpn=(),
    timeout: float | None = 10,
) -> NetworkStream:
    stream = await world.runtime.connect_tcp([Address(*address)], 5)
    return await stream.start_tls(config, name, alpn, timeout)


async def until(condition, world: World) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        await world.runtime.sleep(0.001)


def fails_to_start(world: World, address, config, name="localhost", *, error: type[ReqivoError] = TlsError, timeout=10):
    """Dial, expecting an error; nothing may stay open."""

    async def body() -> ReqivoError:
        with pytest.raises(error) as caught:
            await dial(world, address, config, name, timeout=timeout)
        return caught.value

    return world.run(body())


# the usual


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_exchanges_octets(world, config, version):
    context = context_of(LOCALHOST)
    context.minimum_version = context.maximum_version = version

    async def body():
        stream = await dial(world, server.address, config)
        for size in (1, 10, 16384, 16385, 100_000):
            sent = os.urandom(size)
            await stream.write(sent, 5)
            received = b""
            while len(received) < size:
                received += await stream.read(1 << 20, 5)
            assert received == sent
        assert stream.get_info("ssl_object").version() == version.name.replace("_", ".")
        assert stream.get_info("alpn_protocol") is None
        assert stream.get_info("peername") == server.address
        stream.close()

    with TlsServer(context=context) as server:
        world.run(body())
    # The farewell was said: an end without it would be an error to this server.
    assert server.errors == []
    assert server.names == ["localhost"]


def test_reads_never_exceed_what_is_asked(world, config):
    async def body():
        stream = await dial(world, server.address, config)
        await stream.write(b"abcdef", 5)
        assert [await stream.read(n, 5) for n in (1, 2, 3)] == [b"a", b"bc", b"def"]
        stream.close()

    with TlsServer() as server:
        world.run(body())


@pytest.mark.parametrize(
    ("offered", "chosen"), [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None), (("x",), None)]
)
@pytest.mark.parametrize("given", [False, True])
def test_negotiates_a_protocol(world, config, offered, chosen, given):
    if given:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        context.set_alpn_protocols(["left over"])
        config = TlsConfig(verify=context)

    async def body():
        stream = await dial(world, server.address, config, alpn=offered)
        assert stream.get_info("alpn_protocol") == chosen
        stream.close()

    with TlsServer(context=context_of(LOCALHOST, ["h2", "http/1.1"])) as server:
        world.run(body())


def test_another_server_name_is_sent_and_verified(world, config):
    async def body():
        stream = await dial(world, server.address, replace(config, server_hostname="other.example"), "localhost")
        stream.close()

    with TlsServer(context=context_of(AUTHORITY.issue_cert("other.example"))) as server:
        world.run(body())
    assert server.names == ["other.example"]


def test_a_trailing_dot_is_not_part_of_the_name(world, config):
    async def body():
        (await dial(world, server.address, config, "localhost.")).close()

    with TlsServer() as server:
        world.run(body())
    assert server.names == ["localhost"]


@pytest.mark.parametrize("name", ["", ".x", "ü.example", "a\0b", "x." * 200])
def test_a_name_that_no_certificate_can_hold_is_an_error(world, config, name):
    with TlsServer() as server:
        error = fails_to_start(world, server.address, config, name)
    assert "is no name that a certificate could hold" in str(error)


# C1: certificates that must not be accepted

BAD = {
    "wrong host": (lambda: issue("other.example"), "not valid for 'localhost'; it is for other.example"),
    "many hosts": (
        lambda: issue(*(f"h{n}.example" for n in range(9)), critical=True),
        "it is for h0.example, h1.example, h2.example, h3.example, h4.example and 4 more",
    ),
    "expired": (lambda: issue("localhost", not_before=NOW - 2 * DAY, not_after=NOW - DAY), "certificate has expired"),
    "not yet valid": (lambda: issue("localhost", not_before=NOW + DAY, not_after=NOW + 2 * DAY), "not yet valid"),
    "common name only": (lambda: issue(common_name="localhost"), "it names no host in its subjectAltName"),
    "untrusted root": (lambda: STRANGER.issue_cert("localhost"), "unable to get local issuer certificate"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_certificates_are_refused_by_name(world, config, kind):
    make, reason = BAD[kind]
    with TlsServer(context=context_of(make())) as server:
        error = fails_to_start(world, server.address, config, error=CertificateError)
    assert str(error).startswith("the certificate of localhost was not accepted (")
    assert reason in str(error)
    assert error.phase == "tls"
    # The server was told, and got nothing of a request.
    assert "alert" in str(server.errors[0]).lower()


def test_a_self_signed_certificate_is_refused(world, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = tmp_path / "self.pem"
    path.write_bytes(STRANGER.private_key_pem.bytes() + STRANGER.cert_pem.bytes())
    context.load_cert_chain(path)
    with TlsServer(context=context) as server:
        error = fails_to_start(world, server.address, TlsConfig(), error=CertificateError)
    assert "self-signed" in str(error).replace("self signed", "self-signed")


def test_an_incomplete_chain_is_refused(world, config, tmp_path):
    child = AUTHORITY.create_child_ca()
    leaf = child.issue_cert("localhost")
    path = tmp_path / "leaf.pem"
    path.write_bytes(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with TlsServer(context=context) as server:
        error = fails_to_start(world, server.address, config, error=CertificateError)
    assert "unable to get local issuer" in str(error)


def test_an_intermediate_authority_alone_is_not_trusted(world, tmp_path):
    child = AUTHORITY.create_child_ca()
    leaf = child.issue_cert("localhost")
    path = tmp_path / "child.pem"
    child.cert_pem.write_to_path(str(path))
    with TlsServer(context=context_of(leaf)) as server:
        error = fails_to_start(world, server.address, TlsConfig(verify=str(path)), error=CertificateError)
    assert "unable to get issuer" in str(error) or "unable to get local issuer" in str(error)


@pytest.mark.parametrize(
    ("pattern", "name", "is_good"),
    [
        ("*", "localhost", False),
        ("*", "a.com", False),
        ("*.com", "a.com", False),
        ("*.a.com", "b.a.com", True),
        ("*.a.com", "a.com", False),
        ("*.a.com", "c.b.a.com", False),
        ("*.*.a.com", "c.b.a.com", False),
        ("b*.a.com", "b1.a.com", False),
        ("*b.a.com", "1b.a.com", False),
        ("b.*.com", "b.a.com", False),
        ("*.0.0.1", "127.0.0.1", False),
        ("B.A.COM", "b.a.com", True),
    ],
)
def test_wildcards_stand_for_one_whole_leftmost_label(config, pattern, name, is_good):
    with TlsServer(context=context_of(issue(raw_dns=[pattern]))) as server:
        if is_good:
            run_blocking(dial(BLOCKING, server.address, config, name)).close()
        else:
            assert fails_to_start(BLOCKING, server.address, config, name, error=CertificateError)


# C2: one configuration's trust is not another's


def test_trust_does_not_cross_configurations(world, config):
    async def body():
        # Unverified, long enough for tickets to come.
        stream = await dial(world, server.address, TlsConfig(verify=False))
        await stream.write(b"x", 5)
        assert await stream.read(10, 5) == b"x"
        stream.close()
        with pytest.raises(CertificateError):
            await dial(world, server.address, TlsConfig())
        stream = await dial(world, server.address, config)
        assert not stream.get_info("ssl_object").session_reused
        stream.close()

    with TlsServer() as server:
        world.run(body())


def test_sessions_are_resumed_within_a_configuration(world, config):
    async def body():
        reused = []
        for _ in range(3):
            stream = await dial(world, server.address, config)
            await stream.write(b"x", 5)
            assert await stream.read(10, 5) == b"x"
            reused.append(stream.get_info("ssl_object").session_reused)
            stream.close()
        assert reused == [False, True, True]
        # Of a context that the user made nothing is kept: it may change.
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        for _ in range(2):
            stream = await dial(world, server.address, TlsConfig(verify=context))
            await stream.write(b"x", 5)
            assert await stream.read(10, 5) == b"x"
            assert not stream.get_info("ssl_object").session_reused
            stream.close()

    with TlsServer() as server:
        world.run(body())


def test_only_so_many_sessions_are_kept(monkeypatch):
    monkeypatch.setattr(tls, "SESSIONS_SIZE", 2)
    sessions = tls._Sessions()
    context: Any = object()
    for name in "abc":
        sessions.put(context, name, name)  # type: ignore[arg-type]  # stands for a session
    assert sessions.take(context, "a") is None
    assert sessions.take(context, "c") == "c"
    assert sessions.take(context, "c") is None


# C3: addresses


def test_addresses_are_verified_as_addresses(world, config):
    async def body():
        stream = await dial(world, server.address, config, "127.0.0.1")
        stream.close()

    with TlsServer() as server:
        world.run(body())
    assert server.names == [None]


@pytest.mark.parametrize("name", ["::1", "::1%lo"])
def test_ipv6_addresses_are_verified_as_addresses(world, config, name):
    async def body():
        (await dial(world, server.address, config, name)).close()

    try:
        server = TlsServer(host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        world.run(body())
    assert server.names == [None]


@pytest.mark.parametrize("certificate", [{"raw_dns": ["127.0.0.1"]}, {"common_name": "127.0.0.1"}])
def test_an_address_among_the_names_does_not_count(world, config, certificate):
    with TlsServer(context=context_of(issue(**certificate))) as server:
        error = fails_to_start(world, server.address, config, "127.0.0.1", error=CertificateError)
    assert "(IP address mismatch, certificate is not valid for '127.0.0.1'" in str(error)


# C4, C5: handshakes that lead nowhere


@contextlib.contextmanager
def plain_server(serve):
    """A server that speaks no TLS: a function of a socket, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.settimeout(10)
                serve(sock)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        thread.join(20)
        listener.close()


def server_hello() -> bytes:
    """The first flight of a server."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_out = ssl.MemoryBIO()
    client = ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), client_out)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(client_out.read())
    server = context_of(LOCALHOST).wrap_bio(incoming, outgoing, server_side=True)
    with contextlib.suppress(ssl.SSLWantReadError):
        server.do_handshake()
    return outgoing.read()


def wait_for_end(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


def drip(sock: socket.socket) -> None:
    for octet in server_hello():
        sock.sendall(bytes([octet]))
        time.sleep(0.02)


@pytest.mark.parametrize("stall", ["silence", "half a hello", "drip"])
def test_a_stalled_handshake_times_out(world, config, stall):
    hello = server_hello()
    serve = {
        "silence": wait_for_end,
        "half a hello": lambda sock: (sock.sendall(hello[:50]), wait_for_end(sock)),
        "drip": drip,
    }[stall]
    with plain_server(serve) as address:
        error = fails_to_start(world, address, config, error=ConnectTimeout, timeout=0.1)
    assert str(error) == "the TLS handshake with localhost was not over within 0.1 s"
    assert error.phase == "tls"


ALERT = bytes.fromhex("15030300020228")  # fatal, handshake_failure
CLOSE_NOTIFY = bytes.fromhex("15030300020100")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak TLS on this port (it answered in plain HTTP)"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the server does not speak TLS on this port"),
        (b"\x00", "the server does not speak TLS on this port"),
        (b"HTT", "the server does not speak TLS on this port"),
        (ALERT, "handshake failure"),
        (CLOSE_NOTIFY, "the TLS handshake with localhost failed"),
        (b"", "localhost closed the connection during the TLS handshake"),
        (server_hello()[:50], "localhost closed the connection during the TLS handshake"),
        (b"\x16\x03\x03\x00\x05" + b"\xff" * 5, "the TLS handshake with localhost failed"),
    ],
    ids=["http", "ssh", "one-octet", "three-octets", "alert", "close-notify", "end", "half-a-hello", "garbage"],
)
def test_what_is_no_handshake_is_an_error_at_once(world, config, answer, reason):
    def serve(sock):
        sock.recv(1)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        wait_for_end(sock)

    with plain_server(serve) as address:
        error = fails_to_start(world, address, config, timeout=None)
    assert reason in str(error)
    assert not isinstance(error, CertificateError)


def test_a_reset_during_the_handshake_is_a_tls_error(world, config):
    def serve(sock):
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with plain_server(serve) as address:
        error = fails_to_start(world, address, config)
    assert "connection reset by peer" in str(error)


def test_versions_without_overlap_are_an_error(world, config):
    context = context_of(LOCALHOST)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with TlsServer(context=context) as server:
        error = fails_to_start(world, server.address, replace(config, minimum_version="TLSv1.3"))
    assert "version" in str(error)


# C6: the end


def test_an_announced_end_is_the_end(world, config):
    def serve(connection):
        connection.sendall(b"all of it")
        with contextlib.suppress(OSError):
            connection.unwrap()

    async def body():
        stream = await dial(world, server.address, config)
        assert await stream.read(100, 5) == b"all of it"
        assert await stream.read(100, 5) == b""
        assert await stream.read(100, 0) == b""
        assert stream.is_readable()
        assert await stream.read(100, 5) == b""
        stream.close()

    with TlsServer(serve) as server:
        world.run(body())


@pytest.mark.parametrize("given", [False, True])
def test_an_unannounced_end_is_a_truncation(world, config, given):
    def serve(connection):
        connection.sendall(b"a part of it")
        connection.shutdown(socket.SHUT_WR)

    if given:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        config = TlsConfig(verify=context)

    async def body():
        stream = await dial(world, server.address, config)
        assert await stream.read(100, 5) == b"a part of it"
        for _ in range(2):
            with pytest.raises(ReadError, match="without TLS's close_notify"):
                await stream.read(100, 5)
        assert stream.is_readable()
        stream.close()

    with TlsServer(serve) as server:
        world.run(body())


def test_a_reset_is_a_read_error(world, config):
    def serve(connection):
        connection.sendall(b"x")
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    async def body():
        stream = await dial(world, server.address, config)
        assert await stream.read(1, 5) == b"x"
        await stream.write(b"x", 5)
        with pytest.raises(ReadError, match="reset by peer"):
            await stream.read(100, 5)
        stream.close()

    with TlsServer(serve) as server:
        world.run(body())


def test_a_broken_record_is_a_tls_error_after_what_came_before(world, config):
    def serve(connection):
        connection.sendall(b"good")
        with socket.socket(fileno=os.dup(connection.fileno())) as raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with contextlib.suppress(OSError):
            connection.recv(1)

    async def body():
        stream = await dial(world, server.address, config)
        await world.runtime.sleep(0.02)
        assert await stream.read(100, 5) == b"good"
        for _ in range(2):
            with pytest.raises(TlsError, match="TLS failed on the connection to localhost"):
                await stream.read(100, 5)
        assert stream.is_readable()
        with pytest.raises(TlsError, match="TLS failed on the connection to localhost"):
            await stream.write(b"x", 5)
        stream.close()

    with TlsServer(serve) as server:
        world.run(body())


def test_octets_after_the_announced_end_are_ignored(world, config):
    def serve(connection):
        with contextlib.suppress(OSError):
            connection.settimeout(0)
            connection.unwrap()
        with socket.socket(fileno=os.dup(connection.fileno())) as raw:
            raw.sendall(b"injected")

    async def body():
        stream = await dial(world, server.address, config)
        assert await stream.read(100, 5) == b""
        assert await stream.read(100, 5) == b""
        stream.close()

    with TlsServer(serve) as server:
        world.run(body())


# waiting


def test_reading_times_out_and_loses_nothing(world, config):
    async def body():
        stream = await dial(world, server.address, config)
        with pytest.raises(ReadTimeout):
            await stream.read(10, 0.02)
        with pytest.raises(ReadTimeout):
            await stream.read(10, 0)
        await stream.write(b"x", 5)
        assert await stream.read(10, None) == b"x"
        stream.close()

    with TlsServer() as server:
        world.run(body())


def test_tickets_alone_are_nothing_to_read(world, config):
    """TLS 1.3 servers send tickets after the handshake: octets on the wire, but none for us."""
    arrived = threading.Event()

    def serve(connection):
        arrived.wait(10)
        connection.sendall(b"data")
        wait_for_end(connection)

    async def body():
        stream = await dial(world, server.address, config)
        await until(stream._inner.is_readable, world)
        assert not stream.is_readable()
        assert not stream._inner.is_readable()
        with pytest.raises(ReadTimeout):
            await stream.read(10, 0)
        arrived.set()
        await until(stream.is_readable, world)
        assert stream.is_readable()
        assert await stream.read(2, 0) == b"da"
        assert stream.is_readable()
        assert await stream.read(10, 0) == b"ta"
        assert not stream.is_readable()
        stream.close()
        assert stream.is_readable()

    with TlsServer(serve) as server:
        world.run(body())


def test_an_end_while_idle_is_seen(world, config):
    async def body():
        for is_announced in (True, False):
            server.serve = (lambda c: c.unwrap()) if is_announced else (lambda c: None)
            stream = await dial(world, server.address, config)
            await until(stream.is_readable, world)
            stream.close()

    with TlsServer() as server:
        world.run(body())


def test_a_peer_that_does_not_read_makes_writing_time_out(world, config):
    release = threading.Event()

    async def body():
        stream = await dial(world, server.address, config)
        with pytest.raises(WriteTimeout):
            await stream.write(bytes(32_000_000), 0.1)
        release.set()
        with pytest.raises(WriteError, match="unusable since a write failed"):
            await stream.write(b"x", 5)
        stream.close()

    with TlsServer(lambda connection: release.wait(10)) as server:
        world.run(body())


def test_an_empty_write_is_nothing(world, config):
    async def body():
        stream = await dial(world, server.address, config)
        await stream.write(b"", 5)
        await stream.write(bytearray(b"x"), 5)
        assert await stream.read(10, 5) == b"x"
        stream.close()

    with TlsServer() as server:
        world.run(body())


def test_large_transfers_arrive_whole(world, config):
    octets = os.urandom(1024) * 6000
    digests = []

    def serve(connection):
        received = bytearray()
        while len(received) < len(octets):
            received += connection.recv(1 << 20)
        digests.append(hashlib.sha256(received).digest())
        connection.sendall(received)

    async def body():
        stream = await dial(world, server.address, config)
        await stream.write(octets, 30)
        received = bytearray()
        while len(received) < len(octets):
            received += await stream.read(1 << 18, 30)
        assert received == octets
        stream.close()

    with TlsServer(serve) as server:
        world.run(body())
    assert digests == [hashlib.sha256(octets).digest()]


def test_a_reader_and_a_writer_in_two_threads(config):
    octets = os.urandom(1024) * 8000
    received = bytearray()

    def read(stream):
        while len(received) < len(octets):
            received.extend(run_blocking(stream.read(100_000, 30)))

    with TlsServer() as server:
        stream = run_blocking(dial(BLOCKING, server.address, config))
        reader = threading.Thread(target=read, args=(stream,))
        reader.start()
        for start in range(0, len(octets), 300_000):
            run_blocking(stream.write(octets[start : start + 300_000], 30))
        reader.join()
        stream.close()
    assert received == octets
    assert server.errors == []


def test_two_readers_or_two_writers_are_a_mistake(config):
    with TlsServer() as server:
        stream = run_blocking(dial(BLOCKING, server.address, config))
        stream._is_reading = stream._is_writing = True
        with pytest.raises(RuntimeError, match="somebody is reading"):
            run_blocking(stream.read(1, 1))
        with pytest.raises(RuntimeError, match="somebody is writing"):
            run_blocking(stream.write(b"x", 1))
        assert not stream.is_readable(), "whatever has arrived is the reader's"
        stream._is_reading = stream._is_writing = False
        stream.close()


# closing


def test_a_closed_stream_says_so(world, config):
    async def body():
        stream = await dial(world, server.address, config)
        stream.close()
        stream.close()
        with pytest.raises(ReadError, match="closed on this side"):
            await stream.read(10, 5)
        with pytest.raises(WriteError, match="closed on this side"):
            await stream.write(b"x", 5)

    with TlsServer() as server:
        world.run(body())


def test_closing_from_another_thread_wakes_a_reader(world, config):
    async def body():
        stream = await dial(world, server.address, config)
        closer = threading.Timer(0.02, stream.close)
        closer.start()
        with pytest.raises(ReadError):
            await stream.read(10, 30)
        closer.join()

    with TlsServer() as server:
        world.run(body())


def test_a_forked_child_says_no_farewell_for_its_parent(world, config):
    async def body():
        stream = await dial(world, server.address, config)
        run_in_child(stream.close)
        await stream.write(b"x", 5)
        assert await stream.read(10, 5) == b"x"
        stream.close()

    with TlsServer() as server:
        world.run(body())
    assert server.errors == []


def test_a_farewell_is_not_waited_for(config):
    """The lock may be held by the very thread that closes, in a finalizer."""
    with TlsServer() as server:
        stream = run_blocking(dial(BLOCKING, server.address, config))
        with stream._lock:
            stream.close()
    assert len(server.errors) == 1, "an end without farewell"


def test_a_farewell_that_finds_no_way_out_is_forgone(world, config):
    async def body():
        stream = await dial(world, server.address, config)
        stream._inner.close()
        stream.close()
        assert stream._is_broken

    with TlsServer() as server:
        world.run(body())


# TLS inside TLS, client certificates


def test_tls_inside_tls(world, config):
    inner_context = context_of(AUTHORITY.issue_cert("inner.example"))
    names = []

    def tunnel(outer):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inner = inner_context.wrap_bio(incoming, outgoing, server_side=True)

        def step(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    outer.sendall(outgoing.read())
                    incoming.write(outer.recv(65536))
                finally:
                    outer.sendall(outgoing.read())

        step(inner.do_handshake)
        names.append(True)
        while data := step(lambda: inner.read(65536)):
            inner.write(data)
            outer.sendall(outgoing.read())

    async def body():
        outer = await dial(world, server.address, config)
        stream = await outer.start_tls(config, "inner.example", ["h2"], 10)
        assert isinstance(stream, TlsStream)
        octets = os.urandom(200_000)
        await stream.write(octets[:10], 5)
        assert await stream.read(10, 5) == octets[:10]
        await stream.write(octets, 5)
        received = b""
        while len(received) < len(octets):
            received += await stream.read(65536, 5)
        assert received == octets
        assert not stream.is_readable()
        with pytest.raises(ReadTimeout):
            await stream.read(1, 0)
        stream.close()

    with TlsServer(tunnel) as server:
        world.run(body())
    assert names == [True]


def test_a_failed_inner_handshake_is_reported_once(world, config):
    async def body():
        outer = await dial(world, server.address, config)
        with pytest.raises(TlsError, match="does not speak TLS on this port: |TLS on this port") as caught:
            await outer.start_tls(config, "inner.example", [], 5)
        assert "inner.example" in str(caught.value)
        assert outer.is_readable()

    with TlsServer(lambda c: (c.recv(1), c.sendall(b"HTTP/1.1 502 x\r\n\r\n"), wait_for_end(c))) as server:
        world.run(body())


@pytest.fixture
def client_cert(tmp_path):
    leaf = AUTHORITY.issue_cert("client@example.com")
    path = tmp_path / "client.pem"
    path.write_bytes(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes())
    return str(path)


def test_a_client_certificate_is_shown(world, config, client_cert):
    context = context_of(LOCALHOST)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    shown = []

    def serve(connection):
        shown.append(connection.getpeercert()["subjectAltName"])
        echo(connection)

    async def body():
        stream = await dial(world, server.address, replace(config, cert=(client_cert,)))
        await stream.write(b"x", 5)
        assert await stream.read(10, 5) == b"x"
        stream.close()

    with TlsServer(serve, context) as server:
        world.run(body())
    assert shown == [(("email", "client@example.com"),)]


def test_a_missing_client_certificate_is_reported_when_the_server_says_so(world, config):
    context = context_of(LOCALHOST)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    async def body():
        stream = await dial(world, server.address, config)
        with pytest.raises(NetworkError, match="certificate required"):
            await stream.read(10, 5)
        stream.close()

    with TlsServer(context=context) as server:
        world.run(body())


def test_a_certificate_asked_for_later_is_shown(world, config, client_cert):
    """Post-handshake authentication (RFC 8446 §4.6.2): the reader has to answer."""
    context = context_of(LOCALHOST)
    AUTHORITY.configure_trust(context)
    context.post_handshake_auth = True
    context.verify_mode = ssl.CERT_REQUIRED
    shown = []

    def serve(connection):
        connection.recv(1)
        shown.append(connection.getpeercert() is not None)
        connection.verify_client_post_handshake()
        connection.sendall(b"asked")
        connection.recv(1)
        shown.append(connection.getpeercert() is not None)
        connection.sendall(b"done")
        wait_for_end(connection)

    async def body():
        stream = await dial(world, server.address, replace(config, cert=(client_cert,)))
        await stream.write(b"1", 5)
        assert await stream.read(5, 5) == b"asked"
        await stream.write(b"2", 5)
        assert await stream.read(5, 5) == b"done"
        stream.close()

    with TlsServer(serve, context) as server:
        world.run(body())
    assert shown == [False, True]


def test_idle_streams_do_not_look_for_ever(world, config, monkeypatch):
    monkeypatch.setattr(tls, "LOOKS", 0)

    async def body():
        stream = await dial(world, server.address, config)
        assert stream.is_readable()
        stream.close()

    with TlsServer() as server:
        world.run(body())


def test_a_stream_that_only_seemed_readable_is_not(world, config, monkeypatch):
    async def body():
        stream = await dial(world, server.address, config)
        with contextlib.suppress(ReadTimeout):
            while True:
                await stream.read(1, 0.02)  # the tickets
        monkeypatch.setattr(type(stream._inner), "is_readable", lambda self: True)
        assert not stream.is_readable()
        stream.close()

    with TlsServer() as server:
        world.run(body())


def test_a_configuration_that_cannot_be_used_closes_the_connection(world):
    async def body():
        stream = await world.runtime.connect_tcp([Address(*server.address)], 5)
        with pytest.raises(InvalidRequest, match="no such file"):
            await stream.start_tls(TlsConfig(verify="/nonexistent"), "localhost", [], 5)
        assert stream.is_readable()
        with pytest.raises(ReadError, match="closed on this side"):
            await stream.read(1, 5)

    with TlsServer() as server:
        world.run(body())


def test_an_interrupted_handshake_closes_the_connection(config):
    async def interrupt(*args):
        raise KeyboardInterrupt

    with plain_server(wait_for_end) as address:
        stream = run_blocking(BLOCKING.runtime.connect_tcp([Address(*address)], 5))
        sock = stream.get_info("socket")
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(type(stream), "read", interrupt)
            run_blocking(stream.start_tls(config, "localhost", [], 5))
        assert sock.fileno() == -1
