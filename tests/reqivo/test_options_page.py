"""The table of options says what the code does."""

from __future__ import annotations

import dataclasses
import inspect
import re
from operator import attrgetter
from typing import Any

import pytest

from docs.pages import ROOT
from reqivo import Limits, Retry, Session, Timeout
from reqivo_core.options import ALIASES, BUILDING_OPTIONS, RequestOptions, SessionOptions
from reqivo_ws import Deflate, WebSocket
from reqivo_ws.base_websocket import WebSocketOptions

SECTIONS = re.split(r"^## ", (ROOT / "docs" / "options.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| (?:`(.*?)`)? \|", re.MULTILINE)


def table(section: str) -> dict[str, str]:
    """Name and default of each option of a section."""
    (text,) = (each for each in SECTIONS if each.startswith(section))
    return dict(ROW.findall(text))


def test_every_option_of_sessions_is_there() -> None:
    assert table("Sessions").keys() == set(SessionOptions.__annotations__)


def test_every_option_of_requests_is_there() -> None:
    assert table("Requests").keys() == set(RequestOptions.__annotations__)


def test_options_of_requests_have_a_default_of_their_own_where_the_session_has_none() -> None:
    own = {name for name, default in table("Requests").items() if default}
    assert own == BUILDING_OPTIONS - ALIASES.keys() | {"stream"}


@pytest.mark.parametrize("name", sorted(SessionOptions.__annotations__))
def test_the_default_of_a_session_changes_nothing(name: str) -> None:
    written = table("Sessions")[name]
    if name in ALIASES:
        assert written == ""
        return
    value = eval(written, {"Timeout": Timeout, "Limits": Limits})
    with Session() as plain, Session(**{name: value}) as given:
        for attribute in ("timeout", "base_url", "auth", "headers", "trust_env", "_limits", "_params", "_encoder"):
            assert getattr(plain, attribute) == getattr(given, attribute)
        for setting in ("follow_redirects", "max_redirects", "raises_for_status", "reading", "flows", "limits"):
            assert getattr(plain._plan, setting) == getattr(given._plan, setting)
        assert plain._route == given._route
        assert plain._default_encoding == given._default_encoding
        assert dict(plain.cookies) == dict(given.cookies)


def test_every_option_of_websockets_is_there() -> None:
    assert table("WebSockets").keys() == set(WebSocketOptions.__annotations__)


@pytest.mark.parametrize("name", sorted(WebSocketOptions.__annotations__))
def test_the_default_of_a_websocket_changes_nothing(name: str) -> None:
    written = table("WebSockets")[name]
    given: Any = {name: eval(written)} if written else {}
    plain, changed = WebSocket("ws://x/"), WebSocket("ws://x/", **given)
    for attribute in ("_target", "_settings", "_is_reconnecting", "_owns_session"):
        assert getattr(plain, attribute) == getattr(changed, attribute)
    for attribute in ("_on_reconnect", "_backoff._delay", "_backoff._max_attempts"):
        look = attrgetter(f"_reconnector.{attribute}")
        assert look(plain) == look(changed)


def test_deflate() -> None:
    assert table("Deflate") == {field.name: repr(field.default) for field in dataclasses.fields(Deflate)}


def test_limits() -> None:
    defaults = {field.name: repr(field.default) for field in dataclasses.fields(Limits)}
    assert table("Limits") == defaults


def test_timeout() -> None:
    timeout = Timeout()
    assert table("Timeout") == {field.name: repr(getattr(timeout, field.name)) for field in dataclasses.fields(Timeout)}


def test_retry() -> None:
    parameters: dict[str, Any] = {name: repr(one.default) for name, one in inspect.signature(Retry).parameters.items()}
    assert {**table("Retry"), "methods": ""} == {**parameters, "methods": ""}
