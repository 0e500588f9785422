"""What the tests of HTTP/2 share: every one of them runs with both engines of header compression."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest

from reqivo_core import Timeout
from reqivo_core.runtime.driving import run_blocking
from reqivo_http2 import transport
from reqivo_http2.codec import load_codec
from reqivo_http2.connection_state import Policy
from reqivo_http2.pings import Complaints
from support import world as worlds
from support.h2_peer import H2Peer
from support.scripted import Peer, ScriptedServer
from support.trio_world import Trio
from support.world import Client, World

PATIENT = Timeout(timeout=9.0)
"""Longer than any test takes, unless something hangs."""


@pytest.fixture(params=["blocking", "async", pytest.param("trio", marks=pytest.mark.thorough)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Run a test in each of three worlds."""
    with Trio() if request.param == "trio" else worlds.make(request.param) as made:
        yield made


@pytest.fixture(params=["h2", "jh2"])
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use each engine in turn for the connections that are opened."""
    name: str = request.param
    if name == "jh2" and find_spec("jh2") is None:
        pytest.skip("jh2 is not installed")
    monkeypatch.setattr(transport, "CODEC", load_codec(name))
    return name


@pytest.fixture(autouse=True)
def nobody_has_complained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers are remembered by their address, and the system gives a port to more than one test."""
    monkeypatch.setattr(transport, "COMPLAINTS", Complaints())


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set how patient connections are: ``patience(ping_interval=0.1)``."""

    def set_policy(**values: Any) -> None:
        monkeypatch.setattr(transport.Http2Transport, "policy", type("Impatient", (Policy,), values)())

    return set_policy


class Line:
    """A scripted server and a session that talks HTTP/2 to it, in either world."""

    def __init__(self, server: ScriptedServer, client: Client) -> None:
        self.server = server
        self.client = client
        self.session = client.session

    def url(self, path: str = "/") -> str:
        return self.server.url(path)

    def get(self, path: str = "/", **options: Any) -> Any:
        return self.client.get(self.url(path), **options)

    def post(self, path: str = "/", **options: Any) -> Any:
        return self.client.post(self.url(path), **options)

    def body(self, path: str = "/", **options: Any) -> bytes:
        return self.client.read(self.get(path, **options))

    def together(self, *paths: str, **options: Any) -> list[Any]:
        """Get several at once; responses or exceptions."""
        return self.client.together([lambda session, p=path: session.get(self.url(p), **options) for path in paths])

    def fails(self, kind: type[BaseException], path: str = "/", method: str = "GET", **options: Any) -> Any:
        """Send a request that has to fail; give the error."""
        with pytest.raises(kind) as caught:
            self.client.read(self.client.request(method, self.url(path), **options))
        return caught.value

    def drive(self, conversation: Any) -> Any:
        """Run a coroutine of the library to its end, as this world's sessions do."""
        world = self.client.world
        return run_blocking(conversation) if world.name == "blocking" else world.run(conversation)

    def await_arrival(self) -> None:
        """Wait until something has arrived on an idle connection, or its end has, unless that is known already."""
        for member in self.session.pool._state.members():
            if member.transport.is_closing or member.transport._wire.stream.is_readable():
                continue  # it came together with what had been waited for
            sock = member.transport._wire.stream.get_info("socket")
            if sock is not None and sock.fileno() >= 0:
                assert select.select([sock], [], [], 30)[0]

    @property
    def transport(self) -> Any:
        """What speaks on the only connection."""
        (member,) = self.session.pool._state.members()
        return member.transport

    @property
    def connection(self) -> dict[str, Any]:
        """What the pool tells of the only connection."""
        (connection,) = self.session.pool.connections()
        return dict(connection)


Dial = Callable[..., Line]


@pytest.fixture
def h2line(world: World, codec: str) -> Iterator[Dial]:
    """A maker of scripted servers with a session: ``h2line(script, **session_options)``.

    A script is called with an :class:`H2Peer`; several serve one connection each, the last one all that follow.
    """
    with ExitStack() as stack:

        def make(*scripts: Callable[[H2Peer], object], receive_buffer: int | None = None, **options: Any) -> Line:
            server = stack.enter_context(
                ScriptedServer([_adapted(script) for script in scripts], receive_buffer=receive_buffer)
            )
            options.setdefault("timeout", PATIENT)
            client = stack.enter_context(world.client(http2=True, **options))
            return Line(server, client)

        yield make


def _adapted(script: Callable[[H2Peer], object]) -> Callable[[Peer], object]:
    return lambda peer: script(H2Peer(peer))
