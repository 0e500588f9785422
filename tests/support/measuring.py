"""Coverage, where it measures: its tracer takes a lock as threads enter functions, and forks know nothing of that."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any


def hold_across_forks(lock: threading.Lock) -> None:
    """Have the thread that forks hold a lock meanwhile, so that neither side finds it held by a thread it has not."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


def tracers_lock() -> Any:
    """The lock of coverage's tracer; None where nothing is measured."""
    coverage = sys.modules.get("coverage")
    measuring = coverage and coverage.Coverage.current()
    return getattr(getattr(measuring, "_collector", None), "data_lock", None)
