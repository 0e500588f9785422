"""The asyncio world: leaves that suspend the running task.

Time limits are timers that complete futures. Nothing is cancelled to end a wait, so that a cancellation is always the
caller's own and reaches the caller. Only the loop's public interface is used; any event loop will do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from reqivo_core.interfaces import Address, NetworkStream, Runtime, Waiter
from reqivo_core.runtime import resolving, sockets
from reqivo_core.runtime.asyncio_race import Race
from reqivo_core.runtime.asyncio_waiter import AsyncioWaiter, complete, is_running_here

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


HIGH_WATER = 256 * 1024
"""Octets that may lie unread before the kernel is left to hold back the peer."""

LOW_WATER = 64 * 1024
"""Octets at which reading goes on."""

RECEIVE_SIZE = 128 * 1024
"""Octets received at once. A larger buffer takes longer to be copied from than it saves turns of the loop."""

_ELSEWHERE = "its event loop is not running here"

_spare_buffers: list[memoryview] = []
"""Buffers that nobody receives into at the moment. One serves all connections of a loop that fills it at once."""


class AsyncioStream(sockets.SocketStream, asyncio.BufferedProtocol):
    """A connected socket; at the same time the protocol that the loop's transport calls.

    Args:
        sock: The socket, which belongs to the stream.
        peer: What to call the other side in messages.
        loop: The loop to which it is bound.
    """

    keeps_writes = True  # the loop's transport does

    def __init__(self, sock: socket.socket, peer: str, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = sock
        self._peer = peer
        self._loop = loop
        self._pid = os.getpid()
        self._has_arrived = sockets.look(sock)
        self._transport: asyncio.Transport | None = None
        self._buffer: memoryview | None = None  # what the loop receives into
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._offset = 0  # into the first chunk: cutting it for every small read would copy its rest each time
        self._reader: asyncio.Future[bool] | None = None
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0  # remembered, since a handle's when() may be rounded
        self._writer: asyncio.Future[bool] | None = None
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._has_ended = False
        self._is_lost = False
        self._is_closed = False
        self._error: OSError | None = None

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        # A write waits until the system has taken everything: time limits mean something, memory stays flat, and
        # nobody changes a buffer that the transport has yet to send.
        self._transport.set_write_buffer_limits(0)
        if self._is_closed:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the loop a buffer to receive into; as long as it has one, that same one.

        A loop that hands over octets by itself makes 256 KiB for each read and cuts them to what came. So large a block
        is a mapping of its own to the system's allocator: to make, cut and unmap it can cost a third of a request.
        """
        buffer = self._buffer
        if buffer is None:
            try:
                buffer = _spare_buffers.pop()
            except IndexError:
                buffer = memoryview(bytearray(RECEIVE_SIZE))
            self._buffer = buffer
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take out of the buffer what has come."""
        data = bytes(self.get_buffer(nbytes)[:nbytes])
        self._take_buffer_back()
        self._keep(data)

    def _take_buffer_back(self) -> None:
        """Let others have the buffer: the loop has done with it."""
        if self._buffer is not None:
            _spare_buffers.append(self._buffer)
            self._buffer = None

    def _keep(self, data: bytes) -> None:
        """Keep octets until they are read."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = True
            self._transport.pause_reading()
        complete(self._reader, True)

    def eof_received(self) -> bool:
        """Note the peer's end; our side stays open."""
        self._take_buffer_back()
        self._has_ended = True
        complete(self._reader, True)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of it all; where it broke, what has arrived before is still in the system's buffer."""
        if exc is not None and not self._is_closed:
            self._take_rest()
        self._is_lost = True
        self._buffer = None  # not for others: who knows what a loop that was interrupted still does to it
        self._error = exc if isinstance(exc, OSError) else None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        complete(self._reader, True)
        complete(self._writer, True)
        self._transport = None

    def pause_writing(self) -> None:
        """The system's buffer is full."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """The system has taken everything."""
        self._is_writing_paused = False
        complete(self._writer, True)

    # what the library calls

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See :meth:`NetworkStream.read`."""
        if self._is_closed:
            raise sockets.read_error(self._peer, sockets.closed_here())
        if not self._chunks and not self._has_ended and not self._is_lost and timeout != 0:
            await self._wait_readable(timeout)
        if self._chunks:
            return self._take(max_bytes)
        return self._end(timeout)

    async def _wait_readable(self, timeout: float | None) -> None:
        """Wait until there is something to be read, or time is up.

        One timer lasts for many reads: it is only made where there is none that rings early enough, and when it rings
        too early it is set again. With one timer per read, the loop's heap would fill with cancelled ones.
        """
        if not is_running_here(self._loop):
            raise sockets.read_error(self._peer, OSError(_ELSEWHERE))
        if self._reader is not None:
            raise RuntimeError("another task is reading from this connection already")
        self._reader = self._loop.create_future()
        if timeout is None:
            self._due = None
        else:
            self._due = due = self._loop.time() + timeout
            if self._timer is None or self._rings_at > due:
                self._set_timer(due)
        try:
            await self._reader
        finally:
            self._reader = None

    def _set_timer(self, due: float) -> None:
        """Have it ring at an instant, instead of any later one."""
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = due
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        """End the wait of a reader whose time is up."""
        self._timer = None
        if self._reader is None or self._due is None:
            return
        if self._due > self._rings_at:
            self._set_timer(self._due)
        else:
            complete(self._reader, False)

    def _take(self, max_bytes: int) -> bytes:
        """Take octets out of the buffer; a chunk that came whole leaves as it is."""
        if self._size <= max_bytes and not self._offset:
            data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
        else:
            data = self._take_from_first(max_bytes)
        self._size -= len(data)
        if self._is_reading_paused and self._size <= LOW_WATER and self._transport is not None:
            self._is_reading_paused = False
            self._transport.resume_reading()
        return data

    def _take_from_first(self, max_bytes: int) -> bytes:
        """Take a part, or what is left, of the first chunk."""
        first = self._chunks[0]
        data = first[self._offset : self._offset + max_bytes]
        self._offset += len(data)
        if self._offset == len(first):
            self._chunks.popleft()
            self._offset = 0
        return data

    def _end(self, timeout: float | None) -> bytes:
        """Say why there is nothing to read."""
        if self._is_closed:
            raise sockets.read_error(self._peer, sockets.closed_here())
        if self._error is not None:
            raise sockets.read_error(self._peer, self._error) from self._error
        if self._has_ended or self._is_lost:
            return b""
        raise sockets.read_timeout(self._peer, timeout)

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See :meth:`NetworkStream.write`."""
        transport = self._transport
        if not is_running_here(self._loop):
            # It may be a farewell, said by whoever closes the connection: never worth disturbing the loop from outside.
            raise sockets.write_error(self._peer, OSError(_ELSEWHERE))
        if transport is not None and not self._is_closed:
            transport.write(data)
            if not self._is_writing_paused and not transport.is_closing():
                return
            # Where it is broken there is nothing to wait for: it will be lost in the loop's next turn.
            if not (transport.is_closing() if timeout == 0 else await self._wait_written(timeout)):
                raise sockets.write_timeout(self._peer, timeout)
        if self._is_lost or self._is_closed or self._is_closing:
            reason = sockets.closed_here() if self._is_closed else self._error or OSError("it has ended")
            raise sockets.write_error(self._peer, reason) from self._error

    @property
    def _is_closing(self) -> bool:
        return self._transport is not None and self._transport.is_closing()

    async def _wait_written(self, timeout: float | None) -> bool:
        """Wait until the system has taken everything, or the connection is lost; False when time ran out."""
        if self._writer is not None:
            raise RuntimeError("another task is writing to this connection already")
        self._writer = self._loop.create_future()
        timer = None if timeout is None else self._loop.call_later(timeout, complete, self._writer, False)
        try:
            return await self._writer
        finally:
            self._writer = None
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """See :meth:`NetworkStream.close`."""
        if self._is_closed:
            return
        self._is_closed = True
        if os.getpid() != self._pid or self._loop.is_closed():
            self._abandon()
        elif self._transport is not None:
            self._abort(self._transport)

    def _abort(self, transport: asyncio.Transport) -> None:
        """Have the loop close the connection."""
        if is_running_here(self._loop):
            transport.abort()
            return
        try:
            self._loop.call_soon_threadsafe(transport.abort)
        except RuntimeError:
            # It was closed at this moment.
            self._abandon()

    def _abandon(self) -> None:
        """Close the descriptor without the loop, which is closed or, after a fork, the parent's.

        Touching a parent's loop would take the connection out of the epoll set that both share. Where the loop is
        closed, a transport of the standard library never learns that it is over, and would warn that it was not closed.
        """
        if os.getpid() == self._pid:
            # The peer is told, whoever else may still hold the descriptor.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(AttributeError):  # Other loops' transports have no such attribute, and no need.
                self._transport._sock = None  # type: ignore[union-attr]  # there is no public way to say it
            self._transport = None
        self._socket.close()

    def is_readable(self) -> bool:
        """See :meth:`NetworkStream.is_readable`."""
        if not self._is_at_hand():
            self._take_in()
        return self._is_at_hand()

    def _is_at_hand(self) -> bool:
        """Whether there is something to be told to a reader."""
        return bool(self._chunks) or self._has_ended or self._is_lost or self._is_closed

    def _take_in(self) -> None:
        """Receive what has arrived since the loop last looked.

        It looks between two turns only. A program that did not let it, and then sends a request over an idle
        connection, must find out all the same that the server has closed it, or has answered what nobody asked.
        """
        try:
            if not self._has_arrived(0):
                return
        except RuntimeError:
            pass  # another thread is asking the same poll object at this moment
        if self._is_reading_paused or not is_running_here(self._loop):
            return
        try:
            data = self._socket.recv(LOW_WATER)
        except BlockingIOError:
            return
        except OSError as error:
            self._error = error
            self._is_lost = True
            return
        if data:
            self._keep(data)
        else:
            self._has_ended = True

    def is_writable(self) -> bool:
        """See :meth:`NetworkStream.is_writable`."""
        if self._is_writing_paused:
            return False
        return self._is_closed or self._transport is None or bool(sockets.look(self._socket, for_room=True)(0))

    def _take_rest(self) -> None:
        """Receive what came before the connection broke: the loop does not look again once a write has failed."""
        rest = sockets.rest(self._socket)
        self._chunks.extend(rest)
        self._size += sum(map(len, rest))

    def get_info(self, name: str) -> Any:
        """See :meth:`NetworkStream.get_info`."""
        return None if self._is_closed else sockets.socket_info(self._socket, name)


_NO_LOOP = (
    "this session waits in asyncio, of which no event loop runs here: await it in asyncio.run(…); in trio, make the "
    "session inside trio.run, or give it runtime=TrioRuntime() of reqivo_core.runtime.trio"
)


class AsyncioRuntime(Runtime):
    """Suspends the task that runs. One instance serves any number of loops."""

    name = "asyncio"
    cancelled = (asyncio.CancelledError,)

    now = staticmethod(time.monotonic)  # asked several times a request: without a frame of our own

    def world(self) -> Hashable:
        """See :meth:`Runtime.world`: the running loop itself, whose id cannot be given to another while it is kept."""
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(_NO_LOOP) from None

    def waiter(self) -> Waiter:
        """See :meth:`Runtime.waiter`."""
        return AsyncioWaiter()

    async def sleep(self, seconds: float) -> None:
        """See :meth:`Runtime.sleep`."""
        self.world()  # for what it says elsewhere
        await asyncio.sleep(seconds)

    async def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        """See :meth:`Runtime.resolve`."""
        address = resolving.numeric_address(host, port)
        if address is not None:
            return [address]
        return await resolving.lookup_in_thread(host, port, timeout, AsyncioWaiter())

    async def connect_tcp(
        self,
        addresses: Sequence[Address],
        timeout: float | None,
        *,
        local_address: str | None = None,
        stagger: float = 0.25,
    ) -> NetworkStream:
        """See :meth:`Runtime.connect_tcp`."""
        race = Race(asyncio.get_running_loop(), addresses, local_address, stagger)
        try:
            sock, address = await race.run(timeout)
            stream = await _open_stream(sock, sockets.show_address(address))
        except BaseException:
            await race.end(None)
            raise
        await race.end(stream)
        return stream

    async def connect_unix(self, path: str, timeout: float | None) -> NetworkStream:
        """See :meth:`Runtime.connect_unix`."""
        end = None if timeout is None else time.monotonic() + timeout
        sock = sockets.open_unix_socket(path)
        try:
            while not sockets.try_unix(sock, path):
                if end is not None and time.monotonic() >= end:
                    raise sockets.unix_timeout(path, timeout)
                await asyncio.sleep(sockets.UNIX_RETRY)
        except BaseException:
            sock.close()
            raise
        return await _open_stream(sock, path)


async def _open_stream(sock: socket.socket, peer: str) -> AsyncioStream:
    """Put a stream and its transport upon a connected socket, which is closed if that fails."""
    loop = asyncio.get_running_loop()
    stream = AsyncioStream(sock, peer, loop)
    try:
        await loop.create_connection(lambda: stream, sock=sock)
    except BaseException:
        stream.close()
        sock.close()
        raise
    return stream
