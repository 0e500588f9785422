"""The core of reqivo: sessions, pool, engine and runtimes, and the contracts that transports plug into.

With one transport installed it is a working client::

    from reqivo_core import Session

    with Session() as session:
        print(session.get("http://localhost:8000/").text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core.version import __version__

if TYPE_CHECKING:
    from reqivo_core.async_response import AsyncResponse
    from reqivo_core.async_session import AsyncSession
    from reqivo_core.auth import BasicAuth, BearerAuth
    from reqivo_core.cookies import Cookie, CookieJar
    from reqivo_core.flows import Flow, ReadBody, Sleep, WaitFor
    from reqivo_core.headers import Headers
    from reqivo_core.hookspecs import hookimpl
    from reqivo_core.interfaces import (
        Address,
        Exchange,
        IncomingResponse,
        NetworkStream,
        ResponseBody,
        Runtime,
        TraceEvent,
        Transport,
        TransportContext,
        TransportSpec,
        Waiter,
    )
    from reqivo_core.limits import Limits
    from reqivo_core.messages import Request
    from reqivo_core.options import RequestOptions, SessionOptions
    from reqivo_core.response import Response
    from reqivo_core.routes import Proxy
    from reqivo_core.session import Session
    from reqivo_core.timeouts import Timeout
    from reqivo_core.tls_config import TlsConfig
    from reqivo_core.urls import URL, Origin

__all__ = [
    "URL",
    "Address",
    "AsyncResponse",
    "AsyncSession",
    "BasicAuth",
    "BearerAuth",
    "Cookie",
    "CookieJar",
    "Exchange",
    "Flow",
    "Headers",
    "IncomingResponse",
    "Limits",
    "NetworkStream",
    "Origin",
    "Proxy",
    "ReadBody",
    "Request",
    "RequestOptions",
    "Response",
    "ResponseBody",
    "Runtime",
    "Session",
    "SessionOptions",
    "Sleep",
    "Timeout",
    "TlsConfig",
    "TraceEvent",
    "Transport",
    "TransportContext",
    "TransportSpec",
    "WaitFor",
    "Waiter",
    "__version__",
    "hookimpl",
]

_LAZY = {
    "Address": "interfaces",
    "AsyncResponse": "async_response",
    "AsyncSession": "async_session",
    "BasicAuth": "auth",
    "BearerAuth": "auth",
    "Cookie": "cookies",
    "CookieJar": "cookies",
    "Exchange": "interfaces",
    "Flow": "flows",
    "Headers": "headers",
    "IncomingResponse": "interfaces",
    "Limits": "limits",
    "NetworkStream": "interfaces",
    "Origin": "urls",
    "Proxy": "routes",
    "ReadBody": "flows",
    "Request": "messages",
    "RequestOptions": "options",
    "Response": "response",
    "ResponseBody": "interfaces",
    "Runtime": "interfaces",
    "Session": "session",
    "SessionOptions": "options",
    "Sleep": "flows",
    "Timeout": "timeouts",
    "TlsConfig": "tls_config",
    "TraceEvent": "interfaces",
    "Transport": "interfaces",
    "TransportContext": "interfaces",
    "TransportSpec": "interfaces",
    "URL": "urls",
    "WaitFor": "flows",
    "Waiter": "interfaces",
    "hookimpl": "hookspecs",
}
"""What is loaded when it is first asked for, and where it is: a program pays for what it uses."""


def __getattr__(name: str) -> Any:
    """Load a name."""
    if name not in _LAZY:
        raise AttributeError(f"module 'reqivo_core' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"reqivo_core.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Tell of names that were not loaded yet, too."""
    return sorted({*globals(), *_LAZY})
