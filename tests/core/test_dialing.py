"""Connections that cannot be made: what is missing, what was asked for, and that nothing is left open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from core.toys import URL, Toys, ToyTransport, world
from reqivo_core import AsyncSession, Session, TransportSpec, hookimpl
from reqivo_core.dialing import eligible
from reqivo_core.errors import ProxyError, ReqivoError, TlsError, UnsupportedProtocol
from reqivo_core.interfaces import NetworkStream
from reqivo_core.routes import Route
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.streams import MemoryStream

ONE = TransportSpec(name="one", schemes=("http",), alpn="http/1.1", open=ToyTransport)
TWO = TransportSpec(name="two", schemes=("http",), alpn="h2", open=ToyTransport)


@pytest.mark.parametrize(
    ("route", "allowed"),
    [(Route(), [TWO, ONE]), (Route(http2=False), [ONE]), (Route(http2=True), [TWO]), (Route(http1=False), [TWO])],
)
def test_a_route_allows_some_protocols(route: Route, allowed: list[TransportSpec]) -> None:
    assert eligible([TWO, ONE], route) == allowed


@pytest.mark.parametrize(
    ("installed", "route", "missing"),
    [
        (ONE, Route(http2=True), "HTTP/2 is asked for.*pip install reqivo-http2"),
        (ONE, Route(http1=False), "HTTP/2 is asked for.*pip install reqivo-http2"),
        (TWO, Route(http2=False), "HTTP/1.1 is asked for.*pip install reqivo-http11"),
    ],
)
def test_a_protocol_that_is_not_installed_is_named(installed: TransportSpec, route: Route, missing: str) -> None:
    with pytest.raises(UnsupportedProtocol, match=missing):
        eligible([installed], route)


class Brings:
    """A plugin with these transports."""

    def __init__(self, *specs: TransportSpec) -> None:
        self.specs = specs

    @hookimpl
    def reqivo_register_transports(self) -> list[TransportSpec]:
        return list(self.specs)


def fails(runtime: MemoryRuntime, url: str, **options: Any) -> list[BaseException]:
    """The errors of a blocking and of an async session that get this URL."""
    options = {"runtime": runtime, "trust_env": False, **options}
    with Session(**options) as session, pytest.raises(ReqivoError) as caught:
        session.get(url)
    errors = [caught.value]

    async def main() -> None:
        async with AsyncSession(**options) as session:
            with pytest.raises(type(errors[0])) as caught:
                await session.get(url)
            errors.append(caught.value)
            assert session.pool.counts == (0, 0, 0)

    runtime.run(main())
    return errors


def test_a_proxy_that_nothing_speaks_to_is_not_connected_to() -> None:
    with world() as runtime:  # in which no such host exists
        for error in fails(runtime, f"{URL}/a", plugins=[Toys()], proxy="mole://u:s3cr3t@nowhere.example:9000"):
            assert isinstance(error, UnsupportedProtocol)
            assert "no installed part speaks mole:// to a proxy" in str(error)
            assert "s3cr3t" not in str(error)


@pytest.mark.usefixtures("no_plugins")
def test_an_http_proxy_takes_http11() -> None:
    closed: list[bytes] = []

    async def proxy(stream: MemoryStream) -> None:
        closed.append(await stream.read(100, None))

    with world() as runtime:
        runtime.listen("proxy.example", 8080, proxy)
        options: Any = {"plugins": [Toys(), Brings(TWO)], "proxy": "http://proxy.example:8080"}
        for error in fails(runtime, f"{URL}/a", **options):
            assert isinstance(error, ProxyError)
            assert "pip install reqivo-http11" in str(error)
        runtime.run(runtime.sleep(1))
    assert closed == [b"", b""], "the connections to the proxy were closed without a word"


class Chooses(MemoryStream):
    """A connection whose server chooses something nobody offered."""

    offered: Sequence[str] = ()

    async def start_tls(self, config: Any, server_hostname: str, alpn: Sequence[str], timeout: Any) -> NetworkStream:
        self.offered = alpn
        return self

    def get_info(self, name: str) -> Any:
        return "spdy/1" if name == "alpn_protocol" else super().get_info(name)


def test_a_protocol_that_was_not_offered_is_not_spoken() -> None:
    made: list[Chooses] = []

    class Runtime(MemoryRuntime):
        async def connect_tcp(self, *args: Any, **options: Any) -> NetworkStream:
            made.append(Chooses(self))
            return made[-1]

    secure = TransportSpec(name="toys", schemes=("toys",), alpn="toy/1", open=ToyTransport, is_secure=True)
    with Runtime() as runtime:
        for error in fails(runtime, "toys://10.0.0.1:7000/", plugins=[Brings(secure)]):
            assert isinstance(error, TlsError)
            assert "chose the protocol 'spdy/1' by ALPN, which was not offered" in str(error)
    assert [(list(stream.offered), stream.is_closed) for stream in made] == [(["toy/1"], True)] * 2
