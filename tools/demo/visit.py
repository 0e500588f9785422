"""The same against a URL of the user's, as far as a stranger's server allows: it is only read, and only a little."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import table
from steps import Section, Step, expect
from table import Row

from reqivo import AsyncReqivo, Reqivo, TimeoutException, hookimpl

COUNT = 5
LIMIT = 10_000_000
"""Octets of a body that are read at most."""


def run(url: str) -> list[Row]:
    """Visit a URL."""
    is_socket = url.startswith(("ws://", "wss://"))
    steps = _socket_steps(url) if is_socket else _steps(url)
    seen: list[str] = []
    rows = Section(f"{url}, as a visitor", steps, {"plugins": [Watching(seen)]}).run()
    table.notes(["", "what the first request of each did:", *seen[:12]])
    return rows


class Watching:
    """A plugin that notes what happens below: names, connections, handshakes."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    @hookimpl
    def reqivo_trace(self, event: Any) -> None:
        if event.state != "started":
            details = " ".join(f"{name}={value}" for name, value in event.info.items())
            self._seen.append(f"{event.name} {event.state} {details}"[:110])


def _steps(url: str) -> Sequence[Step]:
    def get(session: Reqivo) -> str:
        with session.stream("GET", url) as response:
            return _answered(response)

    async def get_async(session: AsyncReqivo) -> str:
        async with session.stream("GET", url) as response:
            return _answered(response)

    def read(session: Reqivo) -> str:
        length = 0
        with session.stream("GET", url) as response:
            for chunk in response.iter_bytes():
                length += len(chunk)
                if length >= LIMIT:
                    break
        return _length(length)

    async def read_async(session: AsyncReqivo) -> str:
        length = 0
        async with session.stream("GET", url) as response:
            async for chunk in response.aiter_bytes():
                length += len(chunk)
                if length >= LIMIT:
                    break
        return _length(length)

    def head(session: Reqivo) -> str:
        return f"{session.head(url).status_code}"

    async def head_async(session: AsyncReqivo) -> str:
        return f"{(await session.head(url)).status_code}"

    def several(session: Reqivo) -> str:
        with ThreadPoolExecutor(COUNT) as threads:
            return _several(list(threads.map(lambda _: session.head(url), range(COUNT))), session)

    async def several_async(session: AsyncReqivo) -> str:
        return _several(await asyncio.gather(*(session.head(url) for _ in range(COUNT))), session)

    def patience(session: Reqivo) -> str:
        try:
            session.get(url, timeout=1e-6)
        except TimeoutException as error:
            return f"{type(error).__name__} caught"
        return "it was quicker than that"

    async def patience_async(session: AsyncReqivo) -> str:
        try:
            await session.get(url, timeout=1e-6)
        except TimeoutException as error:
            return f"{type(error).__name__} caught"
        return "it was quicker than that"

    return [
        Step("GET", get, get_async),
        Step("streaming the body", read, read_async),
        Step("HEAD", head, head_async),
        Step(f"{COUNT} HEADs at once", several, several_async),
        Step("a time limit of 1 µs", patience, patience_async),
    ]


def _answered(response: Any) -> str:
    hops = f", {len(response.history)} redirects" if response.history else ""
    return f"{response.http_version} {response.status_code} {response.reason}".rstrip() + hops


def _length(length: int) -> str:
    return f"{length:,} octets" + (" and more" if length >= LIMIT else "")


def _several(answers: Sequence[Any], session: Any) -> str:
    statuses = sorted({answer.status_code for answer in answers})
    expect(session.pool.active == 0, f"the pool is not at rest: {session.pool!r}")
    return f"{', '.join(map(str, statuses))}; {len(session.pool.connections())} connections"


def _socket_steps(url: str) -> Sequence[Step]:
    def connect(session: Reqivo) -> str:
        with session.websocket(url) as socket:
            return f"open, subprotocol {socket.subprotocol}"

    async def connect_async(session: AsyncReqivo) -> str:
        async with session.websocket(url) as socket:
            return f"open, subprotocol {socket.subprotocol}"

    def ping(session: Reqivo) -> str:
        with session.websocket(url) as socket:
            return f"{socket.ping() * 1000:.1f} ms"

    async def ping_async(session: AsyncReqivo) -> str:
        async with session.websocket(url) as socket:
            return f"{await socket.ping() * 1000:.1f} ms"

    return [Step("opening handshake", connect, connect_async), Step("ping", ping, ping_async)]
