"""The trio world alone: what happens in one and the same turn of its loop."""

from __future__ import annotations

import pytest
import trio

from reqivo_core.interfaces import Address
from reqivo_core.runtime import sockets
from reqivo_core.runtime.trio import TrioRuntime, TrioStream

RUNTIME = TrioRuntime()


def test_a_cancellation_while_losers_are_given_up_closes_the_winner(listener, deaf_address, monkeypatch):
    scope = trio.CancelScope()
    winners = []

    def spy(sock):
        winners.append(sock)
        scope.cancel()

    async def body():
        monkeypatch.setattr(sockets, "check_not_self", spy)
        with scope:
            await RUNTIME.connect_tcp([Address(*deaf_address), Address(*listener.getsockname())], 30, stagger=0.01)
        assert scope.cancelled_caught
        assert [sock.fileno() for sock in winners] == [-1]

    trio.run(body)


def test_a_cancellation_before_anybody_answered_leaves_nothing(deaf_address):
    async def body():
        with trio.move_on_after(0.01) as scope:
            await RUNTIME.connect_tcp([Address(*deaf_address), Address(*deaf_address)], 30, stagger=0.001)
        assert scope.cancelled_caught

    trio.run(body)


def test_of_two_that_answer_in_the_same_turn_one_is_kept(listener, monkeypatch):
    connected = []
    both = trio.Event()
    wait_writable = trio.lowlevel.wait_writable

    async def wait_for_both(sock):
        await wait_writable(sock)
        connected.append(sock)
        if len(connected) == 1:
            await both.wait()
        both.set()

    async def body():
        monkeypatch.setattr(trio.lowlevel, "wait_writable", wait_for_both)
        address = Address(*listener.getsockname())
        stream = await RUNTIME.connect_tcp([address, address], 30, stagger=0)
        assert isinstance(stream, TrioStream)
        assert sorted(sock.fileno() == -1 for sock in connected) == [False, True]
        (kept,) = (sock for sock in connected if sock.fileno() != -1)
        assert stream.get_info("sockname") == kept.getsockname()
        stream.close()

    trio.run(body)


@pytest.mark.parametrize("timeout", [0.5, None])
def test_a_waiter_that_was_left_may_be_woken_after_the_run(timeout):
    waiter = RUNTIME.waiter()

    async def body():
        with trio.move_on_after(0.001):
            await waiter.wait(timeout)

    trio.run(body)
    waiter.wake()
    assert trio.run(waiter.wait, 0)
