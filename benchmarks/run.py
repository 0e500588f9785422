"""Measure reqivo and every other client that is installed, side by side: ``tox -e bench``.

For each workload one process per contender is started, pinned to a core that no server runs on. They take turns, round
by round, so that an hour's weather falls on all alike; what counts is the median.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report
from contenders import BEFORE, CONTENDERS, Contender, before
from processes import LIMIT, Failed, ImportTimer, NotPossible, Process, Servers, TooSlow
from results import Run, Skipped
from workloads import Workload, workloads

HERE = Path(__file__).parent


@dataclass
class Machine:
    """Which cores do what, and which interpreter runs whom.

    Attributes:
        client_core: Where contenders run; -1 where processes cannot be pinned.
        server_cores: Where the servers run.
        interpreters: The interpreters of contenders that have an environment of their own, by name.
        baseline: Another tree of reqivo to measure too.
        limit: Seconds that a contender may take for one row.
    """

    client_core: int
    server_cores: set[int]
    interpreters: dict[str, str] = field(default_factory=dict)
    baseline: Path | None = None
    limit: float = LIMIT

    def interpreter(self, contender: Contender) -> str | None:
        """Who runs it; None if it must not run in this environment."""
        given = self.interpreters.get(contender.name)
        return given or (None if contender.own_interpreter else sys.executable)

    def environment(self, contender: Contender) -> dict[str, str]:
        """The environment of its processes: no proxies, the tree that is meant, compiled modules kept."""
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        if contender.name == BEFORE and self.baseline is not None:
            trees = [str(path) for path in sorted(self.baseline.glob("packages/*/src"))]
            kept["PYTHONPATH"] = os.pathsep.join(trees)
        return kept | contender.environment


def find_machine(arguments: argparse.Namespace) -> Machine:
    """Divide the cores: the last one for clients, the others for servers."""
    interpreters = dict(pair.split("=", 1) for pair in arguments.interpreter)
    if not hasattr(os, "sched_getaffinity") or len(cores := sorted(os.sched_getaffinity(0))) < 2:
        print("one core, or no way to pin processes: figures of clients and servers will mix", file=sys.stderr)
        return Machine(-1, set(), interpreters, arguments.baseline, arguments.limit)
    os.sched_setaffinity(0, set(cores[:-1]))
    return Machine(cores[-1], set(cores[:-1]), interpreters, arguments.baseline, arguments.limit)


def installed(contender: Contender, machine: Machine) -> str | None:
    """Its version; None if it is not there."""
    interpreter = machine.interpreter(contender)
    if interpreter is None:
        return None
    if not contender.distribution:
        return "-"
    if interpreter != sys.executable:
        return Process.version_of(interpreter, contender.distribution)
    try:
        return version(contender.distribution)
    except PackageNotFoundError:
        return None


def start(contender: Contender, workload: Workload, machine: Machine) -> Process | ImportTimer:
    """Start a contender's process for a workload."""
    interpreter = machine.interpreter(contender)
    assert interpreter is not None
    environment = machine.environment(contender)
    if workload.driver == "Import":
        return ImportTimer(interpreter, contender.library, environment, machine.client_core, machine.limit)
    return Process(interpreter, contender, environment, machine.client_core, machine.limit)


def measure(run: Run, workload: Workload, entrants: list[Contender], machine: Machine, servers: Servers) -> None:
    """Run one workload by all who can."""
    seconds = 0.1 if run.is_quick else 0.4
    able: list[tuple[Contender, Process | ImportTimer]] = []
    try:
        for contender in entrants:
            process = start(contender, workload, machine)
            able.append((contender, process))
            try:
                process.open(workload, servers.places)
                process.calibrate(workload, seconds)
            except NotPossible as reason:
                able.pop()
                run.skip(workload, contender, Skipped(str(reason), False))
            except Failed as error:
                able.pop()
                print(f"    {contender.name}: {error}", flush=True)
                run.skip(workload, contender, Skipped(str(error), True))
        # Memory is told by a process's first run: there is nothing to repeat.
        for _ in range(1 if workload.unit == "KiB" else run.rounds):
            for pair in list(able):
                contender, process = pair
                try:
                    run.add(workload, contender, process.run())
                except NotPossible as reason:  # for that, it had to begin
                    able.remove(pair)
                    run.skip(workload, contender, Skipped(str(reason), False))
                except Failed as error:
                    able.remove(pair)
                    print(f"    {contender.name}: {error}", flush=True)
                    if not isinstance(error, TooSlow) or run.cost(workload, contender.name) is None:
                        run.skip(workload, contender, Skipped(str(error), True))
    finally:
        for _, process in able:
            process.close()


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="workloads, by name (repeatable)"
    )
    parser.add_argument(
        "--contender", action="append", default=[], metavar="PATTERN", help="clients, by name (repeatable)"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each workload (7; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="shorter rounds, smaller bodies: a trial, not a result")
    parser.add_argument("--output", type=Path, default=HERE / "results", metavar="DIR", help="where the results go")
    parser.add_argument("--readme", action="store_true", help="put the table into benchmarks/README.md as well")
    parser.add_argument("--note", default="", help="a sentence to stand above the table")
    parser.add_argument(
        "--interpreter", action="append", default=[], metavar="NAME=PYTHON", help="whose environment a client is in"
    )
    parser.add_argument("--baseline", type=Path, metavar="TREE", help="another checkout, measured as reqivo-before")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, metavar="SECONDS", help="what a client may take for one row (%(default)g)"
    )
    parser.add_argument("--list", action="store_true", help="name workloads and clients, and end")
    return parser.parse_args(arguments)


def chosen(name: str, patterns: list[str]) -> bool:
    """Whether a name is among those asked for."""
    return not patterns or any(fnmatch(name, pattern) for pattern in patterns)


def run_all(run: Run, machine: Machine) -> None:
    """Run one workload after the other."""
    started = time.monotonic()
    try:
        with Servers(machine.server_cores) as servers:
            for workload in run.workloads:
                print(f"{time.monotonic() - started:6.0f} s  {workload.key}", flush=True)
                measure(run, workload, run.contenders, machine, servers)
    except KeyboardInterrupt:
        print("interrupted: the table holds what was measured so far")


def main() -> None:
    """Measure, and write down."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    arguments = parse(sys.argv[1:])
    rows = [row for row in workloads(arguments.quick) if chosen(row.key, arguments.only)]
    entrants = [one for one in CONTENDERS if chosen(one.name, arguments.contender)]
    if arguments.baseline is not None:
        entrants.insert(1, before())
    if arguments.list:
        print("\n".join(f"{row.key:22} {row.title}" for row in rows))
        print("\n".join(f"{one.name:22} {one.kind.value}" for one in entrants))
        return
    machine = find_machine(arguments)
    run = Run(rows, [], arguments.rounds or (3 if arguments.quick else 7), arguments.quick, arguments.note)
    for contender in entrants:
        if (found := installed(contender, machine)) is None:
            print(f"{contender.name}: not installed, left out")
        else:
            run.contenders.append(contender)
            run.versions[contender.name] = found
    try:
        run_all(run, machine)
    finally:  # what was measured before the end is not lost, whatever ended it
        for path in report.write(run, arguments.output, HERE / "README.md" if arguments.readme else None):
            print(path)


if __name__ == "__main__":
    main()
