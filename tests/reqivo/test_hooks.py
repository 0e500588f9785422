"""Users' code in the middle of a request: what it raises comes out as it is, and costs no connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import reqivo
from reqivo import Limits, hookimpl
from support.fixtures import Serve
from support.messages import response
from support.scenarios import FOLLOW_UP, Stage, ok, serve_on
from support.scripted import Peer


class Oops(Exception):
    """Something of the user's."""


class Abort(BaseException):
    """Something that nobody catches by accident."""


def oops(*_: Any, **__: Any) -> Any:
    raise Oops


def flow_before(request: Any) -> Any:
    raise Oops
    yield request


def flow_after(request: Any) -> Any:
    yield request
    raise Oops


def flow_between(request: Any) -> Any:
    yield request
    yield request
    raise Oops


def flow_of_nothing(request: Any) -> Any:
    yield request
    return None


def failing_body() -> Iterator[bytes]:
    yield b"x" * 100
    raise Oops


class FailsToPrepare:
    """A plugin that fails at its hook, as the others."""

    @hookimpl
    def reqivo_prepare_request(self, request: Any) -> None:
        raise Oops


class FailsToReceive:
    @hookimpl
    def reqivo_response_received(self, request: Any, response: Any) -> None:
        raise Oops


class FailsToObserve:
    @hookimpl
    def reqivo_trace(self, event: Any) -> None:
        if event.name == "connect":
            raise Oops


WAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "auth before": lambda: {"auth": flow_before},
    "auth after": lambda: {"auth": flow_after},
    "auth between": lambda: {"auth": flow_between},
    "body": lambda: {"body": failing_body()},
    "informational": lambda: {"extensions": {"on_informational": oops}},
}


def greet(peer: Peer) -> None:
    while True:
        peer.expect_request()
        peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(200, FOLLOW_UP))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_call_brings_may_fail(stage: Stage, way: str, stream: bool) -> None:  # F9
    server = stage.server(greet)
    with stage.client(limits=Limits(max_connections=1)) as client:
        for _ in range(3):
            with pytest.raises(Oops):
                client.post(server.url("/"), stream=stream, **WAYS[way]())
            assert client.session.pool.active == client.session.pool.waiting == 0
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP


@pytest.mark.parametrize("plugin", [FailsToPrepare, FailsToReceive, FailsToObserve])
def test_a_plugin_may_fail(stage: Stage, plugin: type) -> None:
    server = stage.server(serve_on)
    with stage.client(limits=Limits(max_connections=1), plugins=[plugin()]) as client:
        for _ in range(3):
            with pytest.raises(Oops):
                client.get(server.url("/"))
            assert client.session.pool.active == client.session.pool.waiting == 0


@pytest.mark.parametrize("error", [Oops, Abort, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["request", "response"])
def test_a_users_hook_may_fail(stage: Stage, kind: str, error: type[BaseException]) -> None:
    if error is KeyboardInterrupt and stage.world.name == "async":
        pytest.skip("asyncio ends the loop")
    server = stage.server(lambda peer: (peer.expect_request(), peer.send(ok(b"x" * 10)[:-1]), serve_on(peer))[0])

    def fail(*_: Any) -> None:
        raise error

    with stage.client(limits=Limits(max_connections=1)) as client:
        add = f"add_{'pre_request' if kind == 'request' else 'post_response'}_hook"
        getattr(client.session, add)(fail)
        for _ in range(3):
            with pytest.raises(error):
                client.get(server.url("/"), stream=True)
            assert client.session.pool.active == client.session.pool.waiting == 0


def test_hooks_see_and_change_what_passes(stage: Stage) -> None:
    server = stage.server(serve_on)
    seen: list[Any] = []

    def before(method: str, url: str, headers: Any) -> Any:
        seen.append((method, url.rpartition("/")[2]))
        headers["X-Order"] = headers.get("X-Order", "") + str(len(seen))
        return ("PUT", f"{url}s", headers) if len(seen) == 1 else None

    def after(response: Any) -> Any:
        seen.append(response.status_code)
        return type(response).build(418, body=response.content + b"!", request=response.request)

    with stage.client() as client:
        client.session.add_pre_request_hook(before)
        client.session.add_pre_request_hook(before)
        client.session.add_post_response_hook(after)
        client.session.add_post_response_hook(lambda response: None)
        got = client.get(server.url("/page"))
        assert (got.status_code, got.content) == (418, FOLLOW_UP + b"!")
    assert seen == [("GET", "page"), ("PUT", "pages"), 200]
    request = server.requests[0]
    assert (request.method, request.target, request.header("x-order")) == ("PUT", "/pages", "12")


def test_a_response_that_a_hook_replaces_is_given_up(stage: Stage) -> None:
    server = stage.server([lambda peer: (peer.expect_request(), peer.send(ok(b"x" * 10)[:-1]), peer.expect_close())[0]])
    with stage.client() as client:
        client.session.add_post_response_hook(lambda old: type(old).build(204, request=old.request))
        assert client.get(server.url("/"), stream=True).status_code == 204
        assert client.session.pool.counts == (0, 0, 0)
        server.wait_for_closed(1)


def test_async_hooks_are_awaited(serve: Serve, no_leaks: None) -> None:
    server = serve(serve_on)

    async def before(method: str, url: str, headers: Any) -> Any:
        await asyncio.sleep(0)
        return method, url + "?hooked", headers

    async def after(response: Any) -> Any:
        await asyncio.sleep(0)
        return response

    async def main() -> None:
        async with reqivo.AsyncSession() as session:
            session.add_pre_request_hook(before)
            session.add_post_response_hook(after)
            assert (await session.get(server.url("/"))).content == FOLLOW_UP

    asyncio.run(main())
    assert server.requests[0].target == "/?hooked"


@pytest.mark.parametrize("answer", ["nonsense", 7, ("GET", "http://x/")])
def test_a_hook_that_returns_nonsense(stage: Stage, answer: Any) -> None:
    server = stage.server(serve_on)
    with stage.client() as client:
        client.session.add_pre_request_hook(lambda *_: answer)
        with pytest.raises(reqivo.InvalidRequest, match="hook"):
            client.get(server.url("/"))
    assert server.connections == 0


def test_a_flow_that_returns_nothing(stage: Stage) -> None:
    server = stage.server(serve_on)
    with stage.client() as client:
        with pytest.raises(reqivo.InvalidRequest, match="return the response"):
            client.get(server.url("/"), auth=flow_of_nothing)
        assert client.session.pool.active == 0
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
    assert server.connections == 1


def test_failures_are_told_to_plugins(stage: Stage) -> None:
    told: list[Any] = []

    class Listener:
        @hookimpl
        def reqivo_request_failed(self, request: Any, error: Any) -> None:
            told.append((request.method, type(error)))

    server = stage.server(lambda peer: peer.expect_request() and None)
    with stage.client(plugins=[Listener()]) as client, pytest.raises(reqivo.ServerDisconnected):
        client.get(server.url("/"))
    assert told == [("GET", reqivo.ServerDisconnected)]
