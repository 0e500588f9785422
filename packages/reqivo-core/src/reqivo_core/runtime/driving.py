"""Running a conversation without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose awaits never suspend to its end.

    The leaves of the blocking runtime wait inside the call, so that one ``send(None)`` does it all. A coroutine that
    suspends nevertheless was given something of another world, an asyncio future for instance: that is a bug.

    Args:
        coroutine: What to run.

    Returns:
        What it returns.

    Raises:
        RuntimeError: It suspended. The message names the coroutine and what it waited for.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # typeshed has no type for what a coroutine returns by it
    message = f"a blocking session was given something only an event loop can wait for: {_describe(coroutine, awaited)}"
    try:
        coroutine.close()
    finally:
        raise RuntimeError(message)


def _describe(coroutine: Any, awaited: object) -> str:
    """Name what was awaited, and the innermost coroutine and line that did it."""
    name, line = _position(coroutine)
    inner = coroutine
    while hasattr(inner := getattr(inner, "cr_await", None), "cr_frame"):
        name, line = _position(inner)
    # asyncio.sleep(0) and its like yield nothing at all.
    what = "a bare yield" if awaited is None else repr(awaited)
    return f"{what}, awaited by {name}{line} (running {getattr(coroutine, '__qualname__', coroutine)!s})"


def _position(coroutine: Any) -> tuple[str, str]:
    """Tell a coroutine's name and the line at which it is suspended."""
    frame = getattr(coroutine, "cr_frame", None)
    where = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
    return str(getattr(coroutine, "__qualname__", coroutine)), where
