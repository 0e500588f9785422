"""Failures at the n-th leaf call, for every n: whatever happens wherever, nothing may be lost.

::

    for fault in faults(KeyboardInterrupt):
        with Session(runtime=fault.wrap(BlockingRuntime())) as session:
            try:
                session.get(url)
            except KeyboardInterrupt:
                pass
            assert session.pool.active == 0
            fault.disarm()
            assert session.get(url).status_code == 200

The loop ends after the first run that the fault did not reach: then every leaf call has had its turn. One loop of these
replaces dozens of tests with hand-made failures, and finds those that nobody thought of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from reqivo_core.errors import ConnectError, DNSError, ReadError, RequestError, TlsError, WriteError
from reqivo_core.interfaces import NetworkStream, Runtime, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from reqivo_core.interfaces import Address
    from reqivo_core.tls_config import TlsConfig

Failure: TypeAlias = "Callable[[str], BaseException | None]"
"""Makes what is to be raised, given the leaf's name. Returns None where it has done something itself (cancelled the
task, closed the server): the leaf then goes on."""

MAX_STEPS = 10_000


class Cancelled(BaseException):
    """Stands for the cancellations and interruptions of all worlds: no ``except Exception`` sees it."""


def cancelled(leaf: str) -> BaseException:
    """Interrupt any leaf."""
    return Cancelled(f"while in {leaf}")


def broken_network(leaf: str) -> BaseException | None:
    """Let a leaf fail as the network makes it fail; None for leaves that no network can break."""
    errors: dict[str, type[RequestError]] = {
        "resolve": DNSError,
        "connect_tcp": ConnectError,
        "connect_unix": ConnectError,
        "start_tls": TlsError,
        "read": ReadError,
        "write": WriteError,
    }
    error = errors.get(leaf)
    return None if error is None else error(f"the network broke in {leaf}", phase=leaf)


class Fault:
    """One failure, at one leaf call of everything wrapped by it.

    Attributes:
        at: The number of the leaf call that fails, from 1.
        leaves: The names of the leaf calls so far.
        was_reached: Whether the failure has happened.
    """

    def __init__(self, at: int, failure: Failure, *, afterwards: bool = False) -> None:
        """Set a fault.

        Args:
            at: See the class.
            failure: What happens there.
            afterwards: Whether it happens once the leaf has done its work, instead of before: a cancellation that
                arrives together with what was waited for. Octets that were read stay for the next read, as runtimes
                keep them; any other result is lost.
        """
        self.at = at
        self.leaves: list[str] = []
        self.was_reached = False
        self._failure = failure
        self._afterwards = afterwards
        self._is_armed = True

    def disarm(self) -> None:
        """Let nothing fail from now on, nor be counted."""
        self._is_armed = False

    def wrap(self, runtime: Runtime) -> FailingRuntime:
        """A runtime whose leaves this fault counts, those of its streams and waiters too."""
        return FailingRuntime(runtime, self)

    def wrap_stream(self, stream: NetworkStream) -> FailingStream:
        """A stream whose leaves this fault counts."""
        return FailingStream(stream, self)

    def _enter(self, leaf: str) -> bool:
        """Count a leaf call, fail before it if this is the one; whether to fail after it."""
        if not self._is_armed:
            return False
        self.leaves.append(leaf)
        if len(self.leaves) != self.at:
            return False
        if self._afterwards:
            return True
        self._fail(leaf)
        return False

    def _fail(self, leaf: str) -> None:
        self.was_reached = True
        error = self._failure(leaf)
        if error is not None:
            raise error

    def __repr__(self) -> str:
        leaf = self.leaves[self.at - 1] if len(self.leaves) >= self.at else "not reached"
        return f"<Fault {'after' if self._afterwards else 'at'} leaf call {self.at}: {leaf}>"


def faults(
    failure: Failure | type[BaseException] = cancelled, *, afterwards: bool = False, limit: int = MAX_STEPS
) -> Iterator[Fault]:
    """Give a fault at the first leaf call, at the second … until one was not reached.

    Args:
        failure: What happens there, or a class of exceptions.
        afterwards: See Fault.
        limit: How many there may be at most.

    Raises:
        AssertionError: After ``limit`` faults the end was not reached, or a fault was not even tried.
    """
    for at in range(1, limit + 1):
        fault = Fault(at, failure, afterwards=afterwards)
        yield fault
        if not fault.was_reached:
            assert len(fault.leaves) < at, f"{fault!r} was disarmed before it could happen"
            assert at > 1, "no leaf was called at all: was the fault's runtime used?"
            return
    raise AssertionError(f"after {limit} leaf calls there is no end of them")


class FailingStream(NetworkStream):
    """See :meth:`Fault.wrap_stream`. TLS is done above it, so that every step of a handshake is counted too."""

    def __init__(self, stream: NetworkStream, fault: Fault) -> None:
        self._stream = stream
        self._fault = fault
        self._kept = b""

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See :meth:`NetworkStream.read`."""
        # A look never waits: nothing can be cancelled there.
        fails = timeout != 0 and self._fault._enter("read")
        data = self._kept or await self._stream.read(max_bytes, timeout)
        self._kept = data
        if fails:
            self._fault._fail("read")
        self._kept = data[max_bytes:]
        return data[:max_bytes]

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See :meth:`NetworkStream.write`."""
        fails = self._fault._enter("write")
        await self._stream.write(data, timeout)
        if fails:
            self._fault._fail("write")

    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        """See :meth:`NetworkStream.start_tls`."""
        from reqivo_core.runtime import tls

        return await tls.start_tls(self, config, server_hostname, alpn, timeout)

    def close(self) -> None:
        """See :meth:`NetworkStream.close`."""
        self._stream.close()

    def is_readable(self) -> bool:
        """See :meth:`NetworkStream.is_readable`."""
        return bool(self._kept) or self._stream.is_readable()

    def is_writable(self) -> bool:
        """See :meth:`NetworkStream.is_writable`."""
        return self._stream.is_writable()

    def get_info(self, name: str) -> Any:
        """See :meth:`NetworkStream.get_info`."""
        return self._stream.get_info(name)


class FailingWaiter(Waiter):
    """A waiter whose waits are counted."""

    def __init__(self, waiter: Waiter, fault: Fault) -> None:
        self._waiter = waiter
        self._fault = fault

    def wake(self) -> None:
        """See :meth:`Waiter.wake`."""
        self._waiter.wake()

    async def wait(self, timeout: float | None) -> bool:
        """See :meth:`Waiter.wait`."""
        fails = self._fault._enter("wait")
        was_woken = await self._waiter.wait(timeout)
        if fails:
            self._fault._fail("wait")
        return was_woken


class FailingRuntime(Runtime):
    """See :meth:`Fault.wrap`."""

    def __init__(self, runtime: Runtime, fault: Fault) -> None:
        self._runtime = runtime
        self._fault = fault
        self.name = runtime.name
        self.check_cancelled = runtime.check_cancelled
        self.cancelled = (*runtime.cancelled, Cancelled)  # octets that were read stay, as in a cancelled read

    def now(self) -> float:
        """See :meth:`Runtime.now`."""
        return self._runtime.now()

    def world(self) -> Hashable:
        """See :meth:`Runtime.world`."""
        return self._runtime.world()

    def waiter(self) -> Waiter:
        """See :meth:`Runtime.waiter`."""
        return FailingWaiter(self._runtime.waiter(), self._fault)

    async def sleep(self, seconds: float) -> None:
        """See :meth:`Runtime.sleep`."""
        fails = self._fault._enter("sleep")
        await self._runtime.sleep(seconds)
        if fails:
            self._fault._fail("sleep")

    async def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        """See :meth:`Runtime.resolve`."""
        fails = self._fault._enter("resolve")
        addresses = await self._runtime.resolve(host, port, timeout)
        if fails:
            self._fault._fail("resolve")
        return addresses

    async def connect_tcp(
        self,
        addresses: Sequence[Address],
        timeout: float | None,
        *,
        local_address: str | None = None,
        stagger: float = 0.25,
    ) -> NetworkStream:
        """See :meth:`Runtime.connect_tcp`."""
        fails = self._fault._enter("connect_tcp")
        stream = await self._runtime.connect_tcp(addresses, timeout, local_address=local_address, stagger=stagger)
        return self._connected(stream, "connect_tcp", fails)

    async def connect_unix(self, path: str, timeout: float | None) -> NetworkStream:
        """See :meth:`Runtime.connect_unix`."""
        fails = self._fault._enter("connect_unix")
        return self._connected(await self._runtime.connect_unix(path, timeout), "connect_unix", fails)

    def _connected(self, stream: NetworkStream, leaf: str, fails: bool) -> NetworkStream:
        """Wrap a new connection; where the result is to be lost it is closed, as a runtime does that is cancelled."""
        try:
            if fails:
                self._fault._fail(leaf)
        except BaseException:
            stream.close()
            raise
        return self._fault.wrap_stream(stream)
