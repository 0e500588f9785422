"""Http11Transport: HTTP/1.1 over one connection (RFC 9112)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reqivo_core.errors import LocalProtocolError, ServerDisconnected
from reqivo_core.interfaces import IncomingResponse, Transport
from reqivo_http11.codec import VARIABLE, load_codec
from reqivo_http11.conversation import Conversation
from reqivo_http11.duplex import DuplexBody
from reqivo_http11.framing import Kind
from reqivo_http11.receiving import HeadReceiver
from reqivo_http11.request_body import Upload
from reqivo_http11.response_body import CompleteBody, Http11Body
from reqivo_http11.serialization import serialize
from reqivo_http11.upgraded import UpgradedStream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from reqivo_core.interfaces import Exchange, NetworkStream, ResponseBody, TransportContext
    from reqivo_core.messages import Request
    from reqivo_http11.codec import Codec, Head
    from reqivo_http11.duplex import Sending

CODEC = load_codec(os.environ.get(VARIABLE))
"""The codec that was chosen at import."""

_VERSIONS = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0"}
_SWITCHING_PROTOCOLS = 101
_TUNNEL = Kind.TUNNEL
_COUNTED = (Kind.LENGTH, Kind.NONE)
"""The kinds of bodies whose octets are counted by the head."""


class Http11Transport(Transport):
    """One connection, one exchange at a time.

    It is used again only after a request that was sent whole and a response that ended by itself, with no octet behind
    it, and if neither side has said ``close``.
    """

    http_version = "HTTP/1.1"

    __slots__ = (
        "_codec",
        "_is_busy",
        "_is_forwarded",
        "_keeps_alive",
        "_receiver",
        "_stream",
        "concurrency",
        "is_closing",
    )

    concurrency: int
    is_closing: bool

    def __init__(self, stream: NetworkStream, context: TransportContext, codec: Codec | None = None) -> None:
        """Speak over a connected stream.

        Args:
            stream: The connection.
            context: What it is for.
            codec: The engine; the one chosen at import where none is given.
        """
        self._stream = stream
        self._codec = CODEC() if codec is None else codec
        self._receiver = HeadReceiver(self._codec)
        self._is_forwarded = context.forward_proxied
        self.concurrency = 1
        self.is_closing = False
        self._is_busy = False
        self._keeps_alive = False

    def is_usable(self) -> bool:
        """Whether it is idle, and nothing has come that nobody asked for: an end, or the octets of somebody else."""
        return not (self.is_closing or self._is_busy or self._stream.is_readable())

    def close(self) -> None:
        """Let go of the connection, handed over or not."""
        self._end()
        self._stream.close()

    def _end(self) -> None:
        """Carry no more requests."""
        self.is_closing = True
        self.concurrency = 0

    def describe(self) -> Mapping[str, Any]:
        """Which engine reads."""
        return {"codec": type(self._codec).__name__}

    async def send(self, request: Request, exchange: Exchange) -> IncomingResponse:
        """Send a request, body and all, and wait for the head of the final response.

        Raises:
            InvalidRequest: It cannot be sent; nothing was, and the connection is as good as before.
            LocalProtocolError: The body has not the length that was declared.
            ServerDisconnected: The connection ended before the first octet of an answer.
            RemoteProtocolError: The answer is not HTTP/1.1, or breaks its rules.
            RequestError: Time-outs and broken connections.
        """
        outgoing = serialize(request, self._is_forwarded)
        if self.is_closing or self._is_busy:
            raise self._refusal()
        upload = None if outgoing.is_whole else Upload(outgoing, request.content)
        self._is_busy = True
        receiver = self._receiver
        receiver.start(request.method, exchange.limits, outgoing.asks_upgrade)
        conversation = Conversation(self._stream, receiver, request, exchange)
        try:
            head = await conversation.hold(outgoing, upload)
            sending = conversation.sending
            is_sent = conversation.is_sent or sending is not None  # it will be, when a response that ends well is over
            self._keeps_alive = is_sent and receiver.framing.keeps_alive and not outgoing.closes
            response = self._respond(head, exchange, sending)
            if sending is not None:
                upload = None  # it ends with the response
        except BaseException:
            self.close()
            raise
        finally:
            if upload is not None:
                await self._end_upload(upload)
        return response

    async def _end_upload(self, upload: Upload) -> None:
        """End the pass over the request body; a generator of the user's may fail even here."""
        try:
            await upload.aclose()
        except BaseException:
            self.close()
            raise

    def _refusal(self) -> ServerDisconnected | LocalProtocolError:
        """The error for a request that cannot be sent now: the connection was closed, or is in use."""
        if self.is_closing:
            error = ServerDisconnected("the connection was closed before the request was sent", phase="write")
            error.unprocessed = True
            return error
        return LocalProtocolError("HTTP/1.1 carries one exchange at a time: read or close the last response first")

    def _respond(self, head: Head, exchange: Exchange, sending: Sending | None) -> IncomingResponse:
        """Make the response of a final head."""
        receiver = self._receiver
        framing = receiver.framing
        extensions: dict[str, Any] = {}
        body: ResponseBody
        if head.status == _SWITCHING_PROTOCOLS or framing.kind is _TUNNEL:
            extensions["network_stream"] = self._hand_over()
            body = CompleteBody(b"")
        else:
            rest, receiver.rest = receiver.rest, b""  # not kept: a connection may idle for long
            if sending is not None:
                body = DuplexBody(receiver.body(), rest, self._stream, exchange, self._end_exchange, sending)
            elif len(rest) == framing.length and framing.kind in _COUNTED:
                body = CompleteBody(rest)
                self._end_exchange(True)
            else:
                body = Http11Body(receiver.body(), rest, self._stream, exchange, self._end_exchange)
        return IncomingResponse(
            head.status,
            head.reason,
            _VERSIONS[head.version],
            head.headers,
            body,
            extensions,
        )

    def _hand_over(self) -> NetworkStream:
        """Leave the connection to another protocol: it will never carry a request again."""
        self._end()
        rest, self._receiver.rest = self._receiver.rest, b""
        return UpgradedStream(self._stream, rest) if rest else self._stream

    def _end_exchange(self, is_clean: bool) -> None:
        """Called by the body when it is over."""
        if is_clean and self._keeps_alive:
            self._is_busy = False
        else:
            self.close()
