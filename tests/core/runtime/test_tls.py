"""TLS in every world, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import threading
from dataclasses import replace

import pytest

from reqivo_core.errors import (
    ReadError,
    ReadTimeout,
    TlsError,
    WriteError,
    WriteTimeout,
)
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.testing.failing import Fault
from reqivo_core.tls_config import TlsConfig
from support.dialing import dial, fails_to_start, until, wait_for_end
from support.processes import run_in_child
from support.resets import reset_at_close
from support.tls import AUTHORITY, LOCALHOST, TlsServer, context_of
from support.worlds import BLOCKING

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
        reset_at_close(connection)

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
    is_sent = threading.Event()

    def serve(connection):
        connection.sendall(b"good")
        with socket.socket(fileno=os.dup(connection.fileno())) as raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        is_sent.set()
        with contextlib.suppress(OSError):
            connection.recv(1)

    async def body():
        stream = await dial(world, server.address, config)
        await until(is_sent.is_set, world)
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
            assert stream.is_readable()
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


def test_an_interrupted_farewell_closes_the_connection_all_the_same(world, config):
    async def body():
        stream = await dial(world, server.address, config)
        fault = Fault(1, KeyboardInterrupt)
        below = stream._inner
        stream._inner = fault.wrap_stream(below)
        with pytest.raises(KeyboardInterrupt):
            stream.close()
        assert fault.leaves == ["write"]
        with pytest.raises(WriteError):
            await below.write(b"x", 1)

    with TlsServer() as server:
        world.run(body())
