"""Flows: what a generator that stands between a session and the wire may yield, and what it gets back.

Redirects, auth, retries, rate limits: each is ``response = yield request`` and what the author wants around it. A flow
never waits itself. It asks for what takes time, and so one flow serves every world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from reqivo_core.interfaces import Runtime, Waiter
    from reqivo_core.messages import Request


@dataclass(frozen=True, slots=True)
class Sleep:
    """What a flow yields to wait (back-off, ``Retry-After``, rate limits).

    Where the request's deadline does not leave so much time, a TotalTimeout is raised at once, without waiting; a flow
    may catch it.

    Attributes:
        seconds: How long.
        dropping: A response to give up before, unless there is no time to wait: its connection is not held meanwhile.
    """

    seconds: float
    dropping: Any = None


@dataclass(frozen=True, slots=True)
class ReadBody:
    """What a flow yields to have a response's body read whole, within the limits; it gets the response back.

    Attributes:
        response: The response.
    """

    response: Any


@dataclass(frozen=True, slots=True)
class WaitFor:
    """What a flow yields to wait for something that another flow does, by a waiter of ``runtime.waiter()``.

    It gets True back when woken, False when time ran out.

    Attributes:
        make: Called with the runtime; returns the waiter to wait for.
        timeout: Seconds; None waits as long as the request's deadline allows.
    """

    make: Callable[[Runtime], Waiter]
    timeout: float | None = None


FlowGenerator: TypeAlias = "Generator[Request | Sleep | ReadBody | WaitFor, Any, Any]"
Flow: TypeAlias = "Callable[[Request], FlowGenerator]"
"""A plain generator function: ``response = yield request`` sends, ``return response`` ends. One serves both worlds."""
