"""reqivo: an HTTP client made of parts.

One-shot calls, sessions, and their asynchronous twins::

    import reqivo

    print(reqivo.get("https://example.org/").status_code)

    with reqivo.Reqivo(base_url="https://api.example.com").bearer_token("…") as client:
        print(client.get("/users").json())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo import exceptions
from reqivo.exceptions import AddressRefused
from reqivo_core import errors as _errors
from reqivo_core.errors import *  # noqa: F403  # all of them; not by `exceptions`, whose list mypy does not see through
from reqivo_core.version import __version__

if TYPE_CHECKING:
    from reqivo.address_guard import AddressGuard
    from reqivo.async_messages import AsyncResponse
    from reqivo.async_session import AsyncSession
    from reqivo.client import AsyncReqivo, Reqivo
    from reqivo.digest import DigestAuth
    from reqivo.messages import Request, Response
    from reqivo.netrc_auth import NetrcAuth
    from reqivo.one_shot import delete, get, head, options, patch, post, put, query, request, stream
    from reqivo.rate_limits import ConcurrencyLimit, RateLimiter
    from reqivo.retries import Retry
    from reqivo.session import Session
    from reqivo.sse import ServerSentEvent
    from reqivo.uploads import with_progress
    from reqivo_core import (
        URL,
        BasicAuth,
        BearerAuth,
        Cookie,
        CookieJar,
        Headers,
        Limits,
        Proxy,
        ReadBody,
        Sleep,
        Timeout,
        TlsConfig,
        hookimpl,
    )
    from reqivo_ws import AsyncWebSocket, WebSocket

    Client = Reqivo
    AsyncClient = AsyncReqivo

__all__ = [
    "AddressGuard",
    "AddressRefused",
    "AsyncClient",
    "AsyncReqivo",
    "AsyncResponse",
    "AsyncSession",
    "AsyncWebSocket",
    "BasicAuth",
    "BearerAuth",
    "Client",
    "ConcurrencyLimit",
    "Cookie",
    "CookieJar",
    "DigestAuth",
    "Headers",
    "Limits",
    "NetrcAuth",
    "Proxy",
    "RateLimiter",
    "ReadBody",
    "Reqivo",
    "Request",
    "Response",
    "Retry",
    "ServerSentEvent",
    "Session",
    "Sleep",
    "Timeout",
    "TlsConfig",
    "URL",
    "WebSocket",
    "__version__",
    "delete",
    "exceptions",
    "get",
    "head",
    "hookimpl",
    "options",
    "patch",
    "post",
    "put",
    "query",
    "request",
    "stream",
    "with_progress",
]
__all__ += _errors.__all__

_LAZY = {
    "AddressGuard": "reqivo.address_guard",
    "AsyncReqivo": "reqivo.client",
    "AsyncResponse": "reqivo.async_messages",
    "AsyncSession": "reqivo.async_session",
    "BasicAuth": "reqivo_core",
    "BearerAuth": "reqivo_core",
    "ConcurrencyLimit": "reqivo.rate_limits",
    "Cookie": "reqivo_core",
    "CookieJar": "reqivo_core",
    "DigestAuth": "reqivo.digest",
    "Headers": "reqivo_core",
    "Limits": "reqivo_core",
    "NetrcAuth": "reqivo.netrc_auth",
    "Proxy": "reqivo_core",
    "RateLimiter": "reqivo.rate_limits",
    "ReadBody": "reqivo_core",
    "Reqivo": "reqivo.client",
    "Request": "reqivo.messages",
    "Response": "reqivo.messages",
    "Retry": "reqivo.retries",
    "ServerSentEvent": "reqivo.sse",
    "Session": "reqivo.session",
    "Sleep": "reqivo_core",
    "Timeout": "reqivo_core",
    "TlsConfig": "reqivo_core",
    "URL": "reqivo_core",
    "delete": "reqivo.one_shot",
    "get": "reqivo.one_shot",
    "head": "reqivo.one_shot",
    "hookimpl": "reqivo_core",
    "options": "reqivo.one_shot",
    "patch": "reqivo.one_shot",
    "post": "reqivo.one_shot",
    "put": "reqivo.one_shot",
    "query": "reqivo.one_shot",
    "request": "reqivo.one_shot",
    "stream": "reqivo.one_shot",
    "with_progress": "reqivo.uploads",
}
"""What is loaded when it is first asked for, and where it is: a program pays for what it uses, and errors are cheap."""

_ALIASES = {"AsyncClient": "AsyncReqivo", "Client": "Reqivo"}


_WEBSOCKETS = {"AsyncWebSocket": "async", "WebSocket": "blocking"}
"""What is found by entry point; ``reqivo`` never imports a transport."""


def __getattr__(name: str) -> Any:
    """Load a name, or a WebSocket from whichever distribution brings it."""
    value: Any
    if name in _WEBSOCKETS:
        from reqivo_core.plugins import plugin_set

        value = plugin_set().websocket(_WEBSOCKETS[name])
    else:
        attribute = _ALIASES.get(name, name)
        if attribute not in _LAZY:
            raise AttributeError(f"module 'reqivo' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_LAZY[attribute]), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Tell of names that were not loaded yet, too."""
    return sorted({*globals(), *__all__})
