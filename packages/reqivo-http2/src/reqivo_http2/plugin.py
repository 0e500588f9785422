"""The plugin by which sessions find HTTP/2."""

from __future__ import annotations

from reqivo_core.hookspecs import hookimpl
from reqivo_core.interfaces import TransportSpec
from reqivo_http2.transport import Http2Transport


class Http2Plugin:
    """Registers HTTP/2: over TLS where the server chooses it by ALPN, in the clear by prior knowledge."""

    @hookimpl
    def reqivo_register_transports(self) -> list[TransportSpec]:
        """Give the one transport."""
        return [TransportSpec(name="http2", schemes=("https", "http"), alpn="h2", open=Http2Transport, priority=10)]
