"""Nobody is half-way through a step when the process forks, and the child finds every lock free."""

from __future__ import annotations

import os
import threading
import time

import pytest

from reqivo_core import forks
from support.processes import run_in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


class Pair(forks.ForkSafe):
    """Two numbers that are equal but within a step."""

    def __init__(self) -> None:
        super().__init__()
        self.one = self.other = 0

    def step(self) -> None:
        with self._lock:
            self.one += 1
            time.sleep(0.0001)  # lets other threads run, the one that forks too
            self.other += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair)

    __hash__ = None  # type: ignore[assignment]  # as of a mapping: what is fork-safe need not be hashable


def test_a_fork_waits_for_the_end_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 60)  # a busy machine may let a thread sleep for long amid a step
    pair = Pair()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            pair.step()

    def check() -> None:
        assert pair.one == pair.other
        pair.step()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            run_in_child(check)
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    before = pair.one
    pair.step()  # the parent's lock was given back
    assert pair.one == pair.other == before + 1


def test_what_the_forking_thread_holds_keeps_it_for_a_moment_only() -> None:
    pair = Pair()
    section = forks.Section()
    with pair._lock, section, section:
        run_in_child(lambda: (pair.step(), section.__enter__()))
        assert pair._lock.locked()
    pair.step()
    with section:
        assert pair.one == 1


def test_a_fork_comes_about_while_somebody_holds_up_the_making_of_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 0.01)
    pair = Pair()
    with forks._adding:  # as a thread that the system has stopped there
        run_in_child(lambda: (Pair().step(), pair.step()))
        assert forks._adding.locked()
    Pair().step()
    pair.step()
    assert pair.one == 1


def test_things_may_be_made_while_others_fork() -> None:
    stop = threading.Event()
    made = []

    def work() -> None:
        while not stop.is_set():
            Pair()
            made.append(1)

    def make() -> None:
        Pair().step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20):
            run_in_child(make)
    finally:
        stop.set()
        thread.join(10)
    assert made
