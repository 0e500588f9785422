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
from reqivo.messages import Request, Response
from reqivo.one_shot import delete, get, head, options, patch, post, put, query, request, stream
from reqivo.session import Session
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
    __version__,
    hookimpl,
)
from reqivo_core import errors as _errors
from reqivo_core.errors import *  # noqa: F403  # all of them; not by `exceptions`, whose list mypy does not see through

if TYPE_CHECKING:
    from reqivo.address_guard import AddressGuard
    from reqivo.async_messages import AsyncResponse
    from reqivo.async_session import AsyncSession
    from reqivo.client import AsyncReqivo, Reqivo
    from reqivo.digest import DigestAuth
    from reqivo.netrc_auth import NetrcAuth
    from reqivo.rate_limits import ConcurrencyLimit, RateLimiter
    from reqivo.retries import Retry
    from reqivo.sse import ServerSentEvent
    from reqivo.uploads import with_progress
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
    "AddressGuard": ("reqivo.address_guard", "AddressGuard"),
    "AsyncClient": ("reqivo.client", "AsyncReqivo"),
    "AsyncReqivo": ("reqivo.client", "AsyncReqivo"),
    "AsyncResponse": ("reqivo.async_messages", "AsyncResponse"),
    "AsyncSession": ("reqivo.async_session", "AsyncSession"),
    "Client": ("reqivo.client", "Reqivo"),
    "Reqivo": ("reqivo.client", "Reqivo"),
    "Retry": ("reqivo.retries", "Retry"),
    "ServerSentEvent": ("reqivo.sse", "ServerSentEvent"),
    "with_progress": ("reqivo.uploads", "with_progress"),
    "ConcurrencyLimit": ("reqivo.rate_limits", "ConcurrencyLimit"),
    "RateLimiter": ("reqivo.rate_limits", "RateLimiter"),
    "DigestAuth": ("reqivo.digest", "DigestAuth"),
    "NetrcAuth": ("reqivo.netrc_auth", "NetrcAuth"),
}
"""What is loaded when it is first asked for: whoever only sends blocking requests needs no event loop."""


_WEBSOCKETS = {"AsyncWebSocket": "async", "WebSocket": "blocking"}
"""What is found by entry point; ``reqivo`` never imports a transport."""


def __getattr__(name: str) -> Any:
    """Load a name of ``_LAZY``, or a WebSocket from whichever distribution brings it."""
    if name in _WEBSOCKETS:
        from reqivo_core.plugins import plugin_set

        globals()[name] = websocket = plugin_set().websocket(_WEBSOCKETS[name])
        return websocket
    if name not in _LAZY:
        raise AttributeError(f"module 'reqivo' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LAZY[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
