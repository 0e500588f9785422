"""The plugin: what it registers, and its hooks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from reqivo_core import Response, hookimpl
from reqivo_demo_extras.rot13 import Rot13Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reqivo_core import Flow, Request, TraceEvent
    from reqivo_core.flows import FlowGenerator


def remembering(known: dict[str, str]) -> Flow:
    """Make a flow that answers from memory: a cache, as small as can be."""

    def flow(request: Request) -> FlowGenerator:
        url = str(request.url)
        if request.method == "GET" and url in known:
            return Response.build(status_code=200, headers={"X-Demo": "remembered"}, body=known[url], request=request)
        response = yield request
        return response

    return flow


class ExtrasPlugin:
    """A flow for the option ``demo_answers``, the coding ``x-rot13``, and hooks that count.

    Attributes:
        counts: What the hooks were told of, for requests with the extension ``demo``.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @hookimpl
    def reqivo_register_codings(self) -> Mapping[str, Callable[[], Rot13Decoder]]:
        """Undo ``x-rot13``."""
        return {"x-rot13": Rot13Decoder}

    @hookimpl
    def reqivo_register_options(self) -> Mapping[str, Callable[[Any, Any], Flow | None]]:
        """Take ``demo_answers={url: body}``, of a session or a request."""
        return {"demo_answers": lambda answers, session: remembering(answers) if answers else None}

    @hookimpl
    def reqivo_register_flows(self, session: Any) -> Iterable[Flow]:
        """Give a flow to sessions with the header ``Demo-Sign``."""
        return [self._signing] if "demo-sign" in session.headers else []

    def _signing(self, request: Request) -> FlowGenerator:
        """Sign each attempt."""
        request.headers["X-Demo-Signature"] = f"{request.method} {request.url.path}"
        response = yield request
        return response

    @hookimpl
    def reqivo_prepare_request(self, request: Request) -> None:
        """Mark requests that ask for it."""
        if "demo" in request.extensions:
            request.headers["X-Demo"] = request.extensions["demo"]
            self.counts["prepared"] += 1

    @hookimpl
    def reqivo_response_received(self, request: Request, response: Response) -> None:
        """Count."""
        if "demo" in request.extensions:
            self.counts[f"status {response.status_code}"] += 1

    @hookimpl
    def reqivo_request_failed(self, request: Request, error: Exception) -> None:
        """Count."""
        if "demo" in request.extensions:
            self.counts[type(error).__name__] += 1

    @hookimpl
    def reqivo_session_opened(self, session: Any) -> None:
        """Count."""
        self.counts["opened"] += 1

    @hookimpl
    def reqivo_session_closed(self, session: Any) -> None:
        """Count."""
        self.counts["closed"] += 1


class TracingExtras(ExtrasPlugin):
    """The same, observing too: not by entry point, since a session that somebody observes does more work."""

    @hookimpl
    def reqivo_trace(self, event: TraceEvent) -> None:
        """Count."""
        self.counts[f"{event.name} {event.state}"] += 1
