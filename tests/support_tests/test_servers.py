"""The servers serve, count, and are gone when stopped."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web

from support.asgi_app import pattern
from support.certs import Authority
from support.leaks import leak_check
from support.servers import AiohttpServer, AsgiServer, HttpbinServer


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_echo_says_back_what_came_over_one_connection() -> None:
    with AsgiServer() as server:
        connection = http.client.HTTPConnection(*server.address)
        for body in (b"", b"hello"):
            connection.request("POST", "/echo/n1?a=b", body, {"X-Mine": "yes"})
            response = connection.getresponse()
            seen = json.loads(response.read())
            assert response.headers["x-nonce"] == "n1"
            assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()
            assert ["x-mine", "yes"] in seen["headers"]
        connection.close()
        assert (server.requests, server.connections, len(server.clients)) == (2, 1, 1)


@pytest.mark.parametrize("path", ["/bytes/100003", "/chunked/100003?size=777"])
def test_bodies_follow_the_pattern(path: str) -> None:
    with AsgiServer() as server:
        connection = http.client.HTTPConnection(*server.address)
        connection.request("GET", path)
        assert connection.getresponse().read() == pattern(100003)
        connection.close()


def test_tls_server_proves_its_name_and_answers_alpn(authority: Authority) -> None:
    with AsgiServer(tls=authority.server_context(alpn=["h2", "http/1.1"])) as server:
        context = authority.client_context(alpn=["http/1.1"])
        connection = http.client.HTTPSConnection("localhost", server.port, context=context)
        connection.request("GET", "/echo/x")
        assert json.loads(connection.getresponse().read())["scheme"] == "https"
        assert connection.sock.selected_alpn_protocol() == "http/1.1"
        connection.close()
        assert server.url("/a", host="localhost") == f"https://localhost:{server.port}/a"


def test_stop_does_not_wait_for_requests_that_hang(authority: Authority) -> None:
    with AsgiServer(tls=authority.server_context()) as server:
        context = authority.client_context()
        connection = http.client.HTTPSConnection("localhost", server.port, context=context)
        connection.request("GET", "/hang-after/10")
        response = connection.getresponse()
        assert response.read(10) == pattern(10)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    connection.close()
    response.close()


@pytest.mark.parametrize(("path", "expected"), [("/stream-bytes/10240?chunk_size=1000", 10240), ("/bytes/500", 500)])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_httpbin_streams_and_keeps_the_connection(authority: Authority, path: str, expected: int, secure: bool) -> None:
    with HttpbinServer(tls=authority.server_context() if secure else None) as server:
        if secure:
            connection = http.client.HTTPSConnection("localhost", server.port, context=authority.client_context())
        else:
            connection = http.client.HTTPConnection(*server.address)
        for _ in range(2):
            connection.request("GET", path)
            response = connection.getresponse()
            assert len(response.read()) == expected
        chunked = response.headers.get("transfer-encoding") == "chunked"
        assert chunked == ("stream" in path)
        connection.request("POST", "/post", iter([b"a=", b"1"]), {"Content-Type": "text/plain"})
        assert json.loads(connection.getresponse().read())["data"] == "a=1"
        connection.request("HEAD", "/get")
        assert connection.getresponse().read() == b""
        connection.request("GET", "/status/204")
        assert connection.getresponse().status == 204
        assert server.connections == 1
        connection.close()
        assert server.errors == []


def test_httpbin_delay_ends_with_its_server() -> None:
    with HttpbinServer() as server:
        connection = http.client.HTTPConnection(*server.address)
        connection.request("GET", "/delay/10")
        while not server.requests:
            server.halted.wait(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    connection.close()


def test_aiohttp_application_is_served(authority: Authority) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"hello over {request.scheme}")

    app = web.Application()
    app.router.add_get("/", hello)
    with AiohttpServer(app, tls=authority.server_context()) as server:
        connection = http.client.HTTPSConnection("localhost", server.port, context=authority.client_context())
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello over https"
        connection.close()
    assert server.errors == []


def test_websockets_echo_and_many_connections_leave_nothing(authority: Authority) -> None:
    async def talk(server: AsgiServer) -> list[object]:
        connector = aiohttp.TCPConnector(ssl=authority.client_context(), force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            url = server.url(host="localhost")
            async with session.ws_connect(f"{url}ws/echo", protocols=["a", "b"]) as socket:
                await socket.send_str("hi")
                await socket.send_bytes(b"ho")
                heard: list[object] = [socket.protocol]
                heard += [await socket.receive_str(), await socket.receive_bytes()]

            async def nonce(number: int) -> object:
                async with session.get(f"{url}echo/{number}") as reply:
                    return (await reply.json())["nonce"]

            return heard + await asyncio.gather(*map(nonce, range(50)))

    with AsgiServer(tls=authority.server_context()) as server, leak_check():
        heard = asyncio.run(talk(server))
        assert heard == ["a", "hi", b"ho", *(str(n) for n in range(50))]
        assert (server.requests, server.connections, len(server.clients)) == (51, 51, 51)
        assert server.errors == []


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="could not start"):
        AsgiServer(host="192.0.2.1").start()
