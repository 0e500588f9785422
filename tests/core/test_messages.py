"""Requests as values."""

from __future__ import annotations

import pytest

from reqivo_core import Request
from reqivo_core.content import NO_CONTENT, to_content
from reqivo_core.errors import InvalidRequest


@pytest.mark.parametrize(("given", "kept"), [("GET", "GET"), ("get", "GET"), ("propfind", "PROPFIND")])
def test_a_method_is_a_token_in_upper_case(given: str, kept: str) -> None:
    assert Request(given, "http://a/").method == kept


@pytest.mark.parametrize("given", ["", "GET ", "G\r\nET", "gét", 7, None, ["GET"]])
def test_what_is_no_token_is_no_method(given: str) -> None:
    with pytest.raises(InvalidRequest, match="^method"):
        Request(given, "http://a/")


def test_the_body_goes_by_the_name_of_the_option_too() -> None:
    content = to_content(b"x")
    assert Request("POST", "http://a/", content=content).body is content
    assert Request("GET", "http://a/").body is NO_CONTENT
