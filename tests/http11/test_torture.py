"""Whatever fails at whichever leaf call: the connection is closed, the body let go of, the error the right one."""

from collections.abc import Callable
from typing import Any

import pytest

from http11.memory import END, After, Wire, read_all, run
from http11.test_upload import EXPECT, Pieces
from reqivo_core.errors import (
    IncompleteBody,
    NetworkError,
    ReadError,
    ReadTimeout,
    ServerDisconnected,
    WriteError,
    WriteTimeout,
)
from reqivo_core.interfaces import IncomingResponse

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Cancelled(BaseException):
    """Stands for the cancellations and interruptions of all worlds."""


def get(**options: Any) -> tuple[Wire, Callable[[], IncomingResponse], Pieces | None]:
    wire = Wire(HEAD[:9], HEAD[9:] + b"01", b"234", b"56789", **options)
    return wire, wire.send, None


def chunked(**options: Any) -> tuple[Wire, Callable[[], IncomingResponse], Pieces | None]:
    wire = Wire(CHUNKED, b"5\r\n01", b"234\r\n5\r\n56789\r\n", b"0\r\nA: b\r\n", b"\r\n", **options)
    return wire, wire.send, None


def until_close(**options: Any) -> tuple[Wire, Callable[[], IncomingResponse], Pieces | None]:
    wire = Wire(b"HTTP/1.1 200 OK\r\n\r\n", b"01234", b"56789", END, **options)
    return wire, wire.send, None


def upload(**options: Any) -> tuple[Wire, Callable[[], IncomingResponse], Pieces | None]:
    content = Pieces(b"a", b"b", b"c")
    wire = Wire(After(b"0\r\n\r\n"), HEAD, b"0123456789", **options)
    return wire, lambda: wire.send("POST", content=content), content


def expectant(**options: Any) -> tuple[Wire, Callable[[], IncomingResponse], Pieces | None]:
    content = Pieces(b"ab", b"c", length=3)
    wire = Wire(
        b"HTTP/1.1 103 Hints\r\n\r\n", b"HTTP/1.1 100 Go on\r\n\r\n", After(b"abc"), HEAD, b"0123456789", **options
    )
    return wire, lambda: wire.send("POST", content=content, headers=EXPECT), content


def refused(**options: Any) -> tuple[Wire, Callable[[], IncomingResponse], Pieces | None]:
    content = Pieces(b"a", b"b", b"c")
    wire = Wire(After(b"1\r\na"), HEAD.replace(b"200", b"500"), b"01234", b"56789", **options)
    return wire, lambda: wire.send("POST", content=content), content


CONVERSATIONS = [get, chunked, until_close, upload, expectant, refused]


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation.__name__)
@pytest.mark.parametrize(
    "failure",
    [ReadError("reset"), ReadTimeout("silence"), WriteError("reset"), WriteTimeout("stuck"), Cancelled()],
    ids=repr,
)
def test_a_failure_at_every_leaf_call(
    codec: str,
    conversation: Callable[..., tuple[Wire, Callable[[], IncomingResponse], Pieces | None]],
    failure: BaseException,
) -> None:
    wire, send, _ = conversation(codec=codec)
    assert read_all(send()) == b"0123456789"
    calls = wire.stream.calls
    assert calls >= 4
    for k in range(1, calls + 1):
        wire, send, content = conversation(codec=codec, fail_at=k, failure=failure)
        got = b""
        error: BaseException | None = None
        try:
            response = send()
            while chunk := run(response.body.read_chunk()):
                got += chunk
        except BaseException as caught:
            error = caught
        assert content is None or content.was_closed
        if error is None:
            _check_survived(wire, failure, got)
        else:
            _check_failed(wire, failure, error, got)


def _check_survived(wire: Wire, failure: BaseException, got: bytes) -> None:
    """Only a silence where nothing had to come may be survived, or a write that broke while the answer was there."""
    assert isinstance(failure, ReadTimeout | WriteError | WriteTimeout)
    assert got == b"0123456789"
    assert wire.is_reusable or wire.stream.is_closed


def _check_failed(wire: Wire, failure: BaseException, error: BaseException, got: bytes) -> None:
    assert wire.stream.is_closed
    assert wire.transport.concurrency == 0
    assert b"0123456789".startswith(got)
    if error is not failure:
        assert isinstance(failure, NetworkError)
        assert type(error) in (ServerDisconnected, IncompleteBody)
        assert failure in (error.__cause__, error.__context__)
    if isinstance(error, IncompleteBody):
        assert error.received == len(got)


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation.__name__)
def test_an_abandoned_coroutine_lets_go_of_everything(
    codec: str, conversation: Callable[..., tuple[Wire, Callable[[], IncomingResponse], Pieces | None]]
) -> None:
    class Suspension:
        def __await__(self) -> Any:
            yield

    wire, send, content = conversation(codec=codec)

    async def suspended(max_bytes: int, timeout: float | None) -> bytes:
        await Suspension()
        raise AssertionError("it was not to go on")

    wire.stream.read = suspended  # type: ignore[method-assign]  # a world whose leaves suspend
    with pytest.raises(AssertionError, match="was suspended"):
        send()
    assert wire.stream.is_closed
    assert content is None or content.was_closed
