"""AsyncSession: the asynchronous face. Every method prepares and returns a call to be awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar, Unpack

from reqivo_core.async_response import AsyncResponse
from reqivo_core.base_session import BaseSession
from reqivo_core.engine import Engine
from reqivo_core.plan import READ_ALL

if TYPE_CHECKING:
    from types import TracebackType

    from reqivo_core.interfaces import Runtime
    from reqivo_core.messages import Request
    from reqivo_core.options import RequestOptions, TimeoutTypes
    from reqivo_core.urls import URL

P = ParamSpec("P")
T = TypeVar("T")


class Call(Coroutine[Any, Any, AsyncResponse]):
    """A request to be awaited, once: ``response = await session.get(…)``.

    It may also be entered (``async with session.get(…) as response``), given to ``asyncio.gather``, ``wait_for`` and
    ``create_task``, and dropped with the usual warning.
    """

    __slots__ = ("_coroutine", "_response")

    _response: AsyncResponse

    def __init__(self, coroutine: Coroutine[Any, Any, AsyncResponse]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, AsyncResponse]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """See Coroutine."""
        return self._coroutine.send(value)

    def throw(self, *details: Any) -> Any:
        """See Coroutine."""
        return self._coroutine.throw(*details)

    def close(self) -> None:
        """See Coroutine."""
        self._coroutine.close()

    if not TYPE_CHECKING:  # whoever checks types is told by the absence of these

        def __getattr__(self, name: str) -> Any:
            """Give what event loops show of a coroutine; of all else, say that the response has it."""
            if name.startswith("cr_") or name in ("__name__", "__qualname__"):
                return getattr(self._coroutine, name)
            raise AttributeError(f"a request has no {name!r} before it is awaited: response = await session.get(…)")

        def __enter__(self) -> NoReturn:
            raise TypeError("a request of an AsyncSession is entered by 'async with', not by 'with'")

        def __exit__(self, *exc: object) -> None:
            """Never called, but looked for before ``__enter__`` is."""

    async def __aenter__(self) -> AsyncResponse:
        self._response = await self._coroutine
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._response.aclose()


def _named(function: Callable[P, Coroutine[Any, Any, T]], name: str) -> Callable[P, Coroutine[Any, Any, T]]:
    """The same function, whose coroutines go by another name: one that is never awaited is warned of by its name."""
    assert isinstance(function, FunctionType), "methods of classes are functions"
    named = FunctionType(function.__code__, function.__globals__, name, function.__defaults__, function.__closure__)
    named.__qualname__ = name
    return named


class AsyncSession(BaseSession[AsyncResponse]):
    """An asynchronous session: connections, cookies and defaults shared by any number of tasks of an event loop.

    Example::

        async with AsyncSession(base_url="https://api.example.com") as session:
            print((await session.get("/users")).json())
    """

    _kind = "async"
    _response_class = AsyncResponse
    _reading = READ_ALL
    _send = staticmethod(_named(Engine[AsyncResponse].send, "AsyncSession.request"))

    @staticmethod
    def _default_runtime() -> Runtime:
        from reqivo_core.runtime.running import make_runtime, running_world  # here: a blocking program needs no loop

        return make_runtime(running_world())

    def request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a request.

        Args:
            method: The method.
            url: Absolute, or appended to ``base_url``.
            options: See RequestOptions.

        Returns:
            What to await for the response; with ``stream=True`` nothing of its body has been read.

        Raises:
            TypeError: A keyword is not known, or two bodies are given.
            RequestError: What went wrong; the classes tell.
            SessionClosed: The session was closed.
        """
        return Call(self._send(self._engine, *self._prepare(method, url, options)))

    def send(self, request: Request, **options: Unpack[RequestOptions]) -> Call:
        """Send a request made by ``build_request`` (or by hand, then without the session's default headers).

        Args:
            request: The request.
            options: Those of ``request`` that tell how to send it: ``auth``, ``timeout``, ``stream`` …

        Returns:
            What to await for the response.

        Raises:
            RequestError: What went wrong; the classes tell.
            SessionClosed: The session was closed.
        """
        return Call(self._send(self._engine, *self._prepare_to_send(request, options)))

    def get(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a GET request: see ``request``."""
        return self.request("GET", url, **options)

    def head(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a HEAD request: see ``request``."""
        return self.request("HEAD", url, **options)

    def options(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send an OPTIONS request: see ``request``."""
        return self.request("OPTIONS", url, **options)

    def delete(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a DELETE request: see ``request``."""
        return self.request("DELETE", url, **options)

    def post(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a POST request: see ``request``."""
        return self.request("POST", url, **options)

    def put(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a PUT request: see ``request``."""
        return self.request("PUT", url, **options)

    def patch(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a PATCH request: see ``request``."""
        return self.request("PATCH", url, **options)

    def query(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a QUERY request: see ``request``."""
        return self.request("QUERY", url, **options)

    def stream(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Call:
        """Send a request and leave the body to be read.

        ``async with session.stream("GET", url) as response`` and ``async with await session.stream(…) as response``
        both do.
        """
        options["stream"] = True
        return self.request(method, url, **options)

    async def ping(self, url: str | URL, *, timeout: TimeoutTypes = 10.0) -> float:
        """Ask a server for a sign of life (HTTP/2's PING), over a connection that is opened if there is none.

        Args:
            url: Any URL of the origin.
            timeout: As for requests.

        Returns:
            Seconds from the question to the answer.

        Raises:
            UnsupportedProtocol: The server speaks a protocol that has no ping.
            RequestError: It did not answer.
        """
        return await self._engine.ping(*self._prepare_ping(url, timeout))

    async def aclose(self) -> None:
        """Close idle connections and refuse further requests; responses still being read are not disturbed."""
        if not self.is_closed:
            await self.pool.aclose()
            self._tell_closed()
            await self._runtime.sleep(0)  # one turn of the loop, in which sockets that were let go of are closed

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
