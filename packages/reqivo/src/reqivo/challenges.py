"""Challenges and parameters of HTTP authentication as they stand in fields (RFC 9110 §11), read and written."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_parameter = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*(?:{_QUOTED}|([^\s,\"]*))")
_scheme = re.compile(rf"({_TOKEN})(?=[ \t,]|$)[ \t]*")
_token68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)")
_separator = re.compile(r"[ \t,]+")


class Challenge(NamedTuple):
    """One challenge.

    Attributes:
        scheme: In lower case.
        parameters: By name in lower case, unquoted.
    """

    scheme: str
    parameters: dict[str, str]


def read_challenges(lines: list[str]) -> list[Challenge]:
    """Read the challenges of WWW-Authenticate lines, in the server's order; what cannot be read ends its line.

    Args:
        lines: The field's values: each may hold several challenges, and each challenge several parameters, all of
            them separated by commas.
    """
    challenges: list[Challenge] = []
    for line in lines:
        _read_line(line, challenges)
    return challenges


def _read_line(line: str, challenges: list[Challenge]) -> None:
    position, is_open = 0, False
    while position < len(line):
        if skipped := _separator.match(line, position):
            position = skipped.end()
        elif is_open and (found := _parameter.match(line, position)):
            name, quoted, plain = found.groups()
            challenges[-1].parameters.setdefault(name.lower(), _unquoted(quoted) if quoted is not None else plain)
            position = found.end()
        elif found := _scheme.match(line, position):
            challenges.append(Challenge(found[1].lower(), {}))
            position, is_open = found.end(), True
            if token := _token68.match(line, position):
                position = token.end()
        else:
            return


def read_parameters(value: str) -> dict[str, str]:
    """Read a list of parameters such as that of Authentication-Info (RFC 7615 §3), by name in lower case."""
    found: dict[str, str] = {}
    for name, quoted, plain in _parameter.findall(value):
        found.setdefault(name.lower(), _unquoted(quoted) or plain)
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text


def quoted(text: str) -> str:
    """Write a quoted-string (RFC 9110 §5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
