"""Headers as a mapping: what each operation of one does to lines of any spelling."""

from __future__ import annotations

import pytest

from reqivo_core import Headers
from reqivo_core.errors import InvalidRequest
from reqivo_core.headers import conceal

LINES = [("A", "1"), ("B", "2"), ("a", "3")]


def test_a_value_of_none_is_left_out() -> None:
    assert Headers({"A": None, "B": "2"}).multi_items() == [("B", "2")]
    assert Headers([("A", "1"), ("A", None)]).multi_items() == [("A", "1")]


def test_deleting_takes_all_lines_of_the_name() -> None:
    headers = Headers(LINES)
    del headers["A"]
    assert headers.multi_items() == [("B", "2")]
    with pytest.raises(KeyError):
        del headers["A"]
    assert headers.pop("b") == "2"
    assert len(headers) == 0


def test_raw_lines_are_those_of_the_wire() -> None:
    raw = [(b"X-\xe4", b"\xfc"), (b"A", b"1")]
    headers = Headers.from_raw(raw)
    taken = headers.raw
    assert taken == raw
    taken.clear()
    assert headers["a"] == "1", "what was taken is a copy"
    assert headers.raw == raw, "and decoding them lost nothing"


@pytest.mark.parametrize(
    ("other", "is_equal"),
    [
        (Headers([("B", "2"), ("a", "1"), ("A", "3")]), True),
        (Headers([("A", "3"), ("B", "2"), ("A", "1")]), False),
        ([("b", "2"), ("a", "1"), ("a", "3")], True),
        ({"a": "1"}, False),
        ("A", False),
        (7, False),
        ([7], False),
        ({"no name": "1"}, False),
        (None, False),
    ],
)
def test_equal_are_those_with_the_same_lines_by_name(other: object, is_equal: bool) -> None:
    headers = Headers(LINES)
    assert (headers == other) is is_equal
    assert (headers != other) is not is_equal


def test_names_and_values_are_checked_wherever_they_come_in() -> None:
    headers = Headers()
    with pytest.raises(InvalidRequest):
        headers["A B"] = "1"
    with pytest.raises(InvalidRequest):
        headers.add("A", "1\r\nB: 2")
    assert len(headers) == 0


def test_credentials_that_are_not_encoded_as_they_should_be_are_masked_as_they_stand() -> None:
    sent = Headers({"Authorization": "Basic abcde"})  # of this length there is no base64
    assert conceal("you said abcde", sent) == "you said ***"
