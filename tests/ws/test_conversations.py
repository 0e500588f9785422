"""Open WebSockets with scripted servers: frames, violations, limits, closing; in both worlds."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import pytest

from reqivo_core.errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidRequest,
    MessageTooBig,
    ReadTimeout,
    WriteTimeout,
)
from reqivo_ws import connection as connection_module
from support.fixtures import Serve
from support.frames import (
    BINARY,
    CLOSE,
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
from support.scripted import Peer, ScriptedServer
from support.sockets import Socket, connected, make
from support.world import World

pytestmark = pytest.mark.usefixtures("no_leaks")

_DEFLATED_HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"


def ws_url(server: ScriptedServer) -> str:
    return "ws" + server.url("/").removeprefix("http")


class Told:
    """What a script found out, for the test to look at."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.event = threading.Event()

    def tell(self, value: Any) -> None:
        self.values.append(value)
        self.event.set()

    @property
    def value(self) -> Any:
        assert self.event.wait(10)
        return self.values[0]


def sending(data: bytes, told: Told, deflate: bool = False) -> Any:
    """A script that sends octets and tells what close frame comes back."""

    def script(peer: Peer) -> None:
        accept(peer, data, deflate=deflate)
        told.tell(expect_close(peer))

    return script


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"x", masked=True), 1002, id="w07 masked"),
        pytest.param(frame(TEXT, b"x", rsv=RSV1), 1002, id="w07 RSV1"),
        pytest.param(frame(3), 1002, id="w07 opcode"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="w08 long ping"),
        pytest.param(frame(PING, b"", fin=False), 1002, id="w08 fragmented ping"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="w09 continuation"),
        pytest.param(frame(TEXT, b"x", fin=False) + text("y"), 1002, id="w09 text amid"),
        pytest.param(frame(TEXT, b"\xff"), 1007, id="w10 UTF-8"),
        pytest.param(frame(TEXT, b"x\xffyz")[:-1], 1007, id="w10 UTF-8 amid"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="w10 reason"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="w17 half a code"),
        *[pytest.param(close_frame(code), 1002, id=f"w17 {code}") for code in (0, 999, 1004, 1005, 1006, 1015, 2999)],
    ],
)
def test_j3_violations_fail_the_connection(world: World, serve: Serve, data: bytes, code: int) -> None:
    told = Told()
    with connected(world, ws_url(serve(sending(data, told))), compression=False) as ws:
        with pytest.raises(ConnectionClosedError) as caught:
            ws.recv()
        assert caught.value.code == code == ws.close_code
        assert told.value[0] == code
        with pytest.raises(ConnectionClosedError):
            ws.send("too late")


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


def test_w11_message_too_big(world: World, serve: Serve) -> None:
    limit = 1000
    told = Told()
    data = frame(BINARY, b"x" * limit) + bytes([0x82, 127]) + (1 << 40).to_bytes(8, "big")
    with connected(world, ws_url(serve(sending(data, told))), max_message_size=limit) as ws:
        assert ws.recv() == b"x" * limit
        for _ in range(2):
            with pytest.raises(MessageTooBig, match="max_message_size is 1000"):
                ws.recv()
        assert told.value[0] == 1009
        with pytest.raises(ConnectionClosedError) as caught:
            ws.send("x")
        assert caught.value.code == 1009


@pytest.mark.parametrize("is_split", [False, True])
def test_j1_bombs(world: World, serve: Serve, is_split: bool) -> None:
    engine = zlib.compressobj(wbits=-15)
    bomb = (engine.compress(bytes(20_000_000)) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]
    data = frame(BINARY, bomb, rsv=RSV1)
    if is_split:
        data = frame(BINARY, bomb[:9000], fin=False, rsv=RSV1) + frame(CONTINUATION, bomb[9000:])
    told = Told()
    with connected(world, ws_url(serve(sending(data, told, True))), max_message_size=10**6) as ws:
        with pytest.raises(MessageTooBig):
            ws.recv()
        assert told.value[0] == 1009


def test_w12_j1_empty_fragments(world: World, serve: Serve) -> None:
    told = Told()
    data = frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 10_000
    with connected(world, ws_url(serve(sending(data, told)))) as ws:
        with pytest.raises(MessageTooBig, match="fragments"):
            ws.recv()
        assert told.value[0] == 1009


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


def test_w14_j5_a_flood_of_pings_is_answered_in_part(world: World, serve: Serve) -> None:
    told = Told()

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(b"".join(frame(PING, b"%d" % number) for number in range(100_000)) + text("after"))
        pongs = []
        while (got := expect_frame(peer)).opcode == PONG:
            pongs.append(int(got.payload))
        told.tell(pongs)
        peer.send(close_frame(1000))

    with connected(world, ws_url(serve(script))) as ws:
        assert ws.recv() == "after"
        ws.close()
    assert told.value[-1] == 99_999
    assert told.value == sorted(told.value)
    assert len(told.value) < 60_000


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
        peer.drip(frame(BINARY, b"x" * 40), 1, 0.02)
        answer_close(peer)

    with connected(world, ws_url(serve(script)), ping_interval=0.05, ping_timeout=0.3) as ws:
        assert ws.recv() == b"x" * 40


def test_w16_a_slow_consumer_is_not_killed(world: World, serve: Serve) -> None:
    release = threading.Event()

    def script(peer: Peer) -> None:
        accept(peer, text("first"))
        peer.wait(release)
        peer.send(text("second"))
        while (got := expect_frame(peer)).opcode == PING:
            peer.send(frame(PONG, got.payload))
        peer.send(close_frame())

    with connected(world, ws_url(serve(script)), ping_interval=0.02, ping_timeout=0.1) as ws:
        assert ws.recv() == "first"
        with pytest.raises(ReadTimeout):
            ws.recv(timeout=0.03)  # a ping goes out ...
        threading.Event().wait(0.3)  # ... and for long nobody looks for its pong
        release.set()
        assert ws.recv() == "second"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 1014, 3000, 4999])
def test_w17_codes_are_echoed_and_told(world: World, serve: Serve, code: int) -> None:
    told = Told()
    reason = "r" * 123
    with connected(world, ws_url(serve(sending(text("last") + close_frame(code, reason), told)))) as ws:
        assert ws.recv() == "last"
        kind = ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError
        with pytest.raises(kind) as caught:
            ws.recv()
        assert (caught.value.code, caught.value.reason) == (code, reason) == (ws.close_code, ws.close_reason)
        assert told.value == (code, reason)


def test_w17_no_code_is_1005_and_answered_with_none(world: World, serve: Serve) -> None:
    told = Told()
    with connected(world, ws_url(serve(sending(close_frame(None), told)))) as ws:
        with pytest.raises(ConnectionClosedOK):
            ws.recv()
        assert (ws.close_code, ws.close_reason, told.value) == (1005, "", (None, ""))


def test_w18_both_sides_close_at_once_and_what_follows_is_ignored(world: World, serve: Serve) -> None:
    told = Told()

    def script(peer: Peer) -> None:
        accept(peer)
        expect_close(peer)
        peer.send(text("drained") + frame(PING, b"not answered") + close_frame(4001, "mine"))
        peer.send(close_frame(4002) + text("never seen"))
        told.tell(peer.expect_close())

    with connected(world, ws_url(serve(script)), close_timeout=5) as ws:
        ws.close(4000, "ours")
        assert (ws.close_code, ws.close_reason) == (4001, "mine")
        assert told.value == b""
        assert ws.recv() == "drained"
        with pytest.raises(ConnectionClosedError):
            ws.recv()


def test_w18_what_comes_after_our_close_frame_is_bounded(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        expect_close(peer)
        peer.send(text("x") * 1000 + close_frame())
        peer.expect_close()

    with connected(world, ws_url(serve(script))) as ws:
        ws.close()
        assert ws.messages() == ["x"] * 16
        assert ws.close_code == 1000


def test_w19_no_answer_to_our_close_frame(world: World, serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), peer.expect_close()))
    ws = make(world, ws_url(server), close_timeout=0.1)
    ws.connect()
    ws.close()
    assert (ws.close_code, ws.is_open) == (1006, False)
    server.wait_for_closed(1)


def test_w19_a_reset_amid_a_message(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer, frame(BINARY, b"x" * 100)[:50])
        expect_frame(peer)
        peer.rst()

    with connected(world, ws_url(serve(script))) as ws:
        ws.send("now")
        with pytest.raises(ConnectionClosedError) as caught:
            ws.recv()
        assert (caught.value.code, ws.close_code) == (1006, 1006)
        assert caught.value.__cause__ is not None


def test_w19_an_end_without_a_close_frame(world: World, serve: Serve) -> None:
    with connected(world, ws_url(serve(lambda peer: (accept(peer, text("bye")), peer.fin())))) as ws:
        assert ws.recv() == "bye"
        with pytest.raises(ConnectionClosedError, match="without a close frame") as caught:
            ws.messages()
        assert caught.value.code == 1006


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


def test_w22_a_server_that_takes_nothing(world: World, serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), peer.stop_reading()), receive_buffer=4096)
    with connected(world, ws_url(server), timeout=0.3, compression=False, close_timeout=0.1) as ws:
        with pytest.raises(WriteTimeout):
            ws.send(bytes(30_000_000))
        with pytest.raises(ConnectionClosedError):
            ws.send("more")


def test_w22_j7_a_slow_consumer_slows_the_producer_down(world: World, serve: Serve) -> None:
    sent = []

    def script(peer: Peer) -> None:
        accept(peer)
        for _ in range(3000):
            peer.send(frame(BINARY, bytes(65536)))
            sent.append(1)
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        with pytest.raises(ReadTimeout, match="messages are waiting"):
            ws.ping(timeout=0.5)
        assert len(sent) < 1000
        assert sum(len(ws.recv()) for _ in range(3000)) == 3000 * 65536


def test_w23_after_the_end(world: World, serve: Serve) -> None:
    told = Told()
    data = text("one") + text("two") + close_frame(1001, "restart")
    with connected(world, ws_url(serve(sending(data, told)))) as ws:
        assert ws.messages() == ["one", "two"]
        for action in (lambda: ws.send("x"), ws.ping, ws.recv):
            with pytest.raises(ConnectionClosedOK, match="going away") as caught:
                action()
            assert caught.value.code == 1001


def test_w27_close_codes_and_reasons_are_checked(world: World, serve: Serve) -> None:
    with connected(world, ws_url(serve(lambda peer: (accept(peer), answer_close(peer))))) as ws:
        for code in (999, 1005, 1006, 1015, 2000, 5000, "1000"):
            with pytest.raises(InvalidRequest, match="close code"):
                ws.close(code)
        with pytest.raises(InvalidRequest, match="reason"):
            ws.close(1000, "r" * 124)
        assert ws.is_open


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
        first = ws.ws.recv_fragments()
        assert world.run(first.__anext__() if world.name == "async" else next(first)) == "c"
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
    pinged = threading.Event()

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(frame(PING, b"are you there"))
        pinged.set()
        opcodes = [expect_frame(peer).opcode for _ in range(2)]
        assert sorted(opcodes) == [TEXT, PONG]
        answer_close(peer)

    with connected(world, ws_url(serve(script))) as ws:
        assert pinged.wait(10)
        threading.Event().wait(0.05)
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


def test_close_wakes_whoever_receives(world: World, serve: Serve) -> None:
    with connected(world, ws_url(serve(lambda peer: (accept(peer), answer_close(peer))))) as ws:
        received, closed = ws.together(lambda w: w.recv(), lambda w: w.close(1000, "enough"))
        assert isinstance(received, ConnectionClosedOK)
        assert (closed, ws.close_code) == (None, 1000)


def test_close_wakes_whoever_receives_even_if_the_server_does_not_answer(world: World, serve: Serve) -> None:
    with connected(world, ws_url(serve(lambda peer: (accept(peer), peer.hold()))), close_timeout=0.1) as ws:
        received, _ = ws.together(lambda w: w.recv(), lambda w: w.close())
        assert isinstance(received, ConnectionClosed)
        assert ws.close_code == 1006


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
    import gc

    gc.collect()
    world.run(_turn(world))
    server.wait_for_closed(1)
    assert server.closed == 1


def _turn(world: World) -> Any:
    import asyncio

    return asyncio.sleep(0.01) if world.name == "async" else None
