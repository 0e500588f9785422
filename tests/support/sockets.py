"""WebSockets of either world, called as if they were blocking."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .world import World


class Socket:
    """A ``WebSocket`` or ``AsyncWebSocket``.

    Attributes:
        world: The world it lives in.
        ws: The real one.
    """

    def __init__(self, world: World, ws: Any) -> None:
        self.world = world
        self.ws = ws

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.ws, name)
        if not callable(value):
            return value
        return lambda *args, **options: self.world.run(value(*args, **options))

    def messages(self) -> list[Any]:
        """What iteration yields until it ends."""
        return self.world.collect(self.ws)

    def fragments(self, *args: Any) -> list[Any]:
        """What ``recv_fragments`` yields."""
        return self.world.collect(self.ws.recv_fragments(*args))

    def together(self, *actions: Callable[[Any], Any]) -> list[Any]:
        """Run actions on the real one at the same time; exceptions come as results."""
        return self.world.together([lambda action=action: action(self.ws) for action in actions])


def make(world: World, url: str, session: Any = None, **options: Any) -> Socket:
    """A WebSocket that is not connected."""
    if session is not None:
        return Socket(world, session.websocket(url, **options))
    return Socket(world, world.find("WebSocket", "reqivo_ws")(url, **options))


@contextmanager
def connected(world: World, url: str, session: Any = None, **options: Any) -> Iterator[Socket]:
    """A WebSocket that is connected, and closed in the end."""
    socket = make(world, url, session, **options)
    with world.entered(socket.ws):
        yield socket


def mixed(count: int, largest: int) -> Iterator[str | bytes]:
    """Messages of all sizes, text and binary, some that compress well and some that do not."""
    dice = random.Random(count)
    for number in range(count):
        size = largest if number in (7, count // 2) else int(2 ** dice.uniform(0, 12)) if number % 25 else 300_000
        if number % 3 == 0:
            yield dice.randbytes(size)
        elif number % 3 == 1:
            yield (f"grün {number} " * (size // 8 + 1))[:size]
        else:
            yield b"\x00\x01\x02" * (size // 3)
