"""What is dropped is given up, wherever the collector runs: outside of the run that a connection belongs to, too."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from support import h2_peer
from support.h2_peer import H2Peer


def test_a_response_that_is_dropped_outside_of_its_world_is_reset(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200), server.data(request, b"begun"))
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script)
    response = line.get(stream=True)
    assert response.status_code == 200
    with pytest.warns(ResourceWarning, match="dropped unread"):
        del response
        gc.collect()
    assert line.body() == b"next"
    assert line.session.pool.active == 0
    assert line.server.connections == 1
