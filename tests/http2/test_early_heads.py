"""Uploads whose answer begins before they end: what is left of them, and who sends it (RFC 9113 §8.1)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core.errors import StreamReset, WriteTimeout
from reqivo_core.timeouts import Timeout
from support import h2_peer
from support.h2_peer import H2Peer, H2Request
from support.world import PATIENCE

pytestmark = pytest.mark.usefixtures("no_leaks")
WINDOW = frames.SettingsFrame.INITIAL_WINDOW_SIZE


def begin(server: H2Peer, said: bytes = b"") -> H2Request:
    """Answer an upload while most of it is held back by the stream's window."""
    server.greet({WINDOW: 1000})
    server.respond(server.expect_request())  # so that the client knows the window
    request = server.expect_request(whole=False)
    while len(request.body) < 1000:
        server.expect_frame()
    server.send_frame(server.head(request, 200), *([server.data(request, said)] if said else []))
    return request


def test_the_rest_is_sent_as_the_window_opens(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        request = begin(server)
        while not request.has_ended:
            server.open_window(request.stream_id, 1000)
            server.expect(frames.DataFrame)
        server.send_frame(server.data(request, b"%d octets" % len(request.body), "END_STREAM"))
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    assert line.client.read(line.post(body=b"x" * 5500)) == b"5500 octets"
    assert line.body() == b"next"
    assert line.server.connections == 1


def test_a_window_that_stays_shut_behind_the_head_is_a_write_time_out(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        request = begin(server)
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    error = line.fails(WriteTimeout, method="POST", body=b"x" * 5000, timeout=Timeout(write=0.1))
    assert "window is used up" in str(error)
    assert line.body() == b"next"


def test_a_response_that_is_closed_ends_the_pass_over_the_body(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        request = begin(server, b"enough")
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    def pieces() -> Iterator[bytes]:
        try:
            for _ in range(10):
                yield b"x" * 1000
        finally:
            ended.append(threading.current_thread())

    ended: list[threading.Thread] = []
    line = h2line(script)
    line.get()
    with line.client.stream("POST", line.url(), body=pieces()) as response:
        assert response.status_code == 200
        assert not ended
    assert len(ended) == 1
    assert line.body() == b"next"
    assert line.server.connections == 1


@pytest.mark.parametrize("world", ["async"], indirect=True)
def test_an_asynchronous_body_may_wait_for_the_response(h2line: Callable) -> None:
    has_answered = threading.Event()

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request(whole=False)
        while not request.body:
            server.expect_frame()
        server.send_frame(server.head(request, 200))
        has_answered.set()
        while not request.has_ended:
            server.expect_frame()
        server.send_frame(server.data(request, bytes(reversed(request.body)), "END_STREAM"))
        server.expect_close()

    async def talk() -> bytes:
        is_there = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            assert await asyncio.to_thread(has_answered.wait, PATIENCE)
            yield b"b"
            await is_there.wait()
            yield b"c"

        async with line.session.stream("POST", line.url(), body=pieces()) as response:
            is_there.set()
            content: bytes = await response.aread()
            return content

    line = h2line(script)
    assert line.client.world.run(talk()) == b"cba"


def test_an_answer_that_is_whole_is_kept_though_the_farewell_cannot_leave(
    h2line: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the upload is not wanted, which the server is told; only it takes nothing any more."""

    def first(server: H2Peer) -> None:
        request = begin(server)
        server.send_frame(server.data(request, b"enough", "END_STREAM"))
        server.expect_close()

    def second(server: H2Peer) -> None:
        server.greet()
        server.serve([b"next"])

    async def full(*_: Any) -> None:
        raise WriteTimeout("the send buffer stays full", phase="write")

    line = h2line(first, second)
    line.get()
    with line.client.stream("POST", line.url(), body=b"x" * 5000) as response:
        with monkeypatch.context() as patch:
            patch.setattr(type(line.transport._wire.stream), "write", full)
            assert line.client.read(response) == b"enough"
    assert line.body() == b"next"
    assert line.server.connections == 2


def test_what_a_source_gives_after_its_stream_was_reset_is_not_sent(h2line: Callable) -> None:
    """While the source is asked, another request reads for both."""

    def script(server: H2Peer) -> None:
        server.greet()
        upload = server.expect_request(whole=False)
        beside = server.expect_request()
        server.reset(upload, h2_peer.INTERNAL_ERROR)
        server.respond(beside)
        server.respond(server.expect_request())
        assert [frame.data for frame in server.seen(frames.DataFrame)] == [b"one"]
        server.expect_close()

    def pieces() -> Iterator[bytes]:
        yield b"one"
        line.get("/beside")
        yield b"two"

    async def async_pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await line.session.get(line.url("/beside"))
        yield b"two"

    line = h2line(script)
    body = pieces() if line.client.world.name == "blocking" else async_pieces()
    line.fails(StreamReset, method="POST", body=body)
    line.get("/next")
    assert line.server.connections == 1
