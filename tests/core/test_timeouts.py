"""Timeouts as users see them printed."""

from __future__ import annotations

import inspect

from reqivo_core import Timeout


def test_a_timeout_tells_all_it_says() -> None:
    shown = repr(Timeout(1, total=5, pool=None))
    assert shown == "Timeout(connect=1.0, read=30.0, total=5.0, write=30.0, pool=None)"
    assert eval(shown) == Timeout(1, total=5, pool=None)


def test_its_signature_tells_what_may_be_left_out_from_what_is_for_ever() -> None:
    parameters = inspect.signature(Timeout).parameters
    assert {name: str(parameter.default) for name, parameter in parameters.items()} == {
        "connect": "…",
        "read": "…",
        "total": "None",
        "write": "…",
        "pool": "…",
        "timeout": "…",
    }
