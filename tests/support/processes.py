"""Forked children."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable


def run_in_child(function: Callable[[], object]) -> None:
    """Call something in a forked child and wait for the child's end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns where threads are running
        child = os.fork()
    if child == 0:
        try:
            function()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
