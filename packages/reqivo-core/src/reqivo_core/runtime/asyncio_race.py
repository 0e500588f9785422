"""Connecting in the asyncio world: attempts that race each other."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from reqivo_core.runtime import sockets

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from reqivo_core.interfaces import Address, NetworkStream


class Race:
    """Connection attempts that run beside each other until one succeeds (RFC 8305 §5).

    Args:
        loop: The running loop.
        addresses: In the order in which to try them.
        local_address: The local IP address to connect from.
        stagger: Seconds between two attempts while none has failed; a failure starts the next at once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        addresses: Sequence[Address],
        local_address: str | None,
        stagger: float,
    ) -> None:
        self._loop = loop
        self._addresses = addresses
        self._local_address = local_address
        self._stagger = stagger
        self._waiting = deque(addresses)
        self._running: dict[asyncio.Task[socket.socket], Address] = {}
        self._failures: list[tuple[Address, OSError]] = []

    async def run(self, timeout: float | None) -> tuple[socket.socket, Address]:
        """Wait for the first that succeeds.

        Raises:
            ConnectError: All failed.
            ConnectTimeout: Time ran out.
        """
        end = None if timeout is None else self._loop.time() + timeout
        while self._waiting or self._running:
            if self._waiting:
                address = self._waiting.popleft()
                self._running[self._loop.create_task(self._attempt(address))] = address
            winner = await self._next_outcome(end)
            if winner is not None:
                return winner
            if end is not None and self._loop.time() >= end:
                raise sockets.connect_timeout(self._addresses, timeout)
        raise sockets.connect_failure(self._failures) from self._failures[-1][1]

    async def _attempt(self, address: Address) -> socket.socket:
        """Connect to one address."""
        sock, target = sockets.open_socket(address, self._local_address)
        try:
            await self._loop.sock_connect(sock, target)
            sockets.check_not_self(sock)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _next_outcome(self, end: float | None) -> tuple[socket.socket, Address] | None:
        """Wait for a success, a failure, or the next attempt's turn, whichever is first; only a success is returned."""
        done, _ = await asyncio.wait(self._running, timeout=self._pause(end), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            address = self._running[task]
            error = task.exception()
            if error is not None and not isinstance(error, OSError):
                raise error
            del self._running[task]
            if error is None:
                return task.result(), address
            self._failures.append((address, error))
        return None

    def _pause(self, end: float | None) -> float | None:
        """How long to wait for attempts under way: until the next is due, or until time is up."""
        left = None if end is None else max(0.0, end - self._loop.time())
        if not self._waiting:
            return left
        return self._stagger if left is None else min(self._stagger, left)

    async def end(self, winner: NetworkStream | None) -> None:
        """Cancel the attempts that did not win and wait until they are over.

        Args:
            winner: What is to be closed if the caller is cancelled meanwhile.
        """
        for task in self._running:
            task.add_done_callback(_close_result)
            task.cancel()
        if not self._running:
            return
        try:
            await asyncio.wait(self._running)
        except BaseException:
            if winner is not None:
                winner.close()
            raise


def _close_result(task: asyncio.Task[socket.socket]) -> None:
    """Close the socket of an attempt that succeeded too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
