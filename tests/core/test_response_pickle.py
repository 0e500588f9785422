"""A response can travel to another process: its values, and its body if it was read."""

import pickle
from typing import Any

import pytest

from reqivo_core import AsyncResponse, Response
from reqivo_core.errors import HTTPStatusError, StreamConsumed
from reqivo_core.headers import Headers
from reqivo_core.interfaces import IncomingResponse, ResponseBody
from reqivo_core.messages import Request

HEADERS = [("Content-Type", "text/plain; charset=latin-1"), ("A", "1"), ("A", "2")]


def travelled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("kind", [Response, AsyncResponse])
def test_values_and_body_travel(kind: type[Response] | type[AsyncResponse]) -> None:
    request = Request("POST", "http://example.org/a?b=c", headers={"X": "y"})
    response = kind.build(404, headers=HEADERS, body=b"caf\xe9", request=request, reason="Not Found")
    response.history = [kind.build(302, headers={"Location": "/a"}, request=request)]
    again = travelled(response)
    assert type(again) is kind
    assert (again.status_code, again.reason, again.http_version) == (404, "Not Found", "HTTP/1.1")
    assert again.headers.get_all("a") == ["1", "2"]
    assert (str(again.url), again.request.method, again.request.headers["x"]) == (str(response.url), "POST", "y")
    assert [one.status_code for one in again.history] == [302]
    assert again.elapsed == response.elapsed
    assert again.is_closed
    assert (again._loaded(), again._text()) == (b"caf\xe9", "café")


def test_encoding_that_was_set_travels() -> None:
    response = Response.build(headers=HEADERS, body="ä", request=Request("GET", "http://example.org/"))
    response.encoding = "utf-8"
    assert travelled(response).text == "ä"


def test_a_body_that_was_not_read_stays_behind() -> None:
    class NoBody(ResponseBody):
        async def read_chunk(self) -> bytes:
            raise AssertionError

        def close(self) -> None:
            pass

    incoming = IncomingResponse(200, "", "HTTP/2", Headers(), NoBody())
    body: Any = object()
    again = travelled(Response(Request("GET", "http://example.org/"), incoming, body, None, 1.5))
    assert (again.status_code, again.http_version, again.elapsed.total_seconds()) == (200, "HTTP/2", 1.5)
    with pytest.raises(StreamConsumed, match="is gone"):
        _ = again.content


def test_error_of_a_status_travels_with_its_response() -> None:
    response = Response.build(500, body="oh", request=Request("GET", "http://example.org/"))
    with pytest.raises(HTTPStatusError) as caught:
        response.raise_for_status()
    again = travelled(caught.value)
    assert (str(again), again.response.text) == (str(caught.value), "oh")
