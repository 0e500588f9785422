"""From where sessions connect, to which addresses, and what they remember of names."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import reqivo
from reqivo import ConnectError, DNSError, InvalidURL, Limits, Timeout
from support.certs import Authority
from support.scenarios import FOLLOW_UP, Stage, ok, serve_on
from support.scripted import Peer
from support.world import World

pytestmark = pytest.mark.usefixtures("no_leaks")


class Resolver:
    """Stands for the system's: every name is at these addresses, and every question is counted."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts
        self.asked: list[str] = []

    def __call__(self, host: str | bytes, port: int, *_: Any, **__: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        if not self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [self._entry(address, port) for address in self.hosts]

    def _entry(self, address: str, port: int) -> Any:
        if ":" in address:
            return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
        return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    made = Resolver("127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


# -- local addresses


def test_from_a_local_address(stage: Stage) -> None:
    froms: list[str] = []

    def script(peer: Peer) -> None:
        froms.append(peer.sock.getpeername()[0])
        serve_on(peer)

    server = stage.server(script)
    for local in ("127.0.0.7", None, "127.0.0.8"):
        with stage.client(local_address=local) as client:
            for _ in range(2):
                assert client.read(client.get(server.url("/"))) == FOLLOW_UP
    assert froms == ["127.0.0.7", "127.0.0.1", "127.0.0.8"]


def test_from_an_interface(stage: Stage) -> None:
    server = stage.server(serve_on)
    with stage.client(local_address="lo") as client:
        try:
            assert client.read(client.get(server.url("/"))) == FOLLOW_UP
        except ConnectError as error:
            if "not permitted" in str(error):
                pytest.skip("this system lets only root choose an interface")
            raise


@pytest.mark.parametrize(
    ("local", "reason"),
    [
        ("192.0.2.1", "cannot connect from 192.0.2.1: cannot assign requested address"),
        ("::1", "an address of the other IP version"),
        ("nonesuch0", "cannot connect from 'nonesuch0': (no such device|operation not permitted)"),
        ("a\0b", "cannot connect from"),
        ("x" * 100, "cannot connect from"),
    ],
)
def test_from_nowhere(stage: Stage, local: str, reason: str) -> None:
    server = stage.server(serve_on)
    with stage.client(local_address=local) as client:
        with pytest.raises(ConnectError, match=reason) as caught:
            client.get(server.url("/"))
        assert caught.value.phase == "connect"
        assert client.session.pool.counts == (0, 0, 0)


# -- resolve=


@pytest.mark.parametrize("how", ["host", "host and port", "any", "pair", "list", "function"])
def test_names_that_the_session_resolves(stage: Stage, authority: Authority, resolver: Resolver, how: str) -> None:
    server = stage.serve(
        serve_on, tls=None if stage.tls is None else authority.server_context("api.test", "other.test")
    )
    scheme, port = server.scheme, server.port
    resolve: Any = {
        "host": {"api.test": "127.0.0.1"},
        "host and port": {f"api.test:{port}": "127.0.0.1", "api.test": "192.0.2.1"},
        "any": {"*": "127.0.0.1"},
        "pair": {"api.test": ("127.0.0.1", port)},
        "list": {"api.test": ["127.0.0.1", ("127.0.0.1", port)]},
        "function": lambda host, port: ("127.0.0.1", port) if host == "api.test" else None,
    }[how]
    with stage.client(resolve=resolve, verify=str(authority.path)) as client:
        assert client.read(client.get(f"{scheme}://api.test:{port}/")) == FOLLOW_UP
        assert "api.test" not in resolver.asked
        if how != "any":
            client.read(client.get(f"{scheme}://other.test:{port}/"))
            assert resolver.asked.count("other.test") == 1
    assert [seen.header("host") for seen in server.requests][0] == f"api.test:{port}"


# -- the cache


def test_names_are_asked_for_once_in_their_time(stage: Stage, resolver: Resolver) -> None:
    server = stage.server(serve_on)
    url = server.url("/", host="localhost")
    for limits, asked in [(Limits(dns_ttl=30), 1), (Limits(dns_ttl=0), 3), (Limits(max_dns_entries=0), 3)]:
        resolver.asked.clear()
        with stage.client(limits=limits) as client:
            for _ in range(3):
                assert client.read(client.get(url, headers={"Connection": "close"})) == FOLLOW_UP
        assert resolver.asked.count("localhost") == asked


def test_a_name_that_led_nowhere_is_asked_for_again(world: World, serve: Any, resolver: Resolver) -> None:
    server = serve(serve_on)
    resolver.hosts = ("127.0.0.2",)
    with world.client(timeout=30) as client:
        with pytest.raises(ConnectError):
            client.get(server.url("/", host="moved.test"))
        resolver.hosts = ("127.0.0.1",)
        assert client.read(client.get(server.url("/", host="moved.test"))) == FOLLOW_UP
    assert resolver.asked == ["moved.test"] * 2


def test_a_name_without_address(world: World, resolver: Resolver) -> None:
    resolver.hosts = ()
    with world.client(timeout=30) as client:
        for _ in range(2):
            with pytest.raises(DNSError, match=r"GET http://nobody\.test/: could not resolve 'nobody\.test'") as caught:
                client.get("http://nobody.test/")
        assert caught.value.phase == "dns"
    assert resolver.asked == ["nobody.test"] * 2


# -- several addresses


def test_a_dead_address_does_not_hold_up_a_living_one(world: World, deaf_port: int, resolver: Resolver) -> None:
    """RFC 8305: the next address is tried a moment later, and the first to answer is taken."""
    resolver.hosts = ("127.0.0.1", "127.0.0.2")
    is_done = threading.Event()
    with socket.create_server(("127.0.0.2", deaf_port)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(ok(b"second"))
                assert is_done.wait(60)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with world.client(timeout=Timeout(connect=30)) as client:
                got = client.get(f"http://two.test:{deaf_port}/")
                assert client.read(got) == b"second"
                assert got.timings["connect"] < 30
        finally:
            is_done.set()
            thread.join()


def test_a_refusing_address_does_not_either(world: World, serve: Any, resolver: Resolver) -> None:
    server = serve(serve_on)
    resolver.hosts = ("::1", "127.0.0.2", "127.0.0.1")
    with world.client(timeout=30) as client:
        assert client.read(client.get(server.url("/", host="many.test"))) == FOLLOW_UP


# -- names


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("BÜCHER.test", "xn--bcher-kva.test"),
        ("straße.test", "xn--strae-oqa.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("b%C3%BCcher.test", "xn--bcher-kva.test"),
        ("例え。test", "xn--r8jz45g.test"),
    ],
)
def test_names_have_one_spelling(world: World, serve: Any, resolver: Resolver, host: str, sent: str) -> None:
    server = serve(serve_on)
    with world.client(timeout=30) as client:
        assert client.read(client.get(server.url("/", host=host))) == FOLLOW_UP
    assert server.requests[0].header("host") == f"{sent}:{server.port}"
    assert set(resolver.asked) <= {sent}


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "1.2.3.256", "[::1", "a_b..test", "☃.test"]
)
def test_other_spellings_are_refused(world: World, serve: Any, resolver: Resolver, host: str) -> None:
    """Some programs take such a number for an address that others would refuse to reach."""
    server = serve(serve_on)
    with world.client(timeout=30) as client, pytest.raises(InvalidURL):
        client.get(server.url("/", host=host))
    assert server.connections == 0


# -- Unix sockets


def test_a_unix_socket(world: World, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    heads: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                while head := connection.recv(65536):
                    heads.append(head)
                    connection.sendall(ok(b"local"))

        thread = threading.Thread(target=answer)
        thread.start()
        with world.client(timeout=30, socket_path=path, proxy="http://127.0.0.1:1") as client:
            for _ in range(2):
                assert client.read(client.get("http://docker/v1/info")) == b"local"
            assert client.session.pool.counts == (0, 1, 0)
        thread.join()
    assert [head.split(b"\r\n")[:2] for head in heads] == [[b"GET /v1/info HTTP/1.1", b"Host: docker"]] * 2
    with world.client(timeout=30, socket_path=tmp_path / "nobody") as client:
        with pytest.raises(reqivo.ConnectError, match=r"could not connect to .*nobody"):
            client.get("http://docker/")
