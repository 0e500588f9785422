"""The installed distribution: what it holds and how it is found."""

from importlib.metadata import distribution
from importlib.resources import files

from reqivo_http2 import Http2Plugin


def test_marker_of_a_typed_package_is_installed() -> None:
    assert files("reqivo_http2").joinpath("py.typed").is_file()


def test_entry_point_is_found() -> None:
    found = {entry.name: entry for entry in distribution("reqivo-http2").entry_points if entry.group == "reqivo"}
    assert found["http2"].load().__module__ == "reqivo_http2"


def test_plugin_registers_nothing_yet() -> None:
    assert [name for name in vars(Http2Plugin) if name.startswith("reqivo_")] == []
