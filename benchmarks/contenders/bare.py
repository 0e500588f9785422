"""The limits: what a loop costs that does nothing but move the octets. Neither is a client that anybody could use."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from urllib.parse import urlsplit

from contenders.base import Answer, Settings, Sink, Unsupported, Upload

READ = 256 * 1024
_length_in = re.compile(rb"content-length: (\d+)", re.IGNORECASE).search


def _request(url: str, method: str = "GET", length: int | None = None) -> bytes:
    parts = urlsplit(url)
    lines = [f"{method} {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "User-Agent: bare", "Accept: */*"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


class SocketLoop:
    """``sendall`` and ``recv`` on a socket for each origin; just enough is read of a head to know where a body ends."""

    def __init__(self, settings: Settings) -> None:
        if settings.is_http2:
            raise Unsupported("the socket loop speaks HTTP/1.1")
        self._context = ssl.create_default_context(cafile=settings.ca_file) if settings.is_secure else None
        self._buffer = memoryview(bytearray(READ))
        self._sockets: dict[str, socket.socket] = {}
        self._requests: dict[str, tuple[socket.socket, bytes]] = {}

    def _connected(self, url: str) -> socket.socket:
        parts = urlsplit(url)
        if parts.netloc not in self._sockets:
            connected = socket.create_connection((parts.hostname, parts.port), 30)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                connected = self._context.wrap_socket(connected, server_hostname=parts.hostname)
            self._sockets[parts.netloc] = connected
        return self._sockets[parts.netloc]

    def _prepared(self, url: str) -> tuple[socket.socket, bytes]:
        if url not in self._requests:
            self._requests[url] = self._connected(url), _request(url)
        return self._requests[url]

    def get(self, url: str) -> Answer:
        connected, request = self._prepared(url)
        try:
            connected.sendall(request)
            return self._answer(connected)
        except ConnectionError:
            self.close()  # the server has, while this process had to wait for its turn
            return self.get(url)

    def _answer(self, connected: socket.socket) -> Answer:
        status, body, length = self._head(connected)
        if len(body) < length:
            pieces = [body]
            missing = length - len(body)
            while missing:
                piece = connected.recv(READ)
                pieces.append(piece)
                missing -= len(piece)
            body = b"".join(pieces)
        return status, body

    def _head(self, connected: socket.socket) -> tuple[int, bytes, int]:
        data = connected.recv(READ)
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = connected.recv(READ)
            if not more:
                raise ConnectionResetError("the server closed the connection")
            data += more
        match = _length_in(data)
        if match is None:
            raise Unsupported("the socket loop knows no chunks")
        return int(data[9:12]), data[end + 4 :], int(match[1])

    def download(self, url: str, sink: Sink) -> int:
        connected, request = self._prepared(url)
        connected.sendall(request)
        status, body, length = self._head(connected)
        sink(body)
        missing = length - len(body)
        buffer = self._buffer
        while missing:
            read = connected.recv_into(buffer)
            missing -= read
            sink(buffer[:read])
        return status

    def upload(self, url: str, upload: Upload) -> Answer:
        connected = self._connected(url)
        connected.sendall(_request(url, "POST", upload.length))
        for piece in upload.pieces():
            connected.sendall(piece)
        return self._answer(connected)

    def close(self) -> None:
        for connected in self._sockets.values():
            connected.close()
        self._sockets.clear()
        self._requests.clear()


class _Conversation(asyncio.Protocol):
    """One connection, whose octets go through llhttp."""

    def __init__(self) -> None:
        from httptools import HttpResponseParser

        self._new_parser = HttpResponseParser
        self._answer: asyncio.Future[Answer] | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # it is one

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        assert self._answer is not None
        self._answer.set_result((self._parser.get_status_code(), b"".join(self._body)))

    async def get(self, request: bytes) -> Answer:
        self._parser = self._new_parser(self)
        self._body: list[bytes] = []
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()


class ProtocolLoop:
    """``asyncio.Protocol`` and llhttp, with a list of idle connections for each origin and no other thing."""

    def __init__(self, settings: Settings) -> None:
        if settings.is_http2:
            raise Unsupported("the protocol loop speaks HTTP/1.1")
        self._context = ssl.create_default_context(cafile=settings.ca_file) if settings.is_secure else None
        self._idle: dict[str, list[_Conversation]] = {}
        self._requests: dict[str, tuple[bytes, list[_Conversation]]] = {}
        self._free = asyncio.Semaphore(settings.connections) if settings.has_to_queue else None

    async def get(self, url: str) -> Answer:
        if self._free is None:
            return await self._get(url)
        async with self._free:
            return await self._get(url)

    async def _get(self, url: str) -> Answer:
        if url not in self._requests:
            self._requests[url] = _request(url), self._idle.setdefault(urlsplit(url).netloc, [])
        request, idle = self._requests[url]
        while idle and idle[-1].is_lost:
            idle.pop()
        conversation = idle.pop() if idle else await self._connect(url)
        answer = await conversation.get(request)
        idle.append(conversation)
        return answer

    async def _connect(self, url: str) -> _Conversation:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, conversation = await loop.create_connection(
            _Conversation, str(parts.hostname), int(parts.port or 80), ssl=self._context
        )
        return conversation

    async def download(self, url: str, sink: Sink) -> int:
        raise Unsupported("the protocol loop keeps bodies whole")

    async def upload(self, url: str, upload: Upload) -> Answer:
        raise Unsupported("the protocol loop only gets")

    async def close(self) -> None:
        for idle in self._idle.values():
            for conversation in idle:
                conversation.close()


def sync_client(settings: Settings) -> SocketLoop:
    return SocketLoop(settings)


async def async_client(settings: Settings) -> ProtocolLoop:
    return ProtocolLoop(settings)
