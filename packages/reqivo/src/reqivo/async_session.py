"""Asynchronous sessions with what ``reqivo`` adds to core's: see ``reqivo.session``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from reqivo.async_messages import AsyncResponse
from reqivo.messages import Request
from reqivo_core import async_session

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator

    import reqivo_core
    from reqivo.sse import AsyncEventStream
    from reqivo_core import URL, RequestOptions

    class Call(async_session.Call):
        """A request to be awaited: what core's is here."""

        def __await__(self) -> Generator[Any, Any, AsyncResponse]: ...
        async def __aenter__(self) -> AsyncResponse: ...


class AsyncSession(async_session.AsyncSession):
    """An asynchronous session: see ``reqivo_core.AsyncSession``."""

    _request_class = Request
    _response_class = AsyncResponse

    async def download(
        self,
        url: str | URL,
        path: str | os.PathLike[str],
        *,
        resume: bool = True,
        progress: Callable[[int, int | None], None] | None = None,
        digest: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> int:
        """Fetch a file: see ``reqivo.Session.download``."""
        from reqivo.downloads import Download

        return await Download(self, url, path, resume=resume, progress=progress, digest=digest, options=options).run()

    def sse(
        self, url: str | URL, *, reconnect: bool = True, last_event_id: str | None = None, **options: Any
    ) -> AsyncEventStream:
        """Receive server-sent events: see ``reqivo.Session.sse``; iterate with ``async for``."""
        from reqivo.sse import AsyncEventStream

        return AsyncEventStream(self, url, reconnect, last_event_id, options)

    if TYPE_CHECKING:  # what core's methods return here

        def request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def send(self, request: reqivo_core.Request, **options: Unpack[RequestOptions]) -> Call: ...
        def stream(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def get(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def head(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def options(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def delete(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def post(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def put(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def patch(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
        def query(self, url: str | URL, **options: Unpack[RequestOptions]) -> Call: ...
