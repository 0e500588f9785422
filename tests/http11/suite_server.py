"""HTTP/1.1 served for the transport suite, by h11 in its other role."""

from __future__ import annotations

from typing import Any

import h11

from reqivo_core.errors import ReadError, WriteError
from reqivo_core.interfaces import NetworkStream
from reqivo_core.testing.suite_app import Answer, answer


async def serve_http(stream: NetworkStream) -> None:
    """Answer requests until the client leaves."""
    try:
        while await _Exchange(stream).hold():
            pass
    except (ReadError, WriteError):
        pass  # it left in the middle of something
    finally:
        stream.close()


class _Exchange:
    """One request and its answer; clients of the suite never send the next request before."""

    def __init__(self, stream: NetworkStream) -> None:
        self.stream = stream
        self.connection = h11.Connection(h11.SERVER)

    async def hold(self) -> bool:
        """Answer one request; whether there may be another."""
        request = await self.event()
        if not isinstance(request, h11.Request):
            return False
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        if request.target == b"/upgrade":
            return await self.upgrade(headers["upgrade"])
        body = bytearray()
        while isinstance(event := await self.event(), h11.Data):
            body += event.data
        if not isinstance(event, h11.EndOfMessage):
            return False
        told = answer(request.method.decode(), request.target.decode(), headers, bytes(body))
        await self.send(told)
        if told.ending == "stall":
            await self.stream.read(1, None)
        return told.ending == "complete"

    async def event(self) -> Any:
        while (event := self.connection.next_event()) is h11.NEED_DATA:
            self.connection.receive_data(await self.stream.read(65536, None))
        return event

    async def send(self, told: Answer) -> None:
        headers = [*told.headers.items(), ("content-length", str(told.length))]
        await self.write(h11.Response(status_code=told.status, headers=headers))
        for piece in told.pieces:
            await self.write(h11.Data(data=piece))
        if told.ending == "complete":
            await self.write(h11.EndOfMessage())

    async def write(self, event: Any) -> None:
        data = self.connection.send(event)
        if data:
            await self.stream.write(data, None)

    async def upgrade(self, protocol: str) -> bool:
        """Switch, and send back what comes."""
        headers = [("upgrade", protocol), ("connection", "upgrade")]
        await self.write(h11.InformationalResponse(status_code=101, headers=headers))
        while data := await self.stream.read(65536, None):
            await self.stream.write(data, None)
        return False
