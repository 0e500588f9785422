"""Bodies in pieces: lines by every convention, chunks of one size, text whose characters are never cut."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqivo_core import splitting
from reqivo_core.errors import BodyTooLarge, InvalidRequest
from reqivo_core.splitting import AsTheyCome, ExactChunks, Lines, TextChunks, known_encoding


def fed(splitter: Any, *pieces: bytes) -> list[Any]:
    return [one for piece in pieces for one in splitter.feed(piece)] + splitter.end()


def bytewise(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\nc", ["a", "b", "c"]),
        ("a\r\nb\r\nc\r\n", ["a", "b", "c"]),
        ("a\rb\rc\r", ["a", "b", "c"]),
        ("a\n\r\nb\r\rc", ["a", "", "b", "", "c"]),
        ("a\n\rb", ["a", "", "b"]),
        ("\n", [""]),
        ("\r\n\r\n", ["", ""]),
        ("", []),
        ("no end", ["no end"]),
        ("v\x0bt\x0cf\x1cf\x85n\u2028l\u2029p", ["v\x0bt\x0cf\x1cf\x85n\u2028l\u2029p"]),
        ("zwölf\r\nBoxkämpfer", ["zwölf", "Boxkämpfer"]),
    ],
)
def test_lines_end_with_cr_lf_or_both(text: str, lines: list[str]) -> None:
    data = text.encode()
    assert fed(Lines("utf-8"), data) == lines
    assert fed(Lines("utf-8"), *bytewise(data)) == lines
    assert fed(Lines("utf-16"), *bytewise(text.encode("utf-16"))) == lines


@given(st.text("ab\r\nü", max_size=30), st.lists(st.integers(0, 60), max_size=5))
def test_cuts_make_no_difference(text: str, places: list[int]) -> None:
    data = text.encode()
    cuts = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    expected = re.split(r"\r\n|\r|\n", text)
    if expected[-1] == "":
        expected.pop()
    assert fed(Lines("utf-8"), *[data[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]) == expected


def test_a_line_without_end_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "MAX_LINE", 10)
    lines = Lines("utf-8")
    lines.feed(b"1234567890")
    with pytest.raises(BodyTooLarge, match="a line of the body has more than 10 characters; read it with iter_text"):
        lines.feed(b"1")
    assert fed(Lines("utf-8"), *[b"123456789\n"] * 100) == ["123456789"] * 100


def test_what_does_not_decode_is_replaced() -> None:
    assert "".join(fed(TextChunks("utf-8"), b"a\xc3", b"\xa4\xff", b"\xe2\x82")) == "aä\ufffd\ufffd"
    assert fed(Lines("utf-8"), b"\xc3") == ["\ufffd"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_chunks_have_one_size(size: int) -> None:
    data = bytes(range(20))
    chunks = fed(ExactChunks(size), data[:3], b"", data[3:11], data[11:])
    assert b"".join(chunks) == data
    assert {len(chunk) for chunk in chunks[:-1]} <= {size} and len(chunks[-1]) <= size


@pytest.mark.parametrize("size", [0, -1, "8", 1.5])
def test_chunks_of_nothing_are_refused(size: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"chunk_size={size!r}: give a whole number of at least 1"):
        ExactChunks(size)


def test_chunks_as_they_come() -> None:
    assert fed(AsTheyCome(), b"a", b"bc") == [b"a", b"bc"]


@pytest.mark.parametrize("encoding", ["utf-16", "UTF16", "utf_32"])
@pytest.mark.parametrize("text", ["", "a", "grün\r\n😀\n", "\ufeff twice"])
def test_unicode_in_wide_units_needs_no_byte_order_mark(encoding: str, text: str) -> None:
    width = "utf-16" if "16" in encoding else "utf-32"
    for data in (text.encode(f"{width}-le"), text.encode(width)):
        expected = data.decode(encoding)
        assert "".join(fed(TextChunks(encoding), *bytewise(data))) == expected
        assert "".join(fed(TextChunks(encoding), data)) == expected
    unfinished = "ab".encode(f"{width}-le") + b"c"
    assert "".join(fed(TextChunks(encoding), *bytewise(unfinished))) == "ab\ufffd"
    big = text.encode(f"{width}-be")
    mark = "\ufeff".encode(f"{width}-be")
    assert "".join(fed(TextChunks(encoding), *bytewise(mark + big))) == text


@pytest.mark.parametrize(
    ("name", "known"),
    [
        *[(name, True) for name in ("utf-8", "UTF8", "latin-1", "shift_jis", "utf-16", "utf-7", "utf-8-sig", "cp1252")],
        *[(name, False) for name in ("", "x", "hex", "zip", "rot13", "undefined", "a\0b", "é", "\udc80")],
        *[(name, False) for name in ("idna", "punycode", "unicode_escape", "Unicode-Escape", "raw_unicode_escape")],
    ],
)
def test_known_are_encodings_of_texts(name: str, known: bool) -> None:
    assert known_encoding(name) == (name if known else None)
    if known:
        TextChunks(name).feed(bytes(range(256)))


@pytest.mark.parametrize(
    "pieces", [(b"a\r", b"\nb\n"), (b"a\r", b"\n", b"b\r", b"\n"), (b"a\r", b"b\r\n"), (b"a", b"\r\nb")]
)
def test_an_end_that_is_cut_in_two_is_one_end(pieces: tuple[bytes, ...]) -> None:
    assert fed(Lines("utf-8"), *pieces) == ["a", "b"]
