"""AsyncResponse: a response whose body is awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from reqivo_core.base_response import BaseResponse
from reqivo_core.splitting import AsTheyCome, ExactChunks, Lines, Splitter, TextChunks

if TYPE_CHECKING:
    import os
    from types import TracebackType

T = TypeVar("T")


class AsyncResponse(BaseResponse):
    """A response.

    The body of a plain call has been read; that of a streamed one is awaited here. It gives its connection back when
    read to the end, closed or dropped.
    """

    __slots__ = ()

    _read_first = "await response.aread(), iterate with 'async for', or in a flow yield ReadBody(response)"

    @property
    def content(self) -> bytes:
        """The whole body, decoded.

        Raises:
            StreamConsumed: It has not been read yet (``await aread()``), or was read as a stream.
        """
        return self._loaded()

    body = content

    @property
    def pushes(self) -> AsyncIterator[Any]:
        """What the server pushes with this response, as it is promised; empty where nothing can be pushed."""
        pushes = self.extensions.get("pushes")
        return _Nothing() if pushes is None else pushes.for_async()

    @property
    def text(self) -> str:
        """The whole body as text, by ``encoding``; what does not decode becomes U+FFFD.

        Raises:
            StreamConsumed: It has not been read yet (``await aread()``), or was read as a stream.
        """
        return self._text()

    def json(self, **options: Any) -> Any:
        """The whole body parsed as JSON, by the session's ``json_decoder``.

        Args:
            options: For ``json.loads``, which is used if any are given.

        Raises:
            DecodeError: It is not JSON; the message shows how it begins.
            StreamConsumed: It has not been read yet (``await aread()``), or was read as a stream.
        """
        return self._json(**options)

    async def aread(self, amount: int | None = None, *, decode_content: bool = True) -> bytes:
        """Read the body, or what is left of it; ``b""`` at its end, as with a file.

        Args:
            amount: Octets to read at most; None (or a negative number) for all.
            decode_content: Whether to undo content-codings.

        Raises:
            StreamConsumed: It was iterated over before.
            RequestError: Reading failed.
        """
        return await self._read(amount, decode_content)

    read = aread

    def aiter_content(self, chunk_size: int | None = 4096) -> AsyncIterator[bytes]:
        """Iterate over the body, decoded, as it arrives.

        Args:
            chunk_size: Octets in each chunk but the last; None takes them as they come.

        Raises:
            InvalidRequest: ``chunk_size`` is no whole number of at least 1.
            StreamConsumed: It was read as a stream before.
            RequestError: Reading failed.
        """
        return self.aiter_pieces(AsTheyCome() if chunk_size is None else ExactChunks(chunk_size))

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Iterate over the body, decoded, as it arrives: see ``aiter_content``."""
        return self.aiter_content(chunk_size)

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Iterate over the body as it arrives, not decoded: see ``aiter_content``."""
        return self.aiter_pieces(AsTheyCome() if chunk_size is None else ExactChunks(chunk_size), decode=False)

    def aiter_text(self) -> AsyncIterator[str]:
        """Iterate over the body as text, by ``encoding``, as it arrives.

        Raises:
            StreamConsumed: It was read as a stream before.
            RequestError: Reading failed.
        """
        return self.aiter_pieces(TextChunks(self.encoding))

    def aiter_lines(self) -> AsyncIterator[str]:
        """Iterate over the lines of the text, cut at CR LF, LF or CR, without their ends, as they arrive.

        Raises:
            BodyTooLarge: A line has more than 16 Mi characters.
            StreamConsumed: It was read as a stream before.
            RequestError: Reading failed.
        """
        return self.aiter_pieces(Lines(self.encoding))

    def aiter_pieces(self, splitter: Splitter[T], decode: bool = True) -> AsyncIterator[T]:
        """Iterate over the body as something else cuts it: see ``aiter_content``.

        Args:
            splitter: What cuts it.
            decode: Whether to undo content-codings.
        """
        return _Pieces(self, splitter, decode)

    async def asave(
        self, path: str | os.PathLike[str], progress: Callable[[int, int | None], None] | None = None
    ) -> int:
        """Write the body, decoded, to a file as it arrives.

        Args:
            path: The file, replaced if it exists.
            progress: Called after each chunk with the octets written so far and, where announced, in all.

        Returns:
            Octets written.

        Raises:
            OSError: The file cannot be written.
            RequestError: Reading failed.
        """
        written = 0
        total = self._announced()  # before the file is replaced: there may be nothing to replace it by
        with open(path, "wb") as file:  # noqa: ASYNC230  # a page cache takes the writes; threads would cost more
            async for chunk in self.aiter_content(None):
                file.write(chunk)
                written += len(chunk)
                if progress is not None:
                    progress(written, total)
        return written

    async def aclose(self) -> None:
        """Give the body up. What has already arrived is read, to save the connection; nothing is waited for."""
        if self._body is not None and not self._body.is_finished:
            await self._body.aclose()

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.aiter_content(None)


class _Nothing(AsyncIterator[Any]):
    """An iterator that is at its end."""

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


class _Pieces(AsyncIterator[T], Generic[T]):
    """An iterator over a body; no async generator, for those outlive a ``break`` as somebody's background task."""

    def __init__(self, response: AsyncResponse, splitter: Splitter[T], decode: bool = True) -> None:
        self._response = response
        self._splitter = splitter
        self._decode = decode
        self._ready: list[T] = []
        self._next = 0
        self._has_begun = False
        self._has_ended = False

    async def __anext__(self) -> T:
        while self._next >= len(self._ready):
            if self._has_ended:
                raise StopAsyncIteration
            self._ready = await self._more()
            self._next = 0
        piece = self._ready[self._next]
        self._next += 1
        return piece

    async def _more(self) -> list[T]:
        """The pieces that the next chunk completes."""
        if not self._has_begun:
            self._has_begun = True
            data = self._response._in_memory(self._decode)
            if data is not None:
                self._has_ended = True
                return (self._splitter.feed(data) if data else []) + self._splitter.end()
        chunk = await self._response._next_chunk(self._decode)
        if chunk:
            return self._splitter.feed(chunk)
        self._has_ended = True
        return self._splitter.end()
