"""The fluent face: each setting takes effect, is kept in order, and gives the session back."""

from __future__ import annotations

from typing import Any

import pytest

from support.messages import response
from support.scripted import answers
from support.world import World


@pytest.mark.parametrize("name", ["Reqivo", "Client"])
def test_settings_are_chained(world: World, serve: Any, name: str) -> None:
    order: list[str] = []

    def ask(mark: str) -> Any:
        def hook(method: str, url: str, headers: Any) -> Any:
            order.append(mark)
            headers["X-Marks"] = headers.get("x-marks", "") + mark
            return method, url, headers

        return hook

    def look(answer: Any) -> Any:
        order.append("answered")
        return answer

    server = serve(answers(response(200), response(200), close=False))
    made = world.find(name, "reqivo")()
    assert made.on_request(ask("a")).on_request(ask("b")).on_response(look) is made
    with world.client(made) as client:
        assert made.basic_auth("a", "b") is made
        client.get(server.url("/"))
        assert made.bearer_token("t0k") is made
        client.get(server.url("/"))
    assert [request.header("authorization") for request in server.requests] == ["Basic YTpi", "Bearer t0k"]
    assert [request.header("x-marks") for request in server.requests] == ["ab", "ab"]
    assert order == ["a", "b", "answered"] * 2
