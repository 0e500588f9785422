"""The table of a run, in Markdown, and its raw figures, in JSON."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import chart
from contenders import FAST, Contender, Kind
from results import Run
from targets import judge
from workloads import Workload

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def write(run: Run, directory: Path, readme: Path | None) -> list[Path]:
    """Write down what a run has found.

    Args:
        run: The run.
        directory: Where ``table.md``, ``figures.json`` and ``chart.svg`` go.
        readme: A file whose part between two marks becomes the table as well.

    Returns:
        What was written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    text = table(run)
    written = {
        directory / "table.md": text,
        directory / "figures.json": json.dumps(_raw(run), indent=1) + "\n",
        directory / "chart.svg": chart.draw(run),
    }
    for path, content in written.items():
        path.write_text(content)
    if readme is not None:
        before, _, rest = readme.read_text().partition(BEGIN)
        text = text.replace("](chart.svg)", "](results/chart.svg)")
        readme.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}")
    return [*written, *([readme] if readme else [])]


def _raw(run: Run) -> dict[str, object]:
    return {
        "machine": run.machine,
        "note": run.note,
        "is_quick": run.is_quick,
        "rounds": run.rounds,
        "versions": run.versions,
        "figures": run.raw(),
        "without": run.reasons(),
    }


def table(run: Run) -> str:
    """The whole report."""
    parts = [_preface(run), "![The cost of some of the work](chart.svg)", _targets(run), _losses(run)]
    parts += [_group(run, name, list(rows)) for name, rows in groupby(run.workloads, lambda row: row.group)]
    parts.append(_missing(run))
    return "\n\n".join(part for part in parts if part) + "\n"


def _preface(run: Run) -> str:
    versions = ", ".join(sorted({f"{one.distribution} {run.versions[one.name]}" for one in run.contenders} - {" -"}))
    rounds = f"medians of {run.rounds} rounds" if run.rounds > 1 else "one round"
    lines = [
        f"{run.machine}; {rounds}{', a trial with --quick' if run.is_quick else ''}.",
        f"Versions: {versions}.",
    ]
    return " ".join([run.note, *lines] if run.note else lines)


def _targets(run: Run) -> str:
    words = {True: "met", False: "**not met**", None: "not measured"}
    lines = [
        f"| {one.title} | {one.target.ours} | {one.wanted} | {one.found or '–'} | {words[one.is_met]} |"
        for one in judge(run)
    ]
    if not lines:
        return ""
    head = ["### Targets", "", "| work | who | wanted | found | |", "|---|---|---|---|---|"]
    return "\n".join([*head, *lines])


def _losses(run: Run) -> str:
    """Where a client that anybody could use instead costs less."""
    lines = []
    for workload in run.workloads:
        ours = run.cost(workload, FAST)
        if ours is None:
            continue
        costs = {one.name: run.cost(workload, one.name) for one in run.contenders if one.kind in _RIVALS}
        cheaper = sorted((cost, name) for name, cost in costs.items() if cost is not None and cost < ours)
        if cheaper:
            told = ", ".join(f"{name} ({_factor(cost, ours)})" for cost, name in cheaper)
            lines.append(f"* {workload.title} ({workload.group.partition(',')[0]}): {told}")
    if not lines:
        return ""
    return "\n".join(
        ["### Where reqivo loses", "", "Clients that cost less than reqivo, and how much of its cost:", "", *lines]
    )


def _factor(cost: float, ours: float) -> str:
    return f"{cost / ours:.2f} ×" if ours > 0 and cost >= 0 else "less"


_RIVALS = (Kind.PYTHON, Kind.NATIVE)


def _group(run: Run, name: str, rows: list[Workload]) -> str:
    """One table; contenders that can do nothing of it are left out."""
    columns = [one for one in run.contenders if any(_cell(run, row, one) != "–" for row in rows)]
    if not columns:
        return ""
    lines = [f"### {name}", "", _explanation(rows[0])]
    lines += ["", "| | " + " | ".join(row.title for row in rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for one in columns:
        cells = [_cell(run, row, one) for row in rows]
        lines.append(f"| {'**' + one.name + '**' if one.kind is Kind.OURS else one.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _explanation(row: Workload) -> str:
    if row.group.startswith("Start-up"):
        return "CPU ms (wall ms) of the process, or KiB."
    return "CPU µs of the client process for one operation (wall µs), and the ratio to reqivo; MB/s by the wall clock."


def _cell(run: Run, workload: Workload, contender: Contender) -> str:
    cost = run.cost(workload, contender.name)
    if cost is None:
        skipped = run.skipped(workload.key, contender.name)
        if skipped is None or not skipped.is_failure:
            return "–"
        return skipped.reason if skipped.reason.startswith("over ") else "failed"
    if workload.unit == "KiB":
        return f"{cost:,.1f}"
    wall = run.figure(workload.key, contender.name, "wall") or 0.0
    if workload.group.startswith("Start-up"):
        text = f"{cost / 1000:.1f} ({wall / 1000:.1f})"
    else:
        text = f"{cost:,.0f} ({wall:,.0f})"
    ours = run.cost(workload, FAST)
    if ours:
        text += f" {cost / ours:.2f} ×"
    if workload.megabytes and wall:
        text += f", {workload.megabytes / wall * 1e6:,.0f} MB/s"
    return text


def _missing(run: Run) -> str:
    """Why cells are empty: failures one by one, what cannot be done by client."""
    failures: list[str] = []
    reasons: dict[str, set[str]] = {}
    for workload in run.workloads:
        for one in run.contenders:
            skipped = run.skipped(workload.key, one.name)
            if skipped is None:
                continue
            if skipped.is_failure:
                failures.append(f"* {one.name}, {workload.key}: {skipped.reason}")
            else:
                reasons.setdefault(one.name, set()).add(skipped.reason)
    parts = []
    if failures:
        parts.append("\n".join(["### What failed", "", *failures]))
    if reasons:
        lines = [f"* {name}: {'; '.join(sorted(said))}" for name, said in reasons.items()]
        parts.append("\n".join(["### What a dash stands for", "", *lines]))
    return "\n\n".join(parts)
