"""The installed distribution, as seen from outside."""

from importlib.resources import files


def test_marker_of_a_typed_package_is_installed() -> None:
    assert files("reqivo").joinpath("py.typed").is_file()
