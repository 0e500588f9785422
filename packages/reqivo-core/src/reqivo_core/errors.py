"""The exception tree: one root, one class for each thing a caller may want to catch.

Rules that the whole library keeps:

* nothing but these classes leaves the library on account of a request (no bare ``OSError``, ``ssl`` or engine error);
* a message says what was tried (method and URL of its request come first), what happened and what to do, and never
  holds a credential;
* bytes that a server sent are escaped and cut (:func:`excerpt`) before they enter a message;
* every error pickles, knows its ``request`` where there was one, and the ``phase`` it died in.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reqivo_core.messages import Request

__all__ = [
    "BodyTooLarge",
    "CertificateError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DNSError",
    "DecodeError",
    "DecodedSizeExceeded",
    "HTTPStatusError",
    "HandshakeError",
    "HeadersTooLarge",
    "IncompleteBody",
    "InvalidRequest",
    "InvalidResponseError",
    "InvalidURL",
    "LocalProtocolError",
    "MessageTooBig",
    "NetworkError",
    "PluginError",
    "PoolTimeout",
    "ProtocolError",
    "ProxyError",
    "ReadError",
    "ReadTimeout",
    "RedirectLoopError",
    "RemoteProtocolError",
    "ReqivoError",
    "RequestError",
    "ServerDisconnected",
    "SessionClosed",
    "StreamClosed",
    "StreamConsumed",
    "StreamReset",
    "TimeoutError",
    "TimeoutException",
    "TlsError",
    "TooManyRedirects",
    "TotalTimeout",
    "UnsafeRedirect",
    "UnsupportedProtocol",
    "WebSocketError",
    "WriteError",
    "WriteTimeout",
]

EXCERPT_LENGTH = 200
"""How many characters of a server's bytes a message shows at most."""


def excerpt(data: bytes | str, length: int = EXCERPT_LENGTH) -> str:
    """Escape and cut what a peer sent, so that it can stand in a message.

    Args:
        data: What was received.
        length: How many characters to show at most.

    Returns:
        Printable ASCII, quoted, with ``…`` where it was cut.
    """
    text = data[: length + 1].decode("latin-1") if isinstance(data, bytes) else data[: length + 1]
    shown = ascii(text[:length])
    return f"{shown[:length]}…" if len(text) > length or len(shown) > length else shown


def _rebuild(cls: type[ReqivoError], args: tuple[Any, ...], state: dict[str, Any]) -> ReqivoError:
    """Make an error again from its pickled parts, without running its constructor."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ReqivoError(Exception):
    """Whatever goes wrong in reqivo is one of these."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by parts: constructors take keywords that ``Exception`` would forget."""
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class RequestError(ReqivoError):
    """A request failed.

    Attributes:
        request: The request that failed, once it is known.
        phase: What was going on: ``dns``, ``connect``, ``tls``, ``proxy``, ``pool``, ``write``, ``read``, ``body``;
            ``request`` where the request itself will not do.
        unprocessed: The server provably did not act on the request, so any method may be sent again.
        response_started: Octets of the answer had already come, so the request may not be sent again.
        requires_http11: The server wants the request over HTTP/1.1 (RFC 9113 §7, HTTP_1_1_REQUIRED).
    """

    unprocessed = False
    response_started = False
    requires_http11 = False

    def __init__(self, message: str, *, request: Request | None = None, phase: str | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.phase = phase

    def __str__(self) -> str:
        """Say what was tried before what happened, once the request is known."""
        message = super().__str__()
        return message if self.request is None else f"{self._tried(self.request)}: {message}"

    @staticmethod
    def _tried(request: Request) -> str:
        """Method and URL, cut where they are long, without userinfo."""
        url = request.url.redacted
        return f"{request.method} {url[:EXCERPT_LENGTH]}…" if len(url) > EXCERPT_LENGTH else f"{request.method} {url}"


class InvalidURL(RequestError, ValueError):
    """The URL cannot be used; nothing was sent."""


class InvalidRequest(RequestError, ValueError):
    """Method, header, body or option cannot be sent as given; nothing was written."""


class UnsupportedProtocol(RequestError):
    """No installed transport serves this; the message names the distribution that would."""


class NetworkError(RequestError):
    """The network let the request down."""


class ConnectError(NetworkError):
    """No connection could be made."""


class DNSError(ConnectError):
    """The host name has no address."""


class ProxyError(ConnectError):
    """The proxy refused or failed.

    Attributes:
        status: The status code with which an HTTP proxy refused, where there was one.
    """

    def __init__(
        self, message: str, *, request: Request | None = None, phase: str | None = "proxy", status: int | None = None
    ) -> None:
        super().__init__(message, request=request, phase=phase)
        self.status = status


class TlsError(NetworkError):
    """The TLS handshake or a TLS record failed."""


class CertificateError(TlsError):
    """The server's certificate was not accepted: the message gives the reason and the name that was wanted."""


class ReadError(NetworkError):
    """The connection broke while reading."""


class WriteError(NetworkError):
    """The connection broke while writing."""


class ServerDisconnected(NetworkError):
    """The server closed the connection instead of answering."""


class TimeoutException(RequestError, builtins.TimeoutError):
    """A time limit ran out (also a builtin ``TimeoutError``)."""


TimeoutError = TimeoutException


class ConnectTimeout(TimeoutException):
    """Resolving, connecting, tunnelling or the TLS handshake took too long."""


class ReadTimeout(TimeoutException):
    """The server sent nothing for too long."""


class WriteTimeout(TimeoutException):
    """The server took nothing for too long."""


class PoolTimeout(TimeoutException):
    """No connection became free in time."""


class TotalTimeout(TimeoutException):
    """The request as a whole, redirects, retries and body included, took too long."""


class ProtocolError(RequestError):
    """One side broke the protocol."""


class LocalProtocolError(ProtocolError):
    """We were asked to break it (for instance a body shorter than its Content-Length)."""


class RemoteProtocolError(ProtocolError):
    """The server broke it."""


InvalidResponseError = RemoteProtocolError


class HeadersTooLarge(RemoteProtocolError):
    """The response's header section or trailers passed the limits."""


class IncompleteBody(RemoteProtocolError):
    """The response body ended before its end.

    Attributes:
        received: How many bytes came.
        expected: How many were announced; None where the framing does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        request: Request | None = None,
        phase: str | None = "body",
        received: int = 0,
        expected: int | None = None,
    ) -> None:
        super().__init__(message, request=request, phase=phase)
        self.received = received
        self.expected = expected


class StreamReset(RemoteProtocolError):
    """The server reset this HTTP/2 stream.

    Attributes:
        code: The HTTP/2 error code (RFC 9113 §7).
    """

    def __init__(
        self, message: str, *, request: Request | None = None, phase: str | None = None, code: int = 0
    ) -> None:
        super().__init__(message, request=request, phase=phase)
        self.code = code


class DecodeError(RequestError, ValueError):
    """The body does not decode by its content-coding or charset, or is not JSON (also a ``ValueError``)."""


class DecodedSizeExceeded(DecodeError):
    """The decoded body passed the limits (a decompression bomb, or a limit set too low)."""


class BodyTooLarge(RequestError):
    """The body passed ``Limits.max_body``."""


class UnsafeRedirect(RequestError):
    """The server redirected to something that must not be followed."""


class TooManyRedirects(RequestError):
    """More redirects than ``max_redirects``.

    Attributes:
        history: The redirecting responses, in order.
    """

    def __init__(
        self,
        message: str,
        *,
        request: Request | None = None,
        phase: str | None = "redirect",
        history: Sequence[Any] = (),
    ) -> None:
        super().__init__(message, request=request, phase=phase)
        self.history = list(history)


class RedirectLoopError(TooManyRedirects):
    """The redirects came back to where they had been: following them further would never end."""


class HTTPStatusError(RequestError):
    """``raise_for_status()`` met a 4xx or 5xx.

    Attributes:
        response: The response.
    """

    def __init__(self, message: str, *, request: Request | None = None, response: Any = None) -> None:
        super().__init__(message, request=request, phase="status")
        self.response = response


class StreamConsumed(ReqivoError):
    """The body was already read as a stream and is gone."""


class StreamClosed(ReqivoError):
    """The body or connection was closed before it was read."""


class SessionClosed(ReqivoError):
    """The session was closed."""


class WebSocketError(ReqivoError):
    """Something went wrong on a WebSocket."""


class HandshakeError(WebSocketError):
    """The opening handshake failed.

    Attributes:
        response: The server's response, where there was one.
    """

    def __init__(self, message: str, *, response: Any = None) -> None:
        super().__init__(message)
        self.response = response


class MessageTooBig(WebSocketError):
    """A message passed ``max_message_size``."""


class ConnectionClosed(WebSocketError):
    """The WebSocket is closed.

    Attributes:
        code: The close code (RFC 6455 §7.4), 1005 or 1006 where none was sent.
        reason: The peer's reason.
    """

    def __init__(self, message: str, *, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ConnectionClosedOK(ConnectionClosed):
    """Closed as agreed (1000, 1001 or no code)."""


class ConnectionClosedError(ConnectionClosed):
    """Closed for any other reason."""


class PluginError(ReqivoError):
    """A plugin is broken.

    Attributes:
        plugin: Its name.
    """

    def __init__(self, message: str, *, plugin: str = "") -> None:
        super().__init__(message)
        self.plugin = plugin
