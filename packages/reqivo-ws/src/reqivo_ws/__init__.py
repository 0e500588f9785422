"""WebSocket for reqivo (RFC 6455, RFC 7692, RFC 8441), over the connections of its sessions.

::

    from reqivo_ws import WebSocket

    with WebSocket("wss://example.com/echo") as ws:
        ws.send("hello")
        print(ws.recv())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_ws.plugin import WebSocketPlugin

if TYPE_CHECKING:
    from reqivo_ws.async_websocket import AsyncWebSocket
    from reqivo_ws.deflate import Deflate
    from reqivo_ws.websocket import WebSocket

__all__ = ["AsyncWebSocket", "Deflate", "WebSocket", "WebSocketPlugin"]

_LAZY = {
    "AsyncWebSocket": "reqivo_ws.async_websocket",
    "Deflate": "reqivo_ws.deflate",
    "WebSocket": "reqivo_ws.websocket",
}
"""What is loaded when it is first asked for: sessions load the plugin even where nobody opens a WebSocket."""


def __getattr__(name: str) -> Any:
    """Load a name of ``_LAZY``."""
    if name not in _LAZY:
        raise AttributeError(f"module 'reqivo_ws' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
