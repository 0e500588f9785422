"""The installed distribution: what it holds and how it is found."""

from importlib.metadata import distribution
from importlib.resources import files

from reqivo_http2 import Http2Plugin


def test_marker_of_a_typed_package_is_installed() -> None:
    assert files("reqivo_http2").joinpath("py.typed").is_file()


def test_entry_point_is_found() -> None:
    found = {entry.name: entry for entry in distribution("reqivo-http2").entry_points if entry.group == "reqivo"}
    assert found["http2"].load() is Http2Plugin


def test_plugin_brings_the_transport() -> None:
    (spec,) = Http2Plugin().reqivo_register_transports()
    assert (spec.alpn, spec.schemes) == ("h2", ("https", "http"))
