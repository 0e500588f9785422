"""HTTP/2: many requests on one connection, pushes, and who opens the windows."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app import PIECE
from steps import Step, expect

from http11 import _hello
from reqivo import AsyncReqivo, Reqivo
from reqivo_http2 import BaseFlowControlManager

COUNT = 100
LENGTH = 40
TRACE: list[str] = []
"""What the window manager did, for the notes below the table."""


class Telling(BaseFlowControlManager):
    """A window manager that opens a window by half of what it began with, whenever half of it is used up."""

    _used = 0

    def increase_window_size(self, frame_size: int) -> int:
        self._used += frame_size
        if self._used < self.initial_window_size // 2:
            return 0
        increment, self._used = self._used, 0
        TRACE.append(f"{increment:,} octets were used up: the window of {self.initial_window_size:,} is whole again")
        return increment


def get(session: Reqivo) -> str:
    return _of_http2(session.get("/hello"))


async def get_async(session: AsyncReqivo) -> str:
    return _of_http2(await session.get("/hello"))


def _of_http2(response: Any) -> str:
    expect(response.http_version == "HTTP/2", f"it came over {response.http_version}")
    return _hello(response)


def many(session: Reqivo) -> str:
    with ThreadPoolExecutor(COUNT) as threads:
        answers = list(threads.map(lambda number: session.post("/echo", body=f"request {number}"), range(COUNT)))
    return _on_one_connection(answers, session)


async def many_async(session: AsyncReqivo) -> str:
    answers = await asyncio.gather(*(session.post("/echo", body=f"request {number}") for number in range(COUNT)))
    return _on_one_connection(answers, session)


def _on_one_connection(answers: list[Any], session: Any) -> str:
    told = [answer.json() for answer in answers]
    expect([one["body"] for one in told] == [f"request {number}" for number in range(COUNT)], "answers were mixed up")
    expect({one["http_version"] for one in told} == {"2"}, "not all went over HTTP/2")
    connections = len(session.pool.connections())
    expect(connections == 1, f"{connections} connections were made")
    return f"{len(answers)} answers, 1 connection"


def pushed(session: Reqivo) -> str:
    response = session.get("/page")
    return _pushed({push.path: push.get_response().text for push in response.pushes})


async def pushed_async(session: AsyncReqivo) -> str:
    response = await session.get("/page")
    return _pushed({push.path: (await push.get_response()).text async for push in response.pushes})


def _pushed(found: dict[str, str]) -> str:
    expect(found == {"/style": "body { margin: 2em }", "/script": "'use strict'"}, f"pushed were {found}")
    return " and ".join(found)


def windows(session: Reqivo) -> str:
    TRACE.clear()
    return _opened(session.get(f"/stream/{LENGTH}").content)


async def windows_async(session: AsyncReqivo) -> str:
    TRACE.clear()
    return _opened((await session.get(f"/stream/{LENGTH}")).content)


def _opened(content: bytes) -> str:
    expect(content == PIECE * LENGTH, f"{len(content)} octets came")
    expect(TRACE, "the window manager was not asked")
    return f"{len(content):,} octets, {len(TRACE)} updates"


STEPS = [
    Step("GET", get, get_async),
    Step(f"{COUNT} requests at once", many, many_async),
    Step("two pushes", pushed, pushed_async),
    Step("a window manager", windows, windows_async),
]
OPTIONS: dict[str, Any] = {"http2": True, "push": True, "window_manager": Telling}
