"""Driving a flow by hand: what it yields is recorded, what it gets back is scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reqivo_core import ReadBody, Request, Response, Sleep, WaitFor
from reqivo_core.errors import TotalTimeout


@dataclass
class Played:
    """What a flow did.

    Attributes:
        sent: The requests it sent, in order.
        sleeps: Seconds it waited, in order.
        dropped: The responses that it gave up for waiting.
        result: The response it returned, or the exception that left it.
    """

    sent: list[Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    dropped: list[Any] = field(default_factory=list)
    result: Any = None


def reply(
    status: int = 200, headers: Mapping[str, str] | Iterable[tuple[str, str]] = (), body: bytes = b""
) -> Callable[[Request], Response]:
    """Make an answer for a script: a response to whatever request comes."""
    return lambda request: Response.build(status, headers=headers, body=body, request=request)


def play(flow: Callable[[Request], Any], request: Request, *script: Any, patience: float = float("inf")) -> Played:
    """Run a flow to its end.

    Args:
        flow: The flow.
        request: What it is given.
        script: For each request it sends: an exception to throw, or a function of the request that makes the response.
        patience: Seconds that the deadline leaves for sleeping, in all.
    """
    played = Played()
    answers = iter(script)
    generator = flow(request)
    result: Any = None
    failure: BaseException | None = None
    try:
        while True:
            command = generator.send(result) if failure is None else generator.throw(failure)
            result = failure = None
            if isinstance(command, Request):
                played.sent.append(command)
                answer = next(answers)
                if isinstance(answer, BaseException):
                    failure = answer
                else:
                    result = answer(command)
            elif isinstance(command, Sleep):
                if command.seconds > patience:
                    failure = TotalTimeout("time is up")
                else:
                    patience -= command.seconds
                    played.sleeps.append(command.seconds)
                    played.dropped += [command.dropping] if command.dropping is not None else []
            elif isinstance(command, ReadBody):
                result = command.response
            else:
                assert isinstance(command, WaitFor), f"a flow yielded {command!r}"
                result = True
    except StopIteration as stop:
        played.result = stop.value
    except Exception as error:
        played.result = error
    return played
