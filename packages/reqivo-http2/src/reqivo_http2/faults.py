"""Faults: what goes wrong, as values of this package, and the library's errors that callers get for it.

Each conversation on a connection gets an error object of its own (errors carry their request), so what is kept in the
state of a connection or stream is a :class:`Failure`, which makes one on demand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from reqivo_core.errors import (
    HeadersTooLarge,
    IncompleteBody,
    RemoteProtocolError,
    RequestError,
    ServerDisconnected,
    StreamReset,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def code_name(code: int) -> str:
    """An error code as RFC 9113 §7 names it."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error code {code:#x}"


class ConnectionFault(Exception):
    """The peer broke the protocol in a way that ends the connection (RFC 9113 §5.4.1).

    Attributes:
        code: What our GOAWAY says.
        message: What the caller is told.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StreamFault(Exception):
    """The peer broke the protocol, or passed a limit, on one stream (RFC 9113 §5.4.2).

    Attributes:
        code: What our RST_STREAM says.
        failure: What the caller is told.
    """

    def __init__(self, code: int, message: str, kind: type[RequestError] = RemoteProtocolError) -> None:
        super().__init__(message)
        self.code = code
        self.failure = Failure(kind, message)


def headers_too_large(message: str) -> StreamFault:
    """A header section passed the limits; the connection can go on."""
    return StreamFault(ErrorCodes.CANCEL, message, HeadersTooLarge)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a stream, or a connection with all its streams, is over.

    Attributes:
        kind: The class of the error before a response has begun.
        message: What happened.
        code: The HTTP/2 error code, where one was given.
        is_unprocessed: Whether the peer provably did not act on the request.
        requires_http11: Whether the peer wants to be spoken to in HTTP/1.1.
        is_cut: Whether it cuts off a body that was on its way, rather than being an error of its own.
        make_error: Makes the error where it is one of the runtime's.
    """

    kind: type[RequestError]
    message: str
    code: int = 0
    is_unprocessed: bool = False
    requires_http11: bool = False
    is_cut: bool = False
    make_error: Callable[[], RequestError] | None = None

    def unprocessed(self) -> Failure:
        """The same, for a request that was never sent."""
        return replace(self, is_unprocessed=True)

    def error(self) -> RequestError:
        """The error of a request whose response has not begun."""
        if self.make_error is not None:
            error = self.make_error()
        elif issubclass(self.kind, StreamReset):
            error = self.kind(self.message, phase="read", code=self.code)
        else:
            error = self.kind(self.message, phase="read")
        error.unprocessed = self.is_unprocessed
        if self.requires_http11:
            error.requires_http11 = True
        return error

    def body_error(self, received: int, expected: int | None) -> RequestError:
        """The error of a response whose body has begun."""
        if not self.is_cut:
            error = self.error()
        else:
            of = "" if expected is None else f" of {expected}"
            error = IncompleteBody(
                f"the body ended after {received}{of} octets: {self.message}", received=received, expected=expected
            )
        error.unprocessed = False
        error.response_started = True
        return error


def disconnected(message: str) -> Failure:
    """The connection ended."""
    return Failure(ServerDisconnected, message, is_cut=True)


def reset(code: int) -> Failure:
    """The peer reset a stream."""
    return Failure(
        StreamReset,
        f"the server reset the stream ({code_name(code)})",
        code=code,
        is_unprocessed=code in (ErrorCodes.REFUSED_STREAM, ErrorCodes.HTTP_1_1_REQUIRED),
        requires_http11=code == ErrorCodes.HTTP_1_1_REQUIRED,
        is_cut=True,
    )
