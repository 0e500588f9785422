"""aiohttp, its WebSocket included."""

from __future__ import annotations

import ssl

import aiohttp

from contenders.base import Answer, Settings, Sink, Unsupported, Upload


class Async:
    def __init__(self, settings: Settings) -> None:
        if settings.is_http2:
            raise Unsupported("aiohttp speaks HTTP/1.1")
        context = ssl.create_default_context(cafile=settings.ca_file) if settings.is_secure else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.connections, ssl=context),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=30),
        )

    async def get(self, url: str) -> Answer:
        async with self._session.get(url) as response:
            return response.status, await response.read()

    async def download(self, url: str, sink: Sink) -> int:
        async with self._session.get(url) as response:
            async for piece in response.content.iter_any():
                sink(piece)
        return response.status

    async def upload(self, url: str, upload: Upload) -> Answer:
        async with self._session.post(url, data=upload.async_pieces()) as response:
            return response.status, await response.read()

    async def close(self) -> None:
        await self._session.close()


class Socket:
    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._socket = socket

    async def echo(self, message: bytes) -> bytes:
        await self._socket.send_bytes(message)
        return await self._socket.receive_bytes()

    async def close(self) -> None:
        await self._socket.close()
        await self._session.close()


async def async_client(settings: Settings) -> Async:
    return Async(settings)


async def async_socket(settings: Settings, url: str) -> Socket:
    session = aiohttp.ClientSession()
    return Socket(session, await session.ws_connect(url, max_msg_size=16 * 1024 * 1024))
