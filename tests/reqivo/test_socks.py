"""SOCKS5 proxies, by a scripted one that also breaks the rules; real ones are in test_real_proxies.py."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from reqivo import URL, AddressGuard, AddressRefused, ConnectTimeout, Proxy, ProxyError, Timeout, TotalTimeout
from reqivo.socks import open_socks_tunnel
from reqivo_core import Origin
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.timeouts import Deadline
from support.certs import Authority
from support.messages import response
from support.scripted import answers
from support.servers import AsgiServer
from support.socks import SocksServer
from support.world import World

pytestmark = pytest.mark.usefixtures("no_leaks")
HELLO = response(200, b"hello")


def url_of(proxy: SocksServer, scheme: str = "socks5h", userinfo: str = "") -> str:
    return f"{scheme}://{userinfo}127.0.0.1:{proxy.port}"


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    """How the origin is spoken to, through the tunnel."""
    spoken: str = request.param
    return spoken


@pytest.fixture
def tls(scheme: str, authority: Authority) -> ssl.SSLContext | None:
    """The origin's context."""
    return authority.server_context("example.com", "127.0.0.1", "::1") if scheme == "https" else None


def test_names_are_resolved_by_the_proxy(world: World, serve: Any, authority: Authority, scheme: str, tls: Any) -> None:
    server = serve(answers(HELLO), tls=tls)
    with (
        SocksServer({"example.com": server.address}) as proxy,
        world.client(proxy=url_of(proxy), verify=str(authority.path)) as client,
    ):
        assert client.read(client.get(f"{scheme}://example.com/x")) == b"hello"
    assert proxy.targets == [("name", f"example.com:{443 if tls else 80}")]
    assert (server.requests[0].target, server.requests[0].header("host")) == ("/x", "example.com")


def test_names_are_resolved_here(world: World, serve: Any, authority: Authority, tls: Any) -> None:
    server = serve(answers(HELLO), tls=tls)
    options = {"resolve": {"example.com": "127.0.0.1"}, "verify": str(authority.path)}
    with SocksServer() as proxy, world.client(proxy=url_of(proxy, "socks5"), **options) as client:
        assert client.read(client.get(server.url("/", host="example.com"))) == b"hello"
    assert proxy.targets == [("IPv4", f"127.0.0.1:{server.port}")]


@pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", "IPv4"), ("[::1]", "IPv6")])
def test_addresses_are_sent_as_such(
    world: World, serve: Any, authority: Authority, tls: Any, host: str, kind: str
) -> None:
    server = serve(answers(HELLO), host=host.strip("[]"), tls=tls)
    with SocksServer() as proxy, world.client(proxy=url_of(proxy), verify=str(authority.path)) as client:
        assert client.read(client.get(server.url("/", host=host))) == b"hello"
    assert [target[0] for target in proxy.targets] == [kind]


def test_tls_goes_through(world: World, tls_server: AsgiServer, authority: Any) -> None:
    with SocksServer() as proxy, world.client(proxy=url_of(proxy), verify=str(authority.path)) as client:
        assert client.json(client.get(tls_server.url("/echo/1")))["nonce"] == "1"
        client.get(tls_server.url("/echo/2"))
    assert proxy.connections == 1


def test_user_name_and_password_are_shown_to_the_proxy_alone(
    world: World, serve: Any, authority: Authority, scheme: str, tls: Any
) -> None:
    server = serve(answers(HELLO), tls=tls)
    auth = ("me", "s3cr3t%")
    with (
        SocksServer({"example.com": server.address}, auth=auth) as proxy,
        world.client(proxy=url_of(proxy, userinfo="me:s3cr3t%25@"), verify=str(authority.path)) as client,
    ):
        assert client.get(f"{scheme}://example.com/").status_code == 200
    assert proxy.credentials == [auth]
    assert {name.lower() for name, _ in server.requests[0].headers}.isdisjoint({"authorization", "proxy-authorization"})


REFUSALS = {
    "no-method": ({"auth": ("a", "b")}, "", "give its user name and password"),
    "wrong-password": ({"auth": ("a", "b")}, "a:s3cr3t@", "does not accept the user name and password"),
    "no-method-for-us": ({"method": b"\x05\xff"}, "a:s3cr3t@", "none of the ways"),
    "method-not-offered": ({"method": b"\x05\x02"}, "", "none of the ways"),
    "unknown-method": ({"method": b"\x05\x77"}, "", "does not speak SOCKS5"),
    "http": ({"method": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "", "does not speak SOCKS5"),
    "cut-greeting": ({"method": b"\x05"}, "", "closed the connection"),
    "bad-verdict": ({"auth": ("a", "s3cr3t"), "verdict": b"\x01\x09"}, "a:s3cr3t@", "does not accept"),
    "verdict-of-another-version": ({"auth": ("a", "s3cr3t"), "verdict": b"\x05\x00"}, "a:s3cr3t@", "does not speak"),
    "refused": ({"reply": b"\x05\x05\x00\x01\0\0\0\0\0\0"}, "", "refused .*example.com: connection refused"),
    "denied": ({"reply": b"\x05\x02\x00\x01\0\0\0\0\0\0"}, "", "connection not allowed by ruleset"),
    "unknown-code": ({"reply": b"\x05\x63\x00\x01\0\0\0\0\0\0"}, "", "does not speak SOCKS5"),
    "unknown-address": ({"reply": b"\x05\x00\x00\x09\0\0\0\0\0\0"}, "", "does not speak SOCKS5"),
    "cut-reply": ({"reply": b"\x05\x00\x00\x01\0"}, "", "closed the connection"),
    "surplus": ({"extra": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, "", "before we did"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_proxy_that_refuses_or_breaks_the_rules(world: World, serve: Any, scheme: str, name: str) -> None:
    options, userinfo, message = REFUSALS[name]
    server = serve(lambda peer: peer.expect_close())
    with (
        SocksServer({"example.com": server.address}, **options) as proxy,  # type: ignore[arg-type]  # a table of kinds
        world.client(proxy=url_of(proxy, userinfo=userinfo)) as client,
    ):
        with pytest.raises(ProxyError, match=message) as caught:
            client.get(f"{scheme}://example.com/")
        assert (caught.value.phase, client.session.pool.active) == ("proxy", 0)
        assert "s3cr3t" not in f"{caught.value!r} {caught.value} {client.session!r}"


@pytest.mark.parametrize("bound", [b"\x04" + bytes(18), b"\x03\x09localhost\0\0"])
def test_the_address_that_the_proxy_tells_may_be_of_any_kind(world: World, serve: Any, bound: bytes) -> None:
    server = serve(answers(HELLO))
    with (
        SocksServer({"example.com": server.address}, bound=bound) as proxy,
        world.client(proxy=url_of(proxy)) as client,
    ):
        assert client.read(client.get("http://example.com/")) == b"hello"


def test_what_does_not_fit_is_refused(world: World, serve: Any) -> None:
    with SocksServer(auth=("a", "b")) as proxy, world.client() as client:
        with pytest.raises(ProxyError, match="255"):
            client.get("http://example.com/", proxy=url_of(proxy, userinfo="a" * 256 + ":b@"))


def test_a_host_name_that_does_not_fit_is_refused() -> None:
    said = iter([b"\x05", b"\x00"])

    class Stream:
        async def write(self, data: bytes, timeout: float | None) -> None:
            assert data == b"\x05\x01\x00"

        async def read(self, count: int, timeout: float | None) -> bytes:
            return next(said)

    stream: Any = Stream()
    proxy = Proxy(URL("socks5h://proxy:1080"))
    deadline = Deadline(Timeout(), lambda: 0.0)
    with pytest.raises(ProxyError, match="255"):
        run_blocking(open_socks_tunnel(stream, proxy, Origin("http", "a" * 256, 80), deadline))


@pytest.mark.parametrize(("timeout", "error"), [((0.05, None), ConnectTimeout), (0.05, (ConnectTimeout, TotalTimeout))])
def test_a_silent_proxy_is_given_up(world: World, timeout: Any, error: Any) -> None:
    with SocksServer(stall="greeting") as proxy, world.client(proxy=url_of(proxy), timeout=timeout) as client:
        with pytest.raises(error):
            client.get("http://example.com/")
        assert client.session.pool.active == 0


def test_other_credentials_need_another_tunnel(
    world: World, serve: Any, authority: Authority, scheme: str, tls: Any
) -> None:
    server = serve(answers(*[HELLO] * 3), tls=tls)
    with SocksServer({"example.com": server.address}) as proxy, world.client(verify=str(authority.path)) as client:
        for userinfo in ("a:b@", "a:b@", "a:c@", ""):
            client.get(f"{scheme}://example.com/", proxy=url_of(proxy, userinfo=userinfo))
    assert proxy.connections == 3


def test_a_guard_judges_what_the_proxy_is_asked_for(world: World) -> None:
    with SocksServer() as proxy:
        guard = AddressGuard(trust_proxies=True)
        options = {"proxy": url_of(proxy, "socks5"), "address_guard": guard, "resolve": {"example.com": "10.0.0.1"}}
        with world.client(**options) as client, pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
            client.get("http://example.com/")
    assert proxy.targets == []
