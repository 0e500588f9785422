"""WebSocket for reqivo: the distribution and its entry point; the transport itself is still to come."""

from __future__ import annotations


class WebSocketPlugin:
    """What the entry point ``ws`` names; it registers nothing yet, so no session serves ``ws`` or ``wss``."""


__all__ = ["WebSocketPlugin"]
