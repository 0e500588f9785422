"""Recorder: a plugin that remembers every hook call, for tests of flows, transports and other plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reqivo_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reqivo_core.errors import ReqivoError
    from reqivo_core.interfaces import TraceEvent
    from reqivo_core.messages import Request


class HookCall(NamedTuple):
    """One call of one hook.

    Attributes:
        hook: Its name without ``reqivo_``.
        arguments: What it was given, by name.
    """

    hook: str
    arguments: Mapping[str, Any]


class Recorder:
    """A plugin for ``Session(plugins=[recorder])`` that writes down what it is told and changes nothing.

    ::

        recorder = Recorder()
        with Session(plugins=[recorder]) as session:
            session.get(url)
        assert recorder.names[:2] == ["session_opened", "prepare_request"]
        assert recorder.phases[:2] == ["dns started", "dns complete"]

    Attributes:
        calls: All calls, in order.
    """

    def __init__(self) -> None:
        self.calls: list[HookCall] = []

    @property
    def names(self) -> list[str]:
        """The hooks that were called, in order, without those of ``trace``."""
        return [call.hook for call in self.calls if call.hook != "trace"]

    @property
    def events(self) -> list[TraceEvent]:
        """What was traced, in order."""
        return [call.arguments["event"] for call in self.calls if call.hook == "trace"]

    @property
    def phases(self) -> list[str]:
        """What was traced, in order, in words: ``connect started``."""
        return [f"{event.name} {event.state}" for event in self.events]

    def of(self, hook: str) -> list[Mapping[str, Any]]:
        """The arguments of each call of a hook, named without ``reqivo_``."""
        return [call.arguments for call in self.calls if call.hook == hook]

    def clear(self) -> None:
        """Forget everything."""
        self.calls.clear()

    def _note(self, hook: str, **arguments: Any) -> None:
        self.calls.append(HookCall(hook, arguments))

    @hookimpl
    def reqivo_prepare_request(self, request: Request) -> None:
        """Note it."""
        self._note("prepare_request", request=request)

    @hookimpl
    def reqivo_response_received(self, request: Request, response: Any) -> None:
        """Note it."""
        self._note("response_received", request=request, response=response)

    @hookimpl
    def reqivo_request_failed(self, request: Request, error: ReqivoError) -> None:
        """Note it."""
        self._note("request_failed", request=request, error=error)

    @hookimpl
    def reqivo_trace(self, event: TraceEvent) -> None:
        """Note it."""
        self._note("trace", event=event)

    @hookimpl
    def reqivo_session_opened(self, session: Any) -> None:
        """Note it."""
        self._note("session_opened", session=session)

    @hookimpl
    def reqivo_session_closed(self, session: Any) -> None:
        """Note it."""
        self._note("session_closed", session=session)
