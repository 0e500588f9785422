"""WebSocket: messages both ways, latency, and a connection that comes back."""

import asyncio
import threading
from typing import Any

from serving import Server
from steps import Step, expect

from reqivo import AsyncReqivo, Reqivo

MESSAGES = ["text", b"\x00\x01\x02", "long " * 50_000]


def _url(session: Any) -> str:
    return f"{session.base_url}".replace("http", "ws", 1).rstrip("/") + "/socket"


def echo(session: Reqivo) -> str:
    heard = []
    with session.websocket(_url(session)) as socket:
        for message in MESSAGES:
            socket.send(message)
            heard.append(socket.recv(timeout=10))
    return _heard(heard, socket)


async def echo_async(session: AsyncReqivo) -> str:
    heard = []
    async with session.websocket(_url(session)) as socket:
        for message in MESSAGES:
            await socket.send(message)
            heard.append(await socket.recv(timeout=10))
    return _heard(heard, socket)


def _heard(heard: list[Any], socket: Any) -> str:
    expect(heard == MESSAGES, "something else came back")
    expect(socket.close_code == 1000, f"it was closed by {socket.close_code}")
    return f"{len(heard)} messages, closed by {socket.close_code}"


def latency(session: Reqivo) -> str:
    with session.websocket(_url(session)) as socket:
        return _latency([socket.ping() for _ in range(5)])


async def latency_async(session: AsyncReqivo) -> str:
    async with session.websocket(_url(session)) as socket:
        return _latency([await socket.ping() for _ in range(5)])


def _latency(seconds: list[float]) -> str:
    expect(all(0 < one < 10 for one in seconds), f"latencies: {seconds}")
    return f"{min(seconds) * 1000:.1f} ms is the best of 5"


STEPS = [
    Step("echo: text, binary, 250 kB", echo, echo_async),
    Step("latency", latency, latency_async),
]


def _reconnecting(back: list[Any]) -> dict[str, Any]:
    return {"auto_reconnect": True, "reconnect_delay": 0.05, "on_reconnect": back.append}


def reconnecting(server: Server) -> Step:
    """The step of a WebSocket that outlives its server."""

    def reconnect(session: Reqivo) -> str:
        back: list[Any] = []
        with session.websocket(f"{_url(session)}/greeting", **_reconnecting(back)) as socket:
            first = socket.recv(timeout=10)
            # Beside the thread that receives: a server does not leave before its farewell has been answered.
            restarting = threading.Thread(target=server.restart)
            restarting.start()
            second = socket.recv(timeout=10)
            restarting.join()
            return _reconnected([first, second], back)

    async def reconnect_async(session: AsyncReqivo) -> str:
        back: list[Any] = []
        async with session.websocket(f"{_url(session)}/greeting", **_reconnecting(back)) as socket:
            first = await socket.recv(timeout=10)
            restarting = asyncio.create_task(asyncio.to_thread(server.restart))
            second = await socket.recv(timeout=10)
            await restarting
            return _reconnected([first, second], back)

    return Step("reconnecting", reconnect, reconnect_async)


def _reconnected(heard: list[Any], back: list[Any]) -> str:
    expect(heard == ["welcome", "welcome"], f"{heard} came")
    expect(len(back) == 1, f"it connected again {len(back)} times")
    return "the server was restarted; welcomed back"
