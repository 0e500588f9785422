"""The other processes of a run, as seen from here: servers, contenders, interpreters that only import."""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contenders import Contender
from server import Places
from workloads import Workload

HERE = Path(__file__).parent
LIMIT = 120.0
"""Seconds that a contender may take for one row, its rounds and all that comes before them together."""


class NotPossible(Exception):
    """A contender cannot do this; the message says why."""


class Failed(Exception):
    """A contender that should can not."""


class TooSlow(Failed):
    """A contender was ended, since it took longer for a row than any may."""


class Servers:
    """The servers, from ``with`` to its end."""

    def __init__(self, cores: set[int]) -> None:
        self._cores = cores

    def __enter__(self) -> Servers:
        def pin() -> None:
            if self._cores:
                os.sched_setaffinity(0, self._cores)

        command = [sys.executable, str(HERE / "server.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the servers did not start")
        self.places = Places(**json.loads(line))
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closing its standard input is what ends it, and everything that it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group of its own
            self._process.wait(5)


class Process:
    """One contender's process, for one workload."""

    def __init__(
        self, interpreter: str, contender: Contender, environment: dict[str, str], core: int, limit: float = LIMIT
    ) -> None:
        command = [interpreter, str(HERE / "worker.py"), contender.module, contender.library, str(core)]
        self._limit = self._left = limit
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        self._count = 1

    @staticmethod
    def version_of(interpreter: str, distribution: str) -> str | None:
        """The version that another interpreter has of a distribution."""
        code = f"from importlib.metadata import version; print(version({distribution!r}))"
        result = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        return result.stdout.strip() or None

    def open(self, workload: Workload, places: Places) -> None:
        """Have it make its client and prove itself."""
        self._ask(do="open", workload=asdict(workload), places=asdict(places))

    def calibrate(self, workload: Workload, seconds: float) -> None:
        """Find out how many operations fill a round; this warms it up as well."""
        if workload.fixed:
            self._count = workload.fixed
            return
        least = min(workload.in_flight, 1000)
        self._count = 1 if workload.megabytes or workload.driver == "FirstRequest" else least
        while True:
            taken = self.run()["wall"] * self._count / 1e6
            if taken >= seconds / 4:
                break
            self._count *= 4
        self._count = max(1, math.ceil(self._count * seconds / taken))
        if least > 1:
            self._count = max(least, self._count)

    def run(self) -> dict[str, float]:
        """Do one round."""
        return self._ask(do="run", count=self._count)

    def close(self) -> None:
        """End it, by its own means if it can."""
        assert self._process.stdin is not None
        try:
            self._ask(do="close", patience=5.0)
            self._process.stdin.close()
            self._process.wait(5)
        except (Failed, OSError, subprocess.TimeoutExpired):
            self.kill()

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _ask(self, patience: float | None = None, **command: Any) -> dict[str, Any]:
        """Send a command, and wait for what it says to it: so many seconds, or what is left of its time."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise Failed(self._last_words()) from None
        if patience is not None:
            line = self._line(patience)
        else:
            asked = time.monotonic()
            line = self._line(self._left)
            self._left -= time.monotonic() - asked
        answer: dict[str, Any] = json.loads(line)
        if "unsupported" in answer or "error" in answer:
            self.kill()
            raise NotPossible(answer["unsupported"]) if "unsupported" in answer else Failed(answer["error"])
        return answer

    def _line(self, patience: float) -> bytes:
        """Wait for a line of its output."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            end = time.monotonic() + patience
            while selector.select(max(0.0, end - time.monotonic())):
                line = self._process.stdout.readline()
                if not line:
                    raise Failed(self._last_words())
                return line
        self.kill()
        raise TooSlow(f"over {self._limit:g} s")

    def _last_words(self) -> str:
        """What it wrote before it died."""
        self.kill()
        assert self._process.stderr is not None
        words = (self._process.stderr.read() or b"").decode(errors="replace").strip().splitlines()
        return f"its process ended with {self._process.returncode}: {' | '.join(words[-3:])}"[:300]


class ImportTimer:
    """An interpreter that imports a library and ends, and what that costs."""

    def __init__(
        self, interpreter: str, library: str, environment: dict[str, str], core: int, limit: float = LIMIT
    ) -> None:
        self._limit = limit
        self._command = [interpreter, "-c", f"import {library}" if library else "pass"]
        self._environment = environment
        self._core = core

    def open(self, workload: Workload, places: Places) -> None:
        """Do it once: files are warm then, and compiled."""
        self.run()

    def calibrate(self, workload: Workload, seconds: float) -> None:
        """A round is one import."""

    def run(self) -> dict[str, float]:
        """Do it once."""

        def pin() -> None:
            if self._core >= 0:
                os.sched_setaffinity(0, {self._core})

        started = time.perf_counter()
        process = subprocess.Popen(self._command, env=self._environment, preexec_fn=pin)
        timer = threading.Timer(self._limit, os.kill, [process.pid, signal.SIGKILL])
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == -signal.SIGKILL:
            raise TooSlow(f"over {self._limit:g} s")
        if process.returncode:
            raise Failed(f"{' '.join(self._command)} ended with {process.returncode}")
        return {"cpu": (usage.ru_utime + usage.ru_stime) * 1e6, "wall": (time.perf_counter() - started) * 1e6}

    def close(self) -> None:
        """There is nothing left of it."""
