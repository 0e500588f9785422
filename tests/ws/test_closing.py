"""Close codes and close payloads."""

from __future__ import annotations

import pytest

from reqivo_ws.closing import Violation, build_close, describe, is_quiet, is_transient, is_valid_on_wire, parse_close


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_valid_codes_pass_to_the_application(code: int) -> None:
    assert is_valid_on_wire(code)
    assert parse_close(code.to_bytes(2, "big") + "gründlich".encode()) == (code, "gründlich")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_invalid_codes_are_violations(code: int) -> None:
    with pytest.raises(Violation) as caught:
        parse_close(code.to_bytes(2, "big"))
    assert caught.value.code == 1002


def test_no_code_is_1005_and_half_a_code_a_violation() -> None:
    assert parse_close(b"") == (1005, "")
    with pytest.raises(Violation) as caught:
        parse_close(b"\x03")
    assert caught.value.code == 1002


def test_a_reason_that_is_not_utf8_is_invalid_data() -> None:
    with pytest.raises(Violation) as caught:
        parse_close(b"\x03\xe8\xff")
    assert caught.value.code == 1007


def test_reasons_are_cut_between_characters() -> None:
    assert build_close(1000, "a" * 123) == b"\x03\xe8" + b"a" * 123
    assert build_close(1000, "ä" * 62) == b"\x03\xe8" + "ä".encode() * 61
    assert build_close(1005, "never sent") == b""


def test_what_codes_mean() -> None:
    assert [code for code in (1000, 1001, 1005, 1006, 1011, 3000) if is_quiet(code)] == [1000, 1001, 1005]
    assert [code for code in (1000, 1001, 1002, 1006, 1009, 1012, 4000) if is_transient(code)] == [1001, 1006, 1012]
    assert (describe(1011), describe(4001), describe(17)) == (
        "1011 (internal error)",
        "4001 (private use)",
        "17 (unknown)",
    )
