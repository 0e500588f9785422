"""What the demo prints: a section's heading, a line for each step, and what was not as it should be."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTHS = (30, 34, 34, 9, 9)
HEADINGS = ("what", "blocking", "async", "blocking", "async")


@dataclass(frozen=True)
class Outcome:
    """How a step went in one world: what it said, or why it failed, and the seconds that it took."""

    text: str
    seconds: float
    is_well: bool = True


@dataclass(frozen=True)
class Row:
    """A step in both worlds; None where it was not done."""

    title: str
    blocking: Outcome
    awaited: Outcome

    @property
    def is_well(self) -> bool:
        return self.blocking.is_well and self.awaited.is_well


def heading(text: str) -> None:
    """Begin a section."""
    say(f"\n{text}")
    say(_line(HEADINGS))
    say(_line(["─" * width for width in WIDTHS]))


def show(row: Row) -> None:
    """Print a step, as soon as it is done."""
    times = [f"{outcome.seconds * 1000:.0f} ms" for outcome in (row.blocking, row.awaited)]
    say(_line([row.title, row.blocking.text, row.awaited.text, *(time.rjust(8) for time in times)]))
    for world, outcome in (("blocking", row.blocking), ("async", row.awaited)):
        if not outcome.is_well:
            say(f"  ✗ {row.title}, {world}: {outcome.text}")


def notes(lines: Iterable[str]) -> None:
    """Print lines that belong to a section."""
    for line in lines:
        say(f"  {line}")


def summary(rows: Sequence[Row]) -> int:
    """Print how it went; the exit code."""
    failed = [row.title for row in rows if not row.is_well]
    if failed or not rows:
        say(
            f"\n✗ {len(failed)} of {len(rows)} steps were not as they should be: {', '.join(failed) or 'none was done'}"
        )
        return 1
    say(f"\n✓ {len(rows)} steps, each blocking and async, all as they should be")
    return 0


def say(text: str) -> None:
    sys.stdout.write(f"{text.rstrip()}\n")
    sys.stdout.flush()


def _line(cells: Sequence[str]) -> str:
    return "  ".join(_fit(cell, width) for cell, width in zip(cells, WIDTHS, strict=True))


def _fit(cell: str, width: int) -> str:
    cell = cell.replace("\n", " ")
    return f"{cell:<{width}}" if len(cell) <= width else f"{cell[: width - 1]}…"
