"""Servers that send too much, and servers that take nothing: memory stays bounded, and the TCP connection waits."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import pytest

from reqivo_core.errors import ConnectionClosedError, MessageTooBig, ReadTimeout, WriteTimeout
from reqivo_core.timeouts import Timeout
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
    expect_frame,
    frame,
    text,
)
from support.scripted import Peer
from support.sockets import connected
from support.world import World
from ws.scripts import Told, sending, ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")


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


def test_w22_a_server_that_takes_nothing(world: World, serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), peer.stop_reading()), receive_buffer=4096)
    with connected(world, ws_url(server), timeout=Timeout(10, write=0.3), compression=False, close_timeout=0.1) as ws:
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
        hint = ""
        while "messages are waiting" not in hint:  # a slow server has not sent as many yet
            with pytest.raises(ReadTimeout, match="no pong") as caught:
                ws.ping(timeout=0.5)
            hint = str(caught.value)
        assert len(sent) < 1000
        assert sum(len(ws.recv()) for _ in range(3000)) == 3000 * 65536


def test_j5_a_flood_of_pings_while_a_send_of_ours_waits(world: World, serve: Serve) -> None:
    """Neither waits for the other: pongs that cannot be written are not kept, nor is reading held up by them."""
    is_read = threading.Event()

    def script(peer: Peer) -> None:
        accept(peer)
        flood = b"".join(frame(PING, b"%0125d" % number) for number in range(1000))
        for _ in range(50):
            peer.send(flood)
        peer.send(text("after the flood"))
        peer.wait(is_read)
        opcodes = []
        while (got := expect_frame(peer)).opcode == PONG or got.opcode == BINARY:
            opcodes.append(got.opcode)
        told.tell(opcodes)
        peer.send(close_frame())

    def send(ws: Any) -> Any:
        return ws.send(large)

    def receive(ws: Any) -> Any:
        if world.name == "blocking":
            message = ws.recv()
            is_read.set()
            return message

        async def later() -> Any:
            message = await ws.recv()
            is_read.set()
            return message

        return later()

    told = Told()
    large = bytes(12_000_000)
    server = serve(script, receive_buffer=4096)
    with connected(world, ws_url(server), compression=False) as ws:
        assert ws.together(send, receive) == [None, "after the flood"]
    assert told.value.count(BINARY) == 1
    assert told.value.count(PONG) < 1000


def test_w14_j5_a_receiver_does_not_wait_for_a_sender_that_is_stuck(world: World, serve: Serve) -> None:
    is_closed = threading.Event()

    def script(peer: Peer) -> None:
        accept(peer)
        expect_frame(peer)
        peer.expect(1000)  # of a long message: the client now fills all buffers on the way, which nobody empties
        peer.send((frame(PING, b"?") + text("x")) * 20)
        peer.wait(is_closed)

    def receive(ws: Any) -> Any:
        if world.name == "blocking":
            received = [ws.recv() for _ in range(20)]
            ws.close()
            is_closed.set()
            return received

        async def later() -> Any:
            received = [await ws.recv() for _ in range(20)]
            await ws.close()
            is_closed.set()
            return received

        return later()

    server = serve(script, receive_buffer=4096)
    with connected(world, ws_url(server), compression=False, close_timeout=0.1) as ws:
        ws.send("go")
        sent, received = ws.together(lambda w: w.send(bytes(12_000_000)), receive)
    assert received == ["x"] * 20
    assert isinstance(sent, ConnectionClosedError)
