"""Limits that cannot be limits."""

from __future__ import annotations

import pytest

from reqivo_core import Limits
from reqivo_core.errors import InvalidRequest


def test_more_fields_than_codecs_can_count_are_refused_when_asked_for() -> None:
    assert Limits(max_response_fields=1000).max_response_fields == 1000
    with pytest.raises(InvalidRequest, match=r"max_response_fields=1001\): at most 1000"):
        Limits(max_response_fields=1001)
