"""Connections that were handed out."""

from __future__ import annotations

from typing import Any

import pytest

from reqivo_core.connection import LeasedStream, may_send_again
from reqivo_core.content import to_content
from reqivo_core.errors import ReadError, ServerDisconnected, TlsError
from reqivo_core.messages import Request
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.streams import MemoryStream
from reqivo_core.tls_config import TlsConfig


class Interrupted(MemoryStream):
    """A stream whose first farewell is interrupted."""

    def close(self) -> None:
        was_closed = self.is_closed
        super().close()
        if not was_closed:
            raise KeyboardInterrupt


class Slot:
    """A place in a pool."""

    was_released = False

    def release(self) -> None:
        self.was_released = True

    abandon = release


def test_an_interrupted_farewell_gives_the_slot_back() -> None:
    slot: Any = Slot()
    stream = Interrupted(MemoryRuntime())
    leased = LeasedStream(stream, slot)
    with pytest.raises(KeyboardInterrupt):
        leased.close()
    assert (slot.was_released, stream.is_closed) == (True, True)


class Upgradable(MemoryStream):
    """A stream that becomes another one."""

    def __init__(self, runtime: MemoryRuntime, fails: bool = False) -> None:
        super().__init__(runtime)
        self.fails = fails

    async def start_tls(self, config: Any, server_hostname: str, alpn: Any, timeout: Any) -> Encrypted:
        if self.fails:
            raise TlsError("no")
        return Encrypted(self._runtime, self)


class Encrypted(MemoryStream):
    """A stream over another, as TLS is."""

    def __init__(self, runtime: MemoryRuntime, inner: MemoryStream) -> None:
        super().__init__(runtime)
        self.inner = inner

    async def write(self, data: Any, timeout: float | None) -> None:
        await self.inner.write(data, timeout)

    def close(self) -> None:
        super().close()
        self.inner.close()


def test_what_a_stream_became_lives_on_without_it() -> None:
    slot: Any = Slot()
    inner = Upgradable(MemoryRuntime())
    leased = LeasedStream(inner, slot)
    later = run_blocking(leased.start_tls(TlsConfig(), "example.org", (), 1.0))
    del leased
    assert (inner.is_closed, slot.was_released) == (False, False)
    run_blocking(later.write(b"x", 1.0))
    assert inner.sent == b"x"
    later.close()
    assert (inner.is_closed, slot.was_released) == (True, True)


def test_a_stream_that_could_not_become_another_is_given_up() -> None:
    slot: Any = Slot()
    inner = Upgradable(MemoryRuntime(), fails=True)
    leased = LeasedStream(inner, slot)
    with pytest.raises(TlsError):
        run_blocking(leased.start_tls(TlsConfig(), "example.org", (), 1.0))
    assert (inner.is_closed, slot.was_released) == (True, True)


def test_what_was_not_begun_may_be_sent_again_once_only_if_idempotent() -> None:
    def again(method: str, *, is_reused: bool = True, error: BaseException | None = None) -> bool:
        content = to_content(iter([b"x"]))
        request = Request(method, "http://a/", content=content)
        return may_send_again(error or ServerDisconnected("gone"), request, is_reused=is_reused, attempts=1)

    assert (again("PUT"), again("POST"), again("PUT", is_reused=False)) == (True, False, False)
    assert again("PUT", error=KeyboardInterrupt()) is False


def test_what_was_begun_and_cannot_begin_anew_is_not_sent_again() -> None:
    content = to_content(iter([b"x"]))
    content.open()
    request = Request("PUT", "http://a/", content=content)
    assert may_send_again(ReadError("gone"), request, is_reused=True, attempts=1) is False
