"""The plugin by which sessions find HTTP/2."""

from __future__ import annotations

from typing import Any

from reqivo_core.errors import InvalidRequest
from reqivo_core.hookspecs import hookimpl
from reqivo_core.interfaces import TransportSpec
from reqivo_http2.push import PushPolicy
from reqivo_http2.transport import Http2Transport


class Http2Plugin:
    """Registers HTTP/2: over TLS where the server chooses it by ALPN, in the clear by prior knowledge."""

    @hookimpl
    def reqivo_register_transports(self) -> list[TransportSpec]:
        """Give the one transport."""
        return [TransportSpec(name="http2", schemes=("https", "http"), alpn="h2", open=Http2Transport, priority=10)]

    @hookimpl
    def reqivo_session_opened(self, session: Any) -> None:
        """Refuse ``push=`` and ``window_manager=`` that no connection could heed, before there is one."""
        PushPolicy.of(session.transport_options["push"])
        manager = session.transport_options["window_manager"]
        if manager is not None and not callable(manager):
            raise InvalidRequest(f"window_manager={manager!r}: give a class, such as one of BaseFlowControlManager")
