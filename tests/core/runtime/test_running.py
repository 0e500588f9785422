"""Worlds made for a test, and the one that runs."""

import sys

import pytest

from reqivo_core import AsyncSession
from reqivo_core.runtime.asyncio import AsyncioRuntime
from reqivo_core.runtime.running import WORLDS, make_runtime, run_in, running_world, together


@pytest.mark.parametrize("world", WORLDS)
def test_several_conversations_at_once(world: str) -> None:
    async def main() -> list[int]:
        runtime = make_runtime(world)
        assert runtime.name == world
        first, second = runtime.waiter(), runtime.waiter()

        async def ping() -> int:
            first.wake()
            return int(await second.wait(10.0))

        async def pong() -> int:
            await first.wait(10.0)
            second.wake()
            return 2

        return await together(world, [ping, pong])

    assert run_in(world, main) == [1, 2]


@pytest.mark.parametrize("world", WORLDS)
def test_what_is_raised_comes_out(world: str) -> None:
    async def main() -> None:
        async def fail() -> None:
            raise LookupError("here")

        await together(world, [fail])

    with pytest.raises((LookupError, ExceptionGroup)) as caught:
        run_in(world, main)
    error = caught.value
    assert "here" in str(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)


def test_an_unknown_world() -> None:
    with pytest.raises(ValueError, match="'greenlets' is not known; there are blocking, asyncio, trio"):
        make_runtime("greenlets")


@pytest.mark.parametrize("world", WORLDS[1:])
def test_an_async_session_finds_the_world_that_it_is_made_in(world: str) -> None:
    async def main() -> str:
        async with AsyncSession() as session:
            return session.runtime.name

    assert run_in(world, main) == world
    assert running_world() == "asyncio"  # where none is, the one that most programs will run


def test_a_world_is_not_looked_for_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trio", raising=False)
    assert running_world() == "asyncio"


def test_a_session_of_another_world_says_what_it_is_missing() -> None:
    session = AsyncSession()

    async def main() -> None:
        async with session:
            pass

    with pytest.raises(RuntimeError, match="waits in asyncio.*make the session inside trio.run"):
        run_in("trio", main)
    with pytest.raises(RuntimeError, match="waits in asyncio"):
        AsyncioRuntime().world()
