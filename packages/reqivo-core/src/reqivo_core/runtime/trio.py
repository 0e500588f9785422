"""The trio world: leaves that suspend the running task, in trio's way.

Give it to an async session: ``AsyncSession(runtime=TrioRuntime())``. Time limits are cancel scopes of our own around
single waits, so a cancellation from outside always reaches the caller.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING, Any

import trio

from reqivo_core.interfaces import Address, NetworkStream, Runtime, Waiter
from reqivo_core.runtime import resolving, sockets

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Hashable, Sequence


async def _wait(leaf: Callable[[Any], Awaitable[None]], sock: socket.socket, timeout: float | None) -> bool:
    """Wait for a socket by one of trio's leaves; False when time ran out."""
    if timeout is None:
        await leaf(sock)
        return True
    with trio.move_on_after(timeout) as scope:
        await leaf(sock)
    return not scope.cancelled_caught


def _is_running_here(token: trio.lowlevel.TrioToken) -> bool:
    """Tell whether the caller runs inside the trio run that a token stands for."""
    try:
        return trio.lowlevel.current_trio_token() is token
    except RuntimeError:
        return False


class TrioStream(sockets.SocketStream):
    """A connected socket.

    Args:
        sock: The socket, non-blocking; it belongs to the stream.
        peer: What to call the other side in messages.
    """

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self._socket = sock
        self._peer = peer
        self._pid = os.getpid()
        self._token = trio.lowlevel.current_trio_token()
        self._idle = select.poll()
        self._idle.register(sock, select.POLLIN)
        self._room = select.poll()
        self._room.register(sock, select.POLLOUT)
        self._is_closed = False

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See NetworkStream."""
        if timeout != 0:
            await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                if self._is_closed:
                    raise sockets.closed_here()
                return self._socket.recv(max_bytes)
            except BlockingIOError:
                if timeout == 0 or not await self._wait(trio.lowlevel.wait_readable, timeout):
                    raise sockets.read_timeout(self._peer, timeout) from None
            except OSError as error:
                raise sockets.read_error(self._peer, error) from error

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See NetworkStream."""
        if timeout != 0:
            await trio.lowlevel.checkpoint_if_cancelled()
        rest = memoryview(data)
        while rest:
            try:
                if self._is_closed:
                    raise sockets.closed_here()
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                if timeout == 0 or not await self._wait(trio.lowlevel.wait_writable, timeout):
                    raise sockets.write_timeout(self._peer, timeout) from None
            except OSError as error:
                raise sockets.write_error(self._peer, error) from error

    async def _wait(self, leaf: Callable[[Any], Awaitable[None]], timeout: float | None) -> bool:
        """Wait for the socket; a close meanwhile counts as an event."""
        try:
            return await _wait(leaf, self._socket, timeout)
        except trio.ClosedResourceError:
            return True

    def close(self) -> None:
        """See NetworkStream."""
        if self._is_closed:
            return
        self._is_closed = True
        if os.getpid() != self._pid or _is_running_here(self._token):
            self._close_socket()
            return
        try:
            self._token.run_sync_soon(self._close_socket)
        except trio.RunFinishedError:
            self._socket.close()

    def _close_socket(self) -> None:
        """Wake whoever waits for the socket, and close it."""
        if os.getpid() == self._pid:  # a forked child has no trio run to tell, and must not touch the parent's
            trio.lowlevel.notify_closing(self._socket)
        self._socket.close()

    def is_readable(self) -> bool:
        """See NetworkStream."""
        return self._is_closed or bool(self._idle.poll(0))

    def is_writable(self) -> bool:
        """See NetworkStream."""
        return self._is_closed or bool(self._room.poll(0))

    def get_info(self, name: str) -> Any:
        """See NetworkStream."""
        return None if self._is_closed else sockets.socket_info(self._socket, name)


class TrioWaiter(Waiter):
    """An event of the running trio run."""

    __slots__ = ("_event", "_is_awake", "_token")

    def __init__(self) -> None:
        self._is_awake = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._event: trio.Event | None = None

    def wake(self) -> None:
        """See Waiter."""
        # In this order: wait() makes the event first and looks at the flag afterwards.
        self._is_awake = True
        token, event = self._token, self._event
        if token is None or event is None:
            return
        if _is_running_here(token):
            event.set()
            return
        with contextlib.suppress(trio.RunFinishedError):  # nobody waits any more
            token.run_sync_soon(event.set)

    async def wait(self, timeout: float | None) -> bool:
        """See Waiter."""
        self._token = trio.lowlevel.current_trio_token()
        self._event = event = trio.Event()
        try:
            if self._is_awake or (timeout is not None and timeout <= 0):
                return self._is_awake
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                await event.wait()
        finally:
            self._event = None
        return self._is_awake


class TrioRuntime(Runtime):
    """Suspends the trio task that runs. One instance serves any number of runs, one after the other."""

    name = "trio"
    cancelled = (trio.Cancelled,)
    check_cancelled = staticmethod(trio.lowlevel.checkpoint_if_cancelled)

    def __init__(self) -> None:
        self._clock: trio.abc.Clock | None = None

    def now(self) -> float:
        """See Runtime. Outside of a run, where a finalizer may find itself, the clock of the last one goes on."""
        try:
            self._clock = clock = trio.lowlevel.current_clock()
        except RuntimeError:
            if self._clock is None:
                raise
            clock = self._clock
        return clock.current_time()

    def world(self) -> Hashable:
        """See Runtime."""
        return trio.lowlevel.current_trio_token()

    def waiter(self) -> Waiter:
        """See Runtime."""
        return TrioWaiter()

    async def sleep(self, seconds: float) -> None:
        """See Runtime."""
        await trio.sleep(seconds)

    async def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        """See Runtime."""
        address = resolving.numeric_address(host, port)
        if address is not None:
            return [address]
        return await resolving.lookup_in_thread(host, port, timeout, TrioWaiter())

    async def connect_tcp(
        self,
        addresses: Sequence[Address],
        timeout: float | None,
        *,
        local_address: str | None = None,
        stagger: float = 0.25,
    ) -> NetworkStream:
        """See Runtime."""
        race = _Race(addresses, local_address, stagger)
        try:
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                await race.run()
            if race.winner is not None:
                sock, address = race.winner
                return TrioStream(sock, sockets.show_address(address))
        except BaseException:
            if race.winner is not None:
                race.winner[0].close()
            raise
        if len(race.failures) == len(addresses):
            raise sockets.connect_failure(race.failures) from race.failures[-1][1]
        raise sockets.connect_timeout(addresses, timeout)

    async def connect_unix(self, path: str, timeout: float | None) -> NetworkStream:
        """See Runtime."""
        sock = sockets.open_unix_socket(path)
        try:
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                while not sockets.try_unix(sock, path):  # noqa: ASYNC110  # no event tells when a backlog has room
                    await trio.sleep(sockets.UNIX_RETRY)
                return TrioStream(sock, path)
        except BaseException:
            sock.close()
            raise
        sock.close()
        raise sockets.unix_timeout(path, timeout)


class _Race:
    """Connection attempts that run beside each other until one succeeds (RFC 8305 §5).

    Attributes:
        winner: The connected socket and where it leads.
        failures: What the others answered.
    """

    def __init__(self, addresses: Sequence[Address], local_address: str | None, stagger: float) -> None:
        self._addresses = addresses
        self._local_address = local_address
        self._stagger = stagger
        self.winner: tuple[socket.socket, Address] | None = None
        self.failures: list[tuple[Address, OSError]] = []

    async def run(self) -> None:
        """Try each address beside those that have not answered, until one has or all have failed."""
        if len(self._addresses) == 1:
            await self._attempt(self._addresses[0])
            return
        async with trio.open_nursery() as nursery:
            for address in self._addresses:
                over = trio.Event()
                nursery.start_soon(self._compete, address, over, nursery.cancel_scope)
                with trio.move_on_after(self._stagger):
                    await over.wait()

    async def _compete(self, address: Address, over: trio.Event, scope: trio.CancelScope) -> None:
        """Try one address; end the race if it answers, let the next begin if it fails."""
        await self._attempt(address)
        if self.winner is not None:
            scope.cancel()
        over.set()

    async def _attempt(self, address: Address) -> None:
        """Connect to one address."""
        try:
            sock, target = sockets.open_socket(address, self._local_address)
        except OSError as error:
            self.failures.append((address, error))
            return
        try:
            with contextlib.suppress(BlockingIOError):
                sock.connect(target)
            await trio.lowlevel.wait_writable(sock)
            sockets.check_connected(sock)
        except OSError as error:
            sock.close()
            self.failures.append((address, error))
        except BaseException:
            sock.close()
            raise
        else:
            if self.winner is None:
                self.winner = sock, address
            else:  # two answered in the same turn
                sock.close()
