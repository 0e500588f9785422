"""What the engine makes of flows that are none, and of the errors on the way."""

from __future__ import annotations

from typing import Any

import pytest

from core.toys import URL, Toys, world
from reqivo_core import AsyncSession, Session
from reqivo_core.errors import InvalidRequest, ReqivoError
from reqivo_core.testing.memory import MemoryRuntime


def errors(runtime: MemoryRuntime, path: str, **options: Any) -> list[Any]:
    """What getting this path raises in a blocking and in an async session."""
    options = {"runtime": runtime, "trust_env": False, **options}
    with Session(**options) as session:
        with pytest.raises(ReqivoError) as caught:
            session.get(f"{URL}{path}")
        assert session.pool.active == 0
    found = [caught.value]

    async def main() -> None:
        async with AsyncSession(**options) as session:
            with pytest.raises(ReqivoError) as caught:
                await session.get(f"{URL}{path}")
            assert session.pool.active == 0
            found.append(caught.value)

    runtime.run(main())
    return found


def no_generator(request: Any) -> Any:
    return request


def junk(request: Any) -> Any:
    response = yield request
    yield 7
    return response


def nothing(request: Any) -> Any:
    yield request


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (no_generator, "is no generator function: write 'response = yield request'"),
        (junk, "yielded int: yield a Request, Sleep, ReadBody or WaitFor"),
        (nothing, "returned NoneType: return the response"),
    ],
)
def test_a_flow_that_is_none_is_told_what_to_write(flow: Any, said: str) -> None:
    with world() as runtime:
        for error in errors(runtime, "/a", plugins=[Toys()], auth=flow):
            assert isinstance(error, InvalidRequest)
            assert said in str(error) and flow.__name__ in str(error)


def test_a_flow_may_catch_what_it_did_wrong() -> None:
    def repentant(request: Any) -> Any:
        response = yield request
        with pytest.raises(InvalidRequest, match="yielded str"):
            yield "junk"
        return response

    with world() as runtime, Session(runtime=runtime, plugins=[Toys()], trust_env=False, auth=repentant) as session:
        assert session.get(f"{URL}/a").text == "GET /a"


@pytest.mark.parametrize("kind", [Session, AsyncSession])
def test_a_protocol_without_pings_says_so(kind: Any) -> None:
    with world() as runtime:

        async def main() -> None:
            async with AsyncSession(runtime=runtime, plugins=[Toys()], trust_env=False) as session:
                with pytest.raises(ReqivoError, match="toy has no ping; HTTP/2 has"):
                    await session.ping(URL)
                assert session.pool.active == 0

        if kind is AsyncSession:
            runtime.run(main())
            return
        with Session(runtime=runtime, plugins=[Toys()], trust_env=False) as session:
            with pytest.raises(ReqivoError, match="toy has no ping; HTTP/2 has"):
                session.ping(URL)
            assert session.pool.active == 0
