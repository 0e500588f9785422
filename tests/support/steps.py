"""A measure of work that no busy machine disturbs."""

import gc
import sys
from collections.abc import Callable
from typing import Any

from reqivo_core.errors import ReqivoError


def count_steps(call: Callable[[], object]) -> int:
    """Count the lines of Python that a call runs, whether it returns or raises a library's error."""
    count = 0

    def tracer(*_: Any) -> Any:
        nonlocal count
        count += 1
        return tracer

    previous, collects = sys.gettrace(), gc.isenabled()
    gc.disable()  # the finalizers of others are none of its steps
    sys.settrace(tracer)
    try:
        call()
    except ReqivoError:
        pass
    finally:
        sys.settrace(previous)
        if collects:
            gc.enable()
    return count
