"""The leak check sees what is left, overlooks the servers, and waits a moment."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import weakref
from contextlib import nullcontext

import pytest

from support.leaks import LeakError, leak_check
from support.scripted import Peer, ScriptedServer
from support.servers import AsgiServer


def test_servers_and_their_connections_do_not_count() -> None:
    with leak_check(0.5):
        server = AsgiServer().start()
        scripted = ScriptedServer(Peer.hold).start()
        client = socket.create_connection(scripted.address)
        scripted.wait_for_connections(1)
        client.close()
    server.stop()
    scripted.stop()
    assert not server.errors


def test_a_leaked_client_socket_is_named() -> None:
    with ScriptedServer(Peer.hold) as server:
        with pytest.raises(LeakError, match=rf"tcp socket, port \d+ -> {server.port}, ESTABLISHED"):
            with leak_check(0.05):
                client = socket.create_connection(server.address)
        client.close()


def test_other_descriptors_are_named() -> None:
    with pytest.raises(LeakError) as caught:
        with leak_check(0.05):
            unbound, (left, right), pipe = socket.socket(), socket.socketpair(), os.pipe()
    for sock in (unbound, left, right):
        sock.close()
    for end in pipe:
        os.close(end)
    message = str(caught.value)
    assert "unix socket (unnamed)" in message and "pipe:[" in message
    assert "socket, not connected" in message


def test_a_thread_is_named_and_given_time_to_end() -> None:
    go = threading.Event()
    with pytest.raises(LeakError, match="thread 'straggler'"):
        with leak_check(0.05):
            thread = threading.Thread(target=go.wait, args=(5,), name="straggler")
            thread.start()
    with leak_check(2):
        other = threading.Thread(target=go.wait, args=(5,))
        other.start()
        threading.Timer(0.05, go.set).start()
    thread.join()
    assert not other.is_alive()


class Knot:
    """Refers to itself, so that only the garbage collector frees what it holds."""

    def __init__(self) -> None:
        self.me = self
        self.pipe = os.pipe()

    def __del__(self) -> None:
        for end in self.pipe:
            os.close(end)


@pytest.mark.parametrize("collect", [True, False])
def test_cycles_go_only_if_the_collector_may_help(collect: bool) -> None:
    gc.disable()
    try:
        with nullcontext() if collect else pytest.raises(LeakError, match="pipe"):
            with leak_check(0.2, collect=collect):
                knot = weakref.ref(Knot())
        assert (knot() is None) is collect
    finally:
        gc.enable()
        gc.collect()


def test_tasks_of_the_running_loop_are_seen() -> None:
    async def main() -> None:
        with pytest.raises(LeakError, match="task .*forgotten"):
            async with leak_check(0.05):
                task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
        task.cancel()
        async with leak_check(0.5):
            soon = asyncio.create_task(asyncio.sleep(0.02))
        assert soon.done()

    asyncio.run(main())


def test_an_error_of_the_body_comes_first() -> None:
    with pytest.raises(KeyError):
        with leak_check(0):
            pair = socket.socketpair()
            raise KeyError
    for sock in pair:
        sock.close()
    assert pair[0].fileno() == -1
