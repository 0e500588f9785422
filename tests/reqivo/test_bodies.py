"""Bodies, both ways: what is cut short is never passed off as whole, and what is given up is not waited for."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import reqivo
from reqivo import IncompleteBody, InvalidRequest, LocalProtocolError, StreamClosed, StreamConsumed
from support.messages import chunked, response
from support.scenarios import FOLLOW_UP, PATIENCE, Stage, head, ok, serve_on
from support.scripted import Peer, Script
from support.world import Client

CUTS: dict[str, bytes] = {
    "length": head("Content-Length: 100000") + b"x" * 70000,
    "chunk": head("Transfer-Encoding: chunked") + b"186A0\r\n" + b"x" * 70000,
    "last chunk": head("Transfer-Encoding: chunked") + b"11170\r\n" + b"x" * 70000 + b"\r\n",
    "gzip": head("Content-Length: 100000", "Content-Encoding: gzip") + gzip.compress(b"x" * 70000)[:-20],
}
READINGS: dict[str, Callable[[Client, Any], Any]] = {
    "read": lambda client, got: client.read(got),
    "some": lambda client, got: [client.world.run(getattr(got, client.world.method("read"))(99)) for _ in range(1000)],
    "content": lambda client, got: client.pieces(got, "content"),
    "bytes": lambda client, got: client.pieces(got, "bytes"),
    "text": lambda client, got: client.pieces(got, "text"),
    "lines": lambda client, got: client.pieces(got, "lines"),
    "raw": lambda client, got: client.pieces(got, "raw"),
}


def once(sent: bytes, *, then: Callable[[Peer], None] | None = None) -> list[Script]:
    """Answer the first request so, and all that come over further connections well."""

    def first(peer: Peer) -> None:
        peer.expect_request()
        peer.send(sent)
        if then is not None:
            then(peer)

    return [first, serve_on]


def assert_usable(client: Client, url: str) -> None:
    assert client.read(client.get(url)) == FOLLOW_UP
    assert client.session.pool.active == 0


@pytest.mark.parametrize("ending", ["fin", "rst"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("reading", READINGS)
def test_a_cut_body_is_never_whole(stage: Stage, reading: str, cut: str, ending: str) -> None:
    def leave(peer: Peer) -> None:
        if ending == "rst":
            peer.wait_until_taken()
            peer.rst()

    server = stage.server(once(CUTS[cut], then=leave))
    with stage.client() as client:
        got = client.get(server.url("/"), stream=True)
        for _ in range(2):  # asking again changes nothing
            with pytest.raises(IncompleteBody) as caught:
                READINGS[reading](client, got)
            assert caught.value.request is not None
            assert caught.value.received < 100001
            assert caught.value.expected == (100000 if "Length" in str(CUTS[cut][:60]) else None)
        with pytest.raises((IncompleteBody, StreamConsumed)):
            _ = got.content
        assert got.is_closed
        assert_usable(client, server.url("/next"))
        assert len(server.requests) == 2, "nothing was sent again"


def test_a_cut_body_fails_the_plain_call_too(stage: Stage) -> None:
    server = stage.server(once(CUTS["length"]))
    with stage.client() as client:
        with pytest.raises(IncompleteBody):
            client.read(client.get(server.url("/")))
        assert_usable(client, server.url("/next"))


def test_a_broken_gzip_is_an_error_each_time(stage: Stage) -> None:
    squeezed = bytearray(gzip.compress(bytes(range(256)) * 400))
    squeezed[-6] ^= 1  # its checksum
    server = stage.server([*once(ok(bytes(squeezed), [("Content-Encoding", "gzip")]), then=serve_on)])
    with stage.client() as client:
        got = client.get(server.url("/"), stream=True)
        for _ in range(2):
            with pytest.raises(reqivo.DecodeError, match="gzip"):
                client.read(got)
        assert_usable(client, server.url("/next"))


def test_a_streamed_body_is_read_like_a_file(stage: Stage) -> None:
    data = bytes(range(256)) * 1000
    body = gzip.compress(data)
    server = stage.server([*once(ok(body, [("Content-Encoding", "gzip")]), then=serve_on)])
    with stage.client() as client:
        got = client.get(server.url("/"), stream=True)
        read = getattr(got, client.world.method("read"))
        pieces = []
        while piece := client.world.run(read(1000)):
            pieces.append(piece)
        assert b"".join(pieces) == data
        assert {len(piece) for piece in pieces} == {1000}
        assert client.world.run(read(10)) == b""
        assert client.world.run(read()) == b""
        with pytest.raises(StreamConsumed):
            _ = got.content
        assert_usable(client, server.url("/next"))
        assert server.connections == 1


@pytest.mark.parametrize("first", ["iterate", "read"])
def test_what_is_left_after_a_part_was_taken(stage: Stage, first: str) -> None:
    data = bytes(range(256)) * 1000
    server = stage.server([*once(ok(data), then=serve_on)])
    with stage.client() as client:
        got = client.get(server.url("/"), stream=True)
        taken = client.world.run(getattr(got, client.world.method("read"))(99))
        if first == "iterate":
            assert b"".join([taken, *client.pieces(got, "content", 1000)]) == data
            with pytest.raises(StreamConsumed):
                client.pieces(got)
            with pytest.raises(StreamConsumed):
                client.read(got)
        else:
            assert taken + client.read(got) == data
        assert got.is_closed


def test_a_loaded_body_can_be_read_in_every_way(stage: Stage) -> None:
    text = "zwölf\nBoxkämpfer\r\njagen"
    sent = ok(
        gzip.compress(text.encode("latin-1")), [("Content-Encoding", "gzip"), ("Content-Type", "a/b; charset=latin-1")]
    )
    server = stage.server([*once(sent, then=serve_on)])
    with stage.client() as client:
        got = client.get(server.url("/"))
        assert client.text(got) == text
        for _ in range(2):
            assert client.pieces(got, "lines") == ["zwölf", "Boxkämpfer", "jagen"]
            assert "".join(client.pieces(got, "text")) == text
            assert client.pieces(got, "content", 5)[0] == b"zw\xf6lf"
            assert gzip.decompress(b"".join(client.pieces(got, "raw"))) == text.encode("latin-1")
        client.close(got)
        assert got.text == text


# -- giving up


def test_a_short_rest_saves_the_connection(stage: Stage) -> None:
    has_come = threading.Event()
    then = [lambda peer: has_come.set(), serve_on]
    server = stage.server([*once(ok(b"x" * 100000), then=lambda peer: [step(peer) for step in then][0])])
    with stage.client() as client:
        with client.stream("GET", server.url("/")) as got:
            assert has_come.wait(PATIENCE)
            assert client.world.run(getattr(got, client.world.method("read"))(1)) == b"x"
        with pytest.raises(StreamClosed):
            client.read(got)
        assert_usable(client, server.url("/next"))


def test_an_endless_body_is_given_up_at_once(stage: Stage) -> None:  # F4
    sent: list[int] = []

    def endless(peer: Peer) -> None:
        peer.expect_request()
        peer.send(head(f"Content-Length: {2**30}"))
        sent.append(peer.flood(b"x" * 16384))

    server = stage.server([endless, serve_on])
    with stage.client() as client:
        with client.stream("GET", server.url("/")) as got:
            assert client.world.run(getattr(got, client.world.method("read"))(1)) == b"x"
        assert got.is_closed
        assert client.session.pool.active == client.session.pool.idle == 0
        assert_usable(client, server.url("/next"))
        server.wait_until(lambda: len(sent) > 0, "the flood to end")
    assert sent[0] < 2**25
    assert server.connections == 2


def test_a_body_that_stalls_is_not_waited_for(stage: Stage) -> None:
    server = stage.server(once(head("Content-Length: 10") + b"abc", then=Peer.expect_close))
    with stage.client() as client:
        with client.stream("GET", server.url("/")) as got:
            pass
        assert got.is_closed
        assert_usable(client, server.url("/next"))
        server.wait_for_closed(1)


def test_closing_a_broken_body_is_no_error(stage: Stage) -> None:
    server = stage.server(once(head("Transfer-Encoding: chunked") + b"nonsense\r\n"))
    with stage.client() as client:
        got = client.get(server.url("/"), stream=True)
        client.close(got)
        client.close(got)
        assert_usable(client, server.url("/next"))


@pytest.mark.parametrize("body", [b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", b"Content-Length: 9\r\n\r\nabc"])
def test_a_redirect_with_a_broken_body_is_followed(stage: Stage, body: bytes) -> None:
    server = stage.server(once(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n" + body))
    with stage.client() as client:
        got = client.get(server.url("/"))
        assert client.read(got) == FOLLOW_UP
        assert [past.status_code for past in got.history] == [302]
        assert server.requests[1].target == "/there"


# -- sending


def pieces() -> Iterator[bytes]:
    yield from (b"a" * 10, b"", b"b" * 70000, b"c")


async def slow_pieces() -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece


WHOLE = b"".join(pieces())


def uploads(stage: Stage, path: Path) -> dict[str, Any]:
    path.write_bytes(WHOLE)
    kinds: dict[str, Any] = {
        "bytes": WHOLE,
        "bytearray": bytearray(WHOLE),
        "list": list(pieces()),
        "generator": pieces(),
        "path": path,
        "text": WHOLE.decode(),
    }
    if stage.world.name == "async":
        kinds["async generator"] = slow_pieces()
    return kinds


def test_every_kind_of_body_arrives(stage: Stage, tmp_path: Path) -> None:
    server = stage.server(serve_on)
    kinds = uploads(stage, tmp_path / "body")
    with stage.client() as client:
        for body in kinds.values():
            assert client.post(server.url("/"), body=body).status_code == 200
        with open(tmp_path / "body", "rb") as file:
            assert client.post(server.url("/"), body=file).status_code == 200
            assert not file.closed
    assert [request.body == WHOLE for request in server.requests] == [True] * (len(kinds) + 1)
    lengths = [request.header("content-length") for request in server.requests]
    assert lengths.count("") == (2 if stage.world.name == "async" else 1), "generators go in chunks"
    assert server.connections == 1


@pytest.mark.parametrize(("declared", "how"), [("5", "longer"), ("99", "shorter")])
def test_a_body_of_another_length_than_declared(stage: Stage, declared: str, how: str) -> None:
    server = stage.server([Peer.expect_close, serve_on])
    with stage.client() as client:
        with pytest.raises(LocalProtocolError, match=how) as caught:
            client.post(server.url("/"), body=iter([b"1234567"]), headers={"Content-Length": declared})
        assert caught.value.request is not None
        with pytest.raises(InvalidRequest, match="Content-Length"):
            client.post(server.url("/"), body=b"1234567", headers={"Content-Length": declared})
        assert_usable(client, server.url("/next"))


def test_a_generator_is_sent_once(stage: Stage) -> None:
    server = stage.server(serve_on)
    used = pieces()
    with stage.client() as client:
        client.post(server.url("/"), body=used)
        with pytest.raises(InvalidRequest, match="once"):
            client.post(server.url("/"), body=used)
        assert_usable(client, server.url("/next"))
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [307, 308])
def test_a_used_up_generator_cannot_follow_a_redirect(stage: Stage, status: int) -> None:
    server = stage.server([*once(response(status, b"", [("Location", "/there")]), then=serve_on)])
    with stage.client() as client:
        with pytest.raises(InvalidRequest, match="only once"):
            client.post(server.url("/"), body=pieces())
        assert_usable(client, server.url("/next"))
    assert server.connections == 1


def test_trailers_go_both_ways(stage: Stage) -> None:
    sent = head("Transfer-Encoding: chunked") + chunked(b"abc", trailers=[("X-Sum", "9")])
    server = stage.server([*once(sent, then=serve_on)])
    with stage.client() as client:
        got = client.post(server.url("/"), body=b"abc", extensions={"trailers": {"X-Mine": "7"}})
        assert client.read(got) == b"abc"
        assert got.trailers == {"X-Sum": "9"}
        assert_usable(client, server.url("/next"))
    assert server.requests[0].trailers == (("X-Mine", "7"),)


# -- Expect: 100-continue (A16)

EXPECT = {"Expect": "100-continue"}


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reqivo_http11.conversation.CONTINUE_WAIT", 0.1)


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the server however slow the machine makes it."""
    monkeypatch.setattr("reqivo_http11.conversation.CONTINUE_WAIT", 60.0)


def test_the_body_follows_a_100(stage: Stage, codec: str) -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 2)
        peer.respond(200, peer.expect_body(request))
        serve_on(peer)

    server = stage.server(script)
    with stage.client() as client:
        assert client.read(client.put(server.url("/"), body=b"abc", headers=EXPECT)) == b"abc"
        assert_usable(client, server.url("/next"))
    assert server.connections == 1


@pytest.mark.parametrize("status", [417, 200, 413])
def test_a_final_answer_instead_of_a_100(stage: Stage, codec: str, status: int, long_wait: None) -> None:
    unsent: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.expect_head()
        peer.respond(status, b"no")
        unsent.append(peer.expect_close())

    server = stage.server([script, serve_on])
    with stage.client() as client:
        got = client.put(server.url("/"), body=b"abc", headers=EXPECT)
        assert (got.status_code, client.read(got)) == (status, b"no")
        assert_usable(client, server.url("/next"))
        server.wait_for_closed(1)
    assert unsent == [b""], "the body was not sent, nor another request where it was due"


def test_silence_instead_of_a_100(stage: Stage, codec: str, short_wait: None) -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_head()
        peer.respond(200, peer.expect_body(request))
        serve_on(peer)

    server = stage.server(script)
    with stage.client() as client:
        assert client.read(client.put(server.url("/"), body=b"abc", headers=EXPECT)) == b"abc"
        assert_usable(client, server.url("/next"))


def test_an_early_refusal_ends_the_upload(stage: Stage, codec: str) -> None:
    is_refused = threading.Event()

    def script(peer: Peer) -> None:
        peer.expect_head()
        peer.expect(100)
        peer.respond(413, b"too much")
        is_refused.set()
        peer.expect_close()

    def endless() -> Iterator[bytes]:
        yield b"x" * 1000
        assert is_refused.wait(PATIENCE)
        while True:
            yield b"x" * 1000

    server = stage.server([script, serve_on])
    with stage.client() as client:
        got = client.post(server.url("/"), body=endless())
        assert (got.status_code, client.read(got)) == (413, b"too much")
        assert_usable(client, server.url("/next"))


def test_json_both_ways(stage: Stage) -> None:
    def script(peer: Peer) -> None:
        peer.respond(200, json.dumps(json.loads(peer.expect_request().body)).encode())
        peer.expect_request()
        peer.respond(200, b"[" * 100000)

    server = stage.server(script)
    with stage.client() as client:
        assert client.json(client.post(server.url("/"), json={"a": [1, None, "ü"]})) == {"a": [1, None, "ü"]}
        deep = client.get(server.url("/"))
        client.read(deep)
        with pytest.raises(reqivo.DecodeError, match="not JSON"):
            deep.json()


@pytest.mark.parametrize("decode_content", [True, False])
def test_a_body_has_one_reader(stage: Stage, decode_content: bool) -> None:
    """A second one is told so at once, and takes nothing from the first."""
    is_refused = threading.Event()

    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(head("Content-Length: 6") + b"abc")
        peer.wait(is_refused)
        peer.send(b"def")
        serve_on(peer)

    server = stage.server(script)
    with stage.client() as client:
        got = client.get(server.url("/"), stream=True)
        read = partial(getattr(got, client.world.method("read")), decode_content=decode_content)

        def attempt_both() -> list[Any]:
            outcomes = client.world.together([lambda: watch(read), lambda: watch(read)])
            return sorted(outcomes, key=lambda outcome: isinstance(outcome, bytes))

        def watch(reading: Callable[[], Any]) -> Any:
            """Read; whoever is refused lets the server go on."""
            if client.world.name == "blocking":
                return guarded(reading)
            return awaited(reading)

        def guarded(reading: Callable[[], Any]) -> Any:
            try:
                return reading()
            except BaseException:
                is_refused.set()
                raise

        async def awaited(reading: Callable[[], Any]) -> Any:
            try:
                return await reading()
            except BaseException:
                is_refused.set()
                raise

        refused, body = attempt_both()
        assert isinstance(refused, StreamConsumed) and "one reader" in str(refused)
        assert body == b"abcdef"
        assert_usable(client, server.url("/"))


def test_closing_a_body_stops_whoever_reads_it(stage: Stage) -> None:
    server = stage.server([*once(head("Content-Length: 6") + b"abc", then=lambda peer: peer.expect_close()), serve_on])
    with stage.client() as client:
        got = client.get(server.url("/"), stream=True)
        assert client.world.run(getattr(got, client.world.method("read"))(3)) == b"abc"

        def read(_session: Any) -> Any:
            return getattr(got, client.world.method("read"))(3)

        outcomes = client.together([read, partial(close_once_it_is_read, got, client.world.name)])
        assert outcomes[1] is None
        assert isinstance(outcomes[0], StreamClosed)
        with pytest.raises(StreamClosed):
            client.read(got)
        assert got.is_closed
        assert_usable(client, server.url("/next"))


def close_once_it_is_read(got: Any, world: str, _session: Any) -> Any:
    if world == "async":  # the reader was begun before
        return got.aclose()
    end = time.monotonic() + 10
    while not got.body_reader._is_reading:
        assert time.monotonic() < end, "nobody reads"
        time.sleep(0.001)
    return got.close()
