"""The curl command that would send a request, for bug reports: credentials are masked."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from reqivo_core.headers import is_secret

if TYPE_CHECKING:
    from reqivo_core import Request

_LEFT_OUT: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""What curl says by itself."""
MASK: Final = "***"


def curl_command(request: Request) -> str:
    """Write the command.

    Args:
        request: The request. A body that does not lie in memory is left to curl's standard input.

    Returns:
        One line for a POSIX shell; ``***`` stands where credentials were.
    """
    words = ["curl"]
    data = request.content.data
    has_body = request.content.length != 0
    if request.method == "HEAD" and not has_body:
        words.append("--head")
    elif request.method != ("POST" if has_body else "GET"):
        words += ["--request", request.method]
    for name, value in request.headers.multi_items():
        lower = name.lower()
        if lower == "accept-encoding":
            words.append("--compressed")
        elif lower not in _LEFT_OUT:
            shown = MASK if is_secret(lower) else value
            words += ["--header", f"{name}: {shown}" if shown else f"{name};"]
    if has_body:
        words.append("--data-binary")
    quoted = [shlex.quote(word) for word in words]
    if has_body:
        quoted.append("@-" if data is None else _quoted(data))
    url = request.url.redacted
    if any(letter in url for letter in "[]{}"):
        quoted.append("--globoff")
    return " ".join([*quoted, shlex.quote(url)])


def _quoted(data: bytes) -> str:
    """Octets as an argument: text as it is, anything else (and what curl takes for a file) in ANSI-C quotes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if text and not text.startswith("@") and all(letter.isprintable() or letter in "\n\t" for letter in text):
        return shlex.quote(text)
    return "$'" + "".join(_escaped(octet) for octet in data) + "'"


def _escaped(octet: int) -> str:
    letter = chr(octet)
    return f"\\{letter}" if letter in "\\'" else letter if 32 <= octet < 127 else f"\\x{octet:02x}"
