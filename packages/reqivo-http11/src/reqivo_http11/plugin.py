"""The plugin by which sessions find HTTP/1.1."""

from __future__ import annotations

from reqivo_core.hookspecs import hookimpl
from reqivo_core.interfaces import TransportSpec
from reqivo_http11.transport import Http11Transport


class Http11Plugin:
    """Registers HTTP/1.1 for ``http`` and ``https``."""

    @hookimpl
    def reqivo_register_transports(self) -> list[TransportSpec]:
        """Give the one transport."""
        return [TransportSpec(name="http11", schemes=("http", "https"), alpn="http/1.1", open=Http11Transport)]
