"""The kinds of content that a request may have (RFC 9110 §6.4), and one way to read each while it is sent.

A :class:`Content` is the body as the user gave it; a :class:`ContentReader` is one pass over it. Whether a second pass
is possible decides what may be redirected (307, 308) or retried, so every kind says it before anything is sent.
"""

from __future__ import annotations

import inspect
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from io import TextIOBase
from typing import IO, Any, Final, TypeAlias

from reqivo_core.body_files import BinaryFile, file_errors, is_file, length_from, start_of
from reqivo_core.errors import InvalidRequest

CHUNK_SIZE: Final = 64 * 1024
"""Octets that we read, or cut from what lies in memory, at a time."""
HUGE_CHUNK: Final = 1024 * 1024
"""Octets above which even a chunk that the user's own iterator made is cut."""

_END: Final = object()

_USED_UP = (
    "body: {what} can be read only once and was used by an earlier sending; "
    "give bytes, a list of bytes, a path or a seekable file, or make a new one for each request"
)


BodyTypes: TypeAlias = (
    "Content | str | bytes | bytearray | memoryview | BinaryFile | os.PathLike[Any]"
    " | Iterable[bytes] | AsyncIterable[bytes] | None"
)


class ContentReader(ABC):
    """One pass over a body, made for one sending."""

    @abstractmethod
    async def read_chunk(self) -> bytes | memoryview:
        """Give the next octets.

        Returns:
            At least one octet, at most :data:`CHUNK_SIZE` where we choose (at most :data:`HUGE_CHUNK` from a user's
            iterator); ``b""`` at the end.

        Raises:
            InvalidRequest: What the user gave delivers no octets, or its file cannot be read. An exception of the
                user's own generator or iterator passes as it is.
        """

    def close(self) -> None:  # noqa: B027  # most readers hold nothing that wants closing
        """End the pass: close a generator that we were given and a file that we opened, never a user's file.

        May be called again. An asynchronous generator is only closed by :meth:`aclose`.
        """

    async def aclose(self) -> None:
        """End the pass, and wait for an asynchronous generator to clean up."""
        self.close()


class Content(ABC):
    """A request body.

    Attributes:
        length: Octets; None where unknown until all are sent.
        content_type: The Content-Type that this body implies; None for none.
        data: The whole body where it is bytes in memory (it can leave in one write with the head); else None.
        is_replayable: Whether it may be opened more than once.
        is_async: Whether it can only be read by an asynchronous session.
    """

    length: int | None = None
    content_type: str | None = None
    data: bytes | None = None
    is_replayable: bool = False
    is_async: bool = False

    @property
    def can_be_sent(self) -> bool:
        """Whether it may be opened now: it can be read again, or has not been read yet."""
        return self.is_replayable

    @abstractmethod
    def open(self) -> ContentReader:
        """Begin a pass over the body.

        Raises:
            InvalidRequest: It can be read only once and has been, or its file cannot be opened.
        """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} length={self.length}>"


class _BytesReader(ContentReader):
    """Cuts octets in memory into chunks, without copying them."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._rest = data if len(data) <= CHUNK_SIZE else memoryview(data)

    async def read_chunk(self) -> bytes | memoryview:
        return self.cut()

    def cut(self) -> bytes | memoryview:
        rest = self._rest
        if len(rest) <= CHUNK_SIZE:
            self._rest = b""
            return rest
        self._rest = rest[CHUNK_SIZE:]
        return rest[:CHUNK_SIZE]


class BytesContent(Content):
    """Octets in memory."""

    is_replayable = True

    def __init__(self, data: bytes, content_type: str | None = None) -> None:
        self.data: bytes = data
        self.length: int = len(data)
        self.content_type = content_type

    def open(self) -> ContentReader:
        """Begin a pass over the octets."""
        return _BytesReader(self.data)


class EmptyContent(BytesContent):
    """No body at all; there is one, :data:`NO_CONTENT`."""

    def __init__(self) -> None:
        super().__init__(b"")

    def __reduce__(self) -> str:
        return "NO_CONTENT"


NO_CONTENT: Final = EmptyContent()


class _SourceReader(ContentReader):
    """Checks and cuts what a user's object delivers; the kinds of object differ in ``_pull``."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._cutter: _BytesReader | None = None

    @abstractmethod
    async def _pull(self) -> object:
        """The next chunk, whatever it is; ``_END`` at the end."""

    async def read_chunk(self) -> bytes | memoryview:
        if self._cutter is not None:
            if piece := self._cutter.cut():
                return piece
            self._cutter = None
        while (chunk := await self._pull()) is not _END:
            if octets := _octets(chunk, self._what):
                return octets if len(octets) <= HUGE_CHUNK else self._cut_up(octets)
        return b""

    def _cut_up(self, octets: bytes) -> bytes | memoryview:
        self._cutter = _BytesReader(octets)
        return self._cutter.cut()


class SourceContent(Content):
    """A body that is read from an object while it is sent; many of these can be read only once.

    Attributes:
        what: A name for the object, for messages.
    """

    _is_used = False

    def __init__(self, what: str) -> None:
        self.what = what

    @property
    def can_be_sent(self) -> bool:
        """See Content."""
        return self.is_replayable or not self._is_used

    def open(self) -> ContentReader:
        """Begin a pass, the only one unless ``is_replayable``.

        Raises:
            InvalidRequest: It can be read only once and has been, or its file cannot be opened.
        """
        if self._is_used and not self.is_replayable:
            raise InvalidRequest(_USED_UP.format(what=self.what))
        self._is_used = True
        return self._new_reader()

    @abstractmethod
    def _new_reader(self) -> ContentReader:
        """Begin a pass that is allowed."""


class ChunksContent(SourceContent):
    """A list or tuple of chunks: known to its end, so its length is known and it can be sent again."""

    is_replayable = True

    def __init__(self, chunks: Sequence[bytes]) -> None:
        super().__init__(type(chunks).__name__)
        self._chunks = tuple(_octets(chunk, f"item {index} of the {self.what}") for index, chunk in enumerate(chunks))
        self.length = sum(map(len, self._chunks))

    def _new_reader(self) -> ContentReader:
        return _IterableReader(iter(self._chunks), self.what)


class _IterableReader(_SourceReader):
    def __init__(self, iterator: Iterator[object], what: str) -> None:
        super().__init__(what)
        self._iterator = iterator

    async def _pull(self) -> object:
        return next(self._iterator, _END)

    def close(self) -> None:
        if isinstance(self._iterator, Generator):
            self._iterator.close()


class IterableContent(SourceContent):
    """A generator, an iterator or any other iterable: we cannot know that a second pass gives the same, so one pass."""

    def __init__(self, iterable: Iterable[object]) -> None:
        super().__init__(_described(iterable))
        self._iterable = iterable

    def _new_reader(self) -> ContentReader:
        _refuse_finished(self._iterable, "gi_frame", self.what)
        return _IterableReader(iter(self._iterable), self.what)


class _AsyncIterableReader(_SourceReader):
    def __init__(self, iterator: AsyncIterator[object], what: str) -> None:
        super().__init__(what)
        self._iterator = iterator

    async def _pull(self) -> object:
        return await anext(self._iterator, _END)

    async def aclose(self) -> None:
        if isinstance(self._iterator, AsyncGenerator):
            await self._iterator.aclose()


class AsyncIterableContent(SourceContent):
    """An asynchronous generator or other asynchronous iterable; one pass."""

    is_async = True

    def __init__(self, iterable: AsyncIterable[object]) -> None:
        super().__init__(_described(iterable))
        self._iterable = iterable

    def _new_reader(self) -> ContentReader:
        _refuse_finished(self._iterable, "ag_frame", self.what)
        return _AsyncIterableReader(aiter(self._iterable), self.what)


class _FileReader(_SourceReader):
    def __init__(self, file: BinaryFile, what: str) -> None:
        super().__init__(what)
        self._file = file

    async def _pull(self) -> object:
        with file_errors(self._what, "be read"):
            chunk = self._file.read(CHUNK_SIZE)
            if isinstance(chunk, Awaitable):
                chunk = await chunk
        return _END if isinstance(chunk, bytes | bytearray) and not chunk else chunk


class FileContent(SourceContent):
    """A user's file, or any object with ``read(size)``, from where it stands to its end.

    A seekable one is wound back to that place for every pass. It is never closed. A file that grows or shrinks while
    it is sent breaks its Content-Length, which is for the sender to find out.
    """

    def __init__(self, file: BinaryFile) -> None:
        """Take a file.

        Args:
            file: Opened for reading, in binary mode. One whose ``read`` is a coroutine function, or which is an
                asynchronous iterable, needs an asynchronous session; its length is not known.

        Raises:
            InvalidRequest: It was opened in text mode, or is closed.
        """
        super().__init__(_described(file))
        if isinstance(file, TextIOBase) or isinstance(getattr(file, "file", None), TextIOBase):
            raise InvalidRequest(f"body: {self.what} was opened in text mode; open it in binary mode ('rb')")
        self._file: Any = file
        self.is_async = inspect.iscoroutinefunction(file.read) or isinstance(file, AsyncIterable)
        self._start = None if self.is_async else start_of(file, self.what)
        self.is_replayable = self._start is not None
        if self._start is not None:
            self.length = length_from(self._start, file, self.what)

    def _new_reader(self) -> ContentReader:
        if self._start is not None:
            with file_errors(self.what, "be wound back"):
                self._file.seek(self._start)
        return _FileReader(self._file, self.what)


class _OwnFileReader(_FileReader):
    """Reads a file that we opened, and so close."""

    def __init__(self, file: IO[bytes], what: str) -> None:
        super().__init__(file, what)
        self._own = file

    def close(self) -> None:
        self._own.close()


class PathContent(SourceContent):
    """A file by its path: opened when it is sent, and closed after it."""

    def __init__(self, path: os.PathLike[Any]) -> None:
        """Take a path.

        Raises:
            InvalidRequest: There is no such file, or it is a directory.
        """
        super().__init__(f"file {os.fspath(path)!r}")
        self._path = path
        with file_errors(self.what, "be used"):
            status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise InvalidRequest(f"body: {self.what} is a directory; give a file")
        self.is_replayable = stat.S_ISREG(status.st_mode)
        self.length = status.st_size if self.is_replayable else None

    def _new_reader(self) -> ContentReader:
        with file_errors(self.what, "be opened"):
            return _OwnFileReader(open(self._path, "rb"), self.what)


def _octets(chunk: object, what: str) -> bytes:
    """A chunk as bytes. A bytearray is copied: generators like to use one again while we still hold it."""
    if isinstance(chunk, bytes | bytearray | memoryview):
        return bytes(chunk)
    if isinstance(chunk, str):
        raise InvalidRequest(f"body: {what} gave str where bytes are needed; encode it, or open files in binary mode")
    raise InvalidRequest(f"body: {what} gave {type(chunk).__name__} where bytes are needed")


def utf8(text: str, what: str) -> bytes:
    """Encode text.

    Raises:
        InvalidRequest: It holds half a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{what} is not encodable as UTF-8: {error.reason} at index {error.start}") from None


def _described(source: object) -> str:
    """A name for the user's object that lets them find it, without any of what it holds."""
    if isinstance(source, Generator | AsyncGenerator):
        return f"generator {getattr(source, '__qualname__', type(source).__name__)}"
    name = getattr(source, "name", None)
    return f"file {name!r}" if isinstance(name, str | bytes) else f"{type(source).__name__} object"


def _refuse_finished(generator: object, frame: str, what: str) -> None:
    """A generator that has run elsewhere would be sent as an empty body, without a word."""
    if getattr(generator, frame, generator) is None:
        raise InvalidRequest(_USED_UP.format(what=what))


def to_content(body: BodyTypes) -> Content:
    """Take a body in any form that users write.

    Text gets ``text/plain; charset=utf-8``; nothing else implies a type. Empty text or bytes are no body.

    Raises:
        InvalidRequest: It is none of these forms, or its file cannot be used.
    """
    if body is None:
        return NO_CONTENT
    if isinstance(body, Content):
        return body
    if isinstance(body, str):
        return BytesContent(utf8(body, "body"), "text/plain; charset=utf-8") if body else NO_CONTENT
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes_content(bytes(body))
    if is_file(body):
        return FileContent(body)
    if isinstance(body, os.PathLike):
        return PathContent(body)
    return _iterable_content(body)


def bytes_content(data: bytes) -> Content:
    """Octets as content without a type; none at all are no content."""
    return BytesContent(data) if data else NO_CONTENT


def _iterable_content(body: object) -> Content:
    """What is neither text nor a file: chunks of some kind, or nothing that can be sent."""
    if isinstance(body, Mapping):
        raise InvalidRequest(f"body: a {type(body).__name__} has no octets; use json= or data= to have it encoded")
    if isinstance(body, list | tuple):
        return ChunksContent(body)
    try:
        return bytes_content(bytes(memoryview(body)))  # type: ignore[arg-type]  # the attempt is the question
    except TypeError:
        pass
    if isinstance(body, Iterable):
        return IterableContent(body)
    if isinstance(body, AsyncIterable):
        return AsyncIterableContent(body)
    hint = "; await it first" if isinstance(body, Awaitable) else ""
    raise InvalidRequest(
        f"body: {type(body).__name__} cannot be sent{hint}; "
        "give str, bytes, a binary file, a path or an iterable of bytes, or use json= or data="
    )
