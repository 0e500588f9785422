"""A step of the demo: the same thing done by a Session and by an AsyncSession, side by side."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import table
from table import Outcome, Row

from reqivo import AsyncReqivo, Reqivo

PATIENCE = 60.0


@dataclass(frozen=True)
class Step:
    """One thing to be shown.

    Attributes:
        title: What it is.
        blocking: Does it, and says in a few words what happened.
        awaited: The same.
    """

    title: str
    blocking: Callable[[Reqivo], str]
    awaited: Callable[[AsyncReqivo], Awaitable[str]]


@dataclass(frozen=True)
class Section:
    """Steps that share their sessions.

    Attributes:
        title: What they have in common.
        steps: In order.
        options: For the sessions.
    """

    title: str
    steps: Sequence[Step]
    options: dict[str, Any] = field(default_factory=dict)

    def run(self) -> list[Row]:
        """Do all steps in both worlds, and print each."""
        table.heading(self.title)
        rows = []
        with asyncio.Runner() as runner, Reqivo(**self.options) as session:
            awaited = runner.run(_opened(self.options))
            try:
                for step in self.steps:
                    first = _timed(lambda step=step: step.blocking(session))
                    second = _timed(lambda step=step: runner.run(_patient(step.awaited(awaited))))
                    rows.append(Row(step.title, first, second))
                    table.show(rows[-1])
            finally:
                runner.run(awaited.aclose())
        return rows


class NotAsItShouldBe(Exception):
    """Something was done, and is not what it should be."""


def expect(is_so: object, otherwise: str) -> None:
    """Fail the step unless something is so; unlike ``assert``, under every option of the interpreter."""
    if not is_so:
        raise NotAsItShouldBe(otherwise)


async def _opened(options: dict[str, Any]) -> AsyncReqivo:
    return AsyncReqivo(**options)


async def _patient(step: Awaitable[str]) -> str:
    return await asyncio.wait_for(step, PATIENCE)


def _timed(action: Callable[[], str]) -> Outcome:
    started = time.perf_counter()
    try:
        text, is_well = action(), True
    except Exception as error:  # whatever it is, the demo shows it, goes on, and fails in the end
        text, is_well = f"{type(error).__name__}: {error}", False
    return Outcome(text, time.perf_counter() - started, is_well)
