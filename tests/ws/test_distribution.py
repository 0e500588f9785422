"""The installed distribution: what it holds and how it is found."""

from importlib.metadata import distribution
from importlib.resources import files

from reqivo_ws import WebSocketPlugin


def test_marker_of_a_typed_package_is_installed() -> None:
    assert files("reqivo_ws").joinpath("py.typed").is_file()


def test_entry_point_is_found() -> None:
    found = {entry.name: entry for entry in distribution("reqivo-ws").entry_points if entry.group == "reqivo"}
    assert found["ws"].load() is WebSocketPlugin


def test_plugin_brings_both_faces() -> None:
    assert set(WebSocketPlugin().reqivo_register_websockets()) == {"blocking", "async"}
