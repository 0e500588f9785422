"""websocket-client."""

from __future__ import annotations

from typing import Any

import websocket

from contenders.base import Settings


class SyncSocket:
    def __init__(self, url: str) -> None:
        self._socket: Any = websocket.create_connection(url, timeout=30)

    def echo(self, message: bytes) -> bytes:
        self._socket.send_binary(message)
        return self._socket.recv()  # type: ignore[no-any-return]  # bytes for bytes

    def close(self) -> None:
        self._socket.close()


def sync_socket(settings: Settings, url: str) -> SyncSocket:
    return SyncSocket(url)
