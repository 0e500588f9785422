"""A contender's own process: obeys one command a line, and answers with one line of JSON.

``{"do": "open", "workload": {…}, "places": {…}}`` · ``{"do": "run", "count": n}`` · ``{"do": "close"}``

It ends when its standard input does. Who started it kills it when it takes too long; should nobody be there any more to
do so, it ends by itself.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import sys
import time
from typing import Any

import drivers
import driving
import memory
from contenders.base import Unsupported
from server import Places, raise_file_limit
from workloads import Workload

LONGEST = 900
"""Seconds for one command, when all else has failed."""

REST = 5.0
"""Seconds without work after which a first operation is not counted."""


class Worker:
    """What the commands do."""

    def __init__(self, module: str, library: str) -> None:
        self._module = module
        self._library = library
        self._driver: driving.Driver | None = None
        self._ended: float | None = None

    def open(self, command: dict[str, Any]) -> dict[str, Any]:
        """Make the client and look whether it does what it should."""
        workload = Workload(**command["workload"])
        try:
            module = importlib.import_module(f"contenders.{self._module}")
        except ImportError as error:
            raise Unsupported(f"it cannot be imported here: {error}") from None
        task = driving.Task(workload, Places(**command["places"]), module, self._library)
        kind = getattr(drivers, workload.driver, None) or getattr(memory, workload.driver)
        self._driver = kind(task)
        self._driver.open()
        return {}

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do it so many times, and tell what one time cost in µs."""
        assert self._driver is not None
        count = command["count"]
        if self._is_rested():
            self._driver.run(1)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        self._driver.run(count)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        self._ended = time.monotonic()
        figures = {"cpu": cpu / count * 1e6, "wall": wall / count * 1e6}
        return figures | getattr(self._driver, "figures", {})

    def _is_rested(self) -> bool:
        """Whether others had their turn for so long that the server may have closed connections: not our cost."""
        return self._ended is not None and time.monotonic() - self._ended > REST

    def close(self, command: dict[str, Any]) -> dict[str, Any]:
        """Close the client."""
        if self._driver is not None:
            self._driver.close()
        return {}


def main() -> None:
    """Obey until nobody asks."""
    module, library, core = sys.argv[1:4]
    if hasattr(os, "sched_setaffinity") and int(core) >= 0:
        os.sched_setaffinity(0, {int(core)})
    raise_file_limit()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    worker = Worker(module, library)
    for line in sys.stdin:
        command = json.loads(line)
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        try:
            answer = getattr(worker, command["do"])(command)
        except Unsupported as error:
            answer = {"unsupported": str(error)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(answer), file=answers, flush=True)
        if command["do"] == "close":
            break
    answers.flush()
    os._exit(0)  # background threads of a library must not keep the process


if __name__ == "__main__":
    main()
