"""Requests and responses with what ``reqivo`` adds to core's: server-sent events, NDJSON, curl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import reqivo_core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reqivo.sse import ServerSentEvent


class Request(reqivo_core.Request):
    """One request: see ``reqivo_core.Request``."""

    __slots__ = ()

    def curl(self) -> str:
        """The curl command that would send it, for a POSIX shell, with credentials masked."""
        from reqivo.curl import curl_command

        return curl_command(self)


class Response(reqivo_core.Response):
    """A response whose body is read by blocking calls: see ``reqivo_core.Response``."""

    __slots__ = ()

    def iter_sse(self) -> Iterator[ServerSentEvent]:
        """Iterate over server-sent events as they arrive.

        Raises:
            StreamConsumed: The body was read as a stream before.
            RequestError: Reading failed.
        """
        from reqivo.sse import EventSplitter

        return self.iter_pieces(EventSplitter())

    def iter_ndjson(self) -> Iterator[Any]:
        """Iterate over the JSON values of the lines of the body as they arrive.

        Raises:
            DecodeError: A line is not JSON.
            StreamConsumed: The body was read as a stream before.
            RequestError: Reading failed.
        """
        from reqivo.ndjson import JsonLines

        return self.iter_pieces(JsonLines(self._json_decoder))

    def curl(self) -> str:
        """The curl command that would send its request, with credentials masked."""
        from reqivo.curl import curl_command

        return curl_command(self.request)
