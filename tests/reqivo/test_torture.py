"""Whatever interrupts or breaks a request, at whichever leaf call: the pool is whole, and the next request does.

Each scenario is run once for each of its leaf calls, with one connection allowed: a slot that is lost would be missed.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from reqivo.exceptions import ReqivoError, RequestError
from reqivo_core.runtime.running import make_runtime
from reqivo_core.testing.failing import Cancelled, Failure, Fault, broken_network, cancelled, faults
from support.asgi_app import pattern
from support.certs import Authority
from support.fixtures import MakeProxy
from support.servers import AsgiServer
from support.world import Client, World

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("no_leaks")]

LARGE = 200_000
"""Octets of a body that no single read takes."""


@dataclass
class Setting:
    """Where requests go.

    Attributes:
        server: The server that answers.
        options: For the session.
    """

    server: AsgiServer
    options: dict[str, Any]


def get(client: Client, setting: Setting, nonce: str) -> None:
    check_echo(client, client.get(setting.server.url(f"/echo/{nonce}")), nonce)


def post(client: Client, setting: Setting, nonce: str) -> None:
    pieces = [nonce.encode() * 1000] * 3
    response = client.post(setting.server.url(f"/echo/{nonce}"), body=iter(pieces))
    assert check_echo(client, response, nonce)["body_length"] == sum(map(len, pieces))


def redirect(client: Client, setting: Setting, nonce: str) -> None:
    response = client.get(setting.server.url("/redirect-to"), params={"url": f"/echo/{nonce}"})
    check_echo(client, response, nonce)
    assert len(response.history) == 1


def stream(client: Client, setting: Setting, nonce: str) -> None:
    with client.stream("GET", setting.server.url(f"/bytes/{LARGE}")) as response:
        assert b"".join(client.pieces(response)) == pattern(LARGE)


def leave_early(client: Client, setting: Setting, nonce: str) -> None:
    with client.stream("GET", setting.server.url(f"/bytes/{LARGE}")) as response:
        assert response.status_code == 200


def reuse(client: Client, setting: Setting, nonce: str) -> None:
    get(client, setting, f"{nonce}-first")
    get(client, setting, nonce)


def check_echo(client: Client, response: Any, nonce: str) -> dict[str, Any]:
    told: dict[str, Any] = client.json(response)
    assert told["nonce"] == nonce, "the answer to another request"
    return told


@pytest.fixture
def plain(plain_server: AsgiServer) -> Setting:
    return Setting(plain_server, {})


@pytest.fixture
def tls(tls_server: AsgiServer, authority: Authority) -> Setting:
    return Setting(tls_server, {"verify": str(authority.path)})


@pytest.fixture
def tunnel(tls: Setting, make_proxy: MakeProxy) -> Iterator[Setting]:
    proxy = make_proxy()
    yield Setting(tls.server, {**tls.options, "proxy": proxy.proxy_url, "trust_env": False})


SCENARIOS = [
    ("plain", get),
    ("plain", post),
    ("plain", redirect),
    ("plain", stream),
    ("plain", leave_early),
    ("plain", reuse),
    ("tls", get),
    ("tls", post),
    ("tls", stream),
    ("tunnel", get),
]
scenarios = pytest.mark.parametrize(
    ("where", "scenario"), SCENARIOS, ids=[f"{where}-{scenario.__name__}" for where, scenario in SCENARIOS]
)


def cancel_task(leaf: str) -> None:
    """Cancel the running task, as its user does: the next leaf that waits learns of it."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def torture(world: World, setting: Setting, scenario: Callable[..., None], tortures: Iterator[Fault]) -> int:
    """Run a scenario once for each of its leaf calls; the number of them."""
    steps = 0
    for fault in tortures:
        steps += 1
        runtime = fault.wrap(make_runtime("blocking" if world.name == "blocking" else "asyncio"))
        with world.client(runtime=runtime, limits={"max_connections": 1}, **setting.options) as client:
            try:
                scenario(client, setting, f"victim-{steps}")
            except (Cancelled, KeyboardInterrupt, asyncio.CancelledError):
                assert fault.was_reached
            except ReqivoError as error:
                assert fault.was_reached, f"an error without cause: {error!r}"
                assert isinstance(error, RequestError), f"{fault!r}: {error!r}"
                assert error.request is not None, f"{fault!r}: {error!r}"
            fault.disarm()
            pool = client.session.pool
            assert (pool.active, pool.waiting) == (0, 0), f"{fault!r}: {pool!r}"
            get(client, setting, f"next-{steps}")
            assert (pool.active, pool.waiting) == (0, 0), f"{fault!r}: {pool!r}"
    return steps


@scenarios
@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
def test_interrupted_everywhere(
    world: World, where: str, scenario: Callable[..., None], afterwards: bool, request: pytest.FixtureRequest
) -> None:
    setting = request.getfixturevalue(where)
    assert torture(world, setting, scenario, faults(cancelled, afterwards=afterwards)) >= 4


@scenarios
def test_broken_everywhere(
    world: World, where: str, scenario: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    setting = request.getfixturevalue(where)
    assert torture(world, setting, scenario, faults(broken_network)) >= 4


@scenarios
@pytest.mark.parametrize("world", ["blocking"], indirect=True)
def test_control_c_everywhere(
    world: World, where: str, scenario: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    setting = request.getfixturevalue(where)
    assert torture(world, setting, scenario, faults(KeyboardInterrupt)) >= 4


@scenarios
@pytest.mark.parametrize("world", ["async"], indirect=True)
def test_task_cancelled_everywhere(
    world: World, where: str, scenario: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    setting = request.getfixturevalue(where)
    failure: Failure = partial(cancel_task)
    assert torture(world, setting, scenario, faults(failure)) >= 4
