"""The two faces: each verb, requests that were built before, what sessions add to URLs, and calls as coroutines."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import pytest

from core.toys import URL, Toys, world
from reqivo_core import AsyncSession, Session
from reqivo_core.base_session import BaseSession
from reqivo_core.cookies import CookieJar
from reqivo_core.errors import InvalidRequest
from reqivo_core.testing.memory import MemoryRuntime

VERBS = ["get", "head", "options", "delete", "post", "put", "patch", "query"]


def options(runtime: MemoryRuntime, **more: Any) -> Any:
    return {"runtime": runtime, "plugins": [Toys()], "trust_env": False, **more}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_sent(verb: str) -> None:
    with world() as runtime:
        with Session(**options(runtime)) as session:
            response = getattr(session, verb)(f"{URL}/a", headers={"X": "y"})
            assert (response.text, response.request.method) == (f"{verb.upper()} /a", verb.upper())
            assert response.request.headers["x"] == "y"

        async def main() -> None:
            async with AsyncSession(**options(runtime)) as session:
                response = await getattr(session, verb)(f"{URL}/a", headers={"X": "y"})
                assert (response.text, response.request.headers["x"]) == (f"{verb.upper()} /a", "y")

        runtime.run(main())


def test_a_request_that_was_built_is_sent() -> None:
    with world() as runtime:
        with Session(**options(runtime)) as session:
            assert session.send(session.build_request("PUT", f"{URL}/a", body=b"x")).text == "PUT /a"
            with pytest.raises(TypeError, match="no option 'headers'"):
                session.send(session.build_request("GET", URL), headers={})  # type: ignore[call-arg]  # it has some

        async def main() -> None:
            async with AsyncSession(**options(runtime)) as session:
                request = session.build_request("PUT", f"{URL}/a", body=b"x")
                assert (await session.send(request)).text == "PUT /a"
                async with session.send(request, stream=True) as response:
                    assert await response.aread() == b"PUT /a"

        runtime.run(main())


def test_parameters_of_url_session_and_call_are_merged() -> None:
    with world() as runtime:
        with Session(**options(runtime, params={"s": [1, 2]})) as session:
            assert session.get(f"{URL}/a?u=0").text == "GET /a?u=0&s=1&s=2"
            assert session.get(f"{URL}/a?u=0", params={"c": "é", "no": None}).text == "GET /a?u=0&s=1&s=2&c=%C3%A9"


def test_a_call_may_be_given_up_before_it_is_awaited() -> None:
    async def main() -> None:
        async with AsyncSession(**options(runtime)) as session:
            call = session.get(f"{URL}/a")
            call.close()
            del call
            gc.collect()  # a call that was neither awaited nor closed would be warned of
            assert session.pool.counts == (0, 0, 0)

    with world() as runtime:
        runtime.run(main())


def test_a_streamed_call_may_be_awaited_or_entered_or_both() -> None:
    async def main() -> None:
        async with AsyncSession(**options(runtime)) as session:
            async with session.stream("GET", f"{URL}/a") as response:
                assert not response.is_closed
            assert response.is_closed
            async with await session.stream("GET", f"{URL}/b") as response:
                assert b"".join([chunk async for chunk in response]) == b"GET /b"
            assert session.pool.active == 0

    with world() as runtime:
        runtime.run(main())


def test_a_call_that_is_mistaken_for_a_response_says_so() -> None:
    call: Any = AsyncSession(**options(MemoryRuntime())).get(f"{URL}/a")
    with pytest.raises(AttributeError, match="no 'status_code' before it is awaited: response = await"):
        call.status_code  # noqa: B018  # looking is what fails
    with pytest.raises(TypeError, match="by 'async with', not by 'with'"), call:
        pass
    assert (call.__qualname__, call.cr_running) == ("AsyncSession.request", False)
    call.close()


def test_what_both_faces_share_is_no_session() -> None:
    with pytest.raises(TypeError, match="abstract"):
        BaseSession()  # type: ignore[abstract]  # that is the point


FACES: list[Any] = [Session, AsyncSession]


@pytest.mark.parametrize("kind", FACES)
def test_headers_and_cookies_may_be_replaced(kind: Any) -> None:
    session = kind(headers={"X": "1"}, cookies={"a": "1"})
    suffixes = session.cookies.is_public_suffix = lambda domain: domain == "test"
    session.headers = {"Y": "2"}
    request = session.build_request("GET", URL, headers={"Z": "3"})
    assert request.headers.lines == [("Y", "2"), ("Z", "3")]
    session.cookies = {"b": "2"}
    assert dict(session.cookies) == {"b": "2"} and session.cookies.is_public_suffix is suffixes
    session.cookies = None
    assert not session.cookies


def test_cookies_that_were_set_are_sent_and_added_to() -> None:
    with world() as runtime, Session(**options(runtime)) as session:
        session.cookies = CookieJar({"b": "2"})
        session.get(f"{URL}/a")
        assert session._engine._jar is session.cookies


@pytest.mark.parametrize("kind", FACES)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("verify", r"Session\(verify=…\) or get\(url, verify=…\)"),
        ("proxies", r"Session\(proxies=…\) or get\(url, proxies=…\)"),
        ("retries", r"Session\(retries=…\) or get\(url, retries=…\)"),
        ("trust_env", r"Session\(trust_env=…\)$"),
        ("stream", r": write get\(url, stream=…\)"),
    ],
)
def test_an_option_is_not_set_as_if_it_were_an_attribute(kind: Any, name: str, words: str) -> None:
    session = kind()
    with pytest.raises(AttributeError, match=words):
        setattr(session, name, False)
    session.anything_else = 3
    session.auth, session.base_url, session.timeout = ("a", "b"), URL, 3
    assert (session.anything_else, session.timeout.total) == (3, 3)


@pytest.mark.parametrize("kind", FACES)
@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_sessions_are_not_copied(kind: Any, duplicate: Any) -> None:
    with pytest.raises(TypeError, match=f"a {kind.__name__} holds connections .* cookies=session.cookies"):
        duplicate(kind())


def test_a_response_hook_that_returns_no_response_says_so() -> None:
    with world() as runtime, Session(**options(runtime)) as session:
        session.add_post_response_hook(lambda response: response.text)
        with pytest.raises(InvalidRequest, match="a response hook returned str: return a response, or None"):
            session.get(f"{URL}/a")
        assert session.pool.active == 0


@pytest.mark.parametrize("kind", FACES)
def test_only_requests_are_sent(kind: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"send: give a Request, such as build_request\(.*, not str"):
        kind().send(URL)
