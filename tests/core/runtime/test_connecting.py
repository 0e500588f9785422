"""What every runtime promises about connecting: addresses, Unix sockets, names."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time

import pytest

from reqivo_core.errors import (
    ConnectError,
    ConnectTimeout,
    DNSError,
)
from reqivo_core.interfaces import Address
from reqivo_core.runtime import sockets


def test_a_refused_connection_is_named(world, closed_port):
    async def body():
        with pytest.raises(ConnectError) as caught:
            await world.runtime.connect_tcp([Address("127.0.0.1", closed_port)], 5)
        assert str(caught.value) == f"could not connect to 127.0.0.1:{closed_port} (connection refused)"
        assert caught.value.phase == "connect"
        assert isinstance(caught.value.__cause__, OSError)

    world.run(body())


def test_all_refusals_are_named(world, closed_port):
    async def body():
        with pytest.raises(ConnectError) as caught:
            await world.runtime.connect_tcp([Address("127.0.0.1", closed_port), Address("::1", closed_port)], None)
        assert f"127.0.0.1:{closed_port} (connection refused) and [::1]:{closed_port} (" in str(caught.value)

    world.run(body())


def test_the_next_address_is_tried_at_once_after_a_refusal(world, listener):
    port = listener.getsockname()[1]

    async def body():
        start = time.monotonic()
        stream = await world.runtime.connect_tcp(
            [Address("127.0.0.2", port), Address("127.0.0.1", port)], 30, stagger=20
        )
        assert time.monotonic() - start < 10
        assert stream.get_info("peername") == ("127.0.0.1", port)
        stream.close()

    world.run(body())


def test_the_next_address_is_tried_beside_a_silent_one(world, listener, deaf_address):
    async def body():
        addresses = [Address(*deaf_address), Address(*listener.getsockname())]
        stream = await world.runtime.connect_tcp(addresses, 30, stagger=0.01)
        assert stream.get_info("peername") == listener.getsockname()
        stream.close()

    world.run(body())


def test_connecting_into_the_void_times_out(world, deaf_address):
    async def body():
        with pytest.raises(ConnectTimeout) as caught:
            await world.runtime.connect_tcp([Address(*deaf_address)], 0.05)
        assert str(caught.value) == f"could not connect to {deaf_address[0]}:{deaf_address[1]} within 0.05 s"

    world.run(body())


def test_the_time_limit_holds_for_all_addresses_together(world, deaf_address, closed_port):
    async def body():
        with pytest.raises(ConnectTimeout, match=" or "):
            await world.runtime.connect_tcp([Address("127.0.0.1", closed_port), Address(*deaf_address)], 0.05)
        with pytest.raises(ConnectTimeout, match=" or "):
            addresses = [Address(*deaf_address), Address("127.0.0.1", closed_port)]
            await world.runtime.connect_tcp(addresses, 0.05, stagger=0.01)

    world.run(body())


def test_connects_from_a_local_address(world, listener):
    async def body():
        address = Address(*listener.getsockname())
        stream = await world.runtime.connect_tcp([address], 5, local_address="127.0.0.3")
        assert stream.get_info("sockname")[0] == "127.0.0.3"
        stream.close()

    world.run(body())


@pytest.mark.parametrize(
    ("local", "reason"),
    [("192.0.2.1", "cannot connect from 192.0.2.1: cannot assign requested address"), ("::1", "the other IP version")],
)
def test_an_unusable_local_address_is_named(world, listener, local, reason):
    async def body():
        with pytest.raises(ConnectError, match=reason):
            await world.runtime.connect_tcp([Address(*listener.getsockname())], 5, local_address=local)

    world.run(body())


def test_connects_to_ipv6_with_and_without_scope(world):
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")

    async def body():
        port = server.getsockname()[1]
        for host in ("::1", "::1%1", "::1%lo"):
            stream = await world.runtime.connect_tcp([Address(host, port)], 5)
            assert stream.get_info("peername")[1] == port
            stream.close()

    with server:
        world.run(body())


def test_an_unknown_scope_is_a_connect_error(world):
    async def body():
        with pytest.raises(ConnectError, match="fe80::1%nowhere"):
            await world.runtime.connect_tcp([Address("fe80::1%nowhere", 80)], 5)

    world.run(body())


def test_a_connection_to_itself_is_refused(world):
    async def body():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # Bound to the very port that it connects to, TCP connects to itself.
        original = socket.socket.bind

        def bind(sock, address):
            original(sock, (address[0], port))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "bind", bind, raising=False)
            with pytest.raises(ConnectError, match="connection refused"):
                await world.runtime.connect_tcp([Address("127.0.0.1", port)], 5, local_address="127.0.0.1")

    world.run(body())


def test_an_address_that_cannot_be_connected_to_at_all_is_named(world, listener):
    async def body():
        with pytest.raises(ConnectError, match=r":80 \((network is unreachable|permission denied)\)"):
            await world.runtime.connect_tcp([Address("255.255.255.255", 80)], 5)
        addresses = [Address("255.255.255.255", 80), Address(*listener.getsockname())]
        stream = await world.runtime.connect_tcp(addresses, 30, stagger=20)
        assert stream.get_info("peername") == listener.getsockname()
        stream.close()

    world.run(body())


# Unix sockets


def test_connects_to_a_unix_socket(world, tmp_path):
    path = str(tmp_path / "server")

    async def body():
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            stream = await world.runtime.connect_unix(path, 5)
            peer, _ = server.accept()
            await stream.write(b"ping", 5)
            assert peer.recv(100) == b"ping"
            peer.sendall(b"pong")
            assert await stream.read(100, 5) == b"pong"
            assert stream.get_info("peername") == path
            stream.close()
            peer.close()

    world.run(body())


@pytest.mark.parametrize("path", ["/nonexistent/socket", "/" + "x" * 200, "a\0b"])
def test_an_unreachable_unix_socket_is_named(world, path):
    async def body():
        with pytest.raises(ConnectError, match="could not connect to"):
            await world.runtime.connect_unix(path, 5)

    world.run(body())


def test_a_full_unix_backlog_times_out_or_is_waited_for(world, tmp_path):
    path = str(tmp_path / "server")

    async def body():
        with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as fillers:
            server.bind(path)
            server.listen(0)
            with contextlib.suppress(BlockingIOError):
                while True:
                    filler = fillers.enter_context(socket.socket(socket.AF_UNIX))
                    filler.setblocking(False)
                    filler.connect(path)
            with pytest.raises(ConnectTimeout, match="within 0.02 s"):
                await world.runtime.connect_unix(path, 0.02)
            accepting = threading.Timer(0.03, lambda: server.accept()[0].close())
            accepting.start()
            stream = await world.runtime.connect_unix(path, 10)
            assert stream.get_info("peername") == path
            stream.close()
            accepting.join()

    world.run(body())


def test_a_platform_without_unix_sockets_says_so(world, monkeypatch):
    async def body():
        monkeypatch.delattr(socket, "AF_UNIX")
        with pytest.raises(ConnectError, match="no Unix sockets"):
            await world.runtime.connect_unix("/x", 5)
        monkeypatch.undo()

    world.run(body())


def test_a_socket_that_cannot_be_made_is_a_connect_error(world, listener, monkeypatch):
    async def body():
        def fail(*args, **kwargs):
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", fail)
            with pytest.raises(ConnectError, match="too many open files"):
                await world.runtime.connect_unix("/x", 5)
            with pytest.raises(ConnectError, match="too many open files"):
                await world.runtime.connect_tcp([Address(*listener.getsockname())], 5)

    world.run(body())


# names


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0"])
def test_addresses_are_not_looked_up(world, host, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", None)

    async def body():
        assert await world.runtime.resolve(host, 80, 5) == [Address(host, 80)]

    world.run(body())


@pytest.mark.parametrize("timeout", [5, None])
def test_a_name_is_looked_up(world, timeout):
    async def body():
        assert Address("127.0.0.1", 81) in await world.runtime.resolve("localhost", 81, timeout)

    world.run(body())


@pytest.mark.parametrize("timeout", [5, None])
@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid", "a\0b", "ü.invalid"])
def test_a_name_without_address_is_named(world, host, timeout):
    async def body():
        with pytest.raises(DNSError, match="could not resolve") as caught:
            await world.runtime.resolve(host, 80, timeout)
        assert caught.value.phase == "dns"

    world.run(body())


def test_a_name_without_ip_addresses_is_named(world, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [(socket.AF_UNIX, 1, 0, "", ("x", 1))])

    async def body():
        with pytest.raises(DNSError, match="no IP address"):
            await world.runtime.resolve("example.com", 80, 5)

    world.run(body())


def test_a_resolver_that_hangs_times_out(world, monkeypatch):
    release = threading.Event()

    def hang(*args, **kwargs):
        release.wait(10)
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def body():
        try:
            with pytest.raises(ConnectTimeout, match=r"could not resolve 'example.com' within 0.02 s"):
                await world.runtime.resolve("example.com", 80, 0.02)
        finally:
            release.set()

    world.run(body())
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(5)


class Unbound:
    """Stands for a socket of another platform."""

    def __init__(self, family):
        self.family = family
        self.options = []

    def setsockopt(self, *option):
        self.options.append(option)


@pytest.mark.parametrize(
    ("family", "expected"),
    [(socket.AF_INET, (socket.IPPROTO_IP, 25)), (socket.AF_INET6, (socket.IPPROTO_IPV6, 125))],
)
def test_interfaces_on_other_platforms(monkeypatch, family, expected):
    made = Unbound(family)
    monkeypatch.setattr(sockets.sys, "platform", "darwin")
    sockets._bind_to_interface(made, "lo")
    assert made.options == [(*expected, socket.if_nametoindex("lo"))]
    monkeypatch.setattr(sockets.sys, "platform", "win32")
    with pytest.raises(OSError, match="'lo': this platform binds to addresses"):
        sockets._bind_to_interface(made, "lo")
