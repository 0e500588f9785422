"""Sessions with what ``reqivo`` adds to core's: downloads to files, server-sent events.

They are subclasses and nothing more: core lets a session say of which classes its requests and responses are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import reqivo_core
from reqivo.messages import Request, Response
from reqivo_core.runtime.driving import run_blocking

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from reqivo.sse import EventStream
    from reqivo_core import URL, RequestOptions


class Session(reqivo_core.Session):
    """A blocking session: see ``reqivo_core.Session``."""

    _request_class = Request
    _response_class = Response

    def download(
        self,
        url: str | URL,
        path: str | os.PathLike[str],
        *,
        resume: bool = True,
        progress: Callable[[int, int | None], None] | None = None,
        digest: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> int:
        """Fetch a file.

        What comes goes to ``<path>.part`` and takes its name when it is whole. A download that breaks off is resumed,
        now, or by the next call with the same arguments, if the server says which version of the file it sends.

        Args:
            url: Absolute, or appended to ``base_url``.
            path: The file, replaced if it exists.
            resume: Whether to resume; otherwise what came of a broken download is removed.
            progress: Called after each chunk with the octets written so far and, where announced, in all.
            digest: What the file must hash to, such as ``sha256:9f86…``.
            options: See RequestOptions.

        Returns:
            Its size in octets.

        Raises:
            HTTPStatusError: The server refused.
            DecodeError: The file is not the one that ``digest`` describes.
            RequestError: It broke off, and could not be resumed.
            OSError: The file cannot be written.
        """
        from reqivo.downloads import Download

        return run_blocking(
            Download(self, url, path, resume=resume, progress=progress, digest=digest, options=options).run()
        )

    def sse(
        self, url: str | URL, *, reconnect: bool = True, last_event_id: str | None = None, **options: Any
    ) -> EventStream:
        """Receive server-sent events.

        Args:
            url: Absolute, or appended to ``base_url``.
            reconnect: Whether to come back when the connection ends or breaks, after the time that the server asks
                for, and tell it which event was the last. A status of 204 ends it all the same.
            last_event_id: Which event was the last, from an earlier time.
            options: See RequestOptions; ``method`` too. The read timeout bounds the silence between two events.

        Returns:
            An iterator of ServerSentEvent that connects when it is first asked; close it, or use ``with``.
        """
        from reqivo.sse import EventStream

        return EventStream(self, url, reconnect, last_event_id, options)

    if TYPE_CHECKING:  # what core's methods return here

        def request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def send(self, request: reqivo_core.Request, **options: Unpack[RequestOptions]) -> Response: ...
        def stream(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def get(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def head(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def options(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def delete(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def post(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def put(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def patch(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
        def query(self, url: str | URL, **options: Unpack[RequestOptions]) -> Response: ...
