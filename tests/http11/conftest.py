"""Every protocol test runs on both codecs, and over several ways to cut the octets."""

import pytest

from http11.memory import CODECS, SEGMENTATIONS


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=SEGMENTATIONS)
def how(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
