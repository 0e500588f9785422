"""Ordinary behaviour against real servers: hypercorn, aiohttp.web and httpbin."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import reqivo
from reqivo import HTTPStatusError
from support.asgi_app import pattern
from support.certs import Authority
from support.servers import AiohttpServer, AsgiServer, HttpbinServer
from support.world import Client, World

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest) -> AsgiServer:
    chosen: AsgiServer = request.getfixturevalue(f"{request.param}_server")
    return chosen


@pytest.fixture
def client(world: World, authority: Authority) -> Iterator[Client]:
    with world.client(verify=str(authority.path), timeout=30, http2=False) as made:
        yield made


# -- hypercorn


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
def test_methods_bodies_and_queries(server: AsgiServer, client: Client, method: str) -> None:
    body = b"content" * 1000
    got = client.request(method, server.url("/echo/n1?a=1"), params={"b": ["2", "3"]}, body=body, headers={"X-A": "b"})
    seen = client.json(got)
    assert (seen["method"], seen["query"], seen["nonce"]) == (method, "a=1&b=2&b=3", "n1")
    assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert ["x-a", "b"] in seen["headers"]
    assert (got.status_code, got.reason, got.http_version, got.ok) == (200, "", "HTTP/1.1", True)
    assert got.headers["X-Nonce"] == "n1"
    assert got.elapsed.total_seconds() > 0
    assert {"first_byte", "wait", "connect"} <= got.timings.keys()


def test_head_and_statuses(server: AsgiServer, client: Client) -> None:
    got = client.head(server.url("/bytes/1000000"))
    assert (got.headers["content-length"], client.read(got)) == ("1000000", b"")
    for status in (200, 201, 204, 206, 304, 400, 404, 418, 500, 503):
        got = client.get(server.url(f"/status/{status}"))
        assert got.status_code == status
        assert client.read(got) == (b"" if status in (204, 304) else f"status {status}\n".encode())
        if status >= 400:
            with pytest.raises(HTTPStatusError, match=str(status)):
                got.raise_for_status()
        else:
            assert got.raise_for_status() is got
    assert client.session.pool.counts == (0, 1, 0)


@pytest.mark.parametrize("path", ["/bytes/300000", "/chunked/300000?size=1000", "/chunked/300000?size=70000"])
def test_streams_down(server: AsgiServer, client: Client, path: str) -> None:
    with client.stream("GET", server.url(path)) as got:
        pieces = client.pieces(got, "content", 7777)
    assert b"".join(pieces) == pattern(300000)
    assert {len(piece) for piece in pieces[:-1]} == {7777}
    assert client.read(client.get(server.url(path))) == pattern(300000)
    assert client.session.pool.counts == (0, 1, 0)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate-raw"])
def test_codings(server: AsgiServer, client: Client, coding: str) -> None:
    assert client.read(client.get(server.url(f"/{coding}/300000"))) == pattern(300000)
    with client.stream("GET", server.url(f"/{coding}/300000")) as got:
        assert len(b"".join(client.pieces(got, "raw"))) < 300000
    assert client.session.pool.counts == (0, 1, 0)


def test_streams_up(server: AsgiServer, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pattern(1_000_000))
    with open(path, "rb") as file:
        for body in (file, path, iter([pattern(1_000_000)]), pattern(1_000_000)):
            seen = client.json(client.post(server.url("/upload"), body=body))
            assert (seen["length"], seen["sha256"]) == (1_000_000, hashlib.sha256(pattern(1_000_000)).hexdigest())


def test_redirects_and_cookies(server: AsgiServer, client: Client) -> None:
    got = client.get(server.url("/redirect/3"))
    assert client.json(got)["nonce"] == "redirected"
    assert len(got.history) == 3
    client.read(client.get(server.url("/cookies/set?a=1&b=2")))
    assert client.json(client.get(server.url("/cookies"), cookies={"c": "3"})) == {"a": "1", "b": "2", "c": "3"}
    assert dict(client.session.cookies) == {"a": "1", "b": "2"}


def test_fifty_at_once(server: AsgiServer, client: Client) -> None:
    urls = [server.url(f"/echo/{number}") for number in range(50)]
    got = client.together([lambda session, url=url: session.get(url) for url in urls])  # type: ignore[misc]
    assert [response.json()["nonce"] for response in got] == [str(number) for number in range(50)]
    assert client.session.pool.active == 0


# -- httpbin


def test_httpbin_forms_files_and_json(httpbin_server: HttpbinServer, client: Client, tmp_path: Path) -> None:
    url = httpbin_server.url("/post")
    assert client.json(client.post(url, data={"a": "1", "b": ["2", "ü"]}))["form"] == {"a": "1", "b": ["2", "ü"]}
    assert client.json(client.post(url, json={"a": [None, "ü"]}))["json"] == {"a": [None, "ü"]}
    path = tmp_path / "naïve.txt"
    path.write_text("file content")
    with open(path, "rb") as file:
        seen = client.json(client.post(url, data={"x": "y"}, files={"f": file, "g": ("g.bin", b"\0\1", "a/b")}))
    assert seen["form"] == {"x": "y"}
    assert seen["files"] == {"f": "file content", "g": "\0\1"}
    assert seen["headers"]["Content-Type"].startswith("multipart/form-data; boundary=")


def test_httpbin_authentication(httpbin_server: HttpbinServer, client: Client) -> None:
    url = httpbin_server.url
    assert client.json(client.get(url("/basic-auth/me/pass"), auth=("me", "pass")))["authenticated"]
    assert client.get(url("/basic-auth/me/pass"), auth=("me", "wrong")).status_code == 401
    with_userinfo = url("/basic-auth/me/pa%40ss").replace("://", "://me:pa%40ss@")
    assert client.json(client.get(with_userinfo))["authenticated"]
    client.session.set_bearer_token("token")
    assert client.json(client.get(url("/bearer")))["token"] == "token"
    assert client.get(url("/bearer"), auth=None).status_code == 401


def test_httpbin_encodings_and_redirects(httpbin_server: HttpbinServer, client: Client) -> None:
    url = httpbin_server.url
    assert client.json(client.get(url("/gzip")))["gzipped"]
    assert client.json(client.get(url("/deflate")))["deflated"]
    assert "∮" in client.text(client.get(url("/encoding/utf8")))
    assert len(client.get(url("/redirect/5")).history) == 5
    got = client.get(url("/redirect-to"), params={"url": url("/get?a=b"), "status_code": 307})
    assert client.json(got)["args"] == {"a": "b"}
    assert client.json(client.get(url("/cookies/set/k/v"))) == {"cookies": {"k": "v"}}
    lines = client.pieces(client.get(url("/stream/20"), stream=True), "lines")
    assert [json.loads(line)["id"] for line in lines] == list(range(20))
    assert len(client.read(client.get(url("/drip?numbytes=5&duration=0.1")))) == 5


# -- aiohttp


async def trailing(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"X-Method": request.method})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for data in request.content.iter_any():
        await response.write(data.upper())
    await response.write_eof()
    return response


async def upgrading(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nwelcome")
    await asyncio.sleep(0.2)
    raise web.HTTPOk


async def multipart(request: web.Request) -> web.Response:
    return web.json_response({part.name: len(await part.read()) async for part in await request.multipart()})


async def expecting(request: web.Request) -> web.Response:
    if request.headers.get("X-Refuse"):
        raise web.HTTPRequestEntityTooLarge(1, 2)
    return web.Response(body=await request.read())


async def refuse(request: web.Request) -> None:
    if request.headers.get("X-Refuse"):
        raise web.HTTPExpectationFailed
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.fixture
def aiohttp_server(authority: Authority) -> Iterator[AiohttpServer]:
    app = web.Application()
    app.router.add_route("*", "/upper", trailing)
    app.router.add_get("/upgrade", upgrading)
    app.router.add_post("/multipart", multipart)
    app.router.add_put("/expect", expecting, expect_handler=refuse)
    with AiohttpServer(app, tls=authority.server_context()) as made:
        yield made


def test_aiohttp(aiohttp_server: AiohttpServer, client: Client) -> None:
    url = aiohttp_server.url
    got = client.post(url("/upper"), body=iter([b"abc" * 1000, b"def"]))
    assert client.read(got) == b"ABC" * 1000 + b"DEF"
    assert got.headers["x-method"] == "POST"
    seen: Any = client.json(client.post(url("/multipart"), data={"a": "b"}, files=[("f", b"x" * 100000), ("g", b"")]))
    assert seen == {"a": 1, "f": 100000, "g": 0}
    expect = {"Expect": "100-continue"}
    informed: list[int] = []
    extensions = {"on_informational": lambda status, headers: informed.append(status)}
    got = client.put(url("/expect"), body=b"abc", headers=expect, extensions=extensions)
    assert (client.read(got), informed) == (b"abc", [100])
    assert client.put(url("/expect"), body=b"abc", headers={**expect, "X-Refuse": "1"}).status_code == 417
    assert client.get(url("/nowhere")).status_code == 404


def test_aiohttp_upgrades(aiohttp_server: AiohttpServer, client: Client) -> None:
    got = client.get(aiohttp_server.url("/upgrade"), extensions={"upgrade": "echo"})
    assert got.status_code == 101
    stream = got.extensions["network_stream"]
    reading = stream.read(100, 5.0)
    if client.world.name == "blocking":
        from reqivo_core.runtime.driving import run_blocking

        assert run_blocking(reading) == b"welcome"
    else:
        assert client.world.run(reading) == b"welcome"
    assert client.session.pool.active == 1
    stream.close()
    assert client.session.pool.active == 0


def test_module_functions(httpbin_server: HttpbinServer) -> None:
    got = reqivo.post(httpbin_server.url("/post"), json={"a": 1}, timeout=30)
    assert got.json()["json"] == {"a": 1}
    with reqivo.stream("GET", httpbin_server.url("/bytes/100000"), timeout=30) as streamed:
        assert len(b"".join(streamed.iter_bytes())) == 100000
