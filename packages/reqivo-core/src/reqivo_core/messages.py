"""Request: what is to be sent, as a value that hooks and flows may amend in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from reqivo_core.content import NO_CONTENT, Content
from reqivo_core.errors import InvalidRequest, excerpt
from reqivo_core.headers import Headers, HeaderTypes, checked_name
from reqivo_core.urls import URL

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})
"""Methods that may be sent again after a lost answer (RFC 9110 §9.2.2, and QUERY by its own definition)."""


def checked_method(method: str) -> str:
    """A method in upper case (RFC 9110 §9.1).

    Raises:
        InvalidRequest: It is no token.
    """
    if not isinstance(method, str):
        raise InvalidRequest(f"method: give a str such as 'GET', not {type(method).__name__}")
    if method in _METHODS:
        return method
    try:
        return checked_name(method).upper()
    except InvalidRequest:
        raise InvalidRequest(f"method {excerpt(str(method))} is no token: give letters such as 'GET'") from None


class Request:
    """One request.

    Attributes:
        method: In upper case.
        url: Absolute.
        headers: Field lines; Host, Content-Length and Transfer-Encoding are added by the transport where absent.
        content: The body.
        extensions: What some transports understand: ``trailers`` (headers to send after the body), ``upgrade`` (a
            protocol to switch to), ``priority`` (RFC 9218), ``target`` (a request target other than the URL's),
            ``on_informational`` (called with status and headers of each 1xx response).
    """

    __slots__ = ("content", "extensions", "headers", "method", "url")

    def __init__(
        self,
        method: str,
        url: URL | str,
        *,
        headers: HeaderTypes = None,
        content: Content = NO_CONTENT,
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a request.

        Args:
            method: Any token; taken in upper case.
            url: An absolute URL.
            headers: Field lines. A Headers object is taken as it is, not copied.
            content: The body.
            extensions: See the class.

        Raises:
            InvalidRequest: Method or headers cannot be sent.
            InvalidURL: The URL cannot be used.
        """
        self.method = checked_method(method)
        self.url = url if url.__class__ is URL else URL.parse(url)
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.content = content
        self.extensions = _checked_extensions(extensions) if extensions else {}

    @property
    def body(self) -> Content:
        """The content, under the name of the option that made it."""
        return self.content

    @property
    def is_idempotent(self) -> bool:
        """Whether it may be sent twice (RFC 9110 §9.2.2)."""
        return self.method in IDEMPOTENT_METHODS

    def copy(self) -> Self:
        """An independent copy that shares the content."""
        return type(self)(
            self.method, self.url, headers=self.headers.copy(), content=self.content, extensions=self.extensions
        )

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.redacted}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without a body that cannot travel (an open file, a generator)."""
        content = self.content if self.content.data is not None else NO_CONTENT
        return _unpickled, (type(self), self.method, str(self.url), self.headers, content)


def _checked_extensions(extensions: Any) -> dict[str, Any]:
    """A copy of them.

    Raises:
        InvalidRequest: They have no names.
    """
    if not isinstance(extensions, Mapping):
        raise InvalidRequest(f"extensions: give a mapping of names, not {type(extensions).__name__}")
    return dict(extensions)


def _unpickled(cls: type[Request], method: str, url: str, headers: Headers, content: Content) -> Request:
    return cls(method, url, headers=headers, content=content)
