"""Signals that strike at a chosen instant, instead of at random ones."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


class Strike(BaseException):
    """What a signal's handler raised."""


class Striker:
    """Raises in this thread at the n-th instant at which Python would run a signal's handler.

    Handlers run where a function is entered, behind the call of a built-in one, and where a loop begins again. The
    first two are where a profiler is told; the third of them is left out.

    Args:
        instant: The number of the instant.

    Attributes:
        place: Where it struck; None if there were no such many instants.
    """

    def __init__(self, instant: int) -> None:
        self._left = instant
        self._own: set[CodeType] = {Striker.during.__code__, Striker._look.__code__}
        self.place: str | None = None

    def during(self, action: Callable[[], Any]) -> None:
        """Do something until struck.

        A signal in a finalizer is told and no more, and one right before a conversation begins leaves its coroutine
        unawaited: neither is looked at, since whoever keeps such things for a report keeps alive what they refer to.
        """
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        gc.disable()  # what others do when it runs is none of our instants
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.setprofile(self._look)
            try:
                action()
            except Strike:
                pass
            finally:
                sys.setprofile(None)
                gc.enable()
                sys.unraisablehook = hook

    def _look(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.place is not None or frame.f_code in self._own:
            return
        if event == "call" or event == "c_return":
            self._left -= 1
            if self._left < 0:
                behind = "entered" if event == "call" else f"behind {getattr(argument, '__name__', argument)}"
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}, {behind}"
                raise Strike(self.place)
