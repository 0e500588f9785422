"""Response: a response whose body is read by blocking calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from reqivo_core.base_response import BaseResponse
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.splitting import AsTheyCome, ExactChunks, Lines, Splitter, TextChunks

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from types import TracebackType

T = TypeVar("T")


class Response(BaseResponse):
    """A response.

    The body of a plain call is read at once if it is announced with at most 1 MiB; a larger one, or one of unknown
    length, is read when it is first asked for. It gives its connection back when read to the end, closed or dropped.
    """

    __slots__ = ()

    _read_first = "call read(), or iterate over it"

    @property
    def content(self) -> bytes:
        """The whole body, decoded; read now if it was not yet.

        Raises:
            StreamConsumed: It was read as a stream before.
            RequestError: Reading failed.
        """
        if self._content is None:
            run_blocking(self.load())
        return self._loaded()

    body = content

    @property
    def pushes(self) -> Iterator[Any]:
        """What the server pushes with this response, as it is promised; empty where nothing can be pushed."""
        pushes = self.extensions.get("pushes")
        return iter(()) if pushes is None else pushes.for_blocking()

    @property
    def text(self) -> str:
        """The whole body as text, by ``encoding``; what does not decode becomes U+FFFD.

        Raises:
            StreamConsumed: It was read as a stream before.
            RequestError: Reading failed.
        """
        if self._content is None:
            run_blocking(self.load())
        return self._text()

    def json(self, **options: Any) -> Any:
        """The whole body parsed as JSON, by the session's ``json_decoder``.

        Args:
            options: For ``json.loads``, which is used if any are given.

        Raises:
            DecodeError: It is not JSON; the message shows how it begins.
            RequestError: Reading failed.
        """
        if self._content is None:
            run_blocking(self.load())
        return self._json(**options)

    def read(self, amount: int | None = None, *, decode_content: bool = True) -> bytes:
        """Read the body, or what is left of it; ``b""`` at its end, as with a file.

        Args:
            amount: Octets to read at most; None (or a negative number) for all.
            decode_content: Whether to undo content-codings.

        Raises:
            StreamConsumed: It was iterated over before.
            RequestError: Reading failed.
        """
        return run_blocking(self._read(amount, decode_content))

    def iter_content(self, chunk_size: int | None = 4096) -> Iterator[bytes]:
        """Iterate over the body, decoded, as it arrives.

        Args:
            chunk_size: Octets in each chunk but the last; None takes them as they come.

        Raises:
            InvalidRequest: ``chunk_size`` is no whole number of at least 1.
            StreamConsumed: It was read as a stream before.
            RequestError: Reading failed.
        """
        return self.iter_pieces(AsTheyCome() if chunk_size is None else ExactChunks(chunk_size))

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Iterate over the body, decoded, as it arrives: see ``iter_content``."""
        return self.iter_content(chunk_size)

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Iterate over the body as it arrives, not decoded: see ``iter_content``."""
        return self.iter_pieces(AsTheyCome() if chunk_size is None else ExactChunks(chunk_size), decode=False)

    def iter_text(self) -> Iterator[str]:
        """Iterate over the body as text, by ``encoding``, as it arrives.

        Raises:
            StreamConsumed: It was read as a stream before.
            RequestError: Reading failed.
        """
        return self.iter_pieces(TextChunks(self.encoding))

    def iter_lines(self) -> Iterator[str]:
        """Iterate over the lines of the text, cut at CR LF, LF or CR, without their ends, as they arrive.

        Raises:
            BodyTooLarge: A line has more than 16 Mi characters.
            StreamConsumed: It was read as a stream before.
            RequestError: Reading failed.
        """
        return self.iter_pieces(Lines(self.encoding))

    def iter_pieces(self, splitter: Splitter[T], decode: bool = True) -> Iterator[T]:
        """Iterate over the body as something else cuts it: see ``iter_content``.

        Args:
            splitter: What cuts it.
            decode: Whether to undo content-codings.
        """
        data = self._in_memory(decode)
        if data is not None:
            yield from splitter.feed(data) if data else []
        else:
            while chunk := run_blocking(self._next_chunk(decode)):
                yield from splitter.feed(chunk)
        yield from splitter.end()

    def save(self, path: str | os.PathLike[str], progress: Callable[[int, int | None], None] | None = None) -> int:
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
        with open(path, "wb") as file:
            for chunk in self.iter_content(None):
                file.write(chunk)
                written += len(chunk)
                if progress is not None:
                    progress(written, total)
        return written

    def close(self) -> None:
        """Give the body up. What has already arrived is read, to save the connection; nothing is waited for."""
        if self._body is not None and not self._body.is_finished:
            run_blocking(self._body.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content(None)
