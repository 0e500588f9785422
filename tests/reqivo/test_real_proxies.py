"""Through a real proxy (pproxy) of each kind goes whatever goes directly, and what it refuses has a name (H)."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import reqivo
from reqivo import ConnectError, Proxy, ProxyError
from support.certs import Authority
from support.programs import free_ports, running
from support.servers import AsgiServer
from support.world import World

pytest.importorskip("pproxy")
KINDS = ["http", "https", "socks5", "socks5h"]


@pytest.fixture(scope="module")
def ports(authority: Authority) -> Iterator[dict[str, int]]:
    """Where it listens, by kind; it forgets at once who has shown a password (``--auth 0``)."""
    certificate = authority.issue("localhost", "127.0.0.1")
    ports = dict(zip(["http", "https", "socks5"], free_ports(3), strict=True))
    spoken = {"http": "http", "https": "http+ssl", "socks5": "socks5"}
    command = [sys.executable, "-W", "ignore", "-m", "pproxy", "--auth", "0"]
    command += ["--ssl", f"{certificate.path},{certificate.key}"]
    for kind, port in ports.items():
        command += ["-l", f"{spoken[kind]}://127.0.0.1:{port}#me:secret"]
    with running(command, [*ports.values()]):
        yield {**ports, "socks5h": ports["socks5"]}


@pytest.fixture(params=KINDS)
def proxy(request: pytest.FixtureRequest, ports: dict[str, int]) -> str:
    kind: str = request.param
    return f"{kind}://me:secret@127.0.0.1:{ports[kind]}"


@pytest.fixture
def options(authority: Authority, proxy: str) -> dict[str, Any]:
    return {"proxy": Proxy.of(proxy, verify=str(authority.path)), "verify": str(authority.path), "timeout": 30}


def test_plain_text(world: World, plain_server: AsgiServer, options: dict[str, Any], no_leaks: None) -> None:
    with world.client(**options) as client:
        for nonce in ("1", "2"):
            url = plain_server.url(f"/echo/{nonce}", host="localhost")
            answer = client.json(client.post(url, body=b"x" * 100_000))
            assert answer["nonce"] == nonce
            assert "proxy-authorization" not in dict(answer["headers"])


@pytest.mark.parametrize(("http2", "version"), [(False, "HTTP/1.1"), (None, "HTTP/2"), (True, "HTTP/2")])
def test_tls(
    world: World, h2_server: AsgiServer, options: dict[str, Any], no_leaks: None, http2: Any, version: str
) -> None:
    with world.client(**options, http2=http2) as client:
        answers = client.together([lambda session: session.get(h2_server.url("/echo/1"))] * 3)
        assert [client.json(answer)["nonce"] for answer in answers] == ["1"] * 3
        assert {answer.http_version for answer in answers} == {version}
        assert client.session.pool.active == 0


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websockets(
    world: World, plain_server: AsgiServer, h2_server: AsgiServer, options: dict[str, Any], no_leaks: None, scheme: str
) -> None:
    server = plain_server if scheme == "ws" else h2_server
    with (
        world.client(**options) as client,
        world.entered(client.session.websocket(server.url("/ws/echo", scheme=scheme))) as socket,
    ):
        world.run(socket.send("through"))
        assert world.run(socket.recv()) == "through"


def test_ipv6(world: World, options: dict[str, Any]) -> None:
    with AsgiServer(host="::1") as server, world.client(**options) as client:
        assert client.json(client.get(server.url("/echo/6")))["nonce"] == "6"


@pytest.mark.parametrize("userinfo", ["me:wrong@", "you:secret@", ""])
def test_a_wrong_password(
    world: World, h2_server: AsgiServer, options: dict[str, Any], proxy: str, no_leaks: None, userinfo: str
) -> None:
    stranger = Proxy.of(proxy.replace("me:secret@", userinfo), verify=options["verify"])
    with world.client(**options) as client:
        for _ in range(2):
            with pytest.raises(ProxyError) as caught:
                client.get(h2_server.url("/echo/1"), proxy=stranger)
            assert caught.value.status == (None if proxy.startswith("socks") else 407)
            assert client.read(client.get(h2_server.url("/small")))
        assert client.session.pool.active == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_there(
    world: World, plain_server: AsgiServer, options: dict[str, Any], no_leaks: None, scheme: str
) -> None:
    """A proxy that finds nobody hangs up, before it has answered or after: the origin is never taken to have."""
    with socket.socket() as nobody, world.client(**options) as client:
        nobody.bind(("127.0.0.1", 0))  # nor may anybody else listen there
        port = nobody.getsockname()[1]
        with pytest.raises((ConnectError, reqivo.TlsError, reqivo.ServerDisconnected)):
            client.get(f"{scheme}://127.0.0.1:{port}/")
        assert client.session.pool.active == 0
        assert client.json(client.get(plain_server.url("/echo/1")))["nonce"] == "1"
