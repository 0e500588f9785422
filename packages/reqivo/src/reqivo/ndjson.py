"""NDJSON: a stream of JSON values, one a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import DecodeError, excerpt
from reqivo_core.splitting import Lines

if TYPE_CHECKING:
    from collections.abc import Callable


class JsonLines:
    """Cuts a stream of octets into the JSON values of its lines; empty lines are skipped."""

    def __init__(self, decoder: Callable[[bytes], Any] | None = None) -> None:
        """Make one.

        Args:
            decoder: Parses a line; None for the standard library's.
        """
        self._lines = Lines("utf-8")
        self._decode = decoder or json.loads
        self._number = 0

    def feed(self, data: bytes) -> list[Any]:
        """Take octets; give the values of the lines that they complete.

        Raises:
            DecodeError: A line is not JSON.
        """
        return self._values(self._lines.feed(data))

    def end(self) -> list[Any]:
        """Give the value of a last line without an end."""
        return self._values(self._lines.end())

    def _values(self, lines: list[str]) -> list[Any]:
        values = []
        for line in lines:
            self._number += 1
            if line.strip():
                values.append(self._value(line))
        return values

    def _value(self, line: str) -> Any:
        try:
            return self._decode(line.encode())
        except ValueError as error:
            raise DecodeError(
                f"line {self._number} of the body is not JSON: {error}; it begins {excerpt(line)}", phase="body"
            ) from error
