"""The closing handshake, whoever begins it, and all the ways of doing without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reqivo_core.errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidRequest
from reqivo_ws import AsyncWebSocket
from support.fixtures import Serve
from support.frames import (
    BINARY,
    PING,
    accept,
    answer_close,
    close_frame,
    expect_close,
    expect_frame,
    frame,
    text,
)
from support.scripted import Peer
from support.sockets import connected, make
from support.world import World
from ws.scripts import Told, sending, ws_url

pytestmark = pytest.mark.usefixtures("no_leaks")


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


def test_a_cancelled_close_lets_go_at_once(serve: Serve) -> None:
    server = serve(lambda peer: (accept(peer), peer.expect_close()))

    async def body() -> int | None:
        ws = await AsyncWebSocket(ws_url(server)).connect()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.close(), 0.1)
        return ws.close_code

    assert asyncio.run(body()) == 1006
    server.wait_for_closed(1)


def test_closed_amid_its_own_fragments(serve: Serve) -> None:
    async def body() -> None:
        async with AsyncWebSocket(ws_url(serve(lambda peer: (accept(peer), answer_close(peer))))) as ws:

            async def fragments() -> Any:
                yield "one"
                await ws.close()
                yield "two"

            with pytest.raises(ConnectionClosed):
                await ws.send(fragments())
            assert ws.close_code == 1000

    asyncio.run(body())


def test_a_reset_instead_of_the_end_after_closing(world: World, serve: Serve) -> None:
    def script(peer: Peer) -> None:
        accept(peer)
        expect_close(peer)
        peer.send(close_frame())
        peer.rst()

    with connected(world, ws_url(serve(script))) as ws:
        ws.close()
        assert ws.close_code in (1000, 1006)  # the reset may overtake the close frame
