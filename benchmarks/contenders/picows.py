"""picows, which calls back for each frame."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import picows

from contenders.base import Settings


class Listener(picows.WSListener):
    def __init__(self) -> None:
        self.message: asyncio.Future[bytes] | None = None
        self._parts: list[bytes] = []

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type in (picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION):
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin and self.message is not None:
                parts, self._parts = self._parts, []
                self.message.set_result(parts[0] if len(parts) == 1 else b"".join(parts))


class AsyncSocket:
    def __init__(self, transport: Any, listener: Listener) -> None:
        self._transport = transport
        self._listener = listener

    async def echo(self, message: bytes) -> bytes:
        self._listener.message = future = asyncio.get_running_loop().create_future()
        self._transport.send(picows.WSMsgType.BINARY, message)
        return await future  # type: ignore[no-any-return]  # bytes for bytes

    async def close(self) -> None:
        self._transport.disconnect()
        await self._transport.wait_disconnected()


async def async_socket(settings: Settings, url: str) -> AsyncSocket:
    transport, listener = await picows.ws_connect(Listener, url)
    return AsyncSocket(transport, cast("Listener", listener))
