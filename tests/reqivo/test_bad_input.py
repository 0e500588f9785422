"""What cannot be sent is refused before an octet is written, by a named error, and costs nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reqivo
from reqivo import AsyncSession, InvalidRequest, InvalidURL, PluginError, Proxy, Session, UnsupportedProtocol
from support.certs import Authority
from support.scenarios import FOLLOW_UP, Stage, serve_on
from support.servers import AsgiServer
from support.steps import count_steps
from support.world import World

SMUGGLERS = {
    "CR": "a\rb",
    "LF": "a\nb",
    "CRLF and a header": "a\r\nX-Injected: 1",
    "NUL": "a\0b",
    "control": "a\x01b",
    "DEL": "a\x7fb",
}
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "header value": lambda text: {"headers": {"X": text}},
    "header name": lambda text: {"headers": {text: "x"}},
    "header pair": lambda text: {"headers": [("X", "1"), ("X", text)]},
    "user agent": lambda text: {"headers": {"User-Agent": text}},
    "host": lambda text: {"headers": {"Host": text}},
    "content type": lambda text: {"headers": {"Content-Type": text}, "body": b"x"},
    "connection": lambda text: {"headers": {"Connection": text}},
    "cookie value": lambda text: {"cookies": {"a": text}},
    "cookie name": lambda text: {"cookies": {text: "a"}},
    "user name": lambda text: {"auth": (text, "secret")},
    "password": lambda text: {"auth": ("user", text)},
    "token": lambda text: {"auth": _bearer(text)},
    "upgrade": lambda text: {"extensions": {"upgrade": text}},
    "target": lambda text: {"extensions": {"target": text}},
    "trailer name": lambda text: {"extensions": {"trailers": {text: "a"}}, "body": b"x"},
    "trailer value": lambda text: {"extensions": {"trailers": {"X": text}}, "body": b"x"},
    "file type": lambda text: {"files": {"a": ("name", b"x", text)}},
    "priority": lambda text: {"priority": text},
    "session cookie": lambda text: {"session": {"cookies": {"a": text}}},
    "session header": lambda text: {"session": {"headers": {"X": text}}},
}


def _bearer(token: str) -> Any:
    return reqivo.BearerAuth(token)


@pytest.mark.parametrize("text", SMUGGLERS.values(), ids=SMUGGLERS)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_smuggled(stage: Stage, place: str, text: str) -> None:  # A18
    server = stage.server(serve_on)
    with stage.client() as client, pytest.raises(InvalidRequest) as caught:
        options = PLACES[place](text)
        if "session" in options:
            with stage.client(**options["session"]):
                pass
        else:
            client.post(server.url("/"), **options)
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)
    assert server.connections == 0 or place in ("upgrade", "target", "trailer name", "trailer value", "host")
    assert server.requests == []


@pytest.mark.parametrize("text", SMUGGLERS.values(), ids=SMUGGLERS)
@pytest.mark.parametrize("place", [place for place in PLACES if place not in ("upgrade", "connection")])
def test_nothing_is_smuggled_in_http2(
    world: World, h2_server: AsgiServer, authority: Authority, no_leaks: None, place: str, text: str
) -> None:  # A18
    """Neither upgrades nor Connection are known there."""
    with pytest.raises(InvalidRequest) as caught:
        options = PLACES[place](text)
        session_options = options.pop("session", {})
        with world.client(verify=str(authority.path), http2=True, timeout=30, **session_options) as client:
            client.post(h2_server.url("/echo/smuggled"), **options)
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)


WS_PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "header value": lambda text: {"headers": {"X": text}},
    "header name": lambda text: {"headers": {text: "x"}},
    "host": lambda text: {"headers": {"Host": text}},
    "origin": lambda text: {"headers": {"Origin": text}},
    "subprotocol": lambda text: {"subprotocols": [text]},
}


@pytest.mark.parametrize("text", SMUGGLERS.values(), ids=SMUGGLERS)
@pytest.mark.parametrize("place", WS_PLACES)
@pytest.mark.parametrize("http2", [False, True])
def test_nothing_is_smuggled_into_a_handshake(
    world: World, h2_server: AsgiServer, authority: Authority, no_leaks: None, place: str, text: str, http2: bool
) -> None:  # A18
    with world.client(verify=str(authority.path), http2=http2, timeout=30) as client:
        with pytest.raises(InvalidRequest) as caught:
            url = h2_server.url("/ws/echo", scheme="wss")
            with world.entered(client.session.websocket(url, **WS_PLACES[place](text))):
                pass
        assert str(caught.value).isprintable()
        assert client.session.pool.active == 0


@pytest.mark.parametrize("text", SMUGGLERS.values(), ids=SMUGGLERS)
@pytest.mark.parametrize("place", ["header name", "header value", "user", "password", "tuple"])
def test_nothing_is_smuggled_to_a_proxy(stage: Stage, place: str, text: str) -> None:  # A18
    """Neither with CONNECT nor with a request to be forwarded."""
    proxy = stage.server(serve_on)
    encoded = "".join(f"%{octet:02X}" for octet in text.encode())
    for scheme in ("http", "https"):
        with pytest.raises((InvalidRequest, InvalidURL)) as caught, stage.client() as client:
            described = Proxy.of(proxy.url(""), verify=stage.verify)
            match place:
                case "header name":
                    described = Proxy.of(proxy.url(""), headers={text: "x"})
                case "header value":
                    described = Proxy.of(proxy.url(""), headers={"X": text})
                case "user":
                    described = Proxy.of(proxy.url("").replace("://", f"://{encoded}:secret@"), verify=stage.verify)
                case "password":
                    described = Proxy.of(proxy.url("").replace("://", f"://me:{encoded}@"), verify=stage.verify)
                case _:  # one that was made without any check
                    described = dataclasses.replace(described, headers=(("X", text),))
            client.get(f"{scheme}://origin.test/", proxy=described)
        assert str(caught.value).isprintable() and "secret" not in str(caught.value)
    assert proxy.requests == []


@pytest.mark.parametrize("place", ["upgrade", "target", "trailer name"])
def test_what_the_transport_refuses_costs_no_connection(stage: Stage, place: str) -> None:
    server = stage.server(serve_on)
    with stage.client() as client:
        for _ in range(3):
            with pytest.raises(InvalidRequest) as caught:
                client.post(server.url("/"), **PLACES[place]("a\r\nb"))
            assert caught.value.request is not None
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
        assert client.session.pool.counts == (0, 1, 0)
    assert server.connections == 1


METHODS = ["", "GE T", "GET\r\nX: 1", "GET\0", "GÉT", "G(T", "GET ", 3, None, b"GET"]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_methods(world: World, method: Any, no_leaks: None) -> None:
    with world.client() as client, pytest.raises(InvalidRequest, match="method"):
        client.request(method, "http://127.0.0.1:9/")


def test_names_of_multipart_are_escaped(stage: Stage) -> None:
    server = stage.server(serve_on)
    with stage.client() as client:
        client.post(server.url("/"), data={'a"\r\nX: 1': "v"}, files={'b"\r\nc': ('d"\r\ne', b"x")})
    body = server.requests[0].body
    lines = body.split(b"\r\n")
    assert b"X: 1" not in lines
    assert [line for line in lines if line.startswith(b"Content-Disposition")] == [
        b'Content-Disposition: form-data; name="a%22%0D%0AX: 1"',
        b'Content-Disposition: form-data; name="b%22%0D%0Ac"; filename="d%22%0D%0Ae"',
    ]


VALUES = ["ü", "日本", b"\xff", b"raw", 3, True]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_header_values_of_all_kinds(stage: Stage, value: Any) -> None:
    """They are sent as they are meant, or refused; nothing in between."""
    server = stage.server(serve_on)
    with stage.client() as client:
        try:
            client.get(server.url("/"), headers={"X": value})
        except InvalidRequest as error:
            assert "X" in str(error)
            assert server.requests == []
        else:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            assert server.requests[0].header("x") == text


HOSTS = {
    "http://a%2Fb/": InvalidURL,
    "http://a\\@127.0.0.1/": InvalidURL,
    "http://127.0.0.1:80:80/": InvalidURL,
    "http://[::1%25.ex.com]/": InvalidURL,
    "http://127.0.0.1\t/": InvalidURL,
    "http://127.0.0.1\n/": InvalidURL,
    "http:///x": InvalidURL,
    "http://?x": InvalidURL,
    "http://127.0.0.1:99999/": InvalidURL,
    "http://127.0.0.1:-1/": InvalidURL,
    "http://127.0.0.1:8 0/": InvalidURL,
    "http://[::1/": InvalidURL,
    "http://exa mple/": InvalidURL,
    "http://a\0b/": InvalidURL,
    "http://xn--example-.com/": InvalidURL,
    "//127.0.0.1/": InvalidURL,
    "/path": InvalidURL,
    "127.0.0.1/": InvalidURL,
    "": InvalidURL,
    "http": InvalidURL,
    "gopher://127.0.0.1/": UnsupportedProtocol,
    "ftp://127.0.0.1/": UnsupportedProtocol,
    "javascript:alert(1)": reqivo.RequestError,
    "file:///etc/passwd": reqivo.RequestError,
    "data:,x": reqivo.RequestError,
}


@pytest.mark.parametrize(("url", "error"), HOSTS.items(), ids=map(repr, HOSTS))
def test_urls(world: World, no_leaks: None, url: str, error: type[BaseException]) -> None:  # A20
    with world.client(timeout=2) as client, pytest.raises(error) as caught:
        client.get(url)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("url", [None, 3, b"http://127.0.0.1/", ["http://127.0.0.1/"]], ids=repr)
def test_urls_of_other_types(world: World, no_leaks: None, url: Any) -> None:
    with world.client() as client, pytest.raises(InvalidURL, match="must be a string"):
        client.get(url)


def test_a_long_url_takes_linear_time() -> None:
    with Session() as session:

        def steps(count: int) -> int:
            return count_steps(lambda: session.build_request("GET", "http://" + "a@" * count + "127.0.0.1/"))

        assert steps(100_000) < steps(1000) * 2 + 10_000


def test_userinfo_goes_into_no_other_place(stage: Stage) -> None:
    server = stage.server(serve_on)
    with stage.client() as client:
        url = server.url("/").replace("://", "://us%40er:pass%3Aword@")
        got = client.get(url)
        assert "pass" not in f"{got!r} {got.request!r} {got.url}"
    request = server.requests[0]
    assert request.header("authorization") == "Basic dXNAZXI6cGFzczp3b3Jk"
    assert "@" not in request.header("host") + request.target


@pytest.mark.parametrize("scheme", ["ws", "wss", "coap"])
def test_what_is_missing_is_named(world: World, no_leaks: None, scheme: str) -> None:
    with world.client() as client, pytest.raises(UnsupportedProtocol) as caught:
        client.get(f"{scheme}://127.0.0.1:9/")
    assert "install" in str(caught.value) or "WebSocket" in str(caught.value)


class Texts:
    """An iterable of what is no bytes, as often as one asks."""

    def __iter__(self) -> Any:
        return iter(["text"])


BODIES = [
    ({"body": b"x", "json": {}}, TypeError, "body= and json="),
    ({"body": b"x", "data": {"a": "b"}}, TypeError, "body= and data="),
    ({"json": None, "files": {"a": b"b"}}, TypeError, "files= and json="),
    ({"body": b"x", "content": b"y"}, TypeError, "body"),
    ({"bodi": b"x"}, TypeError, "'body'"),
    ({"timeot": 3}, TypeError, "'timeout'"),
    ({"body": 3.5}, InvalidRequest, "body"),
    ({"body": ["text"]}, InvalidRequest, "body"),
    ({"body": Texts()}, InvalidRequest, "body"),
    ({"json": {1, 2}}, InvalidRequest, "json"),
    ({"json": float("nan")}, InvalidRequest, "NaN"),
    ({"files": {"a": b"x"}, "headers": {"content-type": "multipart/form-data"}}, InvalidRequest, "leave it out"),
    ({"files": {"a": b"x"}, "data": 3}, (InvalidRequest, TypeError), "data"),
    ({"body": Path("/no/such/file")}, InvalidRequest, "no/such"),
    ({"timeout": -1}, InvalidRequest, "timeout=-1: give seconds"),
    ({"timeout": "3"}, InvalidRequest, "timeout='3': give seconds"),
    ({"timeout": (1, "3")}, InvalidRequest, r"Timeout\(read='3'\): give seconds"),
    ({"limits": {"max_bodi": 3}}, InvalidRequest, "max_body"),
    ({"limits": 3}, InvalidRequest, r"limits=3: give Limits"),
    ({"extensions": 3}, InvalidRequest, "extensions: give a mapping"),
    ({"cookies": 3}, InvalidRequest, "cookies: give"),
    ({"follow_redirects": "no"}, InvalidRequest, "follow_redirects='no': give True or False"),
    ({"max_redirects": -1}, InvalidRequest, "max_redirects=-1: give a whole number"),
    ({"http2": "yes"}, InvalidRequest, "http2='yes': give True, False or None"),
    ({"stream": 1}, InvalidRequest, "stream=1: give True or False"),
    ({"verify": "/no/such/file"}, InvalidRequest, "no/such"),
    ({"verify": 3}, InvalidRequest, "verify=3: give True"),
    ({"cert": "/no/such/file"}, InvalidRequest, "no/such"),
    ({"cert": 3}, InvalidRequest, "cert: give"),
    ({"proxies": "http://127.0.0.1"}, InvalidRequest, "proxies='http"),
    ({"auth": 3}, InvalidRequest, "auth"),
    ({"auth": reqivo.BearerAuth}, InvalidRequest, "auth: BearerAuth is a class"),
    ({"auth": ("ada", None)}, InvalidRequest, "str or bytes, not NoneType"),
    ({"headers": 3}, InvalidRequest, "headers: give"),
    ({"headers": "X: 1"}, InvalidRequest, "headers: give"),
    ({"headers": [("X",)]}, InvalidRequest, "headers: give"),
    ({"headers": {"Content-Length": "5"}, "body": b"abc"}, InvalidRequest, "Content-Length"),
    ({"headers": {"Content-Length": "x"}, "body": b"abc"}, InvalidRequest, "Content-Length"),
    ({"headers": {"Transfer-Encoding": "gzip"}, "body": b"abc"}, InvalidRequest, "Transfer-Encoding"),
    ({"headers": {"Transfer-Encoding": "chunked", "Content-Length": "3"}, "body": b"abc"}, InvalidRequest, "Length"),
]


@pytest.mark.parametrize(("options", "error", "words"), BODIES, ids=[" and ".join(options) for options, *_ in BODIES])
def test_options(world: World, serve: Any, no_leaks: None, options: dict[str, Any], error: Any, words: str) -> None:
    server = serve(serve_on)
    with world.client(timeout=2) as client:
        with pytest.raises(error, match=words):
            client.post(server.url("/"), **options)
        assert client.session.pool.active == 0
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
    assert [request.method for request in server.requests] == ["GET"]


def test_an_async_body_needs_an_async_session(no_leaks: None) -> None:
    async def pieces() -> Any:
        yield b"x"

    with Session() as session, pytest.raises(InvalidRequest, match="AsyncSession"):
        session.post("http://127.0.0.1:9/", body=pieces())


@pytest.mark.parametrize("kind", [Session, AsyncSession, reqivo.Reqivo, reqivo.AsyncReqivo])
def test_session_options_are_checked(kind: Any) -> None:
    with pytest.raises(TypeError, match="'timeout'"):
        kind(timeot=3)
    with pytest.raises(TypeError, match="no option 'event_hooks'; hooks are added by add_pre_request_hook"):
        kind(event_hooks={})
    with pytest.raises(InvalidRequest, match="hook 3: give a function"):
        kind().add_pre_request_hook(3)
    with pytest.raises(InvalidRequest, match="hook 'x': give a function"):
        kind().add_post_response_hook("x")
    with pytest.raises(InvalidRequest, match="max_connections"):
        kind(limits={"max_connections": -1})
    with pytest.raises(InvalidURL):
        kind(base_url="nonsense")
    with pytest.raises(PluginError, match="a list"):
        kind(plugins=3)


@pytest.mark.parametrize("kind", [Session, AsyncSession, reqivo.Reqivo, reqivo.AsyncReqivo])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"verify": "/no/such/file"}, "no/such"),
        ({"verify": 1.5}, "give True, False, 'system'"),
        ({"cert": ("/no/such/file", "/no/key")}, "no/such"),
        ({"cert": ("/no/such/file",)}, "certificate, key"),
        ({"cert": 3}, "certificate, key"),
        ({"cookies": 3}, "cookies: give"),
        ({"cookies": ["ab", 3]}, "cookies: give"),
        ({"trust_env": "no"}, "True or False"),
        ({"raise_for_status": 1}, "True or False"),
        ({"http1": "no"}, "True or False"),
        ({"http2": "no"}, "True, False or None"),
        ({"max_redirects": "3"}, "whole number"),
        ({"max_redirects": True}, "whole number"),
        ({"proxies": "http://127.0.0.1"}, "a mapping"),
        ({"default_encoding": "no-such"}, "name of an encoding"),
        ({"default_encoding": 8}, "name of an encoding"),
        ({"json_encoder": "orjson"}, "a function"),
        ({"json_decoder": "orjson"}, "a function"),
        ({"resolve": "127.0.0.1"}, "a mapping from hosts"),
        ({"local_address": 3}, "an IP address"),
        ({"socket_path": 3}, "a path"),
        ({"address_guard": True}, "an AddressGuard"),
        ({"push": 3}, "a PushPolicy"),
        ({"window_manager": 3}, "a class"),
    ],
    ids=str,
)
def test_session_options_are_refused_when_they_are_given(kind: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        kind(**options)
    assert next(iter(options)) in str(caught.value)
    with pytest.raises(InvalidURL):
        kind(base_url=3)
    with pytest.raises(InvalidURL):
        kind(proxy="http://[")
