"""Query parameters."""

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqivo_core.errors import InvalidURL
from reqivo_core.params import encode_params


@pytest.mark.parametrize(
    ("params", "encoded"),
    [
        (None, ""),
        ({}, ""),
        ([], ""),
        ("", ""),
        ({"a": 1, "b": "x y"}, "a=1&b=x+y"),
        ([("a", 1), ("a", 2)], "a=1&a=2"),
        ({"a": [1, "2", None, 3.5]}, "a=1&a=2&a=3.5"),
        ({"a": (True, False)}, "a=true&a=false"),
        ({"a": (n for n in (1, 2))}, "a=1&a=2"),
        ({"a": []}, ""),
        ({"a": None, "b": ""}, "b="),
        ({"a": True, "b": False, "c": 0}, "a=true&b=false&c=0"),
        ({"a": Decimal("1.10")}, "a=1.10"),
        ({"a&b": "c=d#é"}, "a%26b=c%3Dd%23%C3%A9"),
        ({"a": b"\xff b"}, "a=%FF+b"),
        ({1: 2}, "1=2"),
        ({"k": "-._~"}, "k=-._~"),
        ("a=%7eb&c=d e", "a=%7eb&c=d e"),
        ("?a=b", "a=b"),
        ("a=#b", "a=%23b"),
    ],
)
def test_parameters_become_a_query(params: Any, encoded: str) -> None:
    assert encode_params(params) == encoded


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        (5, "pairs of key and value, or text, not int"),
        ([1], "not list"),
        ([("a", "b", "c")], "not list"),
        (b"a=b", "not bytes"),
        ({"a": {"b": 1}}, "'a' is a mapping"),
        ({"a": "\ud800"}, "lone surrogate"),
    ],
)
def test_what_is_no_query_is_refused(params: Any, reason: str) -> None:
    with pytest.raises(InvalidURL, match=reason):
        encode_params(params)


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_text_survives_the_way_there_and_back(pairs: list[tuple[str, str]]) -> None:
    query = encode_params(pairs)
    assert parse_qsl(query, keep_blank_values=True, max_num_fields=None) == pairs
