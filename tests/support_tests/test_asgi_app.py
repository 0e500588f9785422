"""The application does what its table says, over HTTP/1.1."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import zlib
from collections.abc import Iterator

import pytest

from support.asgi_app import pattern
from support.servers import AsgiServer


@pytest.fixture
def connection(plain_server: AsgiServer) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection(*plain_server.address, timeout=5)
    yield made
    made.close()


def get(
    connection: http.client.HTTPConnection, path: str, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def test_uploads_are_hashed_as_they_stream(connection: http.client.HTTPConnection) -> None:
    body = pattern(3_000_001)
    connection.request("PUT", "/upload", (body[i : i + 65536] for i in range(0, len(body), 65536)))
    seen = json.loads(connection.getresponse().read())
    assert (seen["length"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert seen["pieces"] > 1


def test_compressed_bodies(connection: http.client.HTTPConnection) -> None:
    assert gzip.decompress(get(connection, "/gzip/1000")[2]) == pattern(1000)
    assert zlib.decompress(get(connection, "/deflate/1000")[2]) == pattern(1000)
    assert zlib.decompress(get(connection, "/deflate-raw/1000")[2], -15) == pattern(1000)


@pytest.mark.parametrize("code", [200, 204, 304, 404, 503])
def test_any_status(connection: http.client.HTTPConnection, code: int) -> None:
    status, _, body = get(connection, f"/status/{code}")
    assert (status, bool(body)) == (code, code not in (204, 304))
    assert get(connection, "/echo/after")[0] == 200


def test_redirects_end_at_echo(connection: http.client.HTTPConnection) -> None:
    status, headers, _ = get(connection, "/redirect/2?status=307")
    assert (status, headers["location"]) == (307, "/redirect/1?status=307")
    assert get(connection, "/redirect/1")[1]["location"] == "/echo/redirected"
    assert get(connection, "/redirect-to?url=/bytes/1")[1]["location"] == "/bytes/1"


def test_cookies_auth_and_headers(connection: http.client.HTTPConnection) -> None:
    assert get(connection, "/cookies/set?a=b")[1].get_all("set-cookie") == ["a=b; Path=/"]
    assert json.loads(get(connection, "/cookies", Cookie="a=b; c=d")[2]) == {"a": "b", "c": "d"}
    assert get(connection, "/auth/u/p")[0] == 401
    assert get(connection, "/auth/u/p", Authorization="Basic dTpw")[0] == 200
    assert ["x-one", "1"] in json.loads(get(connection, "/headers", X_One="1")[2])
    assert get(connection, "/nowhere")[0] == 404


def test_slow_and_eventful_bodies(connection: http.client.HTTPConnection) -> None:
    assert get(connection, "/drip?count=3&size=2&ms=1")[2] == pattern(6)
    assert json.loads(get(connection, "/delay/1")[2]) == {"delayed_ms": 1}
    events = get(connection, "/events?count=2", Last_Event_ID="7")[2].decode()
    assert "id: 8\n" in events and "id: 9\n" in events and "id: 10" not in events


def test_what_http11_cannot_do_is_left_out(connection: http.client.HTTPConnection) -> None:
    assert get(connection, "/trailers")[2] == b"the body\n"
    assert json.loads(get(connection, "/early-hints")[2]) == {"hinted": False}
    assert json.loads(get(connection, "/push?path=/a")[2]) == {"pushed": ["/a"]}


def test_an_unread_upload_does_not_clog_the_connection(
    connection: http.client.HTTPConnection,
) -> None:
    connection.request("POST", "/nowhere", bytes(2_000_000))
    response = connection.getresponse()
    assert (response.status, response.read()) == (404, b"no such path\n")
    assert get(connection, "/echo/after")[0] == 200
