"""TLS as sessions use it: whom they trust, what they remember, what they do with what is no TLS."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import reqivo
from reqivo import CertificateError, InvalidRequest, Proxy, TlsConfig, TlsError, hookimpl
from reqivo_core.runtime.tls_contexts import _make_context
from support.certs import Authority, Certificate
from support.fixtures import MakeProxy, Serve
from support.scenarios import FOLLOW_UP, PATIENCE, await_arrival, ok, serve_on
from support.scripted import Peer
from support.servers import AsgiServer
from support.socks import SocksServer
from support.world import World

pytestmark = pytest.mark.usefixtures("no_leaks")

BAD: dict[str, tuple[Callable[[Authority], Certificate], str]] = {
    "wrong host": (lambda authority: authority.wrong_host(), "elsewhere"),
    "expired": (lambda authority: authority.expired(), "expired"),
    "not yet valid": (lambda authority: authority.not_yet_valid(), "not yet valid"),
    "self-signed": (lambda authority: authority.self_signed(), "self-signed|self signed"),
    "untrusted": (lambda authority: authority.untrusted(), "issuer|unable to get"),
    "incomplete": (lambda authority: authority.incomplete_chain(), "issuer"),
    "common name only": (lambda authority: authority.cn_only(), "mismatch|not valid"),
    "any name": (lambda authority: authority.dns_sans("*"), "mismatch|not valid"),
    "an address as a name": (lambda authority: authority.dns_sans("127.0.0.1"), "mismatch|not valid"),
}


@pytest.mark.parametrize("by", ["name", "address", "http2", "tunnel", "secure proxy", "SOCKS"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_certificates(
    world: World, serve: Serve, make_proxy: MakeProxy, authority: Authority, kind: str, by: str
) -> None:  # C1
    make, reason = BAD[kind]
    server = serve(serve_on, tls=make(authority).server_context())
    options: dict[str, Any] = {"verify": str(authority.path), "timeout": 5, "resolve": {"localhost": "127.0.0.1"}}
    proxies = contextlib.ExitStack()
    if by == "tunnel":
        options["proxy"] = make_proxy().url()
    elif by == "secure proxy":
        proxy = make_proxy(tls=authority.server_context())
        options["proxy"] = Proxy.of(proxy.url(), verify=str(authority.path))
    elif by == "SOCKS":
        options["proxy"] = f"socks5h://127.0.0.1:{proxies.enter_context(SocksServer()).port}"
    elif by == "http2":
        options["http2"] = True
    host = "127.0.0.1" if by == "address" else "localhost"
    with proxies, world.client(**options) as client:
        for _ in range(2):
            with pytest.raises(CertificateError, match=reason) as caught:
                client.get(f"https://{host}:{server.port}/secret", headers={"Authorization": "secret"})
            assert host in str(caught.value)
            assert caught.value.phase == "tls"
            assert caught.value.request is not None
        assert client.session.pool.counts == (0, 0, 0)
    assert server.requests == []


WILDCARDS = {
    "*.com": "a.com",
    "*.a.com": "c.b.a.com",
    "*.*.a.com": "c.b.a.com",
    "b*.a.com": "b1.a.com",
    "*b.a.com": "1b.a.com",
    "b.*.com": "b.a.com",
}
"""Patterns, and hosts that somebody might find them to fit (RFC 9525 §6.3: one whole label, the leftmost)."""


@pytest.mark.parametrize("by", ["name", "http2", "websocket", "tunnel", "secure proxy", "SOCKS"])
@pytest.mark.parametrize("pattern", WILDCARDS)
def test_odd_wildcards(
    world: World, serve: Serve, make_proxy: MakeProxy, authority: Authority, pattern: str, by: str
) -> None:  # C1
    host = WILDCARDS[pattern]
    server = serve(serve_on, tls=authority.dns_sans(pattern).server_context(alpn=["h2"] if by == "http2" else []))
    options: dict[str, Any] = {"verify": str(authority.path), "resolve": {host: "127.0.0.1"}, "http2": by == "http2"}
    proxies = contextlib.ExitStack()
    if by == "tunnel":
        options["proxy"] = make_proxy({host: server.address}).url()
    elif by == "secure proxy":
        proxy = make_proxy({host: server.address}, tls=authority.server_context())
        options["proxy"] = Proxy.of(proxy.url(), verify=str(authority.path))
    elif by == "SOCKS":
        port = proxies.enter_context(SocksServer({host: server.address})).port
        options["proxy"] = f"socks5h://127.0.0.1:{port}"
    with proxies, world.client(timeout=30, **options) as client:
        with pytest.raises(CertificateError, match=re.escape(f"{host} was not accepted")):
            if by == "websocket":
                with world.entered(client.session.websocket(f"wss://{host}:{server.port}/")):
                    pass
            else:
                client.get(f"https://{host}:{server.port}/", headers={"Authorization": "secret"})
        assert client.session.pool.counts == (0, 0, 0)
    assert server.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_certificates_of_proxies(
    world: World, make_proxy: MakeProxy, authority: Authority, kind: str, scheme: str
) -> None:  # C1, H4
    make, reason = BAD[kind]
    proxy = make_proxy(tls=make(authority).server_context())
    described = Proxy.of(proxy.url("", host="localhost"), verify=str(authority.path))
    with world.client(proxy=described, timeout=30, resolve={"localhost": "127.0.0.1"}, verify=False) as client:
        with pytest.raises(CertificateError, match=reason) as caught:
            client.get(f"{scheme}://example.com/", headers={"Authorization": "secret"})
        assert "proxy https://localhost" in str(caught.value) and caught.value.request is not None
        assert client.session.pool.counts == (0, 0, 0)
    assert proxy.requests == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_good_certificates(world: World, serve: Serve, authority: Authority, host: str) -> None:  # C3
    names: list[str | None] = []

    def script(peer: Peer) -> None:
        names.append(peer.server_name)
        serve_on(peer)

    server = serve(script, tls=authority.server_context(), host="::1" if "::" in host else "127.0.0.1")
    with world.client(verify=str(authority.path), timeout=30, resolve={"localhost": "127.0.0.1"}) as client:
        assert client.read(client.get(f"https://{host}:{server.port}/")) == FOLLOW_UP
    assert names == ["localhost" if host == "localhost" else None], "no SNI for addresses"


def test_what_one_call_trusts_is_no_other_calls_business(
    world: World, serve: Serve, authority: Authority
) -> None:  # C2
    server = serve(serve_on, tls=authority.untrusted().server_context())
    url = server.url("/")
    with world.client(timeout=30, verify=str(authority.path)) as client:
        for _ in range(2):
            assert client.read(client.get(url, verify=False)) == FOLLOW_UP
            with pytest.raises(CertificateError, match=r"issuer certificate\); verify= says whom to trust"):
                client.get(url)
        assert client.session.pool.idle == 1
        assert client.read(client.get(url, verify=False)) == FOLLOW_UP
    assert len(server.requests) == 3
    with world.client(timeout=30, verify=str(authority.path)) as client, pytest.raises(CertificateError):
        client.get(url)


def test_nor_where_a_connection_is_shared(world: World, authority: Authority) -> None:  # C2
    """In HTTP/2 the connection that one call opened stays open for others, but for none that trusts less."""
    with AsgiServer(tls=authority.untrusted().server_context(alpn=["h2"])) as server:
        with world.client(timeout=30, verify=str(authority.path), http2=True) as client:
            for _ in range(2):
                assert client.get(server.url("/echo/1"), verify=False).http_version == "HTTP/2"
                with pytest.raises(CertificateError):
                    client.get(server.url("/echo/2"))
        assert (server.connections, server.requests) == (1, 2)


def test_a_client_certificate_is_no_other_calls_business(world: World, serve: Serve, authority: Authority) -> None:
    seen: list[bool] = []

    def script(peer: Peer) -> None:
        seen.append(peer.client_certificate is not None)
        serve_on(peer)

    context = authority.issue().server_context(client_ca=authority.path)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = serve(script, tls=context)
    mine = authority.client()
    with world.client(timeout=30, verify=str(authority.path)) as client:
        client.get(server.url("/"), cert=(str(mine.path), str(mine.key)))
        client.get(server.url("/"))
        client.get(server.url("/"), cert=str(mine.combined))
        client.get(server.url("/"), verify=authority.client_context())
        client.get(server.url("/"))
    assert seen == [True, False, True, False]


@pytest.mark.parametrize("kind", BAD)
def test_bad_certificates_of_websockets(world: World, serve: Serve, authority: Authority, kind: str) -> None:  # C1
    make, reason = BAD[kind]
    server = serve(serve_on, tls=make(authority).server_context())
    with world.client(verify=str(authority.path), timeout=30) as client:
        socket = client.session.websocket(server.url("/", scheme="wss"))
        with pytest.raises(CertificateError, match=reason), world.entered(socket):
            pass
        assert client.session.pool.counts == (0, 0, 0)
    assert server.requests == []


NOT_TLS = {
    "plain HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"\x00\x01\x02garbage",
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "nothing": b"",
    "half a record": b"\x16\x03\x03\x00\x7a\x02",
}


@pytest.mark.parametrize("kind", NOT_TLS)
def test_what_is_no_tls(world: World, serve: Serve, kind: str) -> None:  # C5
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(NOT_TLS[kind])

    server = serve(script)
    with world.client(timeout=30, verify=False) as client:
        with pytest.raises(TlsError) as caught:
            client.get(f"https://127.0.0.1:{server.port}/")
        assert not isinstance(caught.value, reqivo.TimeoutException)
        assert caught.value.phase == "tls"
        assert client.session.pool.counts == (0, 0, 0)
    assert server.connections == 1, "neither again nor in plain text"


def test_tls_where_plain_text_was_asked_for(world: World, serve: Serve, authority: Authority) -> None:
    server = serve(serve_on, tls=authority.server_context())
    with world.client(timeout=30) as client, pytest.raises(reqivo.ReqivoError):
        client.get(f"http://127.0.0.1:{server.port}/")
    assert server.requests == []


@pytest.mark.parametrize("framing", ["none", "length", "chunks"])
def test_an_end_without_farewell(
    world: World, serve: Serve, authority: Authority, codec: str, framing: str
) -> None:  # C6
    def script(peer: Peer) -> None:
        peer.expect_request()
        match framing:
            case "none":
                peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
            case "length":
                peer.send(ok(b"abc"))
            case _:
                peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        peer.abort_tls()
        has_left.set()

    has_left = threading.Event()
    server = serve([script, serve_on], tls=authority.server_context())
    with world.client(timeout=30, verify=str(authority.path)) as client:
        if framing == "none":
            with pytest.raises(reqivo.IncompleteBody, match="close_notify"):
                client.read(client.get(server.url("/")))
        else:
            assert client.read(client.get(server.url("/"))) == b"abc"
        assert has_left.wait(PATIENCE)
        await_arrival(client)
        assert client.read(client.post(server.url("/"))) == FOLLOW_UP


class Ear:
    """A plugin that keeps what is said of handshakes."""

    def __init__(self) -> None:
        self.resumed: list[bool] = []

    @hookimpl
    def reqivo_trace(self, event: Any) -> None:
        assert "resumed" not in event.info or (event.name, event.state) == ("tls", "complete")
        if (event.name, event.state) == ("tls", "complete"):
            self.resumed.append(event.info["resumed"])


def test_sessions_are_resumed_within_one_trust_only(world: World, serve: Serve, authority: Authority) -> None:
    resumed: list[bool] = []
    ear = Ear()

    def script(peer: Peer) -> None:
        resumed.append(peer.was_resumed)
        serve_on(peer)

    server = serve(script, tls=authority.server_context())
    once = {"Connection": "close"}
    trusted, strict = str(authority.path), TlsConfig(str(authority.path), minimum_version="TLSv1.3")
    mine = authority.client()
    with world.client(timeout=30, verify=trusted, plugins=[ear]) as client:
        for options in [
            {},
            {},
            {"verify": False},
            {"verify": False},
            {"verify": strict},
            {"verify": strict},
            {"cert": str(mine.combined)},
            {"cert": str(mine.combined)},
            {},
        ]:
            client.read(client.get(server.url("/"), headers=once, **options))
    assert resumed == ear.resumed == [False, True] * 4 + [True]
    assert not server.tls_errors


# -- C2: whatever one call says of TLS


def test_another_authority(world: World, serve: Serve, authority: Authority) -> None:
    server = serve(serve_on, tls=authority.server_context())
    with world.client(timeout=30) as client:
        for _ in range(2):
            assert client.read(client.get(server.url("/"), verify=str(authority.path))) == FOLLOW_UP
            with pytest.raises(CertificateError):
                client.get(server.url("/"))
    assert len(server.requests) == 2


def test_another_name(world: World, serve: Serve, authority: Authority) -> None:
    names: list[str | None] = []

    def script(peer: Peer) -> None:
        names.append(peer.server_name)
        serve_on(peer)

    server = serve(script, tls=authority.server_context("inner.example"))
    config = TlsConfig(str(authority.path), server_hostname="inner.example")
    with world.client(timeout=30, verify=str(authority.path)) as client:
        for _ in range(2):
            assert client.read(client.get(server.url("/"), verify=config)) == FOLLOW_UP
            with pytest.raises(CertificateError, match=r"127\.0\.0\.1.*inner\.example"):
                client.get(server.url("/"))
    assert names == ["inner.example"]


def test_a_minimum_version(world: World, serve: Serve, authority: Authority) -> None:
    old = serve(serve_on, tls=authority.issue().server_context(maximum_version=ssl.TLSVersion.TLSv1_2))
    strict = TlsConfig(str(authority.path), minimum_version="TLSv1.3")
    with world.client(timeout=30, verify=str(authority.path)) as client:
        for _ in range(2):
            assert client.read(client.get(old.url("/"))) == FOLLOW_UP
            with pytest.raises(TlsError, match="version"):
                client.get(old.url("/"), verify=strict)
    with world.client(timeout=30, verify=strict) as client:
        with pytest.raises(TlsError, match="version"):
            client.get(old.url("/"), cert=str(authority.client().combined))
        with pytest.raises(InvalidRequest, match=r"give 'TLSv1\.2' or 'TLSv1\.3'"):
            client.get(old.url("/"), verify=TlsConfig(minimum_version="SSLv3"))
    assert len(old.requests) == 2


def test_a_call_can_do_without_the_sessions_certificate(world: World, serve: Serve, authority: Authority) -> None:
    shown: list[bool] = []

    def script(peer: Peer) -> None:
        shown.append(peer.client_certificate is not None)
        serve_on(peer)

    context = authority.issue().server_context(client_ca=authority.path)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = serve(script, tls=context)
    with world.client(timeout=30, verify=str(authority.path), cert=str(authority.client().combined)) as client:
        client.get(server.url("/"))
        client.get(server.url("/"), cert=None)
        client.get(server.url("/"))
    assert shown == [True, False]


# -- the system and the environment


@pytest.fixture
def fresh_contexts() -> Iterator[None]:
    """Contexts are kept, and with them a log file open."""
    _make_context.cache_clear()
    yield
    _make_context.cache_clear()


def test_the_systems_authorities(
    world: World, serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch, fresh_contexts: None
) -> None:
    """On Linux, truststore asks OpenSSL for them, which looks into SSL_CERT_FILE first."""
    pytest.importorskip("truststore")
    good, bad = (serve(serve_on, tls=made.server_context()) for made in (authority.issue(), authority.wrong_host()))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with world.client(timeout=30, verify="system") as client, pytest.raises(CertificateError):
        client.get(good.url("/"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    _make_context.cache_clear()
    with world.client(timeout=30, verify="system") as client:
        assert client.read(client.get(good.url("/"))) == FOLLOW_UP
        with pytest.raises(CertificateError):
            client.get(bad.url("/"))
    assert bad.requests == []


def test_the_keys_are_logged_where_the_environment_says(
    world: World,
    serve: Serve,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fresh_contexts: None,
) -> None:
    server = serve(serve_on, tls=authority.server_context())
    log = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    with world.client(timeout=30, verify=str(authority.path), trust_env=False) as client:
        client.get(server.url("/"))
    assert not log.exists()
    with world.client(timeout=30, verify=str(authority.path)) as client:
        client.get(server.url("/"))
    assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()
