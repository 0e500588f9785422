"""The other side: serving a connection, over any stream of any world."""

from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING, Self

from reqivo_core.errors import ReadError, WriteError
from reqivo_core.runtime.blocking import BlockingStream
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.testing.suite_app import Answer, answer
from reqivo_demo_frames.framing import FrameReader, frame, head_frame, parse_head

if TYPE_CHECKING:
    from reqivo_core import NetworkStream

HEAD_LIMIT = 64 * 1024


async def serve_frames(stream: NetworkStream) -> None:
    """Answer requests until the client leaves."""
    try:
        await _serve(stream)
    except (ReadError, WriteError):
        pass  # it left in the middle of something
    finally:
        stream.close()


async def _serve(stream: NetworkStream) -> None:
    reader = FrameReader(lambda: stream.read(65536, None))
    while (data := await reader.next()) is not None:
        head = parse_head(data, HEAD_LIMIT)
        body = bytearray()
        while piece := await reader.next():
            body += piece
        if piece is None:
            return
        headers = {name.lower(): value for name, value in head["headers"]}
        told = answer(head["method"], head["target"], headers, bytes(body))
        await _send(stream, told)
        if told.ending == "stall":
            await stream.read(1, None)
        if told.ending != "complete":
            return


async def _send(stream: NetworkStream, told: Answer) -> None:
    headers = list(told.headers.items())
    await stream.write(head_frame(status=told.status, headers=headers, length=told.length), None)
    for piece in told.pieces:
        await stream.write(frame(piece), None)
    if told.ending == "complete":
        await stream.write(frame(b""), None)


class FramesServer(socketserver.ThreadingTCPServer):
    """A server on this machine, for tests: ``with FramesServer() as server``.

    Attributes:
        url: Where it is.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"frames://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(socketserver.BaseRequestHandler):
    """Has the conversation in a thread of its own: its awaits never suspend there."""

    def handle(self) -> None:
        run_blocking(serve_frames(BlockingStream(self.request, "client")))
