"""What users of hyper had, by its own document, and what that document says hyper lacked."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core import hookimpl
from reqivo_core.errors import CertificateError, InvalidRequest, StreamReset
from reqivo_http2 import (
    AutoTuningFlowControlManager,
    BaseFlowControlManager,
    FixedFlowControlManager,
    PushPolicy,
    connection_state,
)
from support.asgi_app import pattern
from support.certs import Authority
from support.h2_peer import H2Peer
from support.servers import AsgiServer
from support.world import World

pytestmark = pytest.mark.usefixtures("codec")


class StupidFlowControlManager(BaseFlowControlManager):
    """The example of hyper's document."""

    def increase_window_size(self, frame_size: int) -> int:
        return frame_size


def test_context_managers_close_connections(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    with world.client(verify=authority.client_context()) as client:
        with client.stream("GET", h2_server.url("/bytes/100")) as response:
            assert client.read(response) == pattern(100)
        assert client.session.pool.idle == 1
    assert client.session.pool.connections() == []


def test_one_connection_serves_many_threads(h2_server: AsgiServer, authority: Authority) -> None:
    from reqivo_core import Session

    with Session(verify=authority.client_context()) as session:
        results: dict[int, str] = {}

        def work(number: int) -> None:
            results[number] = session.get(h2_server.url(f"/echo/{number}")).json()["nonce"]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == {number: str(number) for number in range(10)}
        assert len(session.pool.connections()) == 1


def test_verification_can_be_turned_off(world: World, h2_server: AsgiServer) -> None:
    with world.client() as client:
        with pytest.raises(CertificateError):
            client.get(h2_server.url("/echo/1"))
        assert client.get(h2_server.url("/echo/1"), verify=False).http_version == "HTTP/2"


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 2048, 300_000])
def test_files_are_streamed_up_and_end(world: World, h2_server: AsgiServer, authority: Authority, size: int) -> None:
    data = pattern(size)
    with world.client(verify=authority.client_context()) as client:
        told = client.json(client.post(h2_server.url("/upload"), data=io.BytesIO(data)))
        assert (told["length"], told["sha256"]) == (size, hashlib.sha256(data).hexdigest())


def test_bodies_are_decompressed_unless_told_otherwise(
    world: World, h2_server: AsgiServer, authority: Authority
) -> None:
    with world.client(verify=authority.client_context()) as client:
        assert client.read(client.get(h2_server.url("/gzip/5000"))) == pattern(5000)
        with client.stream("GET", h2_server.url("/gzip/5000")) as response:
            read = getattr(response, world.method("read"))
            assert world.run(read(decode_content=False))[:2] == b"\x1f\x8b"


@pytest.mark.parametrize(
    "manager", [StupidFlowControlManager, FixedFlowControlManager, AutoTuningFlowControlManager, None]
)
def test_window_managers_are_plugged_in_as_classes(
    world: World, h2_server: AsgiServer, authority: Authority, manager: Any
) -> None:
    with world.client(verify=authority.client_context(), window_manager=manager) as client:
        for _ in range(2):
            assert client.read(client.get(h2_server.url("/bytes/600000"))) == pattern(600_000)


def test_a_manager_is_told_of_every_octet(h2line: Callable) -> None:
    made: list[Recorder] = []

    class Recorder(BaseFlowControlManager):
        def __init__(self, initial_window_size: int) -> None:
            super().__init__(initial_window_size)
            self.told: list[int] = []
            made.append(self)

        def increase_window_size(self, frame_size: int) -> int:
            self.told.append(frame_size)
            return frame_size

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200, [("content-length", "30")]), server.data(request, b"x" * 10))
        server.expect(frames.WindowUpdateFrame, lambda frame: frame.stream_id == 1)
        server.send_frame(server.data(request, b"y" * 20, "END_STREAM"))
        server.expect_close()

    line = h2line(script, window_manager=Recorder)
    with line.client.stream("GET", line.url()) as response:
        assert line.client.read(response) == b"x" * 10 + b"y" * 20
    connection, stream = made
    assert connection.told == [10, 20]
    assert stream.told == [10]  # what came last came with the end: there is nothing to grant any more
    assert stream.document_size == 30
    assert connection.document_size is None


def test_a_manager_may_open_a_window_that_blocks(h2line: Callable) -> None:
    class Hesitant(BaseFlowControlManager):
        def increase_window_size(self, frame_size: int) -> int:
            return 0

        def blocked(self) -> int:
            return 50_000

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200))
        left = server.settings[frames.SettingsFrame.INITIAL_WINDOW_SIZE]
        while left:
            piece = server.data(request, b"x" * min(left, 16384))
            left -= len(piece.data)
            server.send_frame(piece)
        assert server.expect(frames.WindowUpdateFrame, lambda f: f.stream_id == 1).window_increment == 50_000
        server.send_frame(server.data(request, b"end", "END_STREAM"))
        server.expect_close()

    line = h2line(script, window_manager=Hesitant)
    assert line.body().endswith(b"end")


def test_a_manager_may_open_the_connections_window_only_when_it_blocks(
    h2line: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_state, "CONNECTION_WINDOW", 100_000)

    class Hesitant(BaseFlowControlManager):
        def increase_window_size(self, frame_size: int) -> int:
            return 0

        def blocked(self) -> int:
            return self.initial_window_size

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200))
        window, left = 100_000, 150_000
        while left:
            if not window:
                window += server.expect(frames.WindowUpdateFrame, lambda frame: not frame.stream_id).window_increment
            size = min(left, window, 10_000)
            left, window = left - size, window - size
            server.send_frame(server.data(request, b"x" * size))
        server.send_frame(server.data(request, b"end", "END_STREAM"))
        server.expect_close()

    line = h2line(script, window_manager=Hesitant)
    assert line.body() == b"x" * 150_000 + b"end"


def test_a_manager_that_says_nothing_is_no_manager() -> None:
    with pytest.raises(NotImplementedError, match="increase_window_size"):
        BaseFlowControlManager(100).used(10)


def test_windows_can_be_watched(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    events: list[Any] = []

    class Observer:
        @hookimpl
        def reqivo_trace(self, event: Any) -> None:
            if event.name == "window":
                events.append(event.info)

    context = authority.client_context()
    with world.client(verify=context, plugins=[Observer()], window_manager=StupidFlowControlManager) as client:
        with client.stream("GET", h2_server.url("/bytes/1000000")) as response:
            (connection,) = client.session.pool.connections()
            assert connection["streams"][response.extensions["stream_id"]]["receive_window"] <= 256 * 1024
            client.read(response)
    assert sum(event["granted"] for event in events) >= 1_000_000 - 256 * 1024
    assert {event["stream"] for event in events} == {1}


def test_pushes_can_be_had_limited_refused_and_cancelled(
    world: World, h2_server: AsgiServer, authority: Authority
) -> None:
    url = h2_server.url("/push?path=/bytes/1&path=/bytes/2&path=/bytes/3")
    context = authority.client_context()
    with world.client(verify=context, push=True) as client:
        response = client.get(url)
        first, *others = world.collect(response.pushes)
        assert [name for name in ("path", "method", "url", "request_headers") if not getattr(first, name)] == []
        assert client.read(world.run(first.getresponse()))
        for push in others:
            world.run(push.cancel())
    with world.client(verify=context, push=PushPolicy(max_streams=3, accept=lambda r: "2" in r.url.path)) as client:
        assert [push.path for push in world.collect(client.get(url).pushes)] == ["/bytes/2"]
    with world.client(verify=context) as client:
        assert world.collect(client.get(url).pushes) == []


def test_ping_and_trailers(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    with world.client(verify=authority.client_context(), base_url=h2_server.url("/")) as client:
        assert client.call(lambda session: session.ping("/")) > 0
        response = client.get("/trailers", headers={"TE": "trailers"})
        client.read(response)
        assert list(response.trailers) == ["x-digest"]


def test_priorities_are_told(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        assert request["priority"] == "u=1, i"
        assert server.settings[0x9] == 1
        server.respond(request)
        server.expect_close()

    assert h2line(script).get(priority="u=1, i").status_code == 200


def test_priorities_can_be_changed(h2line: Callable) -> None:
    from reqivo_core.interfaces import Exchange
    from reqivo_core.limits import DEFAULT_LIMITS
    from reqivo_core.timeouts import Deadline, Timeout

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200))
        update = server.expect(frames.ExtensionFrame)
        assert (update.type, update.stream_id) == (0x10, 0)
        assert update.body == b"\0\0\0\x01u=0"
        server.send_frame(server.data(request, b"quick", "END_STREAM"))
        server.expect_close()

    line = h2line(script)
    with line.client.stream("GET", line.url()) as response:
        runtime = line.transport._wire.runtime
        exchange = Exchange(runtime, Deadline(Timeout(), runtime.now), DEFAULT_LIMITS)
        line.drive(line.transport.update_priority(1, "u=0", exchange))
        line.drive(line.transport.update_priority(99, "u=0", exchange))
        with pytest.raises(InvalidRequest, match="priority"):
            line.drive(line.transport.update_priority(1, "u=0\r\nx: y", exchange))
        assert line.client.read(response) == b"quick"


def test_an_unknown_error_code_is_shown_as_a_number(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.reset(server.expect_request(), 0xBEEF)
        server.expect_close()

    assert "0xbeef" in str(h2line(script).fails(StreamReset))
