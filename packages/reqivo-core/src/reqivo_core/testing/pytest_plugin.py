"""The kit as fixtures.

Load it in a ``conftest.py``; it does not load itself, for most who install reqivo test no plug-ins::

    pytest_plugins = ["reqivo_core.testing.pytest_plugin"]

This is the one module of reqivo that needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("reqivo_core.testing.transport_suite")

from reqivo_core.testing.memory import MemoryRuntime  # noqa: E402  # after the line above, or it has no effect
from reqivo_core.testing.recorder import Recorder  # noqa: E402  # as above
from reqivo_core.testing.streams import SEGMENTATIONS  # noqa: E402  # as above

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def memory_runtime() -> Iterator[MemoryRuntime]:
    """A world in memory; what its servers raised unnoticed fails the test."""
    with MemoryRuntime() as runtime:
        yield runtime


@pytest.fixture
def recorder() -> Recorder:
    """A plugin that remembers every hook call: ``Session(plugins=[recorder])``."""
    return Recorder()


@pytest.fixture(params=SEGMENTATIONS)
def segmentation(request: pytest.FixtureRequest) -> str:
    """Run the test once for each way to cut octets; for ``segments`` and ``ScriptedStream(how=…)``."""
    name: str = request.param
    return name
