"""The limits that the threat model names are those that are in force."""

import re
from dataclasses import fields
from typing import Any

import reqivo
from docs.pages import ROOT
from reqivo.sse import MAX_EVENT
from reqivo_core.cookie_store import CookieLimits
from reqivo_core.splitting import MAX_LINE
from reqivo_ws.messages import MAX_FRAGMENTS
from reqivo_ws.settings import Settings

ROW = re.compile(r"^\| (?:`(.+?)`|([^`|]+?)) \| ([^|]+?) \|", re.MULTILINE)
UNITS = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024 * 1024}
ROWS = {quoted or plain: value for quoted, plain, value in ROW.findall((ROOT / "THREAT_MODEL.md").read_text("utf-8"))}


def meant(text: str) -> float | None:
    """Read a value as the page writes it."""
    if text == "none":
        return None
    number, _, unit = text.partition(" ")
    return float(number) * UNITS[unit]


def in_force() -> dict[str, Any]:
    """The limits of the program, by the names that the page gives them."""
    cookies = CookieLimits()
    with reqivo.Session() as session:
        max_redirects = session._plan.max_redirects
    return {field.name: field.default for field in fields(reqivo.Limits)} | {
        "max_redirects=": max_redirects,
        "Retry(max_retry_after=)": reqivo.Retry().max_retry_after,
        "cookies of a response": cookies.per_response,
        "cookies of a domain": cookies.per_domain,
        "cookies of a session": cookies.total,
        "cookies of a request": cookies.header_size,
        "characters of a line": MAX_LINE,
        "octets of an event": MAX_EVENT,
        "WebSocket(max_message_size=)": Settings().max_message_size,
        "fragments of a message": MAX_FRAGMENTS,
        "messages of a WebSocket": Settings().max_queue,
    }


def test_every_limit_in_force_is_in_the_tables_and_no_other() -> None:
    assert {name: meant(value) for name, value in ROWS.items() if value != "default"} == in_force()
