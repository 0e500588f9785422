"""MemoryRuntime: a world without sockets, threads or real time, in which every run is the same run.

Conversations take turns. Whoever has to wait lets the others go on; when all of them wait, the clock jumps to the
earliest instant at which one of them gives up. When none ever would, that is a deadlock, and said so. So a test of a
time limit of thirty seconds takes no time, and a test that hangs cannot hang.

Servers are conversations of the same runtime::

    runtime = MemoryRuntime()
    runtime.listen("example.org", 80, serve)           # async def serve(stream): …

    with Session(runtime=runtime) as session:           # blocking: servers go on whenever the session waits
        session.get("http://example.org/")

    runtime.run(ask(AsyncSession(runtime=runtime)))     # async: a conversation beside theirs
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar

from reqivo_core.errors import ConnectError, DNSError
from reqivo_core.interfaces import Address, NetworkStream, Runtime, Waiter
from reqivo_core.testing.streams import MemoryStream, memory_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Hashable, Sequence

T = TypeVar("T")
Serve: TypeAlias = "Callable[[MemoryStream], Coroutine[Any, Any, object]]"
"""What a server does with a connection that was made to it."""


class Deadlock(AssertionError):
    """Everybody waits, for ever."""


class _Suspension:
    """What a conversation hands to the runtime when it has to wait.

    Attributes:
        condition: True once it may go on.
        due: The instant at which it goes on in any case; None for never.
    """

    __slots__ = ("condition", "due")

    def __init__(self, condition: Callable[[], bool], due: float | None) -> None:
        self.condition = condition
        self.due = due

    def __await__(self) -> Generator[_Suspension, None, None]:
        yield self


class MemoryTask(Generic[T]):
    """A conversation that runs beside others.

    Attributes:
        is_done: Whether it has come to its end, in whatever way.
        error: What it raised.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._waits_for: _Suspension | None = None
        self._thrown: BaseException | None = None
        self._result: T | None = None
        self._was_told = False
        self.is_done = False
        self.error: BaseException | None = None

    def cancel(self, error: BaseException) -> None:
        """Raise something in it, where it waits: what an event loop does to a task that is cancelled."""
        self._thrown = error

    def result(self) -> T:
        """What it returned.

        Raises:
            BaseException: What it raised.
            AssertionError: It has not come to its end.
        """
        assert self.is_done, f"{self!r} has not come to its end"
        self._was_told = True
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]  # a coroutine that returned has set it

    def _due(self) -> float | None:
        return None if self._waits_for is None else self._waits_for.due

    def _is_ready(self, now: float) -> bool:
        waits = self._waits_for
        if waits is None or self._thrown is not None:
            return True
        return waits.condition() or (waits.due is not None and now >= waits.due)

    def _step(self) -> None:
        thrown, self._thrown = self._thrown, None
        try:
            if thrown is None:
                suspension = self._coroutine.send(None)
            else:
                suspension = self._coroutine.throw(thrown)
            if not isinstance(suspension, _Suspension):
                self._coroutine.throw(
                    RuntimeError(f"a conversation in memory waits for {suspension!r}, of no use here")
                )
            self._waits_for = suspension
        except StopIteration as stop:
            self._result = stop.value
            self.is_done = True
        except BaseException as error:
            self.error = error
            self.is_done = True

    def _end(self) -> None:
        """End it, wherever it is."""
        self._coroutine.close()
        self.is_done = True

    def __repr__(self) -> str:
        return f"<MemoryTask {getattr(self._coroutine, '__qualname__', self._coroutine)}>"


class MemoryWaiter(Waiter):
    """See :class:`Waiter`."""

    def __init__(self, runtime: MemoryRuntime) -> None:
        self._runtime = runtime
        self._is_awake = False

    def wake(self) -> None:
        """See :meth:`Waiter.wake`."""
        self._is_awake = True

    async def wait(self, timeout: float | None) -> bool:
        """See :meth:`Waiter.wait`."""
        return await self._runtime.wait_until(lambda: self._is_awake, timeout)


class MemoryRuntime(Runtime):
    """A runtime whose network is this process's memory. It belongs to one thread.

    Attributes:
        time: Its clock, in seconds; may be set forward.
    """

    name = "memory"

    def __init__(self) -> None:
        self.time = 0.0
        self._tasks: list[MemoryTask[Any]] = []
        self._failed: list[MemoryTask[Any]] = []
        self._is_stepping = False
        self._servers: dict[tuple[str, int] | str, Serve] = {}
        self._hosts: dict[str, str] = {}

    # conversations

    def start(self, coroutine: Coroutine[Any, Any, T]) -> MemoryTask[T]:
        """Begin a conversation beside the others; it goes on whenever somebody waits."""
        task = MemoryTask(coroutine)
        self._tasks.append(task)
        return task

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Have a conversation, with the others going on beside it.

        Returns:
            What it returns.

        Raises:
            Deadlock: It and all others wait for ever.
        """
        task = self.start(coroutine)
        try:
            self._drive(lambda: task.is_done, None)
        finally:
            if not task.is_done:
                self._tasks.remove(task)
                task._end()
        return task.result()

    async def wait_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until something is so: the leaf that all other leaves of this world end in.

        Args:
            condition: Looked at after each turn of anybody.
            timeout: Seconds; None for ever.

        Returns:
            Whether it is so; False: time ran out.

        Raises:
            Deadlock: It will never be.
        """
        if condition():
            return True
        if timeout is not None and timeout <= 0:
            return False
        due = None if timeout is None else self.time + timeout
        if not self._is_stepping:  # a blocking caller: whoever else there is goes on inside this very call
            return self._drive(condition, due)
        await _Suspension(condition, due)
        return condition()

    def _drive(self, condition: Callable[[], bool], due: float | None) -> bool:
        """Give everybody turns until something is so or time is up."""
        if self._is_stepping:
            raise RuntimeError("a conversation of a MemoryRuntime cannot run another to its end: start() it")
        while not condition():
            if self._turn():
                continue
            dues = [due, *(task._due() for task in self._tasks)]
            instants = [instant for instant in dues if instant is not None]
            if not instants:
                raise Deadlock(f"everybody waits for ever: {self._tasks or 'nobody else is there'}")
            self.time = max(self.time, min(instants))
            if due is not None and self.time >= due:
                return condition()
        return True

    def _turn(self) -> bool:
        """Let everybody go on who can; whether there was anybody."""
        ready = [task for task in self._tasks if task._is_ready(self.time)]
        for task in ready:
            self._is_stepping = True
            try:
                task._step()
            finally:
                self._is_stepping = False
            if task.is_done:
                self._tasks.remove(task)
                if task.error is not None:
                    self._failed.append(task)
        return bool(ready)

    def close(self) -> None:
        """End every conversation.

        Raises:
            BaseException: What the first of them raised that nobody was told of.
        """
        for task in self._tasks:
            task._end()
        self._tasks.clear()
        failed, self._failed = self._failed, []
        for task in failed:
            if not task._was_told:
                task.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close()
        except Exception:  # what the body raised is to be seen first
            return

    # the network

    def listen(self, host: str, port: int, serve: Serve) -> None:
        """Have connections to an address served.

        Args:
            host: An IP address, or a name, which then resolves to an address of its own.
            port: The port.
            serve: Called for each connection; a conversation of its own. The stream is closed at its end.
        """
        self._servers[self._ip(host), port] = serve

    def listen_unix(self, path: str, serve: Serve) -> None:
        """Have connections to a Unix socket served; see ``listen``."""
        self._servers[path] = serve

    def _ip(self, host: str) -> str:
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            return self._hosts.setdefault(host, f"10.0.0.{len(self._hosts) + 1}")

    def _connect(self, place: tuple[str, int] | str) -> NetworkStream | None:
        serve = self._servers.get(place)
        if serve is None:
            return None
        near, far = memory_pair(self)
        self.start(_served(serve, far))
        return near

    # the leaves

    def now(self) -> float:
        """See :meth:`Runtime.now`."""
        return self.time

    def world(self) -> Hashable:
        """See :meth:`Runtime.world`: the runtime itself."""
        return self

    def waiter(self) -> Waiter:
        """See :meth:`Runtime.waiter`."""
        return MemoryWaiter(self)

    async def sleep(self, seconds: float) -> None:
        """See :meth:`Runtime.sleep`."""
        await self.wait_until(lambda: False, seconds)

    async def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        """See :meth:`Runtime.resolve`: names that somebody listens at, and addresses."""
        if host in self._hosts:
            return [Address(self._hosts[host], port)]
        try:
            return [Address(str(ipaddress.ip_address(host)), port)]
        except ValueError:
            raise DNSError(f"could not resolve {host!r} (nobody listens there)", phase="dns") from None

    async def connect_tcp(
        self,
        addresses: Sequence[Address],
        timeout: float | None,
        *,
        local_address: str | None = None,
        stagger: float = 0.25,
    ) -> NetworkStream:
        """See :meth:`Runtime.connect_tcp`."""
        for address in addresses:
            stream = self._connect((address.host, address.port))
            if stream is not None:
                return stream
        tried = " and ".join(f"{address.host}:{address.port}" for address in addresses)
        raise ConnectError(f"could not connect to {tried} (nobody listens there)", phase="connect")

    async def connect_unix(self, path: str, timeout: float | None) -> NetworkStream:
        """See :meth:`Runtime.connect_unix`."""
        stream = self._connect(path)
        if stream is None:
            raise ConnectError(f"could not connect to {path} (nobody listens there)", phase="connect")
        return stream


async def _served(serve: Serve, stream: MemoryStream) -> None:
    """Serve a connection, and close it in the end."""
    try:
        await serve(stream)
    finally:
        stream.close()
