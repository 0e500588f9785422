"""Worlds by name: which one is running, and, for the test kit, running conversations in one that is made for them."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from reqivo_core.runtime.driving import run_blocking

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from reqivo_core.interfaces import Runtime

T = TypeVar("T")

WORLDS = ("blocking", "asyncio", "trio")


def make_runtime(world: str) -> Runtime:
    """The runtime of a world, by its name.

    Raises:
        ValueError: There is no such world.
        ModuleNotFoundError: It is not installed (trio).
    """
    if world == "blocking":
        from reqivo_core.runtime.blocking import BlockingRuntime

        return BlockingRuntime()
    if world == "asyncio":
        from reqivo_core.runtime.asyncio import AsyncioRuntime

        return AsyncioRuntime()
    if world == "trio":
        from reqivo_core.runtime.trio import TrioRuntime

        return TrioRuntime()
    raise ValueError(f"world {world!r} is not known; there are {', '.join(WORLDS)}")


def running_world() -> str:
    """The asynchronous world that this is called in: ``trio`` inside ``trio.run``, ``asyncio`` anywhere else."""
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            trio.lowlevel.current_trio_token()
        except RuntimeError:  # it is imported, but does not run
            return "asyncio"
        return "trio"
    return "asyncio"


def run_in(world: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a conversation in a fresh world: an event loop of its own, or, blocking, this thread.

    Args:
        world: ``blocking``, ``asyncio`` or ``trio``.
        main: Makes the conversation.

    Returns:
        What it returns.
    """
    if world == "asyncio":
        import asyncio

        return asyncio.run(main())
    if world == "trio":
        import trio

        result: T = trio.run(main)
        return result
    return run_blocking(main())


async def together(world: str, mains: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
    """Have several conversations at once: tasks of the running loop, or, blocking, threads.

    Args:
        world: The one that this is called in.
        mains: Make the conversations.

    Returns:
        What they return, in order.

    Raises:
        BaseException: What the first of them raised, once all have ended (trio: an ExceptionGroup).
    """
    if world == "asyncio":
        import asyncio

        tasks = [asyncio.ensure_future(main()) for main in mains]
        await asyncio.wait(tasks)
        return [task.result() for task in tasks]
    if world == "trio":
        return await _together_in_trio(mains)
    with ThreadPoolExecutor(len(mains), thread_name_prefix="reqivo-together") as executor:
        futures = [executor.submit(_run_one, main) for main in mains]
        return [future.result() for future in futures]


def _run_one(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return run_blocking(main())


async def _together_in_trio(mains: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
    import trio

    results: dict[int, T] = {}

    async def one(place: int) -> None:
        results[place] = await mains[place]()

    async with trio.open_nursery() as nursery:
        for place in range(len(mains)):
            nursery.start_soon(one, place)
    return [results[place] for place in range(len(mains))]
