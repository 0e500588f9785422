"""The blocking world: leaves that wait in the calling thread and never suspend.

How a stream waits was chosen by measuring a small request and response (150 octets, loopback, CPU per exchange):

==================================================  =======
blocking socket without any timeout                 21.0 µs
``SO_RCVTIMEO``/``SO_SNDTIMEO``, set once           21.1 µs
non-blocking: send, poll, recv                      22.4 µs
``settimeout``: poll, send, poll, recv              23.0 µs
``SO_RCVTIMEO``/``SO_SNDTIMEO``, set per call       25.4 µs
non-blocking: send, recv (EAGAIN), poll, recv       25.4 µs
==================================================  =======

Hence the socket stays non-blocking for good, a write begins by sending and a read by polling. It beats ``settimeout``,
which is one value per socket, so that a reader and a writer in two threads would overwrite each other's. The kernel's
own timeouts would save another microsecond, but start again after every signal, so that a process with a timer signal
would wait for ever; cannot follow a deadline that shrinks from call to call without costing more; are not portable.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from reqivo_core.interfaces import Address, NetworkStream, Runtime, Waiter
from reqivo_core.runtime import resolving, sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence


Wait: TypeAlias = "Callable[[float | None], object]"
"""Waits at most so many milliseconds for a socket; true when it is ready."""

LONGEST_WAIT = 2_000_000.0
"""Seconds that are handed to the system at most: 23 days, just below what fits into its milliseconds."""


def _poll_wait(sock: socket.socket, writing: bool) -> Wait:
    """Make a poll object that knows the socket already: no list of sockets per call, no limit at descriptor 1024."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT if writing else select.POLLIN)
    return poll.poll


def _select_wait(sock: socket.socket, writing: bool) -> Wait:
    """Do the same where there is no poll (Windows, some patched worlds)."""

    def wait(milliseconds: float | None) -> object:
        timeout = None if milliseconds is None else milliseconds / 1000
        ready = select.select([] if writing else [sock], [sock] if writing else [], [], timeout)
        return ready[0] or ready[1]

    return wait


_wait_for: Callable[[socket.socket, bool], Wait] = _poll_wait if hasattr(select, "poll") else _select_wait


class BlockingStream(sockets.SocketStream):
    """A connected socket.

    Args:
        sock: The socket; it is made non-blocking and belongs to the stream.
        peer: What to call the other side in messages.
    """

    __slots__ = (
        "_has_more",
        "_is_closed",
        "_is_reading",
        "_is_writing",
        "_peer",
        "_socket",
        "_wait_idle",
        "_wait_readable",
        "_wait_writable",
        "_world",
    )

    def __init__(self, sock: socket.socket, peer: str) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._peer = peer
        self._world = _world
        # A poll object serves one caller at a time, hence one for each of those that may come at once.
        self._wait_readable = _wait_for(sock, False)
        self._wait_idle = _wait_for(sock, False)
        self._wait_writable: Wait | None = None
        self._has_more = False
        self._is_reading = False
        self._is_writing = False
        self._is_closed = False

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See :meth:`NetworkStream.read`."""
        self._is_reading = True
        try:
            if self._is_closed or self._world is not _world:
                raise sockets.read_error(self._peer, self._why_unusable())
            if self._has_more or timeout == 0 or self._wait_readable(_milliseconds(timeout)):
                data = self._socket.recv(max_bytes)
                if not data and self._is_closed:  # by another thread, whose shutdown is no end of the peer's
                    raise sockets.read_error(self._peer, sockets.closed_here())
                # A full buffer means that there is probably more: the next read goes straight to it.
                self._has_more = len(data) == max_bytes
                return data
        except BlockingIOError:
            # There was nothing after all, which took no time to find out.
            self._has_more = False
            if timeout != 0:
                return await self.read(max_bytes, timeout)
        except OSError as error:
            raise sockets.read_error(self._peer, error) from error
        finally:
            self._is_reading = False
            if self._is_closed:
                self._release()
        raise sockets.read_timeout(self._peer, timeout)

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See :meth:`NetworkStream.write`."""
        self._is_writing = True
        try:
            if self._is_closed or self._world is not _world:
                raise sockets.write_error(self._peer, self._why_unusable())
            sent = self._socket.send(data)
            if sent == len(data) or self._send_rest(memoryview(data)[sent:], timeout):
                return
        except BlockingIOError:
            if self._send_rest(memoryview(data), timeout):
                return
        except OSError as error:
            raise sockets.write_error(self._peer, error) from error
        finally:
            self._is_writing = False
            if self._is_closed:
                self._release()
        raise sockets.write_timeout(self._peer, timeout)

    def _send_rest(self, rest: memoryview, timeout: float | None) -> bool:
        """Send what the system's buffer had no room for; False when time ran out."""
        if self._wait_writable is None:
            self._wait_writable = _wait_for(self._socket, True)
        end = _instant(timeout)
        try:
            while rest:
                if not self._wait_writable(_milliseconds(_time_left(end))):
                    return False
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._socket.send(rest) :]
        except OSError as error:
            raise sockets.write_error(self._peer, error) from error
        return True

    def close(self) -> None:
        """See :meth:`NetworkStream.close`."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._world is not _world:
            # After a fork the connection is the parent's as well, and those who read here are threads of the parent.
            self._socket.close()
        elif self._is_reading or self._is_writing:
            # Wakes them. The descriptor stays theirs until they leave: its number might be given to another file.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._release()
        else:
            self._socket.close()

    def _why_unusable(self) -> OSError:
        """Why nothing can be read or written. What a forked child took would be missing in the parent."""
        return sockets.closed_here() if self._is_closed else OSError("it belongs to the process that forked this one")

    def _release(self) -> None:
        """Close the descriptor once nobody uses it: whoever leaves last does it."""
        if not self._is_reading and not self._is_writing:
            self._socket.close()

    def is_readable(self) -> bool:
        """See :meth:`NetworkStream.is_readable`."""
        if self._is_closed or self._world is not _world:
            return True
        try:
            return bool(self._wait_idle(0))
        except RuntimeError:
            # Another thread is asking the same poll object at this moment.
            return bool(_wait_for(self._socket, False)(0))

    def is_writable(self) -> bool:
        """See :meth:`NetworkStream.is_writable`."""
        return self._is_closed or bool(_wait_for(self._socket, True)(0))

    def get_info(self, name: str) -> Any:
        """See :meth:`NetworkStream.get_info`."""
        return sockets.socket_info(self._socket, name)


class BlockingWaiter(Waiter):
    """A lock that is held until somebody wakes the waiter (a tenth of the cost of a ``threading.Event``)."""

    __slots__ = ("_is_awake", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._is_awake = False

    def wake(self) -> None:
        """See :meth:`Waiter.wake`."""
        if self._is_awake:
            return
        try:  # not contextlib.suppress, which a signal could strike before anything is done
            self._lock.release()
        except RuntimeError:  # Two woke it at the same moment.
            pass
        self._is_awake = True

    async def wait(self, timeout: float | None) -> bool:
        """See :meth:`Waiter.wait`."""
        if self._is_awake:
            return True
        if timeout is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(max(timeout, 0.0), LONGEST_WAIT))


class _World:
    """What the connections of one process are bound to; a forked child has another."""


_world = _World()


def _enter_child() -> None:
    """Begin a new world in a forked child, so that the parent's connections are not used there."""
    global _world
    _world = _World()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # only Windows has none
    os.register_at_fork(after_in_child=_enter_child)


class BlockingRuntime(Runtime):
    """Waits in the calling thread. One instance serves any number of threads."""

    name = "blocking"

    now = staticmethod(time.monotonic)  # asked several times a request: without a frame of our own

    def world(self) -> Hashable:
        """See :meth:`Runtime.world`: the process."""
        return _world

    def waiter(self) -> Waiter:
        """See :meth:`Runtime.waiter`."""
        return BlockingWaiter()

    async def sleep(self, seconds: float) -> None:
        """See :meth:`Runtime.sleep`."""
        time.sleep(seconds)  # noqa: ASYNC251  # in this world a wait does block the thread

    async def give_way(self) -> None:
        """See :meth:`Runtime.give_way`: threads take turns by themselves, and to hand over early costs two switches."""

    async def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        """See :meth:`Runtime.resolve`."""
        address = resolving.numeric_address(host, port)
        if address is not None:
            return [address]
        if timeout is None:
            return resolving.lookup(host, port)
        return await resolving.lookup_in_thread(host, port, timeout, self.waiter())

    async def connect_tcp(
        self,
        addresses: Sequence[Address],
        timeout: float | None,
        *,
        local_address: str | None = None,
        stagger: float = 0.25,
    ) -> NetworkStream:
        """See :meth:`Runtime.connect_tcp`."""
        with _Race(addresses, local_address, stagger) as race:
            sock, address = race.run(timeout)
        return BlockingStream(sock, sockets.show_address(address))

    async def connect_unix(self, path: str, timeout: float | None) -> NetworkStream:
        """See :meth:`Runtime.connect_unix`."""
        sock = sockets.open_unix_socket(path)
        try:
            end = _instant(timeout)
            while not sockets.try_unix(sock, path):
                if _time_left(end) == 0:
                    raise sockets.unix_timeout(path, timeout)
                time.sleep(sockets.UNIX_RETRY)  # noqa: ASYNC251  # in this world a wait does block the thread
            return BlockingStream(sock, path)
        except BaseException:
            sock.close()
            raise


class _Race:
    """Connection attempts that run beside each other until one succeeds (RFC 8305 §5).

    Args:
        addresses: In the order in which to try them.
        local_address: The local IP address to connect from.
        stagger: Seconds between two attempts while none has failed; a failure starts the next at once.
    """

    def __init__(self, addresses: Sequence[Address], local_address: str | None, stagger: float) -> None:
        self._addresses = addresses
        self._local_address = local_address
        self._stagger = stagger
        self._waiting = deque(addresses)
        self._failures: list[tuple[Address, OSError]] = []
        # No descriptor of its own, unlike epoll and kqueue, whose speed matters to nobody here.
        self._selector: selectors.BaseSelector = getattr(selectors, "PollSelector", selectors.SelectSelector)()

    def __enter__(self) -> _Race:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the attempts that did not win."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # only sockets are registered
        self._selector.close()

    def run(self, timeout: float | None) -> tuple[socket.socket, Address]:
        """Wait for the first that succeeds.

        Raises:
            ConnectError: All failed.
            ConnectTimeout: Time ran out.
        """
        end = _instant(timeout)
        while self._waiting or self._selector.get_map():
            if self._waiting:
                self._start(self._waiting.popleft())
            for key, _ in self._selector.select(self._pause(end)):
                if self._has_succeeded(key):
                    return key.fileobj, key.data  # type: ignore[return-value]  # only sockets are registered
            if _time_left(end) == 0:
                raise sockets.connect_timeout(self._addresses, timeout)
        raise sockets.connect_failure(self._failures) from self._failures[-1][1]

    def _start(self, address: Address) -> None:
        """Begin an attempt."""
        try:
            sock, target = sockets.open_socket(address, self._local_address)
        except OSError as error:
            self._failures.append((address, error))
            return
        self._selector.register(sock, selectors.EVENT_WRITE, address)
        try:
            with contextlib.suppress(BlockingIOError):
                sock.connect(target)
        except OSError as error:
            self._selector.unregister(sock)
            sock.close()
            self._failures.append((address, error))

    def _pause(self, end: float | None) -> float | None:
        """How long to wait for attempts under way: until the next is due, or until time is up."""
        left = _time_left(end)
        if not self._selector.get_map():
            return 0
        if not self._waiting:
            return left
        return self._stagger if left is None else min(self._stagger, left)

    def _has_succeeded(self, key: selectors.SelectorKey) -> bool:
        """Look how an attempt ended, which is over in any case."""
        sock: socket.socket = key.fileobj  # type: ignore[assignment]  # only sockets are registered
        self._selector.unregister(sock)
        try:
            sockets.check_connected(sock)
        except OSError as error:
            sock.close()
            self._failures.append((key.data, error))
            return False
        return True


def _milliseconds(timeout: float | None) -> float | None:
    """Turn seconds into what poll takes, for which a negative number is «for ever»."""
    if timeout is None:
        return None
    if timeout < LONGEST_WAIT:
        return timeout * 1000 if timeout > 0 else 0
    return LONGEST_WAIT * 1000


def _instant(timeout: float | None) -> float | None:
    """When a time limit that begins now is over."""
    return None if timeout is None else time.monotonic() + min(timeout, LONGEST_WAIT)


def _time_left(end: float | None) -> float | None:
    """How many seconds are left, at least 0."""
    return None if end is None else max(0.0, end - time.monotonic())
