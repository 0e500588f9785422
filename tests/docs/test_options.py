"""Every option that stands in a table is used by an example, which is run like all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from docs.pages import EXAMPLES, ROOT

SESSIONS = "Session AsyncSession Reqivo AsyncReqivo Client AsyncClient"
CALLS = "get head options delete post put patch query request stream"
PLACES = {
    "Sessions": SESSIONS,
    "Requests": CALLS,
    "Timeout": "Timeout",
    "Limits": "Limits",
    "Retry": "Retry",
    "TlsConfig": "TlsConfig",
    "Proxy.of": "of",
    "RateLimiter": "RateLimiter",
    "ConcurrencyLimit": "ConcurrencyLimit",
    "AddressGuard": "AddressGuard",
    "Session.download": "download",
    "Session.sse": "sse",
    "CookieLimits": "CookieLimits",
    "WebSockets": "WebSocket AsyncWebSocket websocket",
    "Deflate": "Deflate",
}
"""Whose keywords they are, by the heading of their table."""
POSITIONAL = {("RateLimiter", "rate"), ("ConcurrencyLimit", "limit"), ("Proxy.of", "url"), ("Session.download", "path")}
"""What comes first and is not named by those who call."""

SECTIONS = re.split(r"^## ", (ROOT / "docs" / "options.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
TABLES = {section.partition("\n")[0]: re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) for section in SECTIONS}


def keywords() -> Iterator[tuple[str, str]]:
    """What is called in the examples, by its last name, and each keyword that it is given."""
    for example in EXAMPLES:
        for node in ast.walk(ast.parse(example.source)):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                yield from ((name, keyword.arg) for keyword in node.keywords if keyword.arg is not None)


USED = set(keywords())


def test_every_table_is_looked_at() -> None:
    assert {heading for heading, options in TABLES.items() if options} == set(PLACES)


@pytest.mark.parametrize("heading", PLACES)
def test_every_option_has_an_example(heading: str) -> None:
    missing = [
        option
        for option in TABLES[heading]
        if (heading, option) not in POSITIONAL and not any((place, option) in USED for place in PLACES[heading].split())
    ]
    assert missing == []
