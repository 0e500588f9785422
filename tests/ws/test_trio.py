"""The third world: tasks of trio."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from reqivo_core import AsyncSession
from reqivo_core.errors import (
    TimeoutException,
)
from support.fixtures import Serve
from support.frames import accept, close_frame, text
from support.scripted import Peer
from support.servers import WebSocketsServer
from ws.scripts import ws_url


def test_a_third_world(echo_server: WebSocketsServer) -> None:
    trio_world = pytest.importorskip("reqivo_core.runtime.trio")

    async def body() -> Any:
        async with AsyncSession(runtime=trio_world.TrioRuntime()) as session:
            async with session.websocket(ws_url(echo_server)) as ws:
                await ws.send("x" * 100_000)
                with trio.move_on_after(0):
                    await ws.recv()
                with trio.fail_after(10):
                    message = await ws.recv()
                    await ws.ping()
                return message

    assert trio.run(body) == "x" * 100_000


def test_a_third_world_reconnects_and_is_bounded(serve: Serve) -> None:
    trio_world = pytest.importorskip("reqivo_core.runtime.trio")

    def leaving(peer: Peer) -> None:
        accept(peer, text("one"))

    def staying(peer: Peer) -> None:
        accept(peer, text("two") + close_frame())
        peer.expect_close()

    async def body() -> list[Any]:
        async with AsyncSession(runtime=trio_world.TrioRuntime()) as session:
            with pytest.raises(TimeoutException):
                await session.websocket(ws_url(serve(lambda peer: peer.hold())), timeout=0.1).connect()
            deaf = session.websocket(ws_url(serve(lambda peer: (accept(peer), peer.hold()))), close_timeout=0.1)
            await deaf.connect()
            with trio.move_on_after(0.05):
                await deaf.recv()
            await deaf.close()
            assert deaf.close_code == 1006
            url = ws_url(serve([lambda peer: peer.fin(), leaving, staying]))
            async with session.websocket(url, auto_reconnect=True, reconnect_delay=0.01) as ws:
                return [message async for message in ws]

    assert trio.run(body) == ["one", "two"]
