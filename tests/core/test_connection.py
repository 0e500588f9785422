"""Connections that were handed out."""

from __future__ import annotations

from typing import Any

import pytest

from reqivo_core.connection import LeasedStream
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.streams import MemoryStream


class Interrupted(MemoryStream):
    """A stream whose first farewell is interrupted."""

    def close(self) -> None:
        was_closed = self.is_closed
        super().close()
        if not was_closed:
            raise KeyboardInterrupt


class Slot:
    """A place in a pool."""

    was_released = False

    def release(self) -> None:
        self.was_released = True

    abandon = release


def test_an_interrupted_farewell_gives_the_slot_back() -> None:
    slot: Any = Slot()
    stream = Interrupted(MemoryRuntime())
    leased = LeasedStream(stream, slot)
    with pytest.raises(KeyboardInterrupt):
        leased.close()
    assert (slot.was_released, stream.is_closed) == (True, True)
