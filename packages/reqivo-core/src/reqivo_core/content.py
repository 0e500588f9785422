"""Content: what a request body may be, made from the options of a request."""

from __future__ import annotations

import enum
import json as json_module
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from reqivo_core.content_kinds import (
    NO_CONTENT,
    AsyncIterableContent,
    BodyTypes,
    BytesContent,
    ChunksContent,
    Content,
    ContentReader,
    EmptyContent,
    FileContent,
    IterableContent,
    PathContent,
    bytes_content,
    to_content,
    utf8,
)
from reqivo_core.errors import InvalidRequest
from reqivo_core.forms import form_content, is_form
from reqivo_core.multipart import multipart_content

__all__ = [
    "NO_CONTENT",
    "UNSET",
    "AsyncIterableContent",
    "BodyTypes",
    "BytesContent",
    "ChunksContent",
    "Content",
    "ContentReader",
    "EmptyContent",
    "FileContent",
    "IterableContent",
    "JsonEncoder",
    "PathContent",
    "Unset",
    "build_content",
    "data_content",
    "form_content",
    "json_content",
    "multipart_content",
    "to_content",
]

JsonEncoder: TypeAlias = "Callable[[Any], str | bytes]"


class Unset(enum.Enum):
    """The type of :data:`UNSET`."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
"""An option that was not given, where None means something of its own (``json=None`` sends ``null``)."""


def json_content(value: object, encoder: JsonEncoder | None = None) -> Content:
    """Encode a value as JSON: compact, UTF-8 (RFC 8259 §8.1).

    Args:
        value: What to encode.
        encoder: Gives the JSON as str or bytes; None for the standard library's.

    Raises:
        InvalidRequest: It cannot be encoded: a type that JSON lacks, NaN or infinity, a circle, too deep.
    """
    try:
        text = (encoder or _encode_json)(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"json: {type(value).__name__} cannot be encoded: {error}") from error
    if isinstance(text, str):
        text = utf8(text, "json")
    if not isinstance(text, bytes):
        raise InvalidRequest(f"json: the encoder gave {type(text).__name__}; it must give str or bytes")
    return BytesContent(text, "application/json")


def _encode_json(value: object) -> str:
    try:
        return json_module.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        if "Out of range float" not in str(error):
            raise
        raise ValueError("JSON has no NaN and no infinity (RFC 8259 §6); send null or a string instead") from None


def data_content(data: Any) -> Content:
    """Take what the ``data`` option was given: a form, or a body to be sent as it is.

    Text gets no Content-Type here, unlike as ``body=``: it may be a form that the user encoded, or anything else.
    That is what ``requests`` does.

    Raises:
        InvalidRequest: It cannot be sent.
    """
    if isinstance(data, str):
        return bytes_content(utf8(data, "data"))
    return form_content(data) if is_form(data) else to_content(data)


def build_content(
    *,
    body: BodyTypes = None,
    content: BodyTypes = None,
    data: Any = None,
    json: object = UNSET,
    files: Any = None,
    encoder: JsonEncoder | None = None,
) -> Content:
    """Make the body from the options of a request, of which at most one may be given (``data`` with ``files`` is one).

    An empty mapping, list or tuple as ``data`` or ``files`` counts as not given.

    Args:
        body: See :func:`to_content`.
        content: Another name of ``body``.
        data: See :func:`data_content`.
        json: See :func:`json_content`; None is sent as ``null``.
        files: See :func:`reqivo_core.multipart.multipart_content`.
        encoder: Encodes ``json``.

    Raises:
        TypeError: Two bodies were given.
        InvalidRequest: The body cannot be sent.
    """
    data, files = _none_if_empty(data), _none_if_empty(files)
    options = {"body": body, "content": content, "data": data, "files": files}
    given = [name for name, value in options.items() if value is not None]
    if json is not UNSET:
        given.append("json")
    if not given:
        return NO_CONTENT
    if len(given) > 1 and given != ["data", "files"]:
        raise TypeError(f"{' and '.join(f'{name}=' for name in given)} were given; a request has one body")
    if files is not None:
        return multipart_content(data, files)
    if json is not UNSET:
        return json_content(json, encoder)
    return data_content(data) if data is not None else to_content(body if body is not None else content)


def _none_if_empty(option: Any) -> Any:
    return None if isinstance(option, Mapping | list | tuple) and not option else option
