"""The writer: the order of what leaves, one at a time, and nothing behind a close frame."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reqivo_core import NetworkStream
from reqivo_core.errors import (
    WriteError,
)
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_core.runtime.driving import run_blocking
from reqivo_ws.codec import BINARY, CLOSE, PONG, TEXT, FrameCodec
from reqivo_ws.writing import Writer, WriterClosed
from support.frames import PING
from ws.streams import Clock, FakeStream, Suspending


class Reacting(FakeStream):
    """A stream on which something happens at each write."""

    def __init__(self, *reactions: Any) -> None:
        super().__init__()
        self.reactions = list(reactions)

    async def write(self, data: Any, timeout: float | None) -> None:
        await super().write(data, timeout)
        if self.reactions:
            self.reactions.pop(0)()


class Ignoring:
    async def lost(self, error: BaseException) -> None:
        pass


def writer_on(stream: NetworkStream, is_lost: Any = None) -> Writer:
    return Writer(stream, Clock(), FrameCodec(), None, 5, is_lost or Ignoring().lost)


def test_a_ping_that_comes_while_pongs_are_written_is_answered_too() -> None:
    stream = Reacting(lambda: writer.owe_pong(b"1"), lambda: writer.owe_pong(b"2"))
    writer = writer_on(stream)
    run_blocking(writer.message(b"x", True))
    assert stream.opcodes == [TEXT, PONG, PONG]
    assert not writer.owes_pong


def test_nothing_follows_a_close_frame() -> None:
    stream = FakeStream()
    writer = writer_on(stream)
    writer.owe_pong(b"1")
    assert run_blocking(writer.close_frame(1000, "", 1))
    run_blocking(writer.flush())
    writer.owe_pong(b"2")
    assert run_blocking(writer.try_control(PING, b"3")) is False
    assert not writer.owes_pong
    assert run_blocking(writer.close_frame(1000, "", 1)) is False
    with pytest.raises(WriterClosed):
        run_blocking(writer.message(b"x", True))
    assert stream.opcodes == [CLOSE]


def test_a_write_may_break_when_nobody_is_left_to_be_told() -> None:
    stream = FakeStream()
    stream.breaks = True
    writer = writer_on(stream)
    for _ in range(2):  # the baton was given back
        with pytest.raises(WriteError):
            run_blocking(writer.message(b"x", True))


def test_a_message_waits_for_whoever_is_writing() -> None:
    async def main() -> None:
        stream = Suspending()
        writer = Writer(stream, AsyncioRuntime(), FrameCodec(), None, 5, Ignoring().lost)
        first = asyncio.create_task(writer.message(b"1", True))
        await stream.is_leaving.wait()
        second = asyncio.create_task(writer.message(b"2", False))
        while not writer._frames._queue:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0)
        stream.may_leave.set()
        await asyncio.gather(first, second)
        assert stream.opcodes == [TEXT, BINARY]

    asyncio.run(main())
