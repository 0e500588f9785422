"""The guard against requests that a stranger's URL leads into the application's own network."""

from __future__ import annotations

from typing import Any

import pytest

from reqivo import AddressGuard, AddressRefused, ConnectError, InvalidRequest, InvalidURL
from reqivo.address_guard import PRIVATE
from reqivo_core import URL, Address, Proxy
from reqivo_core.routes import Proxy as RouteProxy
from support.messages import response
from support.scripted import answers
from support.world import World

DENIED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
FREE = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "223.255.255.255",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2002:101:101::1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
]


@pytest.mark.parametrize("address", DENIED)
def test_addresses_of_ones_own_network_are_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match="refuses") as caught:
        AddressGuard().check("example.com", Address(address, 80))
    assert caught.value.phase == "connect"


@pytest.mark.parametrize("address", FREE)
def test_public_addresses_pass(address: str) -> None:
    guard = AddressGuard()
    guard.check("example.com", Address(address, 80))
    assert guard.allow == ()


def test_the_message_tells_what_resolved_to_what_and_what_to_do() -> None:
    with pytest.raises(AddressRefused) as caught:
        AddressGuard().check("internal.example.com", Address("10.1.2.3", 80))
    assert str(caught.value) == (
        "the address guard refuses 10.1.2.3, to which internal.example.com resolves: it is in 10.0.0.0/8 "
        "(private use); AddressGuard(allow=…) lets it through"
    )


def test_allowed_networks_pass() -> None:
    guard = AddressGuard(allow=["10.1.0.0/16", "::1"])
    guard.check("a", Address("10.1.2.3", 80))
    guard.check("a", Address("::ffff:10.1.2.3", 80))
    guard.check("a", Address("::1", 80))
    with pytest.raises(AddressRefused):
        guard.check("a", Address("10.2.0.1", 80))


def test_denied_networks_can_be_chosen() -> None:
    guard = AddressGuard([*PRIVATE, "203.0.114.0/24"])
    with pytest.raises(AddressRefused, match=r"203\.0\.114\.0/24;"):
        guard.check("203.0.114.1", Address("203.0.114.1", 80))
    AddressGuard(deny="203.0.114.1").check("a", Address("127.0.0.1", 80))
    assert repr(guard) == f"<AddressGuard: {len(PRIVATE) + 1} networks denied, 0 allowed>"


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"allow=.*internal"):
        AddressGuard(allow=["internal"])


PROXY = RouteProxy(URL("http://proxy.example.com:3128"), "user", "secret")


def test_requests_through_proxies_are_refused() -> None:
    with pytest.raises(AddressRefused, match="trust_proxies") as caught:
        AddressGuard().check_proxied(URL("https://example.com/").origin, PROXY)
    assert "secret" not in str(caught.value)


def test_a_trusted_proxy_gets_names_but_no_denied_addresses() -> None:
    guard = AddressGuard(trust_proxies=True)
    guard.check_proxied(URL("https://example.com/").origin, PROXY)
    guard.check_proxied(URL("https://1.1.1.1/").origin, PROXY)
    for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "[fe80::1]"):
        with pytest.raises(AddressRefused):
            guard.check_proxied(URL(f"https://{host}/").origin, PROXY)


# -- sessions


def test_a_guarded_session_does_not_connect(world: World, serve: Any) -> None:
    server = serve(answers(response()))
    with world.client(address_guard=AddressGuard(), retries=2) as client:
        for host in ("127.1", "0x7f.1", "2130706433", "017700000001"):
            with pytest.raises(InvalidURL):
                client.get(f"http://{host}:{server.port}/")
        for host in ("127.0.0.1", "localhost", "[::ffff:7f00:1]"):
            with pytest.raises(ConnectError, match="address guard") as caught:
                client.get(f"http://{host}:{server.port}/")
            assert isinstance(caught.value, AddressRefused) and caught.value.request is not None
    assert server.connections == 0


def test_every_hop_is_looked_at(world: World, serve: Any) -> None:
    inner = serve(answers(response()))
    outer = serve(answers(response(302, headers=[("Location", f"http://127.0.0.2:{inner.port}/")])))
    with (
        world.client(address_guard=AddressGuard(allow=["127.0.0.1"])) as client,
        pytest.raises(AddressRefused, match=r"127\.0\.0\.2"),
    ):
        client.get(outer.url("/"))
    assert (outer.connections, inner.connections) == (1, 0)


def test_a_name_with_one_bad_address_is_refused_whole(world: World, serve: Any) -> None:
    server = serve(answers(response()))
    addresses = {"rebinding.example.com": ["127.0.0.1", "127.0.0.2"]}
    guard = AddressGuard(allow=["127.0.0.1"])
    with world.client(address_guard=guard, resolve=addresses) as client, pytest.raises(AddressRefused):
        client.get(f"http://rebinding.example.com:{server.port}/")
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_that_is_dialled(world: World, serve: Any) -> None:
    server = serve(answers(response(200, b"ok")))
    asked = []

    def resolve(host: str, port: int) -> Any:
        asked.append(host)
        return "127.0.0.1" if len(asked) == 1 else "127.0.0.2"

    with world.client(address_guard=AddressGuard(allow=["127.0.0.1"]), resolve=resolve) as client:
        last = {"Connection": "close"}  # so that each request dials
        assert client.get(f"http://rebinding.example.com:{server.port}/", headers=last).status_code == 200
        assert asked == ["rebinding.example.com"]  # a second look would have said something else
        with pytest.raises(AddressRefused):
            client.post(f"http://rebinding.example.com:{server.port}/", body=b"x", headers=last)


def test_a_guarded_session_refuses_proxies_unless_they_are_trusted(world: World, make_proxy: Any, serve: Any) -> None:
    server = serve(answers(response(200, b"ok")))
    proxy = make_proxy({"example.com": server.address})
    with world.client(address_guard=AddressGuard(), proxy=proxy.proxy_url) as client:
        with pytest.raises(AddressRefused, match="through the proxy"):
            client.get("http://example.com/")
    with world.client(address_guard=AddressGuard(trust_proxies=True), proxy=Proxy(URL(proxy.proxy_url))) as client:
        assert client.get("http://example.com/").status_code == 200
        with pytest.raises(AddressRefused):
            client.get("http://10.0.0.1/")
    assert [seen.target for seen in proxy.requests] == ["http://example.com/"]
