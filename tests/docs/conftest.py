"""The hosts that the examples name, shared by all of them."""

from collections.abc import Iterator

import pytest

from docs.hosts import Internet
from support.certs import Authority


@pytest.fixture(scope="session")
def internet(authority: Authority) -> Iterator[Internet]:
    with Internet(authority) as internet:
        yield internet
