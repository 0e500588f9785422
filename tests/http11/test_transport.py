import gc
import weakref
from typing import Any

import pytest

from http11.memory import END, After, Broken, Wire, read_all, run
from reqivo_core.content import BytesContent
from reqivo_core.errors import (
    HeadersTooLarge,
    InvalidRequest,
    LocalProtocolError,
    NetworkError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    ServerDisconnected,
    TotalTimeout,
    WriteTimeout,
)
from reqivo_core.limits import Limits
from reqivo_core.timeouts import Timeout
from reqivo_http11 import Http11Plugin, Http11Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def test_exchanges_one_after_the_other(codec: str, how: str) -> None:
    get = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
    wire = Wire(After(get), OK, After(get * 2), CHUNKED, After(get * 3), OK, codec=codec, how=how)
    for _ in range(3):
        response, body = wire.fetch()
        assert (response.status, response.reason, response.http_version, body) == (200, "OK", "HTTP/1.1", b"hello")
        assert response.headers
        assert wire.is_reusable
    assert wire.stream.written == get * 3
    assert len(wire.stream.writes) == 3


def test_head_and_small_body_leave_in_one_write(codec: str) -> None:
    wire = Wire(OK, codec=codec)
    wire.fetch("POST", content=BytesContent(b"x" * 65536))
    assert len(wire.stream.writes) == 1
    assert wire.stream.written.endswith(b"Content-Length: 65536\r\n\r\n" + b"x" * 65536)


def test_the_body_tells_its_length(codec: str) -> None:
    assert Wire(OK, codec=codec).send().body.length == 5
    assert Wire(CHUNKED, codec=codec).send().body.length is None
    assert Wire(b"HTTP/1.1 200 OK\r\n\r\n", END, codec=codec).send().body.length is None
    assert Wire(b"HTTP/1.1 204 OK\r\n\r\n", codec=codec).send().body.length == 0


def test_trailers_are_kept_apart(codec: str, how: str) -> None:
    data = CHUNKED[:-2] + b"Set-Cookie: a=b\r\nX-Sum: 1\r\n\r\n"
    wire = Wire(data, codec=codec, how=how)
    response = wire.send()
    assert read_all(response) == b"hello"
    assert response.body.trailers == {"Set-Cookie": "a=b", "X-Sum": "1"}
    assert "Set-Cookie" not in response.headers
    assert wire.is_reusable


@pytest.mark.parametrize(
    ("head", "is_kept"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_the_connection_is_kept_as_the_server_says(codec: str, how: str, head: bytes, is_kept: bool) -> None:
    wire = Wire(head + b"Content-Length: 2\r\n\r\nok", codec=codec, how=how)
    response, body = wire.fetch()
    assert body == b"ok"
    assert response.http_version == head[:8].decode()
    assert wire.is_reusable is is_kept
    assert wire.stream.is_closed is not is_kept


def test_the_connection_is_not_kept_when_we_said_close(codec: str) -> None:
    wire = Wire(OK, codec=codec)
    assert wire.fetch(headers={"Connection": "close"})[1] == b"hello"
    assert wire.stream.is_closed
    assert wire.transport.is_closing


@pytest.mark.parametrize("surplus", [b"X", OK, b"\r\n"])
@pytest.mark.parametrize("answer", [OK, CHUNKED, b"HTTP/1.1 204 No Content\r\n\r\n"])
def test_octets_behind_a_response_end_the_connection(codec: str, how: str, answer: bytes, surplus: bytes) -> None:
    wire = Wire(answer + surplus, codec=codec, how=how)
    response, body = wire.fetch()
    assert body == (b"" if response.status == 204 else b"hello")
    assert not wire.transport.is_usable()


def test_an_unsolicited_response_is_never_given_to_anybody(codec: str) -> None:
    wire = Wire(OK, codec=codec)
    wire.fetch()
    assert wire.is_reusable
    wire.stream.script.append(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert not wire.transport.is_usable()


def test_an_end_while_idle_is_noticed(codec: str) -> None:
    wire = Wire(OK, codec=codec)
    wire.fetch()
    wire.stream.script.append(END)
    assert not wire.transport.is_usable()


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified")]
)
def test_responses_without_body_are_not_waited_for(codec: str, how: str, method: str, status: bytes) -> None:
    wire = Wire(b"HTTP/1.1 " + status + b"\r\nContent-Length: 1000000000\r\n\r\n", codec=codec, how=how)
    response, body = wire.fetch(method)
    assert body == b""
    assert response.headers["content-length"] == "1000000000"
    assert wire.is_reusable


def test_content_length_and_chunks_together(codec: str, how: str) -> None:
    wire = Wire(CHUNKED.replace(b"\r\n\r\n5", b"\r\nContent-Length: 3\r\n\r\n5"), codec=codec, how=how)
    with pytest.raises(RemoteProtocolError):
        wire.fetch()
    assert wire.stream.is_closed


def test_interim_responses_are_handed_over(codec: str, how: str) -> None:
    seen = []
    data = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\n" + OK
    wire = Wire(data, codec=codec, how=how)
    informed = {"on_informational": lambda status, headers: seen.append((status, headers.get_all("link")))}
    assert wire.fetch(extensions=informed)[1] == b"hello"
    assert seen == [(102, []), (103, ["a", "b"])]
    assert wire.is_reusable


def test_an_exception_in_that_hook_reaches_the_caller(codec: str) -> None:
    def fail(status: int, headers: object) -> None:
        raise KeyError("mine")

    wire = Wire(b"HTTP/1.1 102 Processing\r\n\r\n" + OK, codec=codec)
    with pytest.raises(KeyError, match="mine"):
        wire.fetch(extensions={"on_informational": fail})
    assert wire.stream.is_closed


def test_interim_responses_without_end(codec: str, how: str) -> None:
    wire = Wire(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, codec=codec, how=how)
    with pytest.raises(RemoteProtocolError, match="max_informational"):
        wire.fetch()
    assert wire.stream.is_closed


@pytest.mark.parametrize(
    ("script", "error", "started"),
    [
        ((END,), ServerDisconnected, False),
        ((ReadError("reset"),), ServerDisconnected, False),
        ((Broken(),), ServerDisconnected, False),
        ((Broken(), END), ServerDisconnected, False),
        ((Broken(), ReadError("reset")), ServerDisconnected, False),
        ((b"HTTP/1.1 200 OK\r\n", END), RemoteProtocolError, False),
        ((b"HTTP/1.1 200 OK\r\n", ReadError("reset")), ReadError, True),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", END), RemoteProtocolError, False),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", ReadError("reset")), ReadError, True),
        ((), ReadTimeout, False),
        ((b"HTTP/1.1 200 OK\r\n",), ReadTimeout, False),
        ((Broken(WriteTimeout),), WriteTimeout, False),
    ],
)
def test_no_head(codec: str, how: str, script: tuple[object, ...], error: type[Exception], started: bool) -> None:
    wire = Wire(*script, codec=codec, how=how)
    with pytest.raises(error) as caught:
        wire.send()
    assert type(caught.value) is error
    assert caught.value.response_started is started
    assert wire.stream.is_closed
    assert wire.transport.concurrency == 0


def test_a_partial_answer_after_a_broken_write_is_no_clean_disconnect(codec: str) -> None:
    wire = Wire(Broken(), b"HTTP/1.1 400 Bad", END, codec=codec)
    with pytest.raises(NetworkError) as caught:
        wire.send()
    assert not isinstance(caught.value, ServerDisconnected)
    assert caught.value.response_started


def test_the_answer_is_read_although_writing_broke(codec: str, how: str) -> None:
    wire = Wire(Broken(), b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad", codec=codec, how=how)
    response, body = wire.fetch()
    assert (response.status, body) == (400, b"bad")
    assert wire.stream.is_closed


def test_the_deadline_is_asked_for_each_leaf_call(codec: str) -> None:
    wire = Wire(OK[:20], OK[20:41], OK[41:], codec=codec, timeout=Timeout(read=3.0, write=4.0))
    wire.fetch()
    assert wire.stream.timeouts == [4.0, 3.0, 3.0, 3.0]


def test_the_total_bounds_a_drip_that_the_read_timeout_allows(codec: str) -> None:
    wire = Wire(OK, codec=codec, how="single octets", timeout=Timeout(read=3.0, total=10.0))
    read = wire.stream.read

    async def read_slowly(max_bytes: int, timeout: float | None) -> bytes:
        wire.clock.time += 2.0
        return await read(max_bytes, timeout)

    wire.stream.read = read_slowly  # type: ignore[method-assign]  # a slower world
    with pytest.raises(TotalTimeout):
        wire.fetch()
    reads = wire.stream.timeouts[1:]
    assert reads == [3.0, 3.0, 3.0, 3.0, 2.0]
    assert wire.stream.is_closed


def test_the_limits_of_the_exchange_hold(codec: str, how: str) -> None:
    wire = Wire(OK, codec=codec, how=how, limits=Limits(max_response_headers=20))
    with pytest.raises(HeadersTooLarge):
        wire.fetch()
    assert wire.stream.is_closed


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Content-Length": "3"}},
        {"headers": {"Transfer-Encoding": "gzip"}},
        {"extensions": {"target": "/a b"}},
    ],
)
def test_an_invalid_request_leaves_the_connection_as_it_was(codec: str, options: dict[str, Any]) -> None:
    wire = Wire(OK, codec=codec)
    with pytest.raises(InvalidRequest):
        wire.send(**options)
    assert wire.stream.writes == []
    wire.stream.script.clear()
    assert wire.is_reusable
    wire.stream.script.append(OK)
    assert wire.fetch()[1] == b"hello"


def test_a_second_exchange_has_to_wait_for_the_first(codec: str) -> None:
    wire = Wire(OK[:-1], codec=codec)
    response = wire.send()
    assert not wire.transport.is_usable()
    with pytest.raises(LocalProtocolError, match="one exchange at a time"):
        wire.send()
    wire.stream.script.append(b"o")
    assert read_all(response) == b"hello"
    assert wire.is_reusable


def test_a_closed_transport_sends_nothing_and_says_so(codec: str) -> None:
    wire = Wire(OK, codec=codec)
    wire.transport.close()
    wire.transport.close()
    with pytest.raises(ServerDisconnected) as caught:
        wire.send()
    assert caught.value.unprocessed
    assert wire.stream.writes == []
    assert (wire.transport.concurrency, wire.transport.is_closing, wire.transport.is_usable()) == (0, True, False)


def test_a_proxy_gets_absolute_form(codec: str) -> None:
    wire = Wire(OK, codec=codec, is_forwarded=True, url="http://example.com:81/a?b")
    wire.fetch()
    assert wire.stream.written.startswith(b"GET http://example.com:81/a?b HTTP/1.1\r\nHost: example.com:81\r\n")


def test_facts(codec: str) -> None:
    transport = Wire(codec=codec).transport
    assert str(transport.describe()["codec"]).lower() == f"{codec}codec"
    assert (transport.http_version, transport.is_shared) == ("HTTP/1.1", False)


def test_plugin() -> None:
    (spec,) = Http11Plugin().reqivo_register_transports()
    assert (spec.name, spec.schemes, spec.alpn) == ("http11", ("http", "https"), "http/1.1")
    assert spec.open is Http11Transport


def test_aclose(codec: str) -> None:
    wire = Wire(codec=codec)
    run(wire.transport.aclose())
    assert wire.stream.is_closed


def test_nothing_is_left_to_the_garbage_collector(codec: str) -> None:
    wire = Wire(OK, CHUNKED, codec=codec)
    for _ in range(2):
        wire.fetch()
    transport = weakref.ref(wire.transport)
    gc.disable()
    try:
        del wire
        assert transport() is None
    finally:
        gc.enable()
