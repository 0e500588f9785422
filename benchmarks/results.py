"""What a run has found."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from contenders import Contender
from workloads import Workload


@dataclass(frozen=True)
class Skipped:
    """Why there is no figure.

    Attributes:
        reason: In words.
        is_failure: Whether there should be one.
    """

    reason: str
    is_failure: bool


@dataclass
class Run:
    """One run, workload by workload and contender by contender.

    Attributes:
        workloads: The rows.
        contenders: The columns.
        rounds: How often each was measured.
        is_quick: Whether it was but a trial.
        note: A sentence about the run.
        versions: What was installed.
        machine: What it ran on, in neutral words.
    """

    workloads: list[Workload]
    contenders: list[Contender]
    rounds: int
    is_quick: bool
    note: str
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = field(default_factory=lambda: describe_machine())
    _figures: dict[tuple[str, str], list[dict[str, float]]] = field(default_factory=dict)
    _skipped: dict[tuple[str, str], Skipped] = field(default_factory=dict)

    def add(self, workload: Workload, contender: Contender, figures: dict[str, float]) -> None:
        """Keep the figures of one round."""
        self._figures.setdefault((workload.key, contender.name), []).append(figures)

    def skip(self, workload: Workload, contender: Contender, skipped: Skipped) -> None:
        """Keep why there are none."""
        self._skipped[workload.key, contender.name] = skipped
        self._figures.pop((workload.key, contender.name), None)

    def figure(self, workload: str, contender: str, what: str = "cpu") -> float | None:
        """The median of a figure: ``cpu``, ``wall``, ``python``, ``resident``."""
        rounds = self._figures.get((workload, contender))
        return median(figures[what] for figures in rounds) if rounds and what in rounds[0] else None

    def cost(self, workload: Workload, contender: str) -> float | None:
        """The figure that counts in a row: CPU µs, or KiB."""
        if workload.unit == "µs":
            return self.figure(workload.key, contender)
        python = self.figure(workload.key, contender, "python")
        return self.figure(workload.key, contender, "resident") if python is None else python

    def skipped(self, workload: str, contender: str) -> Skipped | None:
        """Why there is no figure."""
        return self._skipped.get((workload, contender))

    def reasons(self) -> dict[str, dict[str, str]]:
        """Why there are no figures."""
        found: dict[str, dict[str, str]] = {}
        for (workload, contender), skipped in self._skipped.items():
            found.setdefault(workload, {})[contender] = skipped.reason
        return found

    def workload(self, key: str) -> Workload | None:
        """A row by its name."""
        return next((row for row in self.workloads if row.key == key), None)

    def raw(self) -> dict[str, dict[str, list[dict[str, float]]]]:
        """Every figure of every round."""
        found: dict[str, dict[str, list[dict[str, float]]]] = {}
        for (workload, contender), rounds in self._figures.items():
            found.setdefault(workload, {})[contender] = rounds
        return found


def describe_machine() -> str:
    """The machine, as far as it matters for figures."""
    kernel = platform.release().split("-")[0]
    return (
        f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {kernel}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
