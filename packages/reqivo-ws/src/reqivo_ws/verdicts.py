"""Verdicts: the errors in which the end of a connection, or waiting in vain, is told to the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reqivo_core.errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    MessageTooBig,
    ReadTimeout,
    ReqivoError,
    TimeoutException,
)
from reqivo_ws.closing import ABNORMAL, TOO_BIG, describe, is_quiet
from reqivo_ws.writing import WriterClosed

if TYPE_CHECKING:
    from reqivo_ws.closing import Ending


def closed_error(ending: Ending) -> ConnectionClosed:
    """The error for whoever uses a connection that has ended."""
    if ending.story:
        message = ending.story if ending.code == ABNORMAL else f"{ending.story}; close code {describe(ending.code)}"
    elif ending.is_ours:
        message = f"{ending.reason}: the connection was closed with {describe(ending.code)}"
    else:
        said = f": {ascii(ending.reason)}" if ending.reason else ""
        message = f"the WebSocket was closed with {describe(ending.code)}{said}"
    kind = ConnectionClosedOK if is_quiet(ending.code) and not ending.is_ours else ConnectionClosedError
    error = kind(message, code=ending.code, reason=ending.reason)
    error.__cause__ = ending.cause if isinstance(ending.cause, Exception) else None
    return error


def received_error(ending: Ending, max_message_size: int | None) -> ReqivoError:
    """The error for whoever waits for a message that will never come."""
    if ending.is_ours and ending.code == TOO_BIG:
        return MessageTooBig(
            f"{ending.reason}: the connection was closed with {describe(TOO_BIG)}; "
            f"max_message_size is {max_message_size}"
        )
    return closed_error(ending)


def too_late(what: str, timeout: float | None, hint: str = "") -> ReadTimeout:
    """The error for whoever has waited long enough."""
    return ReadTimeout(f"{what} came within {timeout:g} s{hint}" if timeout else f"{what} has come", phase="read")


def cause_of(error: BaseException) -> BaseException | None:
    """What to show behind a verdict: the network's error, not our own signal; nothing behind itself."""
    return None if isinstance(error, WriterClosed | TimeoutException) else error
