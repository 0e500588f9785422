"""A connection in memory that follows a script, and what is needed to drive a transport over it."""

import itertools
import random
from collections import deque
from collections.abc import Coroutine, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

from reqivo_core.errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from reqivo_core.headers import Headers
from reqivo_core.interfaces import (
    Address,
    Exchange,
    IncomingResponse,
    NetworkStream,
    Runtime,
    TransportContext,
    Waiter,
)
from reqivo_core.limits import Limits
from reqivo_core.messages import Request
from reqivo_core.timeouts import Deadline, Timeout
from reqivo_core.tls_config import TlsConfig
from reqivo_core.urls import URL
from reqivo_http11.codec import load_codec
from reqivo_http11.transport import Http11Transport

T = TypeVar("T")
CODECS = [name for name in ("h11", "httptools") if find_spec(name) is not None]
SEGMENTATIONS = ("whole", "single octets", "random 1", "random 2")
END = b""
"""In a script: the peer ends its side."""


class After:
    """In a script: what follows comes only once these octets were sent."""

    def __init__(self, sent: bytes) -> None:
        self.sent = sent


class Broken:
    """In a script: the peer takes no more from here on; writing raises."""

    def __init__(self, error: type[WriteError] | type[WriteTimeout] = WriteError) -> None:
        self.error = error


class Clock(Runtime):
    """A runtime of which only the clock is used: it goes on when a read times out."""

    name = "memory"

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def world(self) -> object:
        return None

    def waiter(self) -> Waiter:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        raise NotImplementedError

    async def connect_tcp(self, addresses: Any, timeout: float | None, **options: Any) -> NetworkStream:
        raise NotImplementedError

    async def connect_unix(self, path: str, timeout: float | None) -> NetworkStream:
        raise NotImplementedError


class MemoryStream(NetworkStream):
    """Reads what the script says, remembers what was written, and can fail at the n-th leaf call."""

    def __init__(
        self, script: Sequence[Any], clock: Clock, *, fail_at: int | None = None, failure: BaseException | None = None
    ) -> None:
        self.script = deque(script)
        self.clock = clock
        self.fail_at = fail_at
        self.failure = failure
        self.calls = 0
        self.writes: list[bytes] = []
        self.read_sizes: list[int] = []
        self.timeouts: list[float | None] = []
        self.is_closed = False
        self.tls: NetworkStream | None = None

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def _leaf(self, timeout: float | None) -> None:
        self.calls += 1
        self.timeouts.append(timeout)
        if self.calls == self.fail_at:
            assert self.failure is not None
            raise self.failure

    def _next(self) -> Any:
        while self.script and isinstance(self.script[0], After) and self.script[0].sent in self.written:
            self.script.popleft()
        return self.script[0] if self.script else None

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        self._leaf(timeout)
        self.read_sizes.append(max_bytes)
        if self.is_closed:
            raise ReadError("it was closed on this side")
        step = self._next()
        if isinstance(step, Exception):
            self.script.popleft()
            raise step
        if not isinstance(step, bytes):
            self.clock.time += timeout or 0.0
            raise ReadTimeout("the script has nothing to read")
        if step == END:
            return END
        self.script.popleft()
        if len(step) > max_bytes:
            self.script.appendleft(step[max_bytes:])
        return step[:max_bytes]

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        self._leaf(timeout)
        if self.is_closed:
            raise WriteError("it was closed on this side")
        if isinstance(self._next(), Broken):
            raise self.script.popleft().error("the peer takes no more")
        assert len(data), "nothing was written"
        self.writes.append(bytes(data))

    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        self._leaf(timeout)
        self.tls = MemoryStream([], self.clock)
        return self.tls

    def close(self) -> None:
        self.is_closed = True

    def is_readable(self) -> bool:
        return self.is_closed or isinstance(self._next(), bytes | Exception)

    def get_info(self, name: str) -> Any:
        return f"info of {name}"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive a conversation as the blocking world does."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("the conversation was suspended, though no leaf was")


def segments(data: bytes, how: str | Sequence[int]) -> list[bytes]:
    """Cut octets as a network might, or in these places."""
    if not isinstance(how, str):
        places = [0, *how, len(data)]
        return [data[start:end] for start, end in itertools.pairwise(places) if start < end]
    if how == "whole":
        return [data]
    if how == "single octets":
        return [data[n : n + 1] for n in range(len(data))]
    generator = random.Random(f"{how} {len(data)}")
    cut: list[bytes] = []
    while data:
        size = generator.choice((1, 2, 3, 7, 20, 150))
        cut.append(data[:size])
        data = data[size:]
    return cut


class Wire:
    """A transport over a scripted connection."""

    def __init__(
        self,
        *script: Any,
        codec: str = "h11",
        how: str = "whole",
        url: str = "http://example.com/",
        limits: Limits | None = None,
        timeout: Timeout | None = None,
        is_forwarded: bool = False,
        fail_at: int | None = None,
        failure: BaseException | None = None,
    ) -> None:
        steps: list[Any] = []
        for step in script:
            steps += segments(step, how) if isinstance(step, bytes) and step else [step]
        self.clock = Clock()
        self.stream = MemoryStream(steps, self.clock, fail_at=fail_at, failure=failure)
        self.limits = limits or Limits()
        self.timeout = timeout or Timeout()
        self.url = URL(url)
        context = TransportContext(self.url.origin, self.clock, self.limits, {}, forward_proxied=is_forwarded)
        self.transport = Http11Transport(self.stream, context, load_codec(codec)())

    def exchange(self) -> Exchange:
        return Exchange(self.clock, Deadline(self.timeout, self.clock.now), self.limits)

    def send(self, method: str = "GET", **options: Any) -> IncomingResponse:
        """Send a request; ``options`` are those of Request."""
        return self.send_request(Request(method, self.url, **options))

    def send_request(self, request: Request) -> IncomingResponse:
        return run(self.transport.send(request, self.exchange()))

    def fetch(self, method: str = "GET", **options: Any) -> tuple[IncomingResponse, bytes]:
        """Send a request and read the body."""
        response = self.send(method, **options)
        return response, read_all(response)

    @property
    def is_reusable(self) -> bool:
        """Whether the transport can and will carry another exchange."""
        transport = self.transport
        assert (transport.concurrency == 0) == transport.is_closing
        return transport.is_usable() and not self.stream.is_closed and transport.concurrency == 1


def read_all(response: IncomingResponse) -> bytes:
    """Read a body to its end."""
    chunks = []
    while chunk := run(response.body.read_chunk()):
        chunks.append(chunk)
    assert run(response.body.read_chunk()) == b""
    return b"".join(chunks)


def raw_headers(*lines: tuple[bytes, bytes]) -> Headers:
    """Headers that were not checked at the door."""
    return Headers.from_raw(list(lines))
