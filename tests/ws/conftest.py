"""What the tests of WebSockets share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.servers import WebSocketsServer


@pytest.fixture(scope="session")
def echo_server() -> Iterator[WebSocketsServer]:
    """An echo by the ``websockets`` package, with compression."""
    with WebSocketsServer() as server:
        yield server
