"""``frames://host:port/``: a transport over TCP, and the other side of it."""

from __future__ import annotations

from reqivo_core import TransportSpec, hookimpl
from reqivo_demo_frames.transport import FramesTransport


class FramesPlugin:
    """Registers ``frames``, and ``frames+tls``, which is the same in TLS."""

    @hookimpl
    def reqivo_register_transports(self) -> list[TransportSpec]:
        """Give the two."""
        return [
            TransportSpec(name="demo-frames", schemes=("frames",), open=FramesTransport),
            TransportSpec(name="demo-frames-tls", schemes=("frames+tls",), open=FramesTransport, is_secure=True),
        ]


__all__ = ["FramesPlugin", "FramesTransport"]
