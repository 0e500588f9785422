"""Which proxy a URL goes through: maps, the environment, and all that NO_PROXY may say (H5)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reqivo_core.errors import InvalidRequest, InvalidURL
from reqivo_core.proxies import NoProxy, ProxyMap, authorization, to_proxy
from reqivo_core.routes import Proxy
from reqivo_core.tls_config import TlsConfig
from reqivo_core.urls import URL

TLS = TlsConfig()


def chosen(proxies: ProxyMap, url: str) -> str | None:
    proxy = proxies.select(URL(url).origin)
    return None if proxy is None else str(proxy.url.origin)


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        # names: themselves and what is below them, never what merely ends alike
        ("example.com", "http://example.com/", True),
        ("example.com", "http://www.example.com/", True),
        ("example.com", "http://a.b.example.com/", True),
        ("example.com", "http://notexample.com/", False),
        ("example.com", "http://example.com.evil.org/", False),
        ("example.com", "http://example.org/", False),
        (".example.com", "http://www.example.com/", True),
        (".example.com", "http://example.com/", True),
        (".example.com", "http://notexample.com/", False),
        ("*.example.com", "http://www.example.com/", True),
        ("www.example.com", "http://example.com/", False),
        # case, dots at the end, spaces, several, none
        ("EXAMPLE.com", "http://example.COM/", True),
        ("example.com.", "http://example.com/", True),
        ("example.com", "http://example.com./", True),
        (" a.org , example.com ", "http://example.com/", True),
        ("a.org example.com", "http://example.com/", True),
        ("a.org,,example.com,", "http://example.com/", True),
        ("", "http://example.com/", False),
        (".", "http://example.com/", False),
        # everything
        ("*", "http://example.com/", True),
        ("*", "http://127.0.0.1/", True),
        ("a.org, *", "http://example.com/", True),
        # ports narrow
        ("example.com:8080", "http://example.com:8080/", True),
        ("example.com:8080", "http://www.example.com:8080/", True),
        ("example.com:8080", "http://example.com/", False),
        ("example.com:443", "https://example.com/", True),
        ("127.0.0.1:81", "http://127.0.0.1:81/", True),
        ("127.0.0.1:81", "http://127.0.0.1:82/", False),
        # addresses and networks
        ("127.0.0.1", "http://127.0.0.1/", True),
        ("127.0.0.1", "http://127.0.0.11/", False),
        ("0.0.1", "http://127.0.0.1/", False),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.1.2.3/8", "http://10.9.9.9/", True),
        ("10.0.0.0/8", "http://ten.example.com/", False),
        ("192.168.0.0/16, example.com", "http://192.168.9.9/", True),
        ("[::1]", "http://[::1]/", True),
        ("::1", "http://[::1]/", True),
        ("0:0:0:0:0:0:0:1", "http://[::1]/", True),
        ("[::1]:8080", "http://[::1]:8080/", True),
        ("[::1]:8080", "http://[::1]/", False),
        ("::1", "http://[::2]/", False),
        ("fd00::/8", "http://[fd12::1]/", True),
        ("fd00::/8", "http://[fe80::1]/", False),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/", True),
        ("10.0.0.0/8", "http://[::ffff:10.1.1.1]/", True),
        # names beyond ASCII
        ("bücher.example", "http://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "http://bücher.example/", True),
        ("BÜCHER.example", "http://www.bücher.example/", True),
        # localhost is no exception by itself
        ("example.com", "http://localhost/", False),
        ("localhost", "http://localhost/", True),
    ],
)
def test_no_proxy(no_proxy: str, url: str, is_direct: bool) -> None:
    origin = URL(url).origin
    assert NoProxy(no_proxy).covers(origin.host, origin.port) == is_direct


def test_a_zone_is_no_part_of_an_address() -> None:
    assert NoProxy("fe80::/10").covers("fe80::1%eth0", 80)


def test_a_port_that_is_no_port_is_part_of_the_name() -> None:
    assert NoProxy("example.com:http").covers("example.com", 80) is False


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com/", "http://plain:1"),
        ("https://example.com/", "http://secure:2"),
        ("ws://example.com/", "http://plain:1"),
        ("wss://example.com/", "http://secure:2"),
        ("http://special.example/", "http://special:3"),
        ("https://special.example/", "http://secure:2"),
        ("other://special.example/", "http://any-special:4"),
        ("other://example.com/", "http://rest:5"),
        ("https://direct.example/", None),
        ("http://excepted.example/", None),
    ],
)
def test_the_scheme_counts_before_the_host_of_all(url: str, expected: str | None) -> None:
    proxies = ProxyMap.of(
        {
            "http://": "http://plain:1",
            "HTTPS": "secure:2",
            "http://special.example": "http://special:3",
            "all://special.example": "http://any-special:4",
            "https://direct.example": None,
            "all": "http://rest:5",
            "no_proxy": "excepted.example",
        },
        TLS,
    )
    assert chosen(proxies, url) == expected


def test_all_serves_what_no_other_key_does() -> None:
    assert chosen(ProxyMap.of({"all": "socks5h://rest"}, TLS), "http://a/") == "socks5h://rest"
    assert not ProxyMap.of({"http": None}, TLS)


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({"HTTP_PROXY": "http://p:1"}, "http://a/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://a/", None),
        ({"HTTPS_PROXY": "p:1"}, "https://a/", "http://p:1"),
        ({"http_proxy": "http://low:1", "HTTP_PROXY": "http://up:1"}, "http://a/", "http://low:1"),
        ({"http_proxy": "", "HTTP_PROXY": "http://up:1"}, "http://a/", None),
        ({"ALL_PROXY": "http://p:1"}, "https://a/", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://s:1"}, "https://a/", "http://s:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a"}, "http://a/", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a", "no_proxy": "b"}, "http://a/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://a/", None),
        ({"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, "http://a/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "https://a/", "http://p:1"),
        ({}, "http://a/", None),
    ],
)
def test_the_environment(environ: dict[str, str], url: str, expected: str | None) -> None:
    assert chosen(ProxyMap.from_environment(TLS, environ), url) == expected


def test_a_variable_that_cannot_be_used_is_named() -> None:
    with pytest.raises(InvalidURL, match="environment variable HTTPS_PROXY") as caught:
        ProxyMap.from_environment(TLS, {"HTTPS_PROXY": "http://user:s3cr3t@p:1/path"})
    assert "s3cr3t" not in str(caught.value)


def test_a_proxy_keeps_its_credentials_apart_from_its_url() -> None:
    proxy = to_proxy("http://me:p%40ss@proxy:3128", TLS)
    assert proxy == Proxy(URL("http://proxy:3128"), "me", "p@ss", tls=TLS)
    assert proxy is not None and "p@ss" not in repr(proxy)
    assert authorization(proxy) == "Basic bWU6cEBzcw=="
    assert authorization(Proxy(URL("http://proxy"))) is None
    assert to_proxy(proxy, TLS) is proxy


@pytest.mark.parametrize("proxy", ["http://proxy/path", "http://proxy?q", "http://", "ht tp://x", "proxy:99999"])
def test_what_is_no_url_of_a_proxy_is_refused(proxy: str) -> None:
    with pytest.raises(InvalidURL):
        to_proxy(proxy, TLS)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("htp", "'htp' fits no URL; give http, https, ws, wss, all, or one with ://host"),
        ("", "'' fits no URL"),
        ("example.org", "'example.org' fits no URL"),
        (5, "5 fits no URL"),
        ("http://a b", "'http://a b' fits no URL: "),
        ("http://*.example.org", "fits no URL: "),
        ("http://example.org:80", "has a port, but goes by scheme and host"),
    ],
)
def test_a_key_that_fits_nothing_is_refused(key: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(words)):
        ProxyMap.of({key: "http://p"}, TLS)


def test_a_key_is_written_as_urls_are() -> None:
    keys = {"http://BÜCHER.example": "p1", "all://[::0:1]": "p2", "frames": "p3", "https://": "p4", "wss": "p5"}
    proxies = ProxyMap.of(keys, TLS, ["frames"])
    assert chosen(proxies, "http://bücher.example/") == "http://p1"
    assert chosen(proxies, "http://[::1]/") == "http://p2"
    assert chosen(proxies, "frames://a:1/") == "http://p3"
    assert chosen(proxies, "https://a/") == "http://p4"
    assert chosen(proxies, "wss://a/") == "http://p5"
    assert chosen(proxies, "ws://a/") is None
