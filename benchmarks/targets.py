"""The targets: what reqivo is to reach, as ratios within one run."""

from __future__ import annotations

from dataclasses import dataclass

from contenders import BARE, FAST, REFERENCE
from results import Run
from workloads import Workload


@dataclass(frozen=True)
class Target:
    """One of them.

    Attributes:
        workload: The row.
        ours: Which of our columns.
        factor: How many times what the other costs it may cost.
        other: The other column; empty where ``factor`` is the figure itself.
        other_workload: The other row, where it is compared with itself elsewhere.
    """

    workload: str
    ours: str
    factor: float
    other: str = ""
    other_workload: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a target.

    Attributes:
        target: The target.
        title: The row's title.
        wanted: In words.
        found: In words; empty if it was not measured.
        is_met: Whether it was reached; None if it was not measured.
    """

    target: Target
    title: str
    wanted: str
    found: str
    is_met: bool | None


def _both(workload: str, other: str, fast: float, reference: float) -> list[Target]:
    return [Target(workload, FAST, fast, other), Target(workload, REFERENCE, reference, other)]


# Where a target speaks of throughput, the cost of the same octets is compared: 0.9 of the MB/s is 1 / 0.9 of the cost.
TARGETS = [
    Target("sync-small", FAST, 1.0, "pyreqwest"),
    Target("sync-small", FAST, 0.2, "requests"),
    Target("sync-small", REFERENCE, 0.5, "httpx2"),
    Target("sync-small", REFERENCE, 0.85, "httpcore"),
    Target("async-50", FAST, 0.8, "aiohttp"),
    Target("async-50", REFERENCE, 0.4, "httpx2"),
    Target("async-1000", FAST, 1.3, FAST, "async-50"),
    Target("async-1000", REFERENCE, 1.3, REFERENCE, "async-50"),
    Target("h2-async-50", FAST, 1.0, "pyqwest"),
    Target("h2-async-50", REFERENCE, 0.45, "httpx2"),
    *_both("h2-threads", "httpx2", 0.4, 0.6),
    *_both("sync-down", BARE, 1 / 0.9, 1 / 0.5),
    *_both("sync-down-tls", BARE, 1 / 0.9, 1 / 0.5),
    Target("h2-sync-down", FAST, 1.0, "pyqwest"),
    Target("h2-sync-down", REFERENCE, 1 / 1.5, "httpx2"),
    *_both("sync-up", BARE, 1 / 0.8, 1 / 0.5),
    *_both("sync-up-tls", BARE, 1 / 0.8, 1 / 0.5),
    Target("ws-async-64", FAST, 1.0, "aiohttp"),
    Target("ws-async-1048576", FAST, 1.3, "aiohttp"),
    Target("import", FAST, 0.6, "httpx"),
    Target("first-request", FAST, 1.0, "httpx"),
    *_both("stream-down", "", 8192, 8192),
    *_both("stream-up", "", 8192, 8192),
    *_both("h2-stream-down", "", 8192, 8192),
    *_both("idle-memory", "", 12, 12),
]


def judge(run: Run) -> list[Verdict]:
    """Look at each target whose row was run."""
    return [verdict for target in TARGETS if (verdict := _judge(run, target)) is not None]


def _judge(run: Run, target: Target) -> Verdict | None:
    workload = run.workload(target.workload)
    if workload is None:
        return None
    ours = run.cost(workload, target.ours)
    title = workload.title
    if workload.is_http2 and "HTTP/2" not in title:
        title += ", HTTP/2"
    if not target.other:
        wanted = f"≤ {target.factor:g} {workload.unit}"
        found = "" if ours is None else f"{ours:.1f} {workload.unit}"
        return Verdict(target, title, wanted, found, None if ours is None else ours <= target.factor)
    other_row = run.workload(target.other_workload or target.workload)
    other = None if other_row is None else run.cost(other_row, target.other)
    name = f"its own with {other_row.title}" if target.other_workload and other_row else target.other
    wanted = f"≤ {target.factor:.2f} × {name}"
    if ours is None or other is None:
        return Verdict(target, title, wanted, "", None)
    found = f"{ours / other:.2f} ×{_speed(run, workload, target)}"
    return Verdict(target, title, wanted, found, ours / other <= target.factor)


def _speed(run: Run, workload: Workload, target: Target) -> str:
    """The throughputs by the wall clock in words, for those who wait rather than pay; they decide nothing here."""
    if not workload.megabytes:
        return ""
    ours, other = (run.figure(workload.key, who, "wall") for who in (target.ours, target.other))
    return f"; {other / ours:.2f} × its MB/s" if ours and other else ""
