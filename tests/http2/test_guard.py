"""The lock of a connection, where a signal left it taken."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from reqivo_core.limits import DEFAULT_LIMITS
from reqivo_http2 import guard as guards
from reqivo_http2.codec import load_codec
from reqivo_http2.connection_state import ConnectionState
from reqivo_http2.guard import Guard


class Woken:
    """A waiter that knows whether it was woken."""

    def __init__(self) -> None:
        self.is_awake = False

    def wake(self) -> None:
        self.is_awake = True


class Line:
    """A guard with what it tells."""

    def __init__(self) -> None:
        self.state = ConnectionState(load_codec(None)(4096), DEFAULT_LIMITS, 0.0)
        self.is_closed = False
        self.changes = 0
        self.guard = Guard(self.state, self._change, None, self._close)

    def _change(self) -> None:
        self.changes += 1

    def _close(self) -> None:
        self.is_closed = True


@pytest.fixture
def line() -> Line:
    return Line()


def in_a_thread(action: Any) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def test_a_thread_that_left_it_taken_lets_go_of_it_and_of_the_connection(line: Line) -> None:
    waiter: Any = Woken()
    line.state.waiters[waiter] = None
    line.guard.__enter__()  # and a signal strikes on the way out of the step
    with line.guard:
        pass
    assert line.is_closed and line.changes == 1 and waiter.is_awake
    assert line.state.failure is not None
    assert "which had to be closed" in line.state.failure.message
    taken: list[bool] = []
    in_a_thread(lambda: taken.append(line.guard._lock.acquire(blocking=False)))
    assert taken == [True]


def test_others_go_on_without_a_thread_that_never_comes_back(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "PATIENCE", 0.01)
    in_a_thread(line.guard.__enter__)
    with line.guard:
        assert line.state.failure is not None
    assert line.is_closed and line.changes == 1
    with line.guard:
        pass


def test_what_is_deferred_inside_of_a_step_waits_for_its_end(line: Line) -> None:
    done: list[str] = []
    with line.guard:
        line.guard.defer(lambda: done.append("deferred"))
        done.append("step")
    assert done == ["step", "deferred"]


def test_a_signal_behind_the_taking_of_the_lock_leaves_it_free(line: Line) -> None:
    class Struck(BaseException):
        pass

    class Lock:
        """A lock behind whose taking a signal strikes."""

        def __init__(self, lock: Any) -> None:
            self._lock = lock
            self._is_owned = lock._is_owned
            self.release = lock.release

        def acquire(self, *arguments: Any) -> bool:
            self._lock.acquire(*arguments)
            raise Struck

    free = line.guard._lock
    line.guard._lock = Lock(free)
    with pytest.raises(Struck), line.guard:
        pass  # never entered
    assert not free._is_owned()


def test_waiters_are_woken_although_a_signal_strikes_where_the_first_is(line: Line) -> None:
    class Alarm(BaseException):
        pass

    class Striking(Woken):
        def wake(self) -> None:
            if not self.is_awake:
                self.is_awake = True
                raise Alarm

    first, second = Striking(), Woken()
    with pytest.raises(Alarm), line.guard:
        line.state.woken += [first, second]  # type: ignore[list-item]  # they do what is asked of waiters here
    assert first.is_awake and second.is_awake


def test_a_signal_before_the_lock_is_taken_leaves_it_to_whoever_has_it(line: Line) -> None:
    class Struck(BaseException):
        pass

    class Lock:
        """A lock in whose line a signal strikes."""

        def _is_owned(self) -> bool:
            return False

        def acquire(self, *arguments: Any) -> bool:
            raise Struck

    line.guard._lock = Lock()
    with pytest.raises(Struck), line.guard:
        pass  # never entered
    assert line.state.failure is None


def test_of_two_that_go_on_without_a_thread_the_second_takes_the_first_ones_lock(line: Line) -> None:
    theirs = line.guard._lock
    line.guard._go_on_without(threading.RLock())
    assert line.guard._lock is theirs and theirs._is_owned()
    assert line.is_closed and line.state.failure is not None
