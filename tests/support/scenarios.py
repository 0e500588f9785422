"""Scenarios: what a server does to a client, as data; and the one way in which they are all run.

A scenario says what comes over the wire after the first request, and what must become of it: an error by its class, or
a response. Whatever happens, the next request on the same session must succeed, over the same connection or (if this
one was spoilt) another, and nothing may be left open.
"""

from __future__ import annotations

import asyncio
import select
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import reqivo

from .fixtures import Serve
from .messages import Headers, response
from .scripted import Peer, Script, ScriptedServer
from .world import Client, World

FOLLOW_UP = b"the next response"
PATIENCE = 10.0
"""Seconds within which every scenario must be over by far, on a busy machine too."""


@dataclass(frozen=True)
class Scenario:
    """One thing that a server may do.

    Attributes:
        name: For the test's id.
        sent: What the server sends once it has read the request; or a function that does more.
        error: The class of the error; None where there is none.
        status: The response's status otherwise.
        body: Its body, where that is looked at.
        is_reused: Whether the connection carries the next request.
        ending: What follows: ``keep`` (waits for the next request), ``fin``, ``rst`` or ``cut`` (TLS without farewell).
        method: The request's method.
        options: The request's options.
        words: Something that the error's message says.
        check: A further look at the response.
    """

    name: str
    sent: bytes | Callable[[Peer], None]
    error: type[BaseException] | None = None
    status: int = 200
    body: bytes | None = None
    is_reused: bool = False
    ending: str = "keep"
    method: str = "GET"
    options: dict[str, Any] = field(default_factory=dict)
    words: str = ""
    check: Callable[[Any], None] | None = None

    def __str__(self) -> str:
        return self.name


def good(name: str, sent: bytes | Callable[[Peer], None], body: bytes | None = None, **more: Any) -> Scenario:
    """A scenario in which nothing is wrong: the connection is reused."""
    return Scenario(name, sent, body=body, **{"is_reused": True, **more})


def bad(name: str, sent: bytes | Callable[[Peer], None], error: type[BaseException], **more: Any) -> Scenario:
    """A scenario that ends in an error."""
    return Scenario(name, sent, error=error, **more)


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    """A header section."""
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1")


def ok(body: bytes = b"", headers: Headers = ()) -> bytes:
    """A response without fault."""
    return response(200, body, headers)


def scripts_of(scenario: Scenario, is_over: threading.Event) -> list[Script]:
    """The scenario's connection, and those that may follow.

    Args:
        scenario: The scenario.
        is_over: Set once all that belongs to it was sent.
    """

    def first(peer: Peer) -> None:
        try:
            if isinstance(scenario.sent, bytes):
                peer.expect_request()
                peer.send(scenario.sent)
            else:
                scenario.sent(peer)
        finally:
            is_over.set()
        if scenario.ending == "keep":
            serve_on(peer)
        elif scenario.ending == "rst":
            peer.wait_until_taken()  # a reset would overtake what was sent
            peer.rst()
        elif scenario.ending == "cut":
            peer.abort_tls()

    return [first, serve_on]


def serve_on(peer: Peer) -> None:
    """Answer well for as long as requests come."""
    while True:
        peer.expect_request()
        peer.send(response(200, FOLLOW_UP), "whole")


@dataclass(frozen=True)
class Stage:
    """One of the ways in which scenarios are run.

    Attributes:
        world: Blocking or async.
        serve: Makes servers.
        tls: Their TLS context; None for plain text.
        verify: What sessions are told to trust.
    """

    world: World
    serve: Serve
    tls: ssl.SSLContext | None
    verify: Any

    def server(self, scripts: Script | Sequence[Script], **options: Any) -> ScriptedServer:
        """A server that follows scripts."""
        return self.serve(scripts, tls=self.tls, **options)

    def client(self, **options: Any) -> Any:
        """A session that trusts the servers, and gives them up before a test counts as hung: a context manager."""
        return self.world.client(**{"timeout": reqivo.Timeout(timeout=PATIENCE), "verify": self.verify, **options})

    def run(self, scenario: Scenario, **server_options: Any) -> Any:
        """Run a scenario and hold it to what is expected of all of them.

        Returns:
            The error or the response.
        """
        is_over = threading.Event()
        server = self.server(scripts_of(scenario, is_over), **server_options)
        with self.client() as client:
            outcome = attempt(client, scenario, server.url("/first"))
            assert_as_expected(scenario, outcome)
            assert is_over.wait(PATIENCE)  # what comes too much must have come before it can be noticed
            if not scenario.is_reused:
                await_arrival(client)
            following = client.get(server.url("/next"))
            assert client.read(following) == FOLLOW_UP
            assert server.connections == (1 if scenario.is_reused else 2), "reused?"
            assert client.session.pool.active == 0
            assert client.session.pool.waiting == 0
        return outcome


def await_arrival(client: Client) -> None:
    """Wait until something has arrived on each idle connection: the system may take its time with what a peer has sent.

    A session cannot notice what is still on its way. Only sessions that nobody uses at the moment can be asked.
    """
    for member in client.session.pool._state.members():
        stream = member.transport._stream
        if stream.is_readable():
            continue  # it was received together with what had been waited for
        arrivals = select.poll()
        arrivals.register(stream.get_info("socket"), select.POLLIN)
        assert arrivals.poll(PATIENCE * 1000), "nothing came"


def attempt(client: Client, scenario: Scenario, url: str) -> Any:
    """Send the request and read what comes; an error is a result."""
    try:
        got = client.request(scenario.method, url, **scenario.options)
        body = client.read(got)
        assert got.content == body
        return got
    except (AssertionError, TimeoutError) as error:
        if not isinstance(error, reqivo.ReqivoError):
            raise
        return error
    except Exception as error:
        return error


def assert_as_expected(scenario: Scenario, outcome: Any) -> None:
    """Compare what came with what was to come."""
    if scenario.error is not None:
        assert isinstance(outcome, scenario.error), f"expected {scenario.error.__name__}, got {outcome!r}"
        assert_is_presentable(outcome)
        assert scenario.words in str(outcome)
        return
    if isinstance(outcome, BaseException):
        raise outcome
    assert outcome.status_code == scenario.status
    if scenario.body is not None:
        assert outcome.content == scenario.body
    if scenario.check is not None:
        scenario.check(outcome)


def assert_is_presentable(error: BaseException) -> None:
    """Every error is ours, knows its request, and shows a server's octets escaped and cut."""
    assert isinstance(error, reqivo.ReqivoError), repr(error)
    text = str(error)
    assert text.isprintable()
    assert len(text) < 700
    if isinstance(error, reqivo.RequestError):
        assert error.request is not None
        assert error.phase


def ids(scenarios: Sequence[Scenario]) -> list[str]:
    """The names, checked to differ."""
    names = [scenario.name for scenario in scenarios]
    assert len(set(names)) == len(names), "two scenarios of one name"
    return names


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so that no event tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.001)
