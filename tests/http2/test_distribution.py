"""What the distribution promises to the outside."""

from __future__ import annotations

from importlib.metadata import distribution

import reqivo_http2
from reqivo_http2 import Http2Plugin, Http2Transport


def test_entry_point_is_found() -> None:
    found = {entry.name: entry for entry in distribution("reqivo-http2").entry_points if entry.group == "reqivo"}
    assert found["http2"].load() is Http2Plugin


def test_the_plugin_brings_one_transport() -> None:
    (spec,) = Http2Plugin().reqivo_register_transports()
    assert (spec.alpn, spec.open) == ("h2", Http2Transport)
    assert spec.schemes == ("https", "http")


def test_what_is_public_is_there() -> None:
    assert all(hasattr(reqivo_http2, name) for name in reqivo_http2.__all__)
