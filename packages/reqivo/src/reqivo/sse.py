"""Server-sent events (the WHATWG's specification of ``EventSource``): reading them, and coming back for more."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from reqivo.conversations import send
from reqivo_core.errors import (
    BodyTooLarge,
    CertificateError,
    DecodeError,
    IncompleteBody,
    NetworkError,
    RequestError,
    StreamReset,
    TimeoutException,
    excerpt,
)
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.splitting import Lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from reqivo_core import URL

MAX_EVENT: Final = 16 * 1024 * 1024
"""Octets of one event, and of one line."""
FIRST_DELAY: Final = 3.0
"""Seconds to wait before coming back, until the server says otherwise."""
MAX_DELAY: Final = 60.0
"""Seconds that the wait may grow to while the server cannot be reached."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event.

    Attributes:
        event: Its type; ``message`` where the server names none.
        data: Its data, lines joined by LF.
        id: The last event id that the server gave, with this event or an earlier one.
        retry: Milliseconds to wait before coming back, if the server said so with this event.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None

    def json(self) -> Any:
        """The data, parsed as JSON.

        Raises:
            DecodeError: It is not JSON.
        """
        import json

        try:
            return json.loads(self.data)
        except ValueError as error:
            raise DecodeError(f"the event's data is not JSON: {error}; it begins {excerpt(self.data)}") from error


class EventSplitter:
    """Cuts a stream of octets into events; an event that is not ended by an empty line is none.

    Attributes:
        last_event_id: What to tell the server when coming back.
        retry: Seconds to wait before; None while the server has not said.
    """

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: float | None = None
        self._lines = Lines("utf-8")
        self._is_first = True
        self._open = 0
        self._reset()

    def _reset(self) -> None:
        self._type = ""
        self._data: list[str] = []
        self._id = self.last_event_id
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take octets; give the events that they complete.

        Raises:
            BodyTooLarge: An event is larger than MAX_EVENT.
        """
        self._open += len(data)
        events = []
        for line in self._lines.feed(data):
            if self._is_first:
                line, self._is_first = line.removeprefix("\ufeff"), False
            if line:
                self._take(line)
            else:
                self._open = 0
                events += self._dispatched()
            if not (self._data or self._type):
                self._open = 0  # comments, which keep a quiet connection alive, add up to nothing
        if self._open > MAX_EVENT:
            raise BodyTooLarge(f"the server sends an event of more than {MAX_EVENT} octets", phase="body")
        return events

    def _take(self, line: str) -> None:
        """Take a line that is not empty; one that begins with a colon is a comment."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._retry = int(value[:12])
            self.retry = self._retry / 1000

    def _dispatched(self) -> list[ServerSentEvent]:
        self.last_event_id = self._id
        event = ServerSentEvent(self._type or "message", "\n".join(self._data), self._id, self._retry)
        has_data = bool(self._data)
        self._reset()
        return [event] if has_data else []

    def end(self) -> list[ServerSentEvent]:
        """Forget an event that was not completed."""
        return []


S = TypeVar("S")


class BaseEventStream(Generic[S]):
    """What an event stream is in every world: connected or not, and what to do when the connection is lost.

    Attributes:
        last_event_id: What the server is told when we come back.
        response: The response that events come from at present; None while there is none.
    """

    def __init__(
        self, session: S, url: str | URL, reconnect: bool, last_event_id: str | None, options: Mapping[str, Any]
    ) -> None:
        self._session: Any = session
        self._url = url
        self._is_lasting = reconnect
        self._options = dict(options)
        self._splitter = EventSplitter(last_event_id or "")
        self._ready: deque[ServerSentEvent] = deque()
        self._failures = 0
        self._was_connected = False
        self._is_over = False
        self.response: Any = None

    @property
    def last_event_id(self) -> str:
        """The id of the last event received."""
        return self._splitter.last_event_id

    async def next_event(self) -> ServerSentEvent | None:
        """Wait for an event; None when there will be no more."""
        while not self._ready:
            if self._is_over:
                return None
            try:
                await self._advance()
            except RequestError as error:
                await self.give_up()
                if not self._may_come_back(error):
                    self._is_over = True
                    raise
                await self._pause()
        return self._ready.popleft()

    async def _advance(self) -> None:
        """Connect, or read a piece, or notice the end."""
        if self.response is None:
            await self._connect()
            return
        body = self.response.body_reader
        chunk = b"" if body is None else await body.read_chunk()
        if chunk:
            self._failures = 0
            self._ready.extend(self._splitter.feed(chunk))
            return
        await self.give_up()
        self._is_over = not self._is_lasting
        if self._is_lasting:
            await self._pause()

    async def _connect(self) -> None:
        from reqivo_core import Headers

        headers = Headers([("Accept", "text/event-stream"), ("Cache-Control", "no-store")])
        headers.merge(self._options.get("headers"))
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id.encode()
        options = {**self._options, "headers": headers}
        response = await send(self._session, options.pop("method", "GET"), self._url, options)
        try:
            self._check(response)
        except BaseException:
            await response.drop()
            raise
        if not self._is_over:
            self.response = response
            self._was_connected = True
            self._splitter = self._fresh_splitter()
            if response.body_reader is None:  # it was made without a connection
                self._ready.extend(self._splitter.feed(response.content))
        else:
            await response.drop()

    def _fresh_splitter(self) -> EventSplitter:
        """A splitter for a new connection, which remembers id and delay of the one before."""
        splitter = EventSplitter(self.last_event_id)
        splitter.retry = self._splitter.retry
        return splitter

    def _check(self, response: Any) -> None:
        """Refuse what is no stream of events. A 204 tells us not to come back."""
        if response.status_code == 204:
            self._is_over = True
            return
        response.raise_for_status()
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise DecodeError(
                f"the server answered {response.status_code} with {excerpt(kind)} where "
                "text/event-stream was asked for",
                request=response.request,
                phase="body",
            )

    def _may_come_back(self, error: RequestError) -> bool:
        """Whether a connection is to be made again; a first one that fails is final, and so is every refusal."""
        is_lost = isinstance(error, NetworkError | IncompleteBody | StreamReset | TimeoutException)
        return self._is_lasting and self._was_connected and is_lost and not isinstance(error, CertificateError)

    async def _pause(self) -> None:
        """Wait as long as the server says; longer, and for a random part of it, while it cannot be reached."""
        seconds = FIRST_DELAY if self._splitter.retry is None else self._splitter.retry
        if self._failures:
            seconds = max(seconds, min(MAX_DELAY, seconds * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1))
        self._failures += 1
        await self._session.runtime.sleep(seconds)

    async def give_up(self) -> None:
        """Close the connection that events come from."""
        response, self.response = self.response, None
        body = response.body_reader if response is not None else None
        if body is not None:
            await body.aclose()


class EventStream(BaseEventStream[Any]):
    """Events as they arrive: iterate, and close (or use ``with``) to stop."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ServerSentEvent:
        event = run_blocking(self.next_event())
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """Stop."""
        self._is_over = True
        self._ready.clear()
        run_blocking(self.give_up())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncEventStream(BaseEventStream[Any]):
    """Events as they arrive: iterate with ``async for``, and close (or use ``async with``) to stop."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        event = await self.next_event()
        if event is None:
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        """Stop."""
        self._is_over = True
        self._ready.clear()
        await self.give_up()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
