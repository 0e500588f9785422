"""The plugin by which sessions find WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reqivo_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class WebSocketPlugin:
    """Registers the two faces; they are loaded when the first WebSocket is made."""

    @hookimpl
    def reqivo_register_websockets(self) -> Mapping[str, Callable[[], type]]:
        """Give what gives the classes."""
        return {"blocking": _blocking, "async": _async}


def _blocking() -> type:
    from reqivo_ws.websocket import WebSocket

    return WebSocket


def _async() -> type:
    from reqivo_ws.async_websocket import AsyncWebSocket

    return AsyncWebSocket
