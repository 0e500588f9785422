"""What tests of the core share: they run with nothing else of reqivo's installed, or as if."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

from reqivo_core.plugins import reload_plugins


@pytest.fixture
def no_plugins() -> Iterator[None]:
    """A process in which nothing is installed beside the core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQIVO_DISABLE_PLUGINS", ",".join(point.name for point in entry_points(group="reqivo")))
        reload_plugins()
        yield
    reload_plugins()
