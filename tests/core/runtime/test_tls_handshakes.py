"""Handshakes that must fail: certificates, names, silence and garbage."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import replace

import pytest

from reqivo_core.errors import (
    CertificateError,
    ConnectTimeout,
    InvalidRequest,
    ReadError,
)
from reqivo_core.interfaces import Address
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.tls_config import TlsConfig
from support.dialing import dial, fails_to_start, plain_server, wait_for_end
from support.resets import reset_at_close
from support.tls import AUTHORITY, DAY, LOCALHOST, NOW, STRANGER, TlsServer, context_of, issue
from support.worlds import BLOCKING

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
def test_wildcards_stand_for_one_whole_leftmost_label(world, config, pattern, name, is_good):
    async def body():
        (await dial(world, server.address, config, name)).close()

    with TlsServer(context=context_of(issue(raw_dns=[pattern]))) as server:
        if is_good:
            world.run(body())
        else:
            assert fails_to_start(world, server.address, config, name, error=CertificateError)


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
        reset_at_close(sock)

    with plain_server(serve) as address:
        error = fails_to_start(world, address, config)
    assert "connection reset by peer" in str(error)


def test_versions_without_overlap_are_an_error(world, config):
    context = context_of(LOCALHOST)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with TlsServer(context=context) as server:
        error = fails_to_start(world, server.address, replace(config, minimum_version="TLSv1.3"))
    assert "version" in str(error)


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
