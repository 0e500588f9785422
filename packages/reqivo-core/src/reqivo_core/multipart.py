"""Multipart: fields and files as ``multipart/form-data`` (RFC 7578), streamed part by part, never read whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from reqivo_core.content_kinds import CHUNK_SIZE, BytesContent, Content, ContentReader, SourceContent, to_content, utf8
from reqivo_core.errors import InvalidRequest, excerpt
from reqivo_core.forms import form_fields

_DEFAULT_TYPE: Final = "application/octet-stream"
_ESCAPES: Final = {'"': "%22", "\r": "%0D", "\n": "%0A"}
"""What WHATWG HTML (§4.10.22.8) escapes in names and filenames, and nothing else."""
_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_has_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search


class _Part(NamedTuple):
    """One part: its header section, with the empty line, and its content."""

    head: bytes
    content: Content


class MultipartContent(SourceContent):
    """A multipart body of which at least one part is too large to be copied, or is read while it is sent."""

    def __init__(self, segments: list[Content], content_type: str) -> None:
        """Take the segments.

        Args:
            segments: The body in order: framing with small parts, and contents of large parts, in turn.
            content_type: With the boundary.
        """
        one_pass = [segment for segment in segments if not segment.is_replayable]
        which = next((f" with {part.what}" for part in one_pass if isinstance(part, SourceContent)), "")
        super().__init__(f"multipart body{which}")
        self._segments = segments
        self.content_type = content_type
        self.is_replayable = not one_pass
        self.is_async = any(segment.is_async for segment in segments)
        lengths = [segment.length for segment in segments if segment.length is not None]
        self.length = sum(lengths) if len(lengths) == len(segments) else None

    def _new_reader(self) -> ContentReader:
        return _MultipartReader(self._segments)


class _MultipartReader(ContentReader):
    """Reads the segments in turn. Each is opened when its turn comes, so no two files of ours are open at once."""

    def __init__(self, segments: Iterable[Content]) -> None:
        self._segments = iter(segments)
        self._current: ContentReader | None = None

    async def read_chunk(self) -> bytes | memoryview:
        while (reader := self._current or self._next_reader()) is not None:
            if chunk := await reader.read_chunk():
                return chunk
            self._current = None
            await reader.aclose()
        return b""

    def _next_reader(self) -> ContentReader | None:
        segment = next(self._segments, None)
        self._current = None if segment is None else segment.open()
        return self._current

    def _give_up(self) -> ContentReader | None:
        reader, self._current, self._segments = self._current, None, iter(())
        return reader

    def close(self) -> None:
        if reader := self._give_up():
            reader.close()

    async def aclose(self) -> None:
        if reader := self._give_up():
            await reader.aclose()


def multipart_content(data: Any = None, files: Any = None) -> Content:
    """Encode fields and files as ``multipart/form-data`` with a random boundary.

    Args:
        data: Fields; see :func:`reqivo_core.forms.form_fields`. They come first.
        files: A mapping or a list of pairs of a field name and a file: anything that can be a body (a binary file,
            bytes, text, a path, which is opened in its turn and closed after it, an iterable of bytes), or a tuple
            ``(filename, file[, content_type[, headers]])``. Where no filename is given it is the file's own, or else
            the field's name; a filename of None makes a plain field. Where no type is given it is guessed from the
            filename, or else ``application/octet-stream``.

    Returns:
        Content whose length is known when that of every part is, and replayable when every part is.

    Raises:
        InvalidRequest: A part cannot be sent as given.
    """
    fields = form_fields(() if data is None else data)
    parts = [_Part(_head(_escaped(name, "a name")), BytesContent(value)) for name, value in fields]
    parts += [_file_part(name, value) for name, value in _file_pairs(files)]
    boundary = os.urandom(16).hex()
    content_type = f"multipart/form-data; boundary={boundary}"
    segments = _segments(parts, boundary.encode())
    if len(segments) == 1 and segments[0].data is not None:
        return BytesContent(segments[0].data, content_type)
    return MultipartContent(segments, content_type)


def _segments(parts: Iterable[_Part], boundary: bytes) -> list[Content]:
    """The body as few contents: framing and small parts are put together, so that they leave in one write."""
    segments: list[Content] = []
    framing = bytearray()
    for head, content in parts:
        framing += b"--%b\r\n%b" % (boundary, head)
        if content.data is not None and len(content.data) <= CHUNK_SIZE:
            framing += content.data
        else:
            segments += [BytesContent(bytes(framing)), content]
            framing.clear()
        framing += b"\r\n"
    framing += b"--%b--\r\n" % boundary
    return [*segments, BytesContent(bytes(framing))]


def _file_pairs(files: Any) -> Iterable[tuple[Any, Any]]:
    if files is None:
        return ()
    if callable(getattr(files, "items", None)):
        return files.items()  # type: ignore[no-any-return]  # a mapping of any make
    if isinstance(files, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in files):
        return files
    raise InvalidRequest(f"files: give a mapping or a list of pairs (name, file), not {type(files).__name__}")


def _file_part(name: object, value: Any) -> _Part:
    what = f"files[{name!r}]"
    filename, source, content_type, extra = _unpacked(value, what, default=name)
    lines = _extra_lines(extra, what)
    if content_type is None and b"content-type" not in lines and filename is not None:
        content_type = _guessed_type(filename)
    if content_type is not None:
        lines[b"content-type"] = _line("Content-Type", content_type, what)
    disposition = _escaped(name, "a name")
    if filename is not None:
        disposition += b'"; filename="' + _escaped(filename, "a filename")
    return _Part(_head(disposition, lines.values()), to_content(source))


def _unpacked(value: Any, what: str, default: object) -> tuple[str | bytes | None, Any, object, Any]:
    """Filename, file, type and headers, from whichever of these were given."""
    if isinstance(value, list) or value is None:
        raise InvalidRequest(
            f"{what}: give a file or a tuple (filename, file[, content_type[, headers]]), not {type(value).__name__}; "
            "several files of one name go into files= as a list of pairs"
        )
    if not isinstance(value, tuple):
        return _own_name(value) or _default_name(default, what), value, None, None
    if not 2 <= len(value) <= 4:
        raise InvalidRequest(f"{what}: a tuple has (filename, file[, content_type[, headers]]), not {len(value)} items")
    filename, source, content_type, extra = (*value, None, None)[:4]
    if not isinstance(filename, str | bytes | None):
        raise InvalidRequest(f"{what}: a filename is str, or None for a plain field, not {type(filename).__name__}")
    return filename, source, content_type, extra


def _own_name(source: object) -> str | None:
    """The last component of a file's name; None for a file that has none, as one opened by its descriptor."""
    name = os.fspath(source) if isinstance(source, os.PathLike) else getattr(source, "name", None)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, str) or (name.startswith("<") and name.endswith(">")):
        return None
    return os.path.basename(name) or None


def _default_name(name: object, what: str) -> str | bytes:
    if isinstance(name, str | bytes):
        return name
    raise InvalidRequest(f"{what}: a name is str, not {type(name).__name__}")


def _guessed_type(filename: str | bytes) -> str:
    import mimetypes  # it reads the system's tables, which most programs never need

    guess, compression = mimetypes.guess_type(os.fsdecode(filename))
    return guess if guess and not compression else _DEFAULT_TYPE


def _head(name: bytes, lines: Iterable[bytes] = ()) -> bytes:
    """A part's header section; ``name`` may go on with the filename."""
    return b'Content-Disposition: form-data; name="%b"\r\n%b\r\n' % (name, b"".join(lines))


def _escaped(name: object, what: str) -> bytes:
    """A name or filename as it stands between quotes (WHATWG HTML §4.10.22.8)."""
    if isinstance(name, bytes):
        # Latin-1 and back leaves the octets alone: what encoding they are in is the user's affair.
        return _with_escapes(name.decode("latin-1"), what).encode("latin-1")
    if not isinstance(name, str):
        raise InvalidRequest(f"multipart: {what} is str, not {type(name).__name__}")
    return utf8(_with_escapes(name, what), f"multipart: {what}")


def _with_escapes(name: str, what: str) -> str:
    if "\0" in name:
        raise InvalidRequest(f"multipart: {what} holds NUL: {excerpt(name)}")
    for character, escape in _ESCAPES.items():
        name = name.replace(character, escape)
    return name


def _extra_lines(headers: Any, what: str) -> dict[bytes, bytes]:
    """The user's own header lines of a part, by lower-case name."""
    lines: dict[bytes, bytes] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers or ():
        line = _line(name, value, what)
        key = line.partition(b":")[0].lower()
        if key == b"content-disposition":
            raise InvalidRequest(f"{what}: Content-Disposition is made from name and filename; leave it out of headers")
        lines[key] = lines.get(key, b"") + line
    return lines


def _line(name: object, value: object, what: str) -> bytes:
    if not isinstance(name, str) or not _is_token(name):
        raise InvalidRequest(f"{what}: header name {excerpt(str(name))} is no token (RFC 9110 §5.6.2)")
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str) or _has_control(text):
        raise InvalidRequest(f"{what}: header {name}: give str without control characters (CR, LF, NUL …)")
    return b"%b: %b\r\n" % (name.encode("ascii"), value if isinstance(value, bytes) else utf8(text, what))
