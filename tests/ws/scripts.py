"""What the tests with scripted servers share."""

from __future__ import annotations

import threading
from typing import Any

from support.frames import accept, expect_close
from support.scripted import Peer


def ws_url(server: Any, path: str = "/") -> str:
    """The URL of a server's WebSocket."""
    url: str = server.url(path)
    return "ws" + url.removeprefix("http")


class Told:
    """What a script found out, for the test to look at."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.event = threading.Event()

    def tell(self, value: Any) -> None:
        self.values.append(value)
        self.event.set()

    @property
    def value(self) -> Any:
        assert self.event.wait(10)
        return self.values[0]


def sending(data: bytes, told: Told, deflate: bool = False) -> Any:
    """A script that sends octets and tells what close frame comes back."""

    def script(peer: Peer) -> None:
        accept(peer, data, deflate=deflate)
        told.tell(expect_close(peer))

    return script
