"""Bodies at their end, whoever brings it about."""

from __future__ import annotations

from core.toys import URL, Toys, world
from reqivo_core import AsyncSession, Session


def test_whoever_asks_to_be_told_of_the_end_is_told_once() -> None:
    told: list[str] = []
    with world() as runtime:
        with Session(runtime=runtime, plugins=[Toys()], trust_env=False) as session:
            response = session.get(f"{URL}/a", stream=True)
            body = response.body_reader
            assert body is not None
            body.at_end(lambda: told.append("at the end"))
            assert told == []
            response.close()
            body.at_end(lambda: told.append("after it"))
            assert told == ["at the end", "after it"]

        async def main() -> None:
            async with AsyncSession(runtime=runtime, plugins=[Toys()], trust_env=False) as session:
                response = await session.get(f"{URL}/a", stream=True)
                body = response.body_reader
                assert body is not None
                await response.aclose()
                body.at_end(lambda: told.append("closed before"))

        runtime.run(main())
    assert told == ["at the end", "after it", "closed before"]
