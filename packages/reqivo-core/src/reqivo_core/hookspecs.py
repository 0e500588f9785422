"""The hooks of reqivo, declared with pluggy: plain functions, never awaited, none of them around I/O.

A plugin is any object with methods marked ``@hookimpl`` that take any of the arguments named here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reqivo_core.errors import ReqivoError
    from reqivo_core.flows import Flow
    from reqivo_core.interfaces import TraceEvent, TransportSpec, Tunnel
    from reqivo_core.messages import Request

PROJECT = "reqivo"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def reqivo_register_transports() -> Iterable[TransportSpec]:
    """Give the transports that the plugin brings."""
    return ()


@hookspec
def reqivo_register_codings() -> Mapping[str, Callable[[], Any]]:
    """Give content-codings: name → factory of a decoder (see ``reqivo_core.codings.Decoder``)."""
    return {}


@hookspec
def reqivo_register_tunnels() -> Mapping[str, Tunnel]:
    """Give ways through proxies: scheme of the proxy's URL → Tunnel."""
    return {}


@hookspec
def reqivo_register_websockets() -> Mapping[str, Callable[[], type]]:
    """Give WebSockets: ``blocking`` and ``async`` → what gives the class that ``session.websocket`` makes one of.

    The class is called with the URL, ``session=`` and the options of the call.
    """
    return {}


@hookspec
def reqivo_register_options() -> Mapping[str, Callable[[Any, Any], Flow | None]]:
    """Give options of sessions and requests that are flows: name → what makes the flow (None: none is needed).

    It is called with the option's value and the session: once for a session, and for each request that gives the
    option, whose flow then takes the place of the session's. These flows run inside redirects and outside all others,
    in the order of the mapping; a request without them costs nothing.
    """
    return {}


@hookspec
def reqivo_register_flows(session: Any) -> Iterable[Flow]:
    """Give flows for this session, outermost first. They run inside redirects and outside authentication.

    The flows of the plugin given first are around those of the next; the process's plugins come before a session's
    own. ``tryfirst`` moves an implementation to the outside, ``trylast`` to the inside.
    """
    return ()


@hookspec
def reqivo_prepare_request(request: Request) -> None:
    """Amend a request in place, before its flows start; an exception reaches the caller."""


@hookspec
def reqivo_response_received(request: Request, response: Any) -> None:
    """Look at a response whose head has come (each one: redirects and retries too)."""


@hookspec
def reqivo_request_failed(request: Request, error: ReqivoError) -> None:
    """Learn that a request failed for good."""


@hookspec
def reqivo_trace(event: TraceEvent) -> None:
    """Observe what happens below: dns, connect, tls, proxy, request, response, push, window, reconnect."""


@hookspec
def reqivo_session_opened(session: Any) -> None:
    """Learn that a session was made."""


@hookspec
def reqivo_session_closed(session: Any) -> None:
    """Learn that a session was closed."""
