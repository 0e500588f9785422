"""Open WebSockets with scripted servers: frames, violations, limits, closing; in both worlds."""

from __future__ import annotations

import asyncio
import gc
import select
import threading
import time
import zlib
from array import array
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from reqivo_core.errors import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidRequest,
    ReadTimeout,
)
from reqivo_ws import Deflate
from reqivo_ws import connection as connection_module
from support import world as worlds
from support.fixtures import Serve
from support.frames import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    accept,
    answer_close,
    close_frame,
    expect_close,
    expect_frame,
    frame,
    text,
)
from support.scripted import Peer
from support.servers import WebSocketsServer
from support.sockets import Socket, connected, make
from support.world import PATIENCE, World
from ws.scripts import Told, sending, ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")

_DEFLATED_HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"


def test_w09_control_frames_between_fragments_are_handled_at_once(world: World, serve: Serve) -> None:
    told = Told()

    def script(peer: Peer) -> None:
        accept(peer, frame(TEXT, b"a", fin=False) + frame(PING, b"amid") + frame(PONG, b"unasked"))
        told.tell(expect_frame(peer)[:2])
        peer.send(frame(CONTINUATION, b"b"))
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        assert ws.recv() == "ab"
        assert told.value == (PONG, b"amid")


def test_w13_compressed_and_plain_messages(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        hello = frame(TEXT, _DEFLATED_HELLO, rsv=RSV1)
        fragments = frame(TEXT, b"\xf2\x48", fin=False, rsv=RSV1) + frame(CONTINUATION, _DEFLATED_HELLO[2:])
        final = frame(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", rsv=RSV1)
        accept(peer, hello + text("plain") + fragments + final + hello, deflate="permessage-deflate")
        small = expect_frame(peer)
        large = expect_frame(peer)
        assert (small.rsv, small.payload) == (0, b"small")
        assert large.rsv == RSV1
        assert zlib.decompressobj(-15).decompress(large.payload + b"\x00\x00\xff\xff") == b"large" * 100
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        assert [ws.recv() for _ in range(5)] == ["Hello", "plain", "Hello", "Hello", "Hello"]
        ws.send("small")
        ws.send("large" * 100)


def test_w13_garbage_is_invalid(world: World, serve: Serve) -> None:
    told = Told()
    with connected(world, ws_url(serve(sending(frame(TEXT, b"\xff\xff", rsv=RSV1), told, True)))) as ws:
        with pytest.raises(ConnectionClosedError):
            ws.recv()
        assert told.value[0] == 1007


def test_w15_pings_are_answered_exactly_and_pongs_matched(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer, frame(PING, b"\x00exact\xff"))
        assert expect_frame(peer)[:2] == (PONG, b"\x00exact\xff")
        peer.send(text("go"))
        ping = expect_frame(peer)
        assert (ping.opcode, ping.payload) == (PING, b"mine")
        peer.send(frame(PONG, b"wrong") + frame(PONG, ping.payload))
        ping = expect_frame(peer)
        peer.send(text("between") + frame(PONG, ping.payload))
        assert expect_frame(peer)[:2] == (PONG, b"beat")
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        assert ws.recv() == "go"
        assert 0 <= ws.ping(b"mine") == ws.latency < 10
        assert ws.ping() > 0
        assert ws.recv() == "between"
        ws.pong("beat")
        with pytest.raises(InvalidRequest, match="125"):
            ws.ping(b"x" * 126)
        with pytest.raises(TypeError):
            ws.ping(7)


def test_w15_a_ping_that_is_not_answered(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        expect_frame(peer)
        peer.send(frame(PONG, b"nonsense") + text("still here"))
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        with pytest.raises(ReadTimeout, match="no pong"):
            ws.ping(timeout=0.1)
        assert ws.recv() == "still here"


def test_w16_a_silent_server_is_noticed(world: World, serve: Serve) -> None:
    told = Told()

    def script(peer: Peer) -> None:
        accept(peer)
        assert expect_frame(peer).opcode == PING
        told.tell(expect_close(peer))

    server = serve(script)
    with connected(world, ws_url(server), ping_interval=0.05, ping_timeout=0.1) as ws:
        with pytest.raises(ConnectionClosedError, match="keepalive") as caught:
            ws.recv()
        assert caught.value.code == 1011
        assert told.value[0] == 1011


def test_w16_octets_of_one_slow_frame_are_signs_of_life(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        peer.drip(frame(BINARY, b"x" * 40), 1, 0.04)  # takes longer than a dead peer is waited for
        answer_close(peer)

    with connected(world, ws_url(serve(script)), ping_interval=0.05, ping_timeout=1) as ws:
        assert ws.recv() == b"x" * 40


def test_w16_a_slow_consumer_is_not_killed(world: World, serve: Serve) -> None:
    release, sent = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        accept(peer, text("first"))
        peer.wait(release)
        peer.send(text("second"))
        sent.set()
        while (got := expect_frame(peer)).opcode == PING:
            peer.send(frame(PONG, got.payload))
        peer.send(close_frame())

    with connected(world, ws_url(serve(script)), ping_interval=0.02, ping_timeout=0.1) as ws:
        assert ws.recv() == "first"
        with pytest.raises(ReadTimeout):
            ws.recv(timeout=0.03)  # a ping goes out ...
        threading.Event().wait(0.3)  # ... and for long nobody looks for its pong
        release.set()
        assert sent.wait(PATIENCE)
        assert ws.recv() == "second"


def test_w20_timeouts_lose_nothing(world: World, serve: Serve) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        accept(peer, frame(TEXT, b"ha", fin=False))
        peer.wait(go)
        peer.send(frame(CONTINUATION, b"lf") + text("buffered"))
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        for timeout in (0, 0.02):
            with pytest.raises(ReadTimeout, match="no message"):
                ws.recv(timeout=timeout)
        go.set()
        assert ws.recv(timeout=5) == "half"
        assert ws.recv(timeout=0) == "buffered"


def test_fragments_are_sent_and_received_one_by_one(world: World, serve: Serve) -> None:
    got = Told()

    def script(peer: Peer) -> None:
        accept(peer)
        got.tell([expect_frame(peer) for _ in range(7)])
        peer.send(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, "ü".encode()[:1], fin=False))
        peer.send(frame(CONTINUATION, "ü".encode()[1:]) + text("whole") + frame(TEXT, b"c", fin=False))
        peer.send(frame(CONTINUATION, b"d") + text("end"))
        answer_close(peer)

    with connected(world, ws_url(serve(script)), compression=False) as ws:
        ws.send(["one", "two"])
        ws.send(part for part in (b"1", bytearray(b"2"), memoryview(b"3")))
        ws.send([])
        assert ws.fragments() == ["a", "", "ü"]
        assert ws.fragments(5) == ["whole"]
        assert _first_of(world, ws.ws.recv_fragments()) == "c"
        assert ws.recv() == "end"
    assert [(f.opcode, f.payload, f.is_final) for f in got.value] == [
        (TEXT, b"one", False),
        (CONTINUATION, b"two", False),
        (CONTINUATION, b"", True),
        (BINARY, b"1", False),
        (CONTINUATION, b"2", False),
        (CONTINUATION, b"3", False),
        (CONTINUATION, b"", True),
    ]


def test_fragments_left_early_are_skipped_by_the_next_iteration(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer, frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", fin=False))
        expect_frame(peer)
        peer.send(frame(CONTINUATION, b"c") + frame(TEXT, b"d", fin=False) + frame(CONTINUATION, b"e"))
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        assert _first_of(world, ws.ws.recv_fragments()) == "a"
        ws.send("the rest")
        assert ws.fragments() == ["d", "e"]


def test_w20_an_iteration_over_fragments_goes_on_after_a_timeout(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer, frame(TEXT, b"a", fin=False))
        expect_frame(peer)
        peer.send(frame(CONTINUATION, b"b"))
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        fragments = ws.ws.recv_fragments(timeout=0.3)
        assert _first_of(world, fragments) == "a"
        with pytest.raises(ReadTimeout):
            _first_of(world, fragments)
        ws.send("the rest")
        assert world.collect(fragments) == ["b"]


def _first_of(world: World, fragments: Any) -> Any:
    return world.run(fragments.__anext__() if world.name == "async" else next(fragments))


def test_w21_a_message_given_up_amid_its_fragments_fails_the_connection(world: World, serve: Serve) -> None:
    told = Told()

    def fragments() -> Any:
        yield "one"
        raise KeyError("no more")

    with connected(world, ws_url(serve(lambda peer: (accept(peer), told.tell(expect_close(peer)))))) as ws:
        with pytest.raises(KeyError):
            ws.send(fragments())
        assert told.value[0] == 1011
        with pytest.raises(ConnectionClosedError):
            ws.send("more")


@pytest.mark.parametrize("wrong", [{"a": 1}, 5, None, ["text", b"octets"], [5]])
def test_what_cannot_be_sent(world: World, serve: Serve, wrong: Any) -> None:
    with connected(world, ws_url(serve(lambda peer: (accept(peer), expect_close(peer))))) as ws:
        with pytest.raises(TypeError):
            ws.send(wrong)
        if wrong != ["text", b"octets"]:
            assert ws.is_open
    with connected(world, ws_url(serve(lambda peer: (accept(peer), answer_close(peer))))) as ws:
        with pytest.raises(InvalidRequest, match="surrogate"):
            ws.send("\ud800")


def test_send_answers_pings_in_passing(world: World, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "GLANCE", 0.0)
    is_open = threading.Event()

    def script(peer: Peer) -> None:
        accept(peer)
        peer.wait(is_open)
        peer.send(frame(PING, b"are you there"))
        opcodes = [expect_frame(peer).opcode for _ in range(2)]
        assert sorted(opcodes) == [TEXT, PONG]
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        is_open.set()
        assert select.select([ws.ws._connection._stream.get_info("socket")], [], [], PATIENCE)[0]
        ws.send("one")


def test_two_receivers_get_a_message_each(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        expect_frame(peer)
        peer.send(text("a") + text("b"))
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        got = ws.together(lambda w: w.recv(), lambda w: w.recv(), lambda w: w.send("go"))
        assert sorted(got[:2]) == ["a", "b"]


def test_a_ping_and_a_receiver_share_the_reading(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        ping = expect_frame(peer)
        peer.send(frame(PONG, ping.payload) + text("then"))
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        received, latency = ws.together(lambda w: w.recv(), lambda w: w.ping())
        assert received == "then"
        assert latency > 0


def test_w30_an_open_connection_may_be_dropped(world: World, serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), peer.expect_close()))
    ws: Socket | None = make(world, ws_url(server))
    assert ws is not None
    ws.connect()
    ws = None
    gc.collect()
    if world.name == "async":
        world.run(asyncio.sleep(0.001))  # a loop that does not run closes nothing
    server.wait_for_closed(1)
    assert server.closed == 1


def test_a_ping_that_is_answered_by_a_farewell_says_so(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        assert expect_frame(peer).opcode == PING
        peer.send(close_frame(1001, "going"))
        expect_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        with pytest.raises(ConnectionClosedOK, match="going") as caught:
            ws.ping()
        assert caught.value.code == 1001


def test_an_asynchronous_iterable_is_sent_as_fragments(serve: Serve) -> None:
    told = Told()

    def script(peer: Peer) -> None:
        accept(peer)
        for _ in range(3):
            told.tell(expect_frame(peer)[:3])
        answer_close(peer)

    async def parts() -> AsyncIterator[str]:
        yield "frag"
        yield "ments"

    with worlds.make("async") as world, connected(world, ws_url(serve(script)), compression=False) as ws:
        ws.send(parts())
    assert told.values == [(TEXT, b"frag", False), (CONTINUATION, b"ments", False), (CONTINUATION, b"", True)]


def test_a_message_waits_for_the_end_of_another_ones_fragments(world: World, serve: Serve) -> None:
    told = Told()

    def script(peer: Peer) -> None:
        accept(peer)
        for _ in range(4):
            told.tell(expect_frame(peer)[:2])
        answer_close(peer)

    with connected(world, ws_url(serve(script)), compression=False) as ws:
        has_begun = threading.Event()
        queue = ws.ws._connection._writer._messages._queue

        def slow() -> Iterator[str]:
            yield "slow"
            has_begun.set()
            while not queue:  # until the other one waits for its turn
                time.sleep(0.001)
            yield "ly"

        async def slow_too() -> AsyncIterator[str]:
            yield "slow"
            has_begun.set()
            while not queue:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.001)
            yield "ly"

        def other(socket: Any) -> Any:
            assert has_begun.wait(10)
            return socket.send("other")

        async def other_too(socket: Any) -> None:
            while not has_begun.is_set():  # noqa: ASYNC110 - no event of the loop's tells it
                await asyncio.sleep(0.001)
            await socket.send("other")

        parts, another = (slow_too, other_too) if world.name == "async" else (slow, other)
        assert ws.together(lambda socket: socket.send(parts()), another) == [None, None]
    assert told.values == [(TEXT, b"slow"), (CONTINUATION, b"ly"), (CONTINUATION, b""), (TEXT, b"other")]


def test_a_second_receiver_may_be_too_late(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        expect_frame(peer)
        peer.send(text("for the first"))
        answer_close(peer)

    def second(ws: Any) -> Any:
        if world.name == "blocking":
            while not ws._connection._reading.is_held:  # by the first
                time.sleep(0.001)
            try:
                return ws.recv(timeout=0.05)
            except ReadTimeout:
                ws.send("go")
                return "late"

        async def later() -> Any:
            try:
                return await ws.recv(timeout=0.05)
            except ReadTimeout:
                await ws.send("go")
                return "late"

        return later()

    with connected(world, ws_url(serve(script))) as ws:
        assert ws.together(lambda w: w.recv(), second) == ["for the first", "late"]


def test_w28_all_that_can_be_sent_and_offered(world: World, echo_server: WebSocketsServer) -> None:
    settings = Deflate(level=1, client_no_context_takeover=True, threshold=0)
    with connected(world, ws_url(echo_server), compression=settings, cookies={"a": "b"}) as ws:
        for octets in (b"bytes", bytearray(b"bytearray"), memoryview(b"a view")[::2], array("H", [1, 2, 3])):
            ws.send(octets)
            assert ws.recv() == bytes(octets)
        ws.send("")
        assert ws.recv() == ""
        assert "a=b" in ws.response.request.headers["cookie"]
