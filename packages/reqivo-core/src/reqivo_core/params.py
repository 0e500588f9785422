"""Query parameters: from what a caller has at hand to ``application/x-www-form-urlencoded`` text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote_plus

from reqivo_core.errors import InvalidURL

QueryParams: TypeAlias = str | Mapping[str, Any] | Iterable[tuple[str, Any]] | None
"""A mapping or pairs, whose values are text, bytes, numbers, bools, None or several of these; or a finished query."""


def encode_params(params: QueryParams) -> str:
    """Write query parameters as one string, without a leading ``?``.

    ``True`` becomes ``true``, numbers and other objects their ``str()``; a list, tuple, set or other iterable repeats
    the key; ``None`` is left out. A space becomes ``+``, everything but letters, digits and ``-._~`` is percent-encoded
    as UTF-8 (URL Standard, application/x-www-form-urlencoded). A string is kept as it is, for queries that are
    encoded already; only ``#`` is encoded, or it would end the query.

    Args:
        params: The parameters.

    Returns:
        The query, empty where there is nothing to send.

    Raises:
        InvalidURL: The parameters are neither text, nor a mapping, nor pairs, or hold what has no encoding.
    """
    if params is None:
        return ""
    if isinstance(params, str):
        return params.removeprefix("?").replace("#", "%23")
    try:
        return "&".join([f"{_encode(key)}={_encode(value)}" for key, value in _flat_pairs(params)])
    except UnicodeEncodeError:
        raise InvalidURL("Query parameters hold a lone surrogate, which has no encoding as UTF-8.") from None


def _flat_pairs(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Iterator[tuple[Any, Any]]:
    """Yield one pair for each ``key=value`` that goes out."""
    for key, value in _pairs(params):
        if isinstance(value, Mapping):
            raise InvalidURL(f"Query parameter {key!a} is a mapping; a query is flat, so name each of its values.")
        if isinstance(value, Iterable) and not isinstance(value, str | bytes):
            yield from ((key, item) for item in value if item is not None)
        elif value is not None:
            yield key, value


def _pairs(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> list[tuple[Any, Any]]:
    try:
        items = params.items() if isinstance(params, Mapping) else params
        return [(key, value) for key, value in items]
    except (TypeError, ValueError):
        kind = type(params).__name__
        raise InvalidURL(f"Query parameters must be a mapping, pairs of key and value, or text, not {kind}.") from None


def _encode(value: Any) -> str:
    if isinstance(value, str | bytes):
        return quote_plus(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote_plus(str(value))
