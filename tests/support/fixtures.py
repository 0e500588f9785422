"""The support library as fixtures; loaded by ``tests/conftest.py``.

Servers that only answer are shared by the whole session; whatever is scripted, counted or broken
is made by the test itself through a factory, and stopped after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

import pytest

from . import world as worlds
from .certs import Authority
from .leaks import leak_check
from .proxy import ProxyServer
from .scripted import Script, ScriptedServer
from .servers import AsgiServer, HttpbinServer
from .toxics import ToxicProxy
from .world import World

Serve: TypeAlias = Callable[..., ScriptedServer]
"""``serve(script_or_scripts, **options)``: a started :class:`ScriptedServer`."""
Secured: TypeAlias = Callable[[Script], tuple[ScriptedServer, str]]
"""``secured(script)``: a server, and what a session has to trust in order to speak to it."""
MakeProxy: TypeAlias = Callable[..., ProxyServer]
MakeToxic: TypeAlias = Callable[..., ToxicProxy]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificate authority of the session."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def plain_server() -> Iterator[AsgiServer]:
    """The application of :mod:`support.asgi_app` over plain text (HTTP/1.1, prior knowledge)."""
    with AsgiServer() as server:
        yield server


@pytest.fixture(scope="session")
def tls_server(authority: Authority) -> Iterator[AsgiServer]:
    """The same over TLS, HTTP/1.1 only."""
    with AsgiServer(tls=authority.server_context(alpn=["http/1.1"])) as server:
        yield server


@pytest.fixture(scope="session")
def h2_server(authority: Authority) -> Iterator[AsgiServer]:
    """The same over TLS, HTTP/2 preferred."""
    with AsgiServer(tls=authority.server_context(alpn=["h2", "http/1.1"])) as server:
        yield server


@pytest.fixture(scope="session")
def httpbin_server() -> Iterator[HttpbinServer]:
    """httpbin over plain text."""
    with HttpbinServer() as server:
        yield server


@pytest.fixture(scope="session")
def httpbin_tls_server(authority: Authority) -> Iterator[HttpbinServer]:
    """httpbin over TLS, also under its name of the Internet; HTTP/2 preferred."""
    certificate = authority.issue("httpbin.org", "localhost", "127.0.0.1")
    with HttpbinServer(tls=certificate.server_context(["h2", "http/1.1"])) as server:
        yield server


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A maker of scripted servers; errors in their scripts fail the test."""
    with ExitStack() as stack:

        def make(scripts: Script | Sequence[Script], **options: Any) -> ScriptedServer:
            return stack.enter_context(ScriptedServer(scripts, **options))

        yield make


@pytest.fixture(params=["plain", "tls"])
def secured(request: pytest.FixtureRequest, serve: Serve, authority: Authority) -> Secured:
    """A maker of servers, in plain text and in TLS, for tests of a single world."""
    context = authority.server_context() if request.param == "tls" else None
    return lambda script: (serve(script, tls=context), str(authority.path))


@pytest.fixture
def make_proxy() -> Iterator[MakeProxy]:
    """A maker of HTTP proxies."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(ProxyServer(*args, **options))


@pytest.fixture
def make_toxic() -> Iterator[MakeToxic]:
    """A maker of bad networks."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(ToxicProxy(*args, **options))


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail the test when it leaves a socket, pipe or thread behind.

    For a whole module: ``pytestmark = pytest.mark.usefixtures("no_leaks")``.
    """
    with leak_check():
        yield


@pytest.fixture(params=worlds.NAMES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Run the test once with blocking sessions and once with async ones."""
    with worlds.make(request.param) as made:
        yield made
