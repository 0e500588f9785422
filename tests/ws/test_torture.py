"""F2, L4: whatever interrupts or breaks a WebSocket, at whichever leaf call: no message is lost or doubled unnoticed,
the connection is whole or gone, and the next one does. One connection is allowed: a slot that is lost would be missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from reqivo_core.errors import ReqivoError
from reqivo_core.runtime.running import make_runtime
from reqivo_core.testing.failing import Cancelled, Failure, Fault, broken_network, cancelled, faults
from support.certs import Authority
from support.fixtures import MakeProxy
from support.servers import AsgiServer, WebSocketsServer
from support.sockets import Socket, make
from support.world import Client, World
from ws.scripts import ws_url

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("no_leaks")]

INTERRUPTIONS = (Cancelled, KeyboardInterrupt, asyncio.CancelledError)
SENT = ["one", "frag" + "ments", b"\x00" * 70_000]
PROBE = "probe"


@dataclass
class Setting:
    """Where WebSockets go.

    Attributes:
        url: Of an echo.
        options: For the session.
    """

    url: str
    options: dict[str, Any]


@pytest.fixture
def plain(echo_server: WebSocketsServer) -> Setting:
    return Setting(ws_url(echo_server), {})


@pytest.fixture
def tunnel(echo_server: WebSocketsServer, make_proxy: MakeProxy) -> Setting:
    return Setting(ws_url(echo_server), {"proxy": make_proxy().proxy_url, "trust_env": False})


@pytest.fixture
def tls(tls_server: AsgiServer, authority: Authority) -> Setting:
    return Setting(ws_url(tls_server, "/ws/echo"), {"verify": str(authority.path)})


@pytest.fixture
def h2(h2_server: AsgiServer, authority: Authority) -> Setting:
    pytest.importorskip("reqivo_http2", reason="this distribution is tested alone here")
    return Setting(ws_url(h2_server, "/ws/echo"), {"verify": str(authority.path)})


def talk(ws: Socket, received: list[Any]) -> None:
    """Use all there is: whole and fragmented messages, large ones, a ping, the closing handshake."""
    ws.connect()
    for message in SENT:
        ws.send(["frag", "ments"] if message == "fragments" else message)
        received.append(ws.recv())
    ws.ping()
    ws.close()


def check_usable(ws: Socket, received: list[Any]) -> None:
    """An interruption that left it open has lost and doubled nothing."""
    ws.send(PROBE)
    while received[-1:] != [PROBE]:
        received.append(ws.recv(timeout=10))
    assert received[:-1] == SENT[: len(received) - 1]


def torture(world: World, setting: Setting, tortures: Iterator[Fault]) -> None:
    """Talk once for each leaf call that talking takes, and let that one fail."""
    survived = 0
    for fault in tortures:
        runtime = fault.wrap(make_runtime("blocking" if world.name == "blocking" else "asyncio"))
        limits = {"max_connections": 1}
        with world.client(runtime=runtime, limits=limits, **setting.options) as client:
            ws = make(world, setting.url, client.session, ping_interval=None, close_timeout=5)
            received: list[Any] = []
            try:
                talk(ws, received)
            except INTERRUPTIONS:
                assert fault.was_reached
            except ReqivoError as error:
                assert fault.was_reached, f"an error without cause: {error!r}"
            fault.disarm()
            if ws.is_open:
                check_usable(ws, received)
                survived += 1
            ws.close()
            check_next(client, setting, fault)
    # Whoever is interrupted while waiting for something loses nothing by it.
    assert survived >= (1 if fault_is_interruption(fault) else 0)


def fault_is_interruption(fault: Fault) -> bool:
    return fault._failure is not broken_network


def check_next(client: Client, setting: Setting, fault: Fault) -> None:
    """The slot is free, and the next WebSocket of the session has nothing of the last."""
    pool = client.session.pool
    assert (pool.active, pool.waiting) == (0, 0), f"{fault!r}: {pool!r}"
    ws = make(client.world, setting.url, client.session)
    ws.connect()
    ws.send("next")
    assert ws.recv(timeout=10) == "next"
    ws.close()
    assert (pool.active, pool.waiting) == (0, 0), f"{fault!r}: {pool!r}"


def cancel_task(leaf: str) -> None:
    """Cancel the running task, as its user does: the next leaf that waits learns of it."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


settings = pytest.mark.parametrize("where", ["plain", "tls", "tunnel", "h2"])


@settings
@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
def test_f2_interrupted_everywhere(world: World, where: str, afterwards: bool, request: pytest.FixtureRequest) -> None:
    torture(world, request.getfixturevalue(where), faults(cancelled, afterwards=afterwards))


@settings
def test_f2_broken_everywhere(world: World, where: str, request: pytest.FixtureRequest) -> None:
    torture(world, request.getfixturevalue(where), faults(broken_network))


@settings
@pytest.mark.parametrize("world", ["blocking"], indirect=True)
def test_l4_control_c_everywhere(world: World, where: str, request: pytest.FixtureRequest) -> None:
    torture(world, request.getfixturevalue(where), faults(KeyboardInterrupt))


@settings
@pytest.mark.parametrize("world", ["async"], indirect=True)
def test_f2_task_cancelled_everywhere(world: World, where: str, request: pytest.FixtureRequest) -> None:
    failure: Failure = partial(cancel_task)
    torture(world, request.getfixturevalue(where), faults(failure))
