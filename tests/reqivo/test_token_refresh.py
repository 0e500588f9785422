"""The token-refresh flow of the documentation, as it stands there."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from docs.pages import ROOT, examples_of
from reqivo import HTTPStatusError, Request
from reqivo_core.content import to_content
from support.flows import play, reply
from support.messages import response
from support.scripted import Peer
from support.world import World

SOURCE = examples_of(ROOT / "docs" / "flows.md")[0].source


@pytest.fixture(scope="module")
def flow() -> Any:
    """The class, without the example's own use of it."""
    scope: dict[str, Any] = {}
    exec(SOURCE.partition("\nrefresh = ")[0], scope)
    return scope["TokenRefresh"]


def test_concurrent_requests_share_one_refresh(world: World, serve: Any, flow: Any) -> None:
    everybody, lock, refused = threading.Event(), threading.Lock(), []

    def script(peer: Peer) -> None:
        while True:
            seen = peer.expect_request()
            if seen.target == "/token":
                peer.wait(everybody)  # nobody gets a token before all have been refused
                peer.send(response(200, json.dumps({"access_token": "fresh"}).encode()))
            elif seen.header("authorization") == "Bearer fresh":
                peer.respond(200, b"in")
            else:
                with lock:
                    refused.append(seen)
                    if len(refused) == 5:
                        everybody.set()
                peer.respond(401, b"out")

    server = serve(script)
    refresh = flow(server.url("/token"), "stale")
    with world.client(plugins=[refresh]) as client:
        done = client.together([lambda session: session.get(server.url("/x"))] * 5)
        assert [answer.status_code for answer in done] == [200] * 5
        assert client.get(server.url("/y")).status_code == 200
    assert sum(seen.target == "/token" for seen in server.requests) == 1


def test_a_refresh_that_fails_lets_nobody_wait(world: World, serve: Any, flow: Any) -> None:
    def script(peer: Peer) -> None:
        while True:
            peer.respond(403 if peer.expect_request().target == "/token" else 401)

    server = serve(script)
    with world.client(plugins=[flow(server.url("/token"), "stale")]) as client:
        done = client.together([lambda session: session.get(server.url("/x"))] * 3)
    assert {type(one) if isinstance(one, Exception) else one.status_code for one in done} <= {HTTPStatusError, 401}
    assert HTTPStatusError in {type(one) for one in done}


def test_what_was_refreshed_meanwhile_is_not_again(flow: Any) -> None:
    refresh = flow("http://a/token", "stale")

    def refused(request: Request) -> Any:
        refresh.token = "fresh"
        return reply(401)(request)

    played = play(refresh, Request("GET", "http://a/"), refused, reply(200))
    assert [sent.headers["authorization"] for sent in played.sent] == ["Bearer stale", "Bearer fresh"]


def test_a_body_that_can_be_read_once_is_not_sent_twice(flow: Any) -> None:
    request = Request("POST", "http://a/", content=to_content(iter([b"x"])))
    assert play(flow("http://a/token"), request, reply(401)).result.status_code == 401
