"""Server-sent events: reading them however they are cut, and coming back for more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqivo import (
    BodyTooLarge,
    ConnectError,
    DecodeError,
    HTTPStatusError,
    IncompleteBody,
    RemoteProtocolError,
    Response,
    ServerSentEvent,
    sse,
)
from reqivo.sse import EventSplitter
from support.messages import chunked, response
from support.scripted import Peer, answers
from support.servers import AsgiServer
from support.world import World


def events(*pieces: bytes) -> list[ServerSentEvent]:
    splitter = EventSplitter()
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.end()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"data: one\n\n", [ServerSentEvent(data="one")]),
        (b"data:one\n\n", [ServerSentEvent(data="one")]),
        (b"data:  one\n\n", [ServerSentEvent(data=" one")]),
        (b"data: one\ndata: two\n\n", [ServerSentEvent(data="one\ntwo")]),
        (b"data: one\r\n\r\ndata: two\r\r", [ServerSentEvent(data="one"), ServerSentEvent(data="two")]),
        (b"event: add\ndata: x\nid: 7\nretry: 50\n\n", [ServerSentEvent("add", "x", "7", 50)]),
        (b"id: 7\ndata: x\n\ndata: y\n\n", [ServerSentEvent(data="x", id="7"), ServerSentEvent(data="y", id="7")]),
        (b"id: 7\ndata: x\n\nid\ndata: y\n\n", [ServerSentEvent(data="x", id="7"), ServerSentEvent(data="y")]),
        (b"id: a\0b\ndata: x\n\n", [ServerSentEvent(data="x")]),
        (b"retry: soon\ndata: x\n\n", [ServerSentEvent(data="x")]),
        (b"data\n\n", [ServerSentEvent()]),
        (b"data\ndata\n\n", [ServerSentEvent(data="\n")]),
        (b": a comment\n\n", []),
        (b"event: add\n\ndata: x\n\n", [ServerSentEvent(data="x")]),
        (b"unknown: field\ndata: x\n\n", [ServerSentEvent(data="x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [ServerSentEvent(data="x")]),
        (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [ServerSentEvent(data="x")]),
        ("data: grüße\n\n".encode(), [ServerSentEvent(data="grüße")]),
        (b"data: \xff\n\n", [ServerSentEvent(data="\N{REPLACEMENT CHARACTER}")]),
        (b"data: x\n\ndata: not ended\n", [ServerSentEvent(data="x")]),
        (b"", []),
    ],
)
def test_events_are_read_as_the_specification_has_it(text: bytes, expected: list[ServerSentEvent]) -> None:
    assert events(text) == expected
    assert events(*(bytes([octet]) for octet in text)) == expected


@given(
    st.lists(st.sampled_from([b"data: x", b"id: 1", b"event: e", b"\r\n", b"\n", b"\r", b":c", b"\xc3\xa9"])), st.data()
)
def test_cuts_make_no_difference(parts: list[bytes], data: Any) -> None:
    text = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert events(*pieces) == events(text)


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    with pytest.raises(BodyTooLarge, match="100"):
        events(b"data: " + b"x" * 100)
    with pytest.raises(BodyTooLarge):
        events(*[b"data: x\n"] * 20)
    assert events(*[b": still here\n"] * 20) == []


def test_data_can_be_json() -> None:
    assert ServerSentEvent(data='{"a": 1}').json() == {"a": 1}
    with pytest.raises(DecodeError, match="not JSON"):
        ServerSentEvent(data="a").json()


# -- responses


def test_a_response_gives_its_events(world: World, plain_server: AsgiServer) -> None:
    with world.client(session_of(world)) as client:
        with client.stream("GET", plain_server.url("/events?count=3")) as answer:
            assert len(client.pieces(answer, "sse")) == 3
        whole = client.get(plain_server.url("/events?count=2"))
        client.read(whole)
        assert len(client.pieces(whole, "sse")) == 2


def session_of(world: World, **options: Any) -> Any:
    return world.find("Session", "reqivo")(**options)


# -- event streams


def stream_head(peer: Peer) -> None:
    peer.expect_request()
    peer.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


def sending(*pieces: bytes, breaks: bool = False) -> Any:
    def script(peer: Peer) -> None:
        stream_head(peer)
        peer.send(chunked(*pieces)[: -5 if breaks else None])

    return script


def collect(world: World, client: Any, source: Any, count: int) -> list[str]:
    """The data of so many events; then the stream is closed."""

    async def take() -> list[str]:
        async with source:
            return [(await anext(source)).data for _ in range(count)]

    if world.name == "async":
        return list(world.run(take()))
    with source:
        return [next(source).data for _ in range(count)]


NO_CONTENT = answers(response(204))


def test_we_come_back_and_say_what_was_the_last(world: World, serve: Any) -> None:
    server = serve(
        [
            sending(b"retry: 1\nid: 1\ndata: a\n\n", b"data: b\nid: zw\xc3\xb6lf\n\ndata: lost"),
            sending(b"data: c\n\n", breaks=True),
            lambda peer: peer.expect_request(),
            sending(b"id\ndata: d\n\n"),
            sending(b"data: e\n\n"),
        ]
    )
    with world.client(session_of(world)) as client:
        assert collect(world, client, client.session.sse(server.url("/")), 5) == ["a", "b", "c", "d", "e"]
        assert client.session.pool.active == 0
    seen = [request.header("last-event-id").encode("latin-1").decode() for request in server.requests]
    assert seen == ["", "zwölf", "zwölf", "zwölf", ""]
    assert [request.header("accept") for request in server.requests] == ["text/event-stream"] * 5


def test_we_do_not_come_back_if_told_not_to(world: World, serve: Any) -> None:
    server = serve([sending(b"retry: 1\ndata: a\n\n"), NO_CONTENT])
    with world.client(session_of(world)) as client:
        source = client.session.sse(server.url("/"), last_event_id="9")
        assert [event.data for event in world.collect(source)] == ["a"]  # it ends by itself: a 204 says so
    assert server.requests[0].header("last-event-id") == "9"


def test_a_stream_that_is_not_to_last_ends_with_its_connection(world: World, serve: Any) -> None:
    server = serve([sending(b"data: a\n\n"), sending(b"data: b\n\n", breaks=True)])
    with world.client(session_of(world)) as client:
        assert [event.data for event in world.collect(client.session.sse(server.url("/"), reconnect=False))] == ["a"]
        with pytest.raises(IncompleteBody):
            world.collect(client.session.sse(server.url("/"), reconnect=False))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (response(404, b"no"), HTTPStatusError),
        (response(200, b"<html>", [("Content-Type", "text/html")]), DecodeError),
        (response(200, b"data: x\n\n"), DecodeError),
        (b"garbage\r\n\r\n", RemoteProtocolError),
    ],
)
def test_what_is_no_event_stream_is_an_error(world: World, serve: Any, answer: bytes, error: Any) -> None:
    server = serve(answers(answer))
    with world.client(session_of(world)) as client:
        source = client.session.sse(server.url("/"))
        with pytest.raises(error):
            world.collect(source)
        assert world.collect(source) == []
        assert client.session.pool.active == 0


def test_a_server_that_was_never_there_is_an_error(world: World) -> None:
    with world.client(session_of(world)) as client, pytest.raises(ConnectError):
        world.collect(client.session.sse("http://127.0.0.1:1/"))


def test_options_and_headers_are_those_of_a_request(world: World, serve: Any) -> None:
    server = serve([sending(b"data: a\n\n"), NO_CONTENT])
    with world.client(session_of(world)) as client:
        source = client.session.sse(
            server.url("/"), reconnect=False, method="POST", json={"q": 1}, headers={"Accept": "mine"}, auth=("a", "b")
        )
        assert len(world.collect(source)) == 1
    seen = server.requests[0]
    assert (seen.method, seen.body, seen.header("accept")) == ("POST", b'{"q":1}', "mine")
    assert seen.header("authorization") == "Basic YTpi"


def test_waits_grow_while_the_server_is_away() -> None:
    class Sleeper:
        def __init__(self) -> None:
            self.slept: list[float] = []
            self.runtime = self

        async def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)

    sleeper = Sleeper()
    source = sse.EventStream(sleeper, "http://a/", True, None, {})
    for _ in range(9):
        from reqivo_core.runtime.driving import run_blocking

        run_blocking(source._pause())
    assert sleeper.slept[0] == 3
    assert all(3 <= seconds <= 60 for seconds in sleeper.slept)
    assert max(sleeper.slept) >= 30


def test_a_flow_may_make_the_events(world: World) -> None:
    def mock(request: Any) -> Any:
        return Response.build(
            200, headers={"Content-Type": "text/event-stream"}, body=b"data: made\n\n", request=request
        )
        yield

    with world.client(session_of(world, auth=mock)) as client:
        source = client.session.sse("http://nowhere.example/", reconnect=False)
        assert [event.data for event in world.collect(source)] == ["made"]
