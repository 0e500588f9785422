"""WebSockets through proxies: HTTP, HTTPS and SOCKS, none of which sees a frame."""

from __future__ import annotations

from typing import Any

import pytest

from reqivo_core import Proxy
from reqivo_core.errors import ConnectError, ConnectTimeout, ProxyError, TimeoutException, TlsError
from support.certs import Authority
from support.fixtures import MakeProxy, Serve
from support.frames import accept, answer_close, expect_frame, text
from support.scripted import Peer
from support.servers import WebSocketsServer
from support.sockets import connected, make
from support.socks import SocksServer
from support.world import World
from ws.scripts import ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")


def echoing(peer: Peer) -> None:
    accept(peer)
    peer.send(text(expect_frame(peer).payload.decode()))
    answer_close(peer)


def check_echo(world: World, url: str, session: Any = None, **options: Any) -> None:
    with connected(world, url, session, **options) as ws:
        ws.send("there")
        assert ws.recv() == "there"


def test_w25_even_plain_ws_is_tunnelled(world: World, serve: Serve, make_proxy: MakeProxy) -> None:
    server = serve(echoing)
    proxy = make_proxy({"example.test:80": server.address}, auth=("user", "pass"))
    check_echo(world, "ws://example.test/x?y=1", proxy=proxy.proxy_url)
    assert proxy.tunnels == ["example.test:80"]
    request = server.requests[0]
    assert (request.target, request.header("host")) == ("/x?y=1", "example.test")
    assert request.header("proxy-authorization") == ""


def test_w25_wss_through_an_https_proxy(world: World, make_proxy: MakeProxy, authority: Authority) -> None:
    proxy = make_proxy(tls=authority.server_context())
    with WebSocketsServer(tls=authority.server_context(alpn=["http/1.1"])) as server:
        trusted = str(authority.path)
        with world.client(proxy=Proxy.of(proxy.proxy_url, verify=trusted), verify=trusted) as client:
            check_echo(world, f"wss://localhost:{server.port}/", client.session)
        assert proxy.tunnels == [f"localhost:{server.port}"]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_w25_through_a_socks_proxy(world: World, serve: Serve, scheme: str) -> None:
    pytest.importorskip("reqivo", reason="this distribution is tested alone here")
    server = serve(echoing)
    with SocksServer({"example.test": server.address, "127.0.0.1": server.address}, auth=("u", "p")) as proxy:
        url = f"{scheme}://u:p@127.0.0.1:{proxy.port}"
        host = "example.test" if scheme == "socks5h" else "localhost"
        check_echo(world, f"ws://{host}:{server.port}/", proxy=url)
        kind, target = proxy.targets[0]
    assert (kind == "name", target.endswith(f":{server.port}")) == (scheme == "socks5h", True)
    assert proxy.credentials == [("u", "p")]


@pytest.mark.parametrize("key", ["http", "all"])
def test_w25_the_sessions_proxies_and_their_exceptions(
    world: World, serve: Serve, make_proxy: MakeProxy, key: str
) -> None:
    server = serve(echoing)
    proxy = make_proxy({"example.test": server.address})
    with world.client(proxies={key: proxy.proxy_url, "no_proxy": "127.0.0.1"}) as client:
        check_echo(world, "ws://example.test/", client.session)
        check_echo(world, ws_url(server), client.session)
    assert proxy.tunnels == ["example.test:80"]


def test_w25_the_environments_proxies_and_their_exceptions(
    world: World, serve: Serve, make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(echoing)
    proxy = make_proxy({"example.test": server.address})
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy.proxy_url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with world.client(trust_env=True) as client:
        check_echo(world, "ws://example.test/", client.session)
        check_echo(world, ws_url(server), client.session)
    assert proxy.tunnels == ["example.test:80"]


def test_w25_none_is_none_and_not_the_sessions(world: World, serve: Serve, make_proxy: MakeProxy) -> None:
    proxy = make_proxy()
    with world.client(proxy=proxy.proxy_url) as client:
        check_echo(world, ws_url(serve(echoing)), client.session, proxy=None)
    assert proxy.requests == []


def test_w25_a_proxy_that_wants_credentials(world: World, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(auth=("user", "secret"))
    with pytest.raises(ProxyError, match="407") as caught:
        make(world, "ws://example.test/", proxy=proxy.proxy_url.replace("secret", "guess")).connect()
    assert "guess" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno!", id="502"),
        pytest.param(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=x, nonce=y\r\n\r\n", id="407 Digest"),
        pytest.param(b"HTTP/1.1 200 Conn", id="cut off"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="no HTTP"),
    ],
)
def test_w25_a_proxy_that_opens_no_tunnel(world: World, make_proxy: MakeProxy, answer: bytes) -> None:
    proxy = make_proxy(refuse=answer)
    with pytest.raises(ConnectError, match="proxy"):
        make(world, "ws://example.test/", proxy=proxy.proxy_url).connect()


def test_w25_a_proxy_that_leaves_amid_the_handshake(world: World, serve: Serve, authority: Authority) -> None:
    def tunnel_of_no_length(peer: Peer) -> None:
        peer.expect_request()
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        peer.receive()  # the first octets of a TLS handshake

    proxy = serve(tunnel_of_no_length)
    with pytest.raises(TlsError):
        make(world, "wss://example.test/", proxy=proxy.url(""), verify=str(authority.path)).connect()


def test_w25_g5_a_proxy_that_says_nothing_is_bounded(world: World, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(stall=True)
    with pytest.raises(TimeoutException) as caught:
        make(world, "ws://example.test/", proxy=proxy.proxy_url, timeout=0.2).connect()
    assert not isinstance(caught.value, ConnectTimeout) or "proxy" in str(caught.value)
