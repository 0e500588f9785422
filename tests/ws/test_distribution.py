"""The installed distribution: what it holds and how it is found."""

from importlib.metadata import distribution
from importlib.resources import files

import pytest

from reqivo_ws import WebSocketPlugin


def test_marker_of_a_typed_package_is_installed() -> None:
    assert files("reqivo_ws").joinpath("py.typed").is_file()


def test_entry_point_is_found() -> None:
    found = {entry.name: entry for entry in distribution("reqivo-ws").entry_points if entry.group == "reqivo"}
    assert found["ws"].load() is WebSocketPlugin


def test_plugin_registers_both_faces() -> None:
    faces = WebSocketPlugin().reqivo_register_websockets()
    assert {kind: face().__name__ for kind, face in faces.items()} == {
        "blocking": "WebSocket",
        "async": "AsyncWebSocket",
    }


def test_names_are_loaded_when_asked_for() -> None:
    import reqivo_ws

    assert [getattr(reqivo_ws, name).__name__ for name in sorted(reqivo_ws.__all__)] == sorted(reqivo_ws.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        reqivo_ws.nothing  # noqa: B018  # the access is the test
