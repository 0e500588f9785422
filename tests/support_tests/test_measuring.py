from __future__ import annotations

import os
import threading

import pytest

from support.measuring import hold_across_forks, tracers_lock
from support.processes import run_in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def test_a_lock_that_is_held_across_forks_is_free_in_the_child() -> None:
    lock = threading.Lock()
    is_held = threading.Event()

    def hold() -> None:
        with lock:
            is_held.set()
            threading.Event().wait(0.05)

    def find_it_free() -> None:
        assert lock.acquire(timeout=5)

    def fork_while_it_is_held() -> None:
        hold_across_forks(lock)  # in a child, since nothing undoes it
        holder = threading.Thread(target=hold)
        holder.start()
        assert is_held.wait(5)
        run_in_child(find_it_free)
        holder.join(5)
        assert lock.acquire(timeout=5), "the parent has given it back"

    run_in_child(fork_while_it_is_held)


def test_the_tracers_lock_is_found_where_coverage_measures() -> None:
    coverage = pytest.importorskip("coverage")
    lock = tracers_lock()
    assert (lock is None) == (coverage.Coverage.current() is None)
    if lock is not None:
        assert lock.acquire(timeout=5)
        lock.release()
