"""Asynchronous responses with what ``reqivo`` adds to core's: see ``reqivo.messages``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core import async_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reqivo.sse import ServerSentEvent


class AsyncResponse(async_response.AsyncResponse):
    """A response whose body is awaited: see ``reqivo_core.AsyncResponse``."""

    __slots__ = ()

    def aiter_sse(self) -> AsyncIterator[ServerSentEvent]:
        """Iterate over server-sent events as they arrive.

        Raises:
            StreamConsumed: The body was read as a stream before.
            RequestError: Reading failed.
        """
        from reqivo.sse import EventSplitter

        return self.aiter_pieces(EventSplitter())

    def aiter_ndjson(self) -> AsyncIterator[Any]:
        """Iterate over the JSON values of the lines of the body as they arrive.

        Raises:
            DecodeError: A line is not JSON.
            StreamConsumed: The body was read as a stream before.
            RequestError: Reading failed.
        """
        from reqivo.ndjson import JsonLines

        return self.aiter_pieces(JsonLines(self._json_decoder))

    def curl(self) -> str:
        """The curl command that would send its request, with credentials masked."""
        from reqivo.curl import curl_command

        return curl_command(self.request)
