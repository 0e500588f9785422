"""Forms: fields of names and values, and their encoding as ``application/x-www-form-urlencoded`` (WHATWG URL §5)."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any
from urllib.parse import urlencode

from reqivo_core.body_files import is_file
from reqivo_core.content_kinds import BytesContent, Content, utf8
from reqivo_core.errors import InvalidRequest


def is_form(data: object) -> bool:
    """Whether it is a mapping (of any make, with ``items()``) or a list or tuple of pairs."""
    return callable(getattr(data, "items", None)) or _is_pairs(data)


def _is_pairs(data: object) -> bool:
    return isinstance(data, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in data)


def form_fields(data: Any) -> list[tuple[bytes, bytes]]:
    """The fields of a form, in order, as octets.

    Args:
        data: A mapping or a list of pairs. A list, tuple or set of values repeats the name; None is left out; True and
            False become ``true`` and ``false``; numbers and the like are taken as ``str`` tells them.

    Raises:
        InvalidRequest: It is no form, or a value is none that a form can carry.
    """
    if not is_form(data):
        raise InvalidRequest(f"data: give a mapping or a list of pairs, not {type(data).__name__}")
    fields: list[tuple[bytes, bytes]] = []
    for name, value in data if isinstance(data, list | tuple) else data.items():
        octets = _field_octets(name, "data: a name")
        values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
        fields += [(octets, _field_octets(each, f"data[{name!r}]")) for each in values if each is not None]
    return fields


def _field_octets(value: object, what: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if is_file(value):
        raise InvalidRequest(f"{what} is a file; send files with files=")
    if value is None or (isinstance(value, Iterable | AsyncIterable) and not isinstance(value, str)):
        raise InvalidRequest(f"{what}: a form cannot carry {type(value).__name__}; use json=, or str or bytes")
    return utf8(str(value), what)


def form_content(data: object) -> Content:
    """Encode a form as ``application/x-www-form-urlencoded``.

    Args:
        data: See :func:`form_fields`.

    Raises:
        InvalidRequest: It is no form, or a value is none that a form can carry.
    """
    encoded = urlencode(form_fields(data)).encode("ascii")
    return BytesContent(encoded, "application/x-www-form-urlencoded")
