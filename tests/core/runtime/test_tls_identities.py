"""Whose TLS it is: trust, sessions, client certificates, TLS inside TLS."""

from __future__ import annotations

import contextlib
import os
import ssl
from dataclasses import replace
from typing import Any

import pytest

from reqivo_core.errors import (
    CertificateError,
    NetworkError,
    ReadTimeout,
    TlsError,
)
from reqivo_core.runtime import tls
from reqivo_core.runtime.tls import TlsStream
from reqivo_core.tls_config import TlsConfig
from support.dialing import dial, wait_for_end
from support.tls import AUTHORITY, LOCALHOST, TlsServer, context_of, echo

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
