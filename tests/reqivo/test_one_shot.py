"""Module functions: each verb is sent as it is called, read whole, and leaves nothing open."""

from __future__ import annotations

from typing import Any

import pytest

import reqivo
from support.messages import Request, response
from support.scripted import Peer

pytestmark = pytest.mark.usefixtures("no_leaks")
VERBS = ["get", "head", "options", "delete", "post", "put", "patch", "query"]


def tell(peer: Peer) -> None:
    """Answer with the method that was asked for."""
    request: Request = peer.expect_request()
    whole = response(200, request.method.encode(), [("X-Method", request.method)])
    peer.send(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else whole)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_sent(serve: Any, verb: str) -> None:
    server = serve(tell)
    got = getattr(reqivo, verb)(server.url("/"), headers={"X-Given": "1"}, params={"a": "b"})
    assert got.headers["x-method"] == verb.upper()
    assert got.text == ("" if verb == "head" else verb.upper())
    assert got.is_closed
    assert (server.requests[0].target, server.requests[0].header("x-given")) == ("/?a=b", "1")


def test_a_stream_is_left_to_be_read(serve: Any) -> None:
    server = serve(tell)
    with reqivo.stream("DELETE", server.url("/")) as got:
        assert b"".join(got) == b"DELETE"
    assert got.is_closed
