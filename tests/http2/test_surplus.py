"""What a server sends beyond what is due: behind a whole response, or for streams that are over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hyperframe import frame as frames

from support import h2_peer
from support.h2_peer import H2Peer, raw

WINDOW = frames.SettingsFrame.INITIAL_WINDOW_SIZE
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
