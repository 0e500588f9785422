"""The HTTP proxy leads anywhere on this machine, and the bad network is bad in seven ways."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time

import pytest

from support.asgi_app import pattern
from support.certs import Authority
from support.fixtures import MakeProxy, MakeToxic, Serve
from support.messages import response
from support.scripted import answers
from support.servers import AsgiServer, HttpbinServer
from support.toxics import Bandwidth, Latency, Limit, Reset, Slicer, SlowClose, Timeout, Toxic

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_a_tunnel_leads_to_the_routed_server(
    make_proxy: MakeProxy, httpbin_tls_server: HttpbinServer, authority: Authority
) -> None:
    proxy = make_proxy({"httpbin.org": httpbin_tls_server.address}, auth=("u", "p@ss"))
    connection = http.client.HTTPSConnection(*proxy.address, context=authority.client_context(), timeout=5)
    token = base64.b64encode(b"u:p@ss").decode()
    connection.set_tunnel("httpbin.org", 443, {"Proxy-Authorization": f"Basic {token}"})
    for _ in range(2):
        connection.request("GET", "/get?a=1")
        assert json.loads(connection.getresponse().read())["args"] == {"a": "1"}
    connection.close()
    assert proxy.tunnels == ["httpbin.org:443"]
    assert proxy.requests[0].method == "CONNECT"
    assert proxy.proxy_url == f"http://u:p%40ss@127.0.0.1:{proxy.port}"
    environ = proxy.environ(authority.path, {"https_proxy": "x", "HOME": "/"})
    assert environ["HTTPS_PROXY"] == proxy.proxy_url and "https_proxy" not in environ


def test_requests_are_forwarded(make_proxy: MakeProxy, plain_server: AsgiServer) -> None:
    proxy = make_proxy({"example.com:80": plain_server.address})
    connection = http.client.HTTPConnection(*proxy.address, timeout=5)
    connection.request("POST", "http://example.com/echo/n?x=1", b"body", {"Proxy-Connection": "a"})
    seen = json.loads(connection.getresponse().read())
    connection.close()
    assert (seen["path"], seen["query"], seen["body_length"]) == ("/echo/n", "x=1", 4)
    assert ["host", "example.com"] in seen["headers"]
    assert not any(name == "proxy-connection" for name, _ in seen["headers"])


def test_a_proxy_may_speak_tls(make_proxy: MakeProxy, plain_server: AsgiServer, authority: Authority) -> None:
    proxy = make_proxy(tls=authority.server_context())
    with socket.create_connection(proxy.address, 5) as raw:
        sock = authority.client_context().wrap_socket(raw, server_hostname="localhost")
        sock.sendall(f"CONNECT {plain_server.authority} HTTP/1.1\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        sock.sendall(b"GET /bytes/200000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
        sock.close()
    assert answer.endswith(b"\r\n\r\n" + pattern(200000))


def connect(proxy_address: tuple[str, int], target: str, times: int = 1) -> bytes:
    with socket.create_connection(proxy_address, 5) as sock:
        for _ in range(times):
            sock.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_faults_of_a_proxy(make_proxy: MakeProxy, plain_server: AsgiServer) -> None:
    target = plain_server.authority
    assert connect(make_proxy().address, "example.com:443").startswith(b"HTTP/1.1 502 ")
    refusing = make_proxy(refuse=response(302, b"elsewhere"))
    assert connect(refusing.address, target) == response(302, b"elsewhere")
    assert connect(make_proxy(extra=b"surplus").address, target).endswith(b"\r\n\r\nsurplus")
    assert connect(make_proxy(auth=("a", "b")).address, target, 2).count(b" 407 ") == 2
    stalling = make_proxy(stall=True)
    with socket.create_connection(stalling.address, 0.05) as sock:
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        with pytest.raises(TimeoutError):
            sock.recv(1)


def fetch(address: tuple[str, int], path: str) -> bytes:
    with socket.create_connection(address, 5) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.mark.parametrize(
    "toxic",
    [Toxic(), Latency(0.001, 0.001), Bandwidth(1_000_000), Slicer(300), SlowClose(0.05)],
    ids=lambda toxic: type(toxic).__name__,
)
def test_faults_that_lose_nothing(make_toxic: MakeToxic, plain_server: AsgiServer, toxic: Toxic) -> None:
    proxy = make_toxic(plain_server.address, [toxic], upward=[toxic])
    assert fetch(proxy.address, "/bytes/20000").endswith(pattern(20000))


def test_faults_take_their_time(make_toxic: MakeToxic, plain_server: AsgiServer) -> None:
    for toxic in (Latency(0.1), Bandwidth(10_000), SlowClose(0.1)):
        began = time.monotonic()
        fetch(make_toxic(plain_server.address, [toxic]).address, "/bytes/1000")
        assert time.monotonic() - began > 0.05


def test_limit_and_timeout_cut(make_toxic: MakeToxic, plain_server: AsgiServer) -> None:
    limited = make_toxic(plain_server.address, [Limit(100)])
    assert len(fetch(limited.address, "/bytes/20000")) == 100
    assert fetch(make_toxic(plain_server.address, [Timeout(0.05)]).address, "/bytes/10") == b""


@pytest.mark.parametrize("direction", ["toxics", "upward"])
def test_reset_resets(make_toxic: MakeToxic, plain_server: AsgiServer, direction: str) -> None:
    proxy = make_toxic(plain_server.address, **{direction: [Reset()]})
    with pytest.raises(ConnectionResetError):
        fetch(proxy.address, "/bytes/20000")


def test_each_connection_may_have_its_own_fate(make_toxic: MakeToxic, serve: Serve) -> None:
    origin = serve(answers(response(200, b"0123456789")))
    proxy = make_toxic(origin.address, lambda index: [Limit(5)] if index == 0 else [])
    assert fetch(proxy.address, "/") == b"HTTP/"
    assert fetch(proxy.address, "/") == response(200, b"0123456789")


def test_a_stopped_proxy_wakes_its_toxics(make_toxic: MakeToxic, plain_server: AsgiServer) -> None:
    proxy = make_toxic(plain_server.address, [Timeout(60)])
    sock = socket.create_connection(proxy.address, 5)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    proxy.wait_for_connections(1)
    proxy.stop()
    assert sock.recv(1) == b""
    sock.close()
    assert not [t for t in threading.enumerate() if t.name.startswith(proxy.name)]
