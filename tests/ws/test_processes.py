"""Programs that end, and processes that are forked, with a connection open."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from reqivo_core import Session
from reqivo_core.errors import (
    ConnectionClosed,
)
from support.certs import Authority
from support.processes import run_in_child
from support.servers import AsgiServer, WebSocketsServer
from ws.scripts import ws_url


@pytest.mark.parametrize("face", ["blocking", "async"])
def test_w30_the_program_may_end_with_a_connection_open(echo_server: WebSocketsServer, face: str) -> None:
    programs = {
        "blocking": (
            "from reqivo_ws import WebSocket\nws = WebSocket({url!r}).connect(); ws.send('x'); print(ws.recv())"
        ),
        "async": (
            "import asyncio\nfrom reqivo_ws import AsyncWebSocket\n"
            "async def main():\n"
            "    global ws\n"
            "    ws = await AsyncWebSocket({url!r}).connect(); await ws.send('x'); print(await ws.recv())\n"
            "asyncio.run(main())"
        ),
    }
    program = programs[face].format(url=ws_url(echo_server))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("security", ["plain", "tls"])
def test_w30_l1_a_forked_child_leaves_the_connection_to_its_parent(
    plain_server: AsgiServer, tls_server: AsgiServer, authority: Authority, security: str
) -> None:
    server = plain_server if security == "plain" else tls_server

    def in_the_child() -> None:
        for action in (lambda: ws.send("the child's"), ws.recv):
            with pytest.raises(ConnectionClosed):
                action()
        ws.close()

    with Session(verify=str(authority.path)) as session, session.websocket(ws_url(server, "/ws/echo")) as ws:
        ws.send("before")
        assert ws.recv() == "before"
        run_in_child(in_the_child)
        ws.send("after")
        assert ws.recv() == "after"
    assert ws.close_code == 1000
