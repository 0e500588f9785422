"""Reconnecting: the next connection after one was lost. No message is ever sent again by itself."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, HandshakeError, RequestError
from reqivo_ws.backoff import STABLE, Backoff, is_worth_retrying
from reqivo_ws.batons import Baton
from reqivo_ws.verdicts import too_late

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reqivo_core.errors import ReqivoError
    from reqivo_core.interfaces import Runtime, Waiter
    from reqivo_ws.base_websocket import BaseWebSocket
    from reqivo_ws.connection import Connection


_greeted: ContextVar[Connection | None] = ContextVar("greeted", default=None)
"""The connection of which ``on_reconnect`` is being told, where that is called."""


class Reconnector:
    """Connects until it succeeds, one at a time, whoever finds that there is no connection, or that it is lost.

    Args:
        delay: Seconds before the first attempt.
        max_attempts: How many there may be in a row; None for any number.
        on_reconnect: Called with the WebSocket after each lost connection that was replaced; may be a coroutine
            function in an async world.
    """

    def __init__(self, delay: float, max_attempts: int | None, on_reconnect: Callable[[Any], Any] | None) -> None:
        if not delay >= 0:
            raise ValueError(f"reconnect_delay={delay!r}: give seconds as a number of at least 0")
        if max_attempts is not None and not max_attempts >= 0:
            raise ValueError(f"max_reconnect_attempts={max_attempts!r}: give a number of at least 0, or None")
        self._on_reconnect = on_reconnect
        self._backoff = Backoff(delay, max_attempts)
        self._runtime: Runtime
        self._baton: Baton
        self._due: float | None = None
        self._sleeper: Waiter | None = None
        self._is_stopped = False
        self._failure: BaseException | None = None
        self._judged: Connection | None = None

    def begin(self, runtime: Runtime) -> None:
        """The application connects: what was before does not count."""
        self._runtime = runtime
        self._is_stopped = False
        self._backoff.reset()
        self._due = None
        self._failure = None
        self._baton = Baton(runtime)

    def stop(self) -> None:
        """The application closes: whoever waits for the next attempt is woken."""
        self._is_stopped = True
        sleeper = self._sleeper
        if sleeper is not None:
            sleeper.wake()

    async def connect(self, websocket: BaseWebSocket) -> None:
        """Make the first connection. A server that is down at this moment is no other than one that goes down later.

        Args:
            websocket: Whose.

        Raises:
            RequestError: What the first attempt failed by, once the attempts are used up; what any fails by, if it
                would fail again.
            HandshakeError: Likewise.
        """
        try:
            await websocket._open()
            return
        except (RequestError, HandshakeError) as error:
            if not is_worth_retrying(error):
                raise
            first = error
        while True:
            await self._wait(websocket, first, None)
            if await self._attempt(websocket, first, is_first=True):
                return

    async def reconnect(
        self, websocket: BaseWebSocket, lost: Connection, error: ConnectionClosed, until: float | None
    ) -> None:
        """Replace a connection that was lost; return when there is a new one, whoever made it.

        Args:
            websocket: Whose.
            lost: That connection.
            error: What the caller would get without reconnecting, and gets if it fails.
            until: The instant at which the caller wants to wait no longer; None for never.

        Raises:
            ConnectionClosed: The attempts are used up, or the application closed the WebSocket meanwhile.
            HandshakeError: The server refuses for good (as with 401 or 404).
            ReadTimeout: Time is up; the next call goes on where this one stopped.
        """
        if _greeted.get() is lost:
            raise error  # out of on_reconnect, for which whoever called it waits: there it counts as a failed attempt
        if not await self._baton.take(None if until is None else max(0.0, until - self._runtime.now())):
            raise too_late("no message", 0)
        try:
            if websocket._connection is not lost:
                return
            if self._due is None:
                self._judge(lost)
            while True:
                await self._wait(websocket, error, until)
                if await self._attempt(websocket, error):
                    return
        finally:
            self._baton.give_back()

    def _judge(self, lost: Connection) -> None:
        """Begin to count anew if the connection that was lost had been a success."""
        if lost is not self._judged:
            self._judged = lost
            self._failure = None
            if lost.received or self._runtime.now() - lost.opened > STABLE:
                self._backoff.reset()

    async def _wait(self, websocket: BaseWebSocket, error: ReqivoError, until: float | None) -> None:
        """Wait until the next attempt is due."""
        now = self._runtime.now()
        if self._due is None:
            if self._backoff.is_exhausted:
                if self._failure is not None:
                    if isinstance(error, ConnectionClosedOK):  # which it was not, for who wanted it to go on
                        error = ConnectionClosedError(str(error), code=error.code, reason=error.reason)
                    error.add_note(f"after {self._backoff.attempts} attempts to reconnect; the last: {self._failure}")
                raise error
            delay = self._backoff.next_delay()
            self._due = now + delay
            self._tell(websocket, "started", {"delay": delay, "error": repr(self._failure or error)})
        instant = self._due if until is None else min(self._due, until)
        self._sleeper = self._runtime.waiter()
        if not self._is_stopped:
            await self._sleeper.wait(max(0.0, instant - now))
        self._sleeper = None
        if self._is_stopped:
            raise error
        if instant < self._due:
            raise too_late("no message", None)

    async def _attempt(self, websocket: BaseWebSocket, error: ReqivoError, is_first: bool = False) -> bool:
        """Try once; whether it succeeded."""
        self._due = None
        try:
            connection = await websocket._open()
        except (RequestError, HandshakeError) as failure:
            self._tell(websocket, "failed", {"error": repr(failure)})
            self._keep_failure(failure, error)
            return False
        self._tell(websocket, "complete", {})
        try:
            if not is_first:
                await self._greet(websocket, connection)
        except ConnectionClosed as failure:
            self._keep_failure(failure, error)
            return False
        return True

    def _keep_failure(self, failure: ReqivoError, error: ReqivoError) -> None:
        """Remember why an attempt failed; raise it if another would be no better."""
        if self._is_stopped or not is_worth_retrying(failure):
            raise failure from error
        self._failure = failure

    async def _greet(self, websocket: BaseWebSocket, connection: Connection) -> None:
        """Let the application say again what the server has to know."""
        if self._on_reconnect is None:
            return
        token = _greeted.set(connection)
        try:
            outcome = self._on_reconnect(websocket)
            if inspect.isawaitable(outcome):
                await outcome
        finally:
            _greeted.reset(token)

    def _tell(self, websocket: BaseWebSocket, state: str, info: Mapping[str, Any]) -> None:
        """Tell the session's observers."""
        trace = websocket._its_session().trace
        if trace is not None:
            response = websocket.response
            url = websocket._shown_url if response is None else response.request.url.redacted
            trace("reconnect", state, {"url": url, "attempt": self._backoff.attempts, **info})
