"""Basic and Bearer authentication: as a session's setting, and inside a flow of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from core.toys import URL, Toys, world
from reqivo_core import AsyncSession, BasicAuth, BearerAuth, Session
from reqivo_core.errors import InvalidRequest

BASIC = "Basic YTpi"
AUTHS = [
    pytest.param(BasicAuth("a", "b"), BASIC, id="basic"),
    pytest.param(BasicAuth(b"a", bytearray(b"b")), BASIC, id="basic-octets"),
    pytest.param(BearerAuth("t0k"), "Bearer t0k", id="bearer"),
]


def sent(auth: Any = None, headers: Any = None, url: str = URL, **options: Any) -> list[str | None]:
    """What the blocking and the async session send as Authorization."""
    with world() as runtime:
        given: Any = {"runtime": runtime, "plugins": [Toys()], "trust_env": False, "auth": auth}
        with Session(**given) as session:
            sent = [session.get(f"{url}/a", headers=headers, **options).request.headers.get("authorization")]

        async def main() -> None:
            async with AsyncSession(**given) as session:
                response = await session.get(f"{url}/a", headers=headers, **options)
                sent.append(response.request.headers.get("authorization"))

        runtime.run(main())
    return sent


@pytest.mark.parametrize(("auth", "expected"), AUTHS)
def test_the_field_is_set_unless_the_request_has_it(auth: Any, expected: str) -> None:
    assert sent(auth) == [expected] * 2
    assert sent(auth, {"Authorization": "mine"}) == ["mine"] * 2


@pytest.mark.parametrize(("auth", "expected"), AUTHS)
def test_a_flow_of_ones_own_may_go_through_it(auth: Any, expected: str) -> None:
    def flow(request: Any) -> Any:
        return (yield from auth(request))

    assert sent(flow) == [expected] * 2
    assert sent(flow, {"Authorization": "mine"}) == ["mine"] * 2


USERINFO = URL.replace("//", "//a:b@")


def test_what_a_url_says_counts_less_than_what_the_call_says() -> None:
    assert sent(url=USERINFO) == [BASIC] * 2
    assert sent(BearerAuth("session"), url=USERINFO) == [BASIC] * 2
    with world() as runtime, Session(runtime=runtime, plugins=[Toys()], trust_env=False) as session:
        for auth, expected in ((BearerAuth("call"), "Bearer call"), (None, None)):
            response = session.get(f"{USERINFO}/a", auth=auth)
            assert response.request.headers.get("authorization") == expected
            assert response.url.username is None


def test_a_request_that_was_built_authenticates_each_time_it_is_sent() -> None:
    with world() as runtime:
        with Session(runtime=runtime, plugins=[Toys()], trust_env=False) as session:
            request = session.build_request("GET", f"{USERINFO}/a")
            for _ in range(2):
                response = session.send(request)
                assert response.request.headers.get("authorization") == BASIC
                assert response.url.username is None

        async def main() -> None:
            async with AsyncSession(runtime=runtime, plugins=[Toys()], trust_env=False) as session:
                request = session.build_request("GET", f"{USERINFO}/a")
                for _ in range(2):
                    response = await session.send(request)
                    assert response.request.headers.get("authorization") == BASIC

        runtime.run(main())


def test_a_session_is_told_later() -> None:
    with world() as runtime, Session(runtime=runtime, plugins=[Toys()], trust_env=False) as session:
        session.set_basic_auth("a", "b")
        assert session.get(f"{URL}/a").request.headers["authorization"] == BASIC
        session.set_bearer_token("t0k")
        assert session.get(f"{URL}/a").request.headers["authorization"] == "Bearer t0k"
        with pytest.raises(InvalidRequest, match="cannot hold a colon"):
            session.set_basic_auth("a:b", "c")
