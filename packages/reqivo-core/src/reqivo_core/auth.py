"""Authentication flows that need no conversation of their own: Basic (RFC 7617) and Bearer (RFC 6750).

A flow is a plain generator function. These two also offer ``apply``, so that the engine can set the header without
making a generator. Digest and netrc live in ``reqivo`` and come in like anybody's flow.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from reqivo_core.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.flows import Flow, FlowGenerator
    from reqivo_core.messages import Request

AuthTypes: TypeAlias = "Flow | tuple[str | bytes, str | bytes] | None"


@runtime_checkable
class Stamp(Protocol):
    """A flow that only sets headers."""

    def apply(self, request: Request) -> None:
        """Set them."""


class _Header:
    """A flow that sets one header."""

    __slots__ = ("_header",)

    _header: str

    def apply(self, request: Request) -> None:
        """Set the header, unless the request already has one."""
        if "authorization" not in request.headers:
            request.headers["Authorization"] = self._header

    def __call__(self, request: Request) -> FlowGenerator:
        """Set the header and send."""
        self.apply(request)
        response = yield request
        return response


class BasicAuth(_Header):
    """User name and password, in UTF-8 (RFC 7617)."""

    __slots__ = ()

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        """Make the flow.

        Args:
            username: Without a colon.
            password: Any text.

        Raises:
            InvalidRequest: The user name has a colon, or either has control characters.
        """
        self._header = "Basic " + basic_credentials(username, password)


class BearerAuth(_Header):
    """A token (RFC 6750)."""

    __slots__ = ()

    def __init__(self, token: str) -> None:
        """Make the flow.

        Args:
            token: The token.

        Raises:
            InvalidRequest: It holds control characters, spaces or nothing at all.
        """
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidRequest("bearer token: give visible ASCII characters without spaces")
        self._header = f"Bearer {token}"


def basic_credentials(username: str | bytes, password: str | bytes) -> str:
    """The token68 of Basic authentication.

    Raises:
        InvalidRequest: The user name has a colon, or either has control characters.
    """
    user, secret = (_octets(part) for part in (username, password))
    if b":" in user:
        raise InvalidRequest("basic auth: a user name cannot hold a colon (RFC 7617 §2)")
    if any(octet < 32 or octet == 127 for octet in user + secret):
        raise InvalidRequest("basic auth: user name and password cannot hold control characters (RFC 7617 §2)")
    return b64encode(user + b":" + secret).decode("ascii")


def _octets(part: str | bytes) -> bytes:
    """A user name or password in UTF-8. What it is stays out of the message."""
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, bytes | bytearray):
        return bytes(part)
    raise InvalidRequest(f"basic auth: give user name and password as str or bytes, not {type(part).__name__}")


def to_flow(auth: Any) -> Callable[[Request], FlowGenerator] | None:
    """Take ``auth=`` in any form that users write.

    Raises:
        InvalidRequest: It is none of them.
    """
    if isinstance(auth, type):
        raise InvalidRequest(f"auth: {auth.__name__} is a class; make one of it, such as BearerAuth(token)")
    if auth is None or callable(auth):
        return auth  # type: ignore[no-any-return]  # a flow is any callable that returns a generator
    if isinstance(auth, tuple | list) and len(auth) == 2:
        return BasicAuth(*auth)
    raise InvalidRequest(f"auth: give (user, password) or a flow such as BearerAuth(token), not {type(auth).__name__}")
