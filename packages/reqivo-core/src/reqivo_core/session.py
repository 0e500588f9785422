"""Session: the blocking face. Every method prepares, runs one conversation to its end, and returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from reqivo_core.base_session import BaseSession
from reqivo_core.errors import InvalidRequest
from reqivo_core.plan import READ_SMALL
from reqivo_core.response import Response
from reqivo_core.runtime.blocking import BlockingRuntime
from reqivo_core.runtime.driving import run_blocking

if TYPE_CHECKING:
    from types import TracebackType

    from reqivo_core.interfaces import Runtime
    from reqivo_core.messages import Request
    from reqivo_core.options import RequestOptions, TimeoutTypes
    from reqivo_core.plan import Plan
    from reqivo_core.urls import URL


class Session(BaseSession[Response]):
    """A blocking session: connections, cookies and defaults shared by any number of threads.

    Example::

        with Session(base_url="https://api.example.com") as session:
            print(session.get("/users").json())
    """

    _kind = "blocking"
    _response_class = Response
    _reading = READ_SMALL

    @staticmethod
    def _default_runtime() -> Runtime:
        return BlockingRuntime()

    def request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a request.

        Args:
            method: The method.
            url: Absolute, or appended to ``base_url``.
            options: See RequestOptions.

        Returns:
            The response; with ``stream=True`` nothing of its body has been read.

        Raises:
            TypeError: A keyword is not known, or two bodies are given.
            RequestError: What went wrong; the classes tell.
            SessionClosed: The session was closed.
        """
        return self._run(*self._prepare(method, url, options))

    def send(self, request: Request, **options: Unpack[RequestOptions]) -> Response:
        """Send a request made by ``build_request`` (or by hand, then without the session's default headers).

        Args:
            request: The request.
            options: Those of ``request`` that tell how to send it: ``auth``, ``timeout``, ``stream`` …

        Returns:
            The response.

        Raises:
            RequestError: What went wrong; the classes tell.
            SessionClosed: The session was closed.
        """
        return self._run(*self._prepare_to_send(request, options))

    def _run(self, request: Request, plan: Plan) -> Response:
        if request.content.is_async:
            raise InvalidRequest(
                "an async body needs an AsyncSession: give bytes, a file or an iterable", request=request
            )
        response: Response = run_blocking(self._engine.send(request, plan))
        return response

    def get(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a GET request: see ``request``."""
        return self.request("GET", url, **options)

    def head(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a HEAD request: see ``request``."""
        return self.request("HEAD", url, **options)

    def options(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send an OPTIONS request: see ``request``."""
        return self.request("OPTIONS", url, **options)

    def delete(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a DELETE request: see ``request``."""
        return self.request("DELETE", url, **options)

    def post(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a POST request: see ``request``."""
        return self.request("POST", url, **options)

    def put(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a PUT request: see ``request``."""
        return self.request("PUT", url, **options)

    def patch(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a PATCH request: see ``request``."""
        return self.request("PATCH", url, **options)

    def query(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a QUERY request: see ``request``."""
        return self.request("QUERY", url, **options)

    def stream(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
        """Send a request and leave the body to be read: ``with session.stream("GET", url) as response``."""
        options["stream"] = True
        return self.request(method, url, **options)

    def ping(self, url: str | URL, *, timeout: TimeoutTypes = 10.0) -> float:
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
        return run_blocking(self._engine.ping(*self._prepare_ping(url, timeout)))

    def close(self) -> None:
        """Close idle connections and refuse further requests; responses still being read are not disturbed."""
        if not self.is_closed:
            run_blocking(self.pool.aclose())
            self._tell_closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
