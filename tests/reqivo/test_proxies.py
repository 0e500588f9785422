"""Through HTTP proxies: tunnels, refusals, and where credentials go (H1, H2, H4)."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from reqivo import CertificateError, ConnectError, ConnectTimeout, DNSError, InvalidURL, Proxy, ProxyError, TotalTimeout
from support.certs import Authority
from support.messages import response
from support.scripted import Peer, answers
from support.servers import AsgiServer
from support.world import World

SECRET = "Basic bWU6czNjcjN0"
AUTH = ("me", "s3cr3t")
SURPLUS = [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"\x16\x03\x03\x00\x02", b"x"]


def trusted(proxy: Any, authority: Authority) -> Proxy:
    """A proxy and whom to trust of its kind, which is not said by what is trusted of origins."""
    return Proxy.of(proxy.proxy_url, verify=str(authority.path))


@pytest.fixture(params=["http-proxy", "https-proxy"])
def proxy_tls(request: pytest.FixtureRequest, authority: Authority) -> Any:
    """How the proxy is spoken to."""
    return authority.server_context() if request.param == "https-proxy" else None


@pytest.mark.parametrize("secure", [False, True], ids=["http-proxy", "https-proxy"])
@pytest.mark.parametrize("http2", [False, None], ids=["http11", "any"])
def test_a_tunnel_is_made_once_and_used_again(
    world: World, make_proxy: Any, tls_server: AsgiServer, authority: Authority, secure: bool, http2: Any
) -> None:
    proxy = make_proxy(tls=authority.server_context() if secure else None, auth=AUTH)
    with world.client(proxy=trusted(proxy, authority), verify=str(authority.path), http2=http2) as client:
        for nonce in ("1", "2"):
            assert client.json(client.get(tls_server.url(f"/echo/{nonce}")))["nonce"] == nonce
    assert [seen.method for seen in proxy.requests] == ["CONNECT"]
    assert proxy.requests[0].all("proxy-authorization") == [SECRET]


@pytest.mark.parametrize("extra", SURPLUS)
def test_octets_that_come_with_the_tunnel_are_an_error(
    world: World, make_proxy: Any, tls_server: AsgiServer, authority: Authority, proxy_tls: Any, extra: bytes
) -> None:
    proxy = make_proxy(extra=extra, tls=proxy_tls)
    with world.client(proxy=trusted(proxy, authority), verify=str(authority.path)) as client:
        with pytest.raises(ProxyError, match="into the tunnel"):
            client.get(tls_server.url("/echo/1"))
        assert client.session.pool.active == 0
        assert client.get(tls_server.url("/echo/2"), proxy=None).status_code == 200


REFUSALS = [
    (302, [("Location", "https://evil.example/")]),
    (400, []),
    (403, []),
    (407, [("Proxy-Authenticate", 'Basic realm="x"')]),
    (502, []),
]


@pytest.mark.parametrize(("status", "headers"), REFUSALS)
def test_a_refused_tunnel_is_the_proxys_answer_not_the_origins(
    world: World, make_proxy: Any, authority: Authority, proxy_tls: Any, status: int, headers: Any
) -> None:
    proxy = make_proxy(refuse=response(status, b"a login page", headers), tls=proxy_tls)
    with world.client(proxy=trusted(proxy, authority)) as client:
        with pytest.raises(ProxyError, match=str(status)) as caught:
            client.get("https://example.com/")
        assert (caught.value.status, caught.value.phase, client.session.pool.active) == (status, "proxy", 0)
        assert "login page" not in str(caught.value)


@pytest.mark.parametrize("refuse", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n", b"\x05\xff"])
def test_what_is_no_answer_is_a_proxy_error(
    world: World, make_proxy: Any, authority: Authority, proxy_tls: Any, refuse: bytes
) -> None:
    proxy = make_proxy(refuse=refuse, tls=proxy_tls)
    with (
        world.client(proxy=trusted(proxy, authority)) as client,
        pytest.raises(ProxyError, match="failed to open a tunnel"),
    ):
        client.get("https://example.com/")


@pytest.mark.parametrize(("timeout", "error"), [((0.05, None), ConnectTimeout), (0.05, TotalTimeout)])
def test_a_silent_proxy_is_given_up(
    world: World, make_proxy: Any, authority: Authority, proxy_tls: Any, timeout: Any, error: Any
) -> None:
    proxy = make_proxy(stall=True, tls=proxy_tls)
    with world.client(proxy=trusted(proxy, authority), timeout=timeout) as client:
        with pytest.raises((error, ConnectTimeout)):
            client.get("https://example.com/")
        assert client.session.pool.active == 0


# -- H2: credentials for a proxy


def test_credentials_go_to_the_proxy_alone(
    world: World, make_proxy: Any, serve: Any, authority: Authority, proxy_tls: Any
) -> None:
    server = serve(answers(response(200, b"ok")), tls=authority.server_context("example.com"))
    proxy = make_proxy({"example.com": server.address}, auth=AUTH, tls=proxy_tls)
    with world.client(proxy=trusted(proxy, authority), verify=str(authority.path)) as client:
        client.get("https://example.com/")
    assert server.requests[0].all("proxy-authorization") == []
    assert proxy.requests[0].all("authorization") == []


def test_the_origins_credentials_are_not_shown_to_the_proxy_of_a_tunnel(
    world: World, make_proxy: Any, serve: Any, authority: Authority, proxy_tls: Any
) -> None:
    server = serve(answers(response(200, b"ok")), tls=authority.server_context("example.com"))
    proxy = make_proxy({"example.com": server.address}, tls=proxy_tls)
    with world.client(proxy=trusted(proxy, authority), verify=str(authority.path), auth=("you", "other")) as client:
        client.get("https://example.com/", headers={"Cookie": "a=b", "X-Key": "k"})
    names = {name.lower() for name, _ in proxy.requests[0].headers}
    assert names.isdisjoint({"authorization", "cookie", "x-key"})


def test_a_forwarded_request_is_in_absolute_form_with_credentials(
    world: World, make_proxy: Any, serve: Any, authority: Authority, proxy_tls: Any
) -> None:
    server = serve(answers(response(200, b"ok")))
    proxy = make_proxy({"example.com": server.address}, auth=AUTH, tls=proxy_tls)
    with world.client(proxy=trusted(proxy, authority)) as client:
        assert client.read(client.get("http://example.com/a?b=c")) == b"ok"
    seen = proxy.requests[0]
    assert (seen.method, seen.target, seen.header("host")) == ("GET", "http://example.com/a?b=c", "example.com")
    assert seen.all("proxy-authorization") == [SECRET]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_that_leaves_the_proxy_leaves_its_credentials(
    world: World, make_proxy: Any, serve: Any, authority: Authority, proxy_tls: Any, scheme: str
) -> None:
    tls = authority.server_context("example.com", "localhost") if scheme == "https" else None
    direct = serve(answers(response(200, b"direct")), tls=tls)
    server = serve(answers(response(302, headers=[("Location", direct.url("/", host="localhost"))])), tls=tls)
    proxy = make_proxy({"example.com": server.address}, auth=AUTH, tls=proxy_tls)
    proxies = {"all": trusted(proxy, authority), "no_proxy": "localhost"}
    with world.client(proxies=proxies, verify=str(authority.path)) as client:
        assert client.read(client.get(f"{scheme}://example.com/")) == b"direct"
    assert direct.requests[0].all("proxy-authorization") == []
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_to_another_proxy_takes_its_own_credentials(
    world: World, make_proxy: Any, serve: Any, authority: Authority, proxy_tls: Any, scheme: str
) -> None:
    tls = authority.server_context("example.com", "other.example") if scheme == "https" else None
    last = serve(answers(response(200, b"last")), tls=tls)
    first = serve(answers(response(302, headers=[("Location", f"{scheme}://other.example/")])), tls=tls)
    one = make_proxy({"example.com": first.address}, auth=AUTH, tls=proxy_tls)
    two = make_proxy({"other.example": last.address}, auth=("two", "2"), tls=proxy_tls)
    proxies = {
        f"{scheme}://example.com": trusted(one, authority),
        f"{scheme}://other.example": trusted(two, authority),
    }
    with world.client(proxies=proxies, verify=str(authority.path)) as client:
        assert client.read(client.get(f"{scheme}://example.com/")) == b"last"
    assert one.requests[0].all("proxy-authorization") == [SECRET]
    assert two.requests[0].all("proxy-authorization") == ["Basic dHdvOjI="]


def test_credentials_appear_in_no_text(world: World, make_proxy: Any) -> None:
    proxy = make_proxy(refuse=response(502))
    with world.client(proxy=proxy.proxy_url.replace("http://", "http://me:s3cr3t@")) as client:
        with pytest.raises(ProxyError) as caught:
            client.get("https://example.com/")
        assert "s3cr3t" not in f"{caught.value} {caught.value!r} {client.session!r} {client.session.pool!r}"


# -- H4: identity


def test_other_credentials_need_another_tunnel(
    world: World, make_proxy: Any, tls_server: AsgiServer, authority: Authority, proxy_tls: Any
) -> None:
    proxy = make_proxy(tls=proxy_tls)
    with world.client(verify=str(authority.path)) as client:
        for userinfo in ("a:b@", "a:b@", "a:c@", "", ""):
            url = Proxy.of(f"{proxy.scheme}://{userinfo}127.0.0.1:{proxy.port}", verify=str(authority.path))
            assert client.get(tls_server.url("/echo/1"), proxy=url).status_code == 200
    assert len(proxy.tunnels) == 3


@pytest.mark.parametrize("scheme", ["plain", "tls"])
def test_a_proxy_given_for_one_request_serves_no_other(
    world: World, make_proxy: Any, authority: Authority, proxy_tls: Any, scheme: str, request: pytest.FixtureRequest
) -> None:
    server: AsgiServer = request.getfixturevalue(f"{scheme}_server")
    proxy = make_proxy(tls=proxy_tls)
    with world.client(verify=str(authority.path)) as client:
        for options in ({"proxy": trusted(proxy, authority)}, {}, {"proxy": None}):
            assert client.get(server.url("/echo/1"), **options).status_code == 200
    assert len(proxy.requests) == 1


def test_a_proxys_certificate_is_judged_for_itself(
    world: World, make_proxy: Any, tls_server: AsgiServer, authority: Authority
) -> None:
    """Whatever is trusted of origins: nothing at all has to be right there, and yet it has to be here."""
    proxy = make_proxy(tls=authority.wrong_host().server_context())
    for verify in (str(authority.path), False, authority.client_context()):
        with world.client(proxy=proxy.proxy_url, verify=verify) as client:
            for url in (tls_server.url("/echo/1"), "http://example.com/"):
                with pytest.raises(CertificateError, match=r"proxy https://.* Proxy\.of\(url, verify=…\)"):
                    client.get(url)
                with pytest.raises(CertificateError):
                    client.get(url, verify=False)
    with world.client(proxy=trusted(proxy, authority)) as client, pytest.raises(CertificateError, match="elsewhere"):
        client.get(tls_server.url("/echo/1"))
    assert proxy.requests == []


@pytest.mark.parametrize("way", ["proxy", "environment"])
def test_an_origins_certificate_is_judged_behind_a_proxy(
    world: World, make_proxy: Any, serve: Any, authority: Authority, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(lambda peer: peer.expect_close(), tls=authority.wrong_host().server_context())
    proxy = make_proxy({"example.com": server.address}, tls=authority.untrusted().server_context())
    options: dict[str, Any] = {"proxy": Proxy.of(proxy.proxy_url, verify=False)}
    if way == "environment":
        proxy = make_proxy({"example.com": server.address}, tls=authority.server_context())
        monkeypatch.setenv("HTTPS_PROXY", proxy.proxy_url)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
        options = {}
    with world.client(**options) as client, pytest.raises(CertificateError, match=r"certificate of example\.com"):
        client.get("https://example.com/")
    assert (len(proxy.tunnels), server.requests) == (1, [])


def test_a_client_certificate_is_shown_to_whom_it_is_meant_for(world: World, serve: Any, authority: Authority) -> None:
    shown: list[bytes | None] = []

    def script(peer: Peer) -> None:
        shown.append(peer.client_certificate)
        peer.expect_request()
        peer.send(response(502))

    context = authority.issue().server_context(client_ca=authority.path)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = serve(script, tls=context)
    mine = authority.client()
    cert = (str(mine.path), str(mine.key))
    for of_origin, of_proxy in ((cert, None), (None, cert)):
        proxy = Proxy.of(server.url(""), verify=str(authority.path), cert=of_proxy)
        with world.client(proxy=proxy, cert=of_origin) as client, pytest.raises(ProxyError, match="502"):
            client.get("https://example.com/")
    assert [certificate is not None for certificate in shown] == [False, True]


def test_what_a_proxy_is_told(world: World, make_proxy: Any, serve: Any, authority: Authority, proxy_tls: Any) -> None:
    server = serve(answers(response(200, b"ok")), tls=authority.server_context("example.com"))
    proxy = make_proxy({"example.com": server.address}, auth=AUTH, tls=proxy_tls)
    described = Proxy.of(proxy.proxy_url, verify=str(authority.path), headers={"X-Tenant": "t"})
    assert "s3cr3t" not in repr(described)
    with world.client(proxy=described, verify=str(authority.path)) as client:
        assert client.get("https://example.com/").status_code == 200
        for headers in ({"X-Tenant": "mine"}, {}):
            assert client.get("http://nowhere.test/", headers=headers).status_code == 502
    assert (proxy.requests[0].header("x-tenant"), server.requests[0].header("x-tenant")) == ("t", "")
    assert [seen.header("x-tenant") for seen in proxy.requests[1:]] == ["mine", "t"]
    assert proxy.requests[0].all("proxy-authorization") == [SECRET]


@pytest.mark.parametrize("url", ["http://a/path", "http://a?b", "", "http://"])
def test_what_is_no_proxy(url: str) -> None:
    with pytest.raises(InvalidURL):
        Proxy.of(url)


# -- the environment

PROXY_VARIABLES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "variable", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
)
@pytest.mark.parametrize(
    ("exceptions", "is_proxied"),
    [
        ("", True),
        ("example.com", False),
        (".example.com", False),
        ("*.EXAMPLE.com", False),
        ("le.com", True),
        ("other, example.com:{port}", False),
        ("example.com:81", True),
        ("*", False),
    ],
)
def test_the_environment_says_which_proxy(
    world: World,
    make_proxy: Any,
    plain_server: AsgiServer,
    tls_server: AsgiServer,
    environment: pytest.MonkeyPatch,
    variable: str,
    exceptions: str,
    is_proxied: bool,
) -> None:  # H5
    scheme, port, server = "http", 80, plain_server
    if variable.lower() == "https_proxy":
        scheme, port, server = "https", 443, tls_server
    proxy = make_proxy({"www.example.com": server.address}, auth=AUTH)
    environment.setenv(variable, proxy.proxy_url)
    environment.setenv("NO_PROXY", exceptions.format(port=port))
    url, options = f"{scheme}://www.example.com/echo/1", {"resolve": {"www.example.com": server.address}}
    with world.client(verify=False, **options) as client:
        assert client.get(url).status_code == 200
        assert len(proxy.requests) == is_proxied
        assert client.get(url, proxy=None).status_code == 200
    with world.client(verify=False, trust_env=False, **options) as client:
        assert client.get(url).status_code == 200
    assert len(proxy.requests) == is_proxied


def test_a_variable_that_names_no_proxy(world: World, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "http://me:s3cr3t@[")
    with pytest.raises(InvalidURL, match="environment variable HTTPS_PROXY") as caught, world.client():
        pass
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://origin.test/", "https://origin.test/"])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
def test_a_proxy_that_is_not_there_is_named(world: World, url: str, scheme: str) -> None:
    with world.client(proxy=f"{scheme}://me:s3cr3t@127.0.0.1:1", timeout=5) as client:
        with pytest.raises(ConnectError) as caught:
            client.get(url)
    told = str(caught.value)
    assert f"proxy {scheme}://127.0.0.1:1: could not connect to 127.0.0.1:1 (" in told, told


def test_a_proxy_whose_name_is_unknown_is_named(world: World) -> None:
    with world.client(proxy="http://proxy.invalid:3128", timeout=5) as client:
        with pytest.raises(DNSError, match=r"proxy http://proxy\.invalid:3128: could not resolve 'proxy\.invalid'"):
            client.get("http://origin.test/")
