"""Uploads that tell how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core.content import BodyTypes, Content, ContentReader, to_content

if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, int | None], None]


def with_progress(body: BodyTypes, progress: Progress) -> Content:
    """Make a body that tells how far it has been read: ``session.post(url, body=with_progress(file, show))``.

    Args:
        body: Whatever ``body=`` takes: a file, bytes, an iterable.
        progress: Called after each chunk with the octets read so far and, where known, in all. A body that is sent
            again (a redirect, a retry) begins again at 0.

    Raises:
        InvalidRequest: The body cannot be sent.
    """
    return _ProgressContent(to_content(body), progress)


class _ProgressContent(Content):
    def __init__(self, content: Content, progress: Progress) -> None:
        self._content = content
        self._progress = progress
        self.length = content.length
        self.content_type = content.content_type
        self.is_replayable = content.is_replayable
        self.is_async = content.is_async

    def open(self) -> ContentReader:
        """Begin a pass over the body."""
        return _ProgressReader(self._content.open(), self._progress, self.length)


class _ProgressReader(ContentReader):
    def __init__(self, reader: ContentReader, progress: Progress, length: int | None) -> None:
        self._reader = reader
        self._progress = progress
        self._length = length
        self._read = 0

    async def read_chunk(self) -> Any:
        chunk = await self._reader.read_chunk()
        if chunk:
            self._read += len(chunk)
            self._progress(self._read, self._length)
        return chunk

    def close(self) -> None:
        self._reader.close()

    async def aclose(self) -> None:
        await self._reader.aclose()
