"""Worlds made for a test."""

import pytest

from reqivo_core.runtime.running import WORLDS, make_runtime, run_in, together


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
