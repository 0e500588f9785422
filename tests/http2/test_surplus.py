"""What a server sends beyond what is due: behind a whole response, or for streams that are over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hpack import Encoder
from hyperframe import frame as hyperframes

from reqivo_core.limits import DEFAULT_LIMITS
from reqivo_core.messages import Request
from reqivo_http2 import frames
from reqivo_http2.codec import load_codec
from reqivo_http2.connection_state import ConnectionState
from reqivo_http2.flow_control import CONNECTION_WINDOW, LARGEST_TUNED_WINDOW
from reqivo_http2.receiving import Receiver
from reqivo_http2.request_fields import build_head
from support import h2_peer
from support.h2_peer import H2Peer, raw

WINDOW = hyperframes.SettingsFrame.INITIAL_WINDOW_SIZE
CLOSED = "END_STREAM"


@pytest.mark.parametrize("kind", ["data", "head", "window"])
def test_a_fault_behind_a_whole_response_leaves_it_whole(h2line: Callable, kind: str) -> None:
    """While the request is still being sent its stream lives on, and faults on it are its own."""

    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 1})
        server.respond(server.expect_request())  # so that the client knows the window
        request = server.expect_request(whole=False)
        response = [server.head(request, 200), server.data(request, b"whole", CLOSED)]
        surplus = {
            "data": lambda: server.data(request, b"more").serialize(),
            "head": lambda: server.head(request, 200).serialize(),
            "window": lambda: raw(8, 0, request.stream_id, b"\0\0\0\0"),
        }
        server.peer.send(b"".join(frame.serialize() for frame in response) + surplus[kind]())
        code = h2_peer.PROTOCOL_ERROR if kind == "window" else h2_peer.STREAM_CLOSED
        server.expect_reset(request.stream_id, code)
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    assert line.client.read(line.post(body=b"x" * 100)) == b"whole"
    assert line.body() == b"next"
    assert line.server.connections == 1


def cancelled(window: int) -> tuple[ConnectionState, Receiver]:
    """A connection on which a stream was reset while the server could send so much for it."""
    connection = ConnectionState(load_codec("h2")(100_000), DEFAULT_LIMITS, 0.0)
    receiver = Receiver(connection)
    receiver.receive(frames.settings({}), 0.0)
    head = build_head(Request("GET", "https://example.org/"))
    stream = connection.open(head, DEFAULT_LIMITS, is_head=False, data=b"")
    connection.grant(stream, window - stream.receive_window)
    connection.cancel(stream, 8, 0.0)
    return connection, receiver


def test_late_data_of_a_large_window_is_no_flood() -> None:
    """A fast and long way holds thousands of frames when a download is broken off."""
    connection, receiver = cancelled(LARGEST_TUNED_WINDOW)
    for _ in range(LARGEST_TUNED_WINDOW // 8192):
        receiver.receive(frames.frame(frames.DATA, 0, 1, b"x" * 8192), 0.0)
    assert connection.failure is None
    assert connection.receive_window > CONNECTION_WINDOW // 2


def test_late_heads_of_many_requests_are_no_flood() -> None:
    """All that waited were cancelled at once, and the server answers all of them."""
    connection, receiver = cancelled(1_000_000)
    block = Encoder().encode([(":status", "200"), ("x-some", "field")])
    for _ in range(DEFAULT_LIMITS.max_control_frames + 200):
        head = build_head(Request("GET", "https://example.org/"))
        stream = connection.open(head, DEFAULT_LIMITS, is_head=False, data=b"")
        stream.is_silent = False  # else its slot would stay taken
        connection.cancel(stream, 8, 0.0)
    for number in range(3, connection.next_id, 2):
        receiver.receive(frames.frame(frames.HEADERS, frames.END_HEADERS, number, block), 0.0)
    assert connection.failure is None


def test_signs_of_life_all_day_are_no_flood() -> None:
    connection, receiver = cancelled(300_000)
    ping = frames.frame(frames.PING, 0, 0, b"question")
    for minute in range(3000):
        receiver.receive(ping, 60.0 * minute)
        connection.outgoing.take_control()
    assert connection.failure is None
    receiver.receive(ping * 2100, 60.0 * 3000)
    assert connection.failure is not None


@pytest.mark.parametrize("size", [0, 1, 8192])
def test_late_data_beyond_the_window_is_a_flood(size: int) -> None:
    connection, receiver = cancelled(300_000)
    frame = frames.frame(frames.DATA, 0, 1, b"x" * size)
    for _ in range(DEFAULT_LIMITS.max_control_frames + 300_000 // 1024 + 2):
        receiver.receive(frame, 0.0)
    assert connection.failure is not None
    assert connection.failure.code == h2_peer.ENHANCE_YOUR_CALM
