"""Settings: what cannot be one is refused when it is given, and None switches off what may be without a limit."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from reqivo_ws import AsyncWebSocket, WebSocket
from reqivo_ws.settings import Settings

OPTIONAL = [field.name for field in fields(Settings) if field.name != "max_queue"]


@pytest.mark.parametrize("name", OPTIONAL)
def test_most_limits_may_be_switched_off(name: str) -> None:
    assert getattr(Settings(**{name: None}), name) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_queue": None}, "max_queue=None: give a number of more than 0"),
        ({"max_queue": 0}, "max_queue=0: give a number of more than 0"),
        ({"ping_interval": 0}, "ping_interval=0: give a number of more than 0"),
        ({"ping_timeout": -1}, "ping_timeout=-1: give a number of at least 0"),
        ({"close_timeout": True}, "close_timeout=True: give a number"),
        ({"write_timeout": float("nan")}, "write_timeout=nan: give a number"),
        ({"max_message_size": "1"}, "max_message_size='1': give a number"),
    ],
)
def test_what_is_no_limit_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**given)


@pytest.mark.parametrize("kind", [WebSocket, AsyncWebSocket])
def test_a_websocket_refuses_it_when_it_is_made(kind: Any) -> None:
    with pytest.raises(ValueError, match="ping_interval='soon'"):
        kind("ws://example.org/", ping_interval="soon")
    kind("ws://example.org/", ping_interval=None, ping_timeout=None, close_timeout=None, max_message_size=None)
