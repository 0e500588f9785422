"""The suite, put to the demo transport, and to transports that are wrong in one way each."""

import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from reqivo_demo_frames import FramesPlugin
from reqivo_demo_frames.serving import serve_frames
from reqivo_demo_frames.transport import FramesBody, FramesTransport

from reqivo_core import Exchange, IncomingResponse, Request, TransportSpec, hookimpl
from reqivo_core.testing.transport_suite import TransportSuite, needs
from support.streamed import StreamServer


class TestFrames(TransportSuite):
    """A real transport over real sockets, in three worlds."""

    worlds = ("blocking", "asyncio", "trio")
    unreachable = "frames://127.0.0.1:1"

    @contextmanager
    def serve(self) -> Iterator[str]:
        with StreamServer(serve_frames) as server:
            yield f"frames://127.0.0.1:{server.port}"

    def plugins(self) -> list[Any]:
        return [FramesPlugin()]


def faulty(change: type[FramesTransport], **flags: Any) -> TransportSuite:
    """The suite of a transport that was changed."""

    class Plugin:
        @hookimpl
        def reqivo_register_transports(self) -> list[TransportSpec]:
            return [TransportSpec(name="faulty", schemes=("faulty",), open=change)]

    class Suite(TransportSuite):
        @contextmanager
        def serve(self) -> Iterator[str]:
            with StreamServer(serve_frames) as server:
                yield f"faulty://127.0.0.1:{server.port}"

        def plugins(self) -> list[Any]:
            return [Plugin()]

    return type("Changed", (Suite,), flags)()


class Leaky(FramesTransport):
    """Cancelled, it stays open: the next request gets the answer to the one before."""

    is_sending = False

    async def send(self, request: Request, exchange: Exchange) -> IncomingResponse:
        self.is_sending = True
        try:
            return await super().send(request, exchange)
        finally:
            self.is_sending = False

    def close(self) -> None:
        if self.is_sending:
            self._exchange = None
        else:
            super().close()

    def is_usable(self) -> bool:
        return not self.is_closing


class Careless(FramesTransport):
    """Lets an error of the standard library out."""

    async def send(self, request: Request, exchange: Exchange) -> IncomingResponse:
        try:
            return await super().send(request, exchange)
        except Exception as error:
            raise OSError("bad file descriptor") from error


class Credulous(FramesTransport):
    """Takes a cut body for a whole one."""

    async def send(self, request: Request, exchange: Exchange) -> IncomingResponse:
        response = await super().send(request, exchange)
        response.body = CredulousBody(self, None)
        return response


class CredulousBody(FramesBody):
    async def read_chunk(self) -> bytes:
        try:
            return await super().read_chunk()
        except Exception:
            return b""


class Wasteful(FramesTransport):
    """Uses each connection once."""

    def end_exchange(self) -> None:
        self.close()


@pytest.mark.parametrize(
    ("change", "test", "complaint"),
    [
        (Leaky, "test_late_interruptions_blocking", "the next request got a wrong body"),
        (Careless, "test_broken_network_blocking", "bad file descriptor"),
        (Credulous, "test_cut_asyncio", "was to fail"),
        (Wasteful, "test_reuse_blocking", "not enough values to unpack"),
    ],
)
def test_faults_are_found(change: type[FramesTransport], test: str, complaint: str) -> None:
    suite = faulty(change)
    with pytest.raises((AssertionError, OSError, ValueError), match=complaint):
        getattr(suite, test)()


def test_flags_leave_tests_out() -> None:
    suite = faulty(Wasteful, keeps_alive=False, can_cut=False, worlds=("blocking",))
    assert callable(suite.test_small_get_blocking)  # type: ignore[attr-defined]  # made by __init_subclass__
    assert suite.test_reuse_blocking is None  # type: ignore[attr-defined]  # as above
    assert suite.test_cut_blocking is None  # type: ignore[attr-defined]  # as above
    assert suite.test_sharing_blocking is None  # type: ignore[attr-defined]  # as above


def test_a_check_of_ones_own_becomes_a_test() -> None:
    seen = []

    class Suite(TestFrames):
        worlds = ("blocking", "asyncio")

        async def check_own(self, world: str, url: str) -> None:
            """Do something of its own."""
            seen.append(world)

        @needs("upgrades")
        async def check_unwanted(self, world: str, url: str) -> None:
            raise AssertionError

    suite = Suite()
    for world in suite.worlds:
        getattr(suite, f"test_own_{world}")()
    assert seen == ["blocking", "asyncio"]
    assert Suite.test_own_blocking.__doc__ == "Do something of its own."  # type: ignore[attr-defined]  # made by the suite
    assert Suite.test_unwanted_asyncio is None  # type: ignore[attr-defined]  # as above


def test_a_suite_without_a_server_says_so() -> None:
    class Suite(TransportSuite):
        pass

    test: Callable[[], None] = Suite().test_small_get_blocking  # type: ignore[attr-defined]  # made by the suite
    with pytest.raises(NotImplementedError, match="override serve"):
        test()


def test_unittest_finds_the_tests_too() -> None:
    case = type("Case", (TestFrames, unittest.TestCase), {"worlds": ("blocking",)})
    names = unittest.TestLoader().getTestCaseNames(case)
    assert "test_small_get_blocking" in names
    assert "test_upgrade_blocking" not in names
    result = unittest.TestResult()
    case("test_small_get_blocking").run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])
