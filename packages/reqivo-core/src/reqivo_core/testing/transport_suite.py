"""TransportSuite: the tests that every transport can be put to, ours and yours.

Subclass it, say where a server is that answers as ``suite_app`` says, and set the flags that tell what your protocol
can do. Each check becomes a test of its own in each world, ``test_reuse_blocking``, ``test_reuse_asyncio``, which
pytest and unittest find; a flag that is not set leaves tests out, it does not skip them::

    class TestFrames(TransportSuite):
        upgrades = False

        @contextmanager
        def serve(self):
            with FramesServer(answer) as server:
                yield f"frames://127.0.0.1:{server.port}"

A check is written once, as ``async def check_…``: in the blocking world its awaits never suspend. Checks that a
subclass adds become tests likewise.
"""

from __future__ import annotations

import pickle
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from reqivo_core.errors import HTTPStatusError, ReqivoError, RequestError, TimeoutException
from reqivo_core.limits import Limits
from reqivo_core.runtime.running import run_in
from reqivo_core.testing.failing import Cancelled, Fault, broken_network, cancelled, faults
from reqivo_core.testing.suite_app import PIECE, pattern
from reqivo_core.testing.suite_client import SuiteClient, make_client
from reqivo_core.timeouts import Timeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractContextManager

LARGE = 300_000
"""Octets of a body that fits into no single read."""

CheckT = TypeVar("CheckT", bound="Callable[..., Any]")


def needs(*flags: str) -> Callable[[CheckT], CheckT]:
    """Mark a check that only makes sense where these flags are set."""

    def mark(check: CheckT) -> CheckT:
        check.__dict__["needs"] = flags
        return check

    return mark


class TransportSuite:
    """Tests of a transport; see the module.

    Attributes:
        worlds: The worlds to test in; ``trio`` too, where it is installed.
        keeps_alive: A connection serves several requests, one after the other.
        is_shared: A connection serves several requests at once.
        streams_up: Bodies of unknown length can be sent.
        streams_down: Bodies can be read as they come.
        can_stall: The server obeys ``/stall``.
        can_cut: The server obeys ``/cut``, and the protocol tells where bodies end.
        has_leaves: It waits in the runtime's leaves (a transport that computes its answers does not).
        upgrades: A request to ``/upgrade`` with the extension ``upgrade`` set to ``echo`` is answered by 101, after
            which the server sends back what comes.
        unreachable: A URL at which nobody is; None where there can be no such thing.
        session_options: Options for the sessions.
    """

    worlds: ClassVar[Sequence[str]] = ("blocking", "asyncio")
    keeps_alive: ClassVar[bool] = True
    is_shared: ClassVar[bool] = False
    streams_up: ClassVar[bool] = True
    streams_down: ClassVar[bool] = True
    can_stall: ClassVar[bool] = True
    can_cut: ClassVar[bool] = True
    has_leaves: ClassVar[bool] = True
    upgrades: ClassVar[bool] = False
    unreachable: ClassVar[str | None] = None
    session_options: ClassVar[dict[str, Any]] = {}

    def serve(self) -> AbstractContextManager[str]:
        """Serve ``suite_app.answer`` for one test; the context's value is the URL that paths are appended to."""
        # The one thing that only the author of a transport has. No abstract method: runners also make the bare suite.
        raise NotImplementedError(f"{type(self).__name__} has no server: override serve()")

    def plugins(self) -> Sequence[Any]:
        """Plugins for the sessions, where the transport is not found by entry point."""
        return ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Make a test of each check that the flags ask for, in each world."""
        super().__init_subclass__(**options)
        for name in [name for name in dir(cls) if name.startswith("check_")]:
            check = getattr(cls, name)
            is_wanted = all(getattr(cls, flag) for flag in getattr(check, "needs", ()))
            for world in cls.worlds:
                test = _test_of(name, check.__doc__, world) if is_wanted else None
                setattr(cls, f"test_{name.removeprefix('check_')}_{world}", test)

    @asynccontextmanager
    async def client(self, world: str, url: str, **options: Any) -> AsyncIterator[SuiteClient]:
        """A client whose pool must be whole in the end."""
        client = make_client(world, url, **{**self.session_options, "plugins": self.plugins(), **options})
        try:
            yield client
            _check_pool(client)
        finally:
            await client.close()
        assert client.session.pool.counts == (0, 0, 0), f"a closed session holds on: {client.session.pool!r}"

    # what a client is for

    async def check_small_get(self, world: str, url: str) -> None:
        """A response has a status, a version, headers and a body."""
        async with self.client(world, url) as client:
            response, body = await client.fetch("GET", "/hello")
            assert (response.status_code, body, response.text) == (200, b"hello", "hello")
            assert response.headers["Content-Type"] == "text/plain"
            assert response.http_version, "a transport names its version"
            assert str(response.url) == f"{url}/hello"
            assert response.request.method == "GET"

    async def check_status(self, world: str, url: str) -> None:
        """Any status is a response; raising is the caller's wish, and the error travels."""
        async with self.client(world, url) as client:
            for status in (201, 404, 500):
                response, body = await client.fetch("GET", f"/status/{status}")
                assert (response.status_code, body) == (status, f"status {status}".encode())
            raised = None
            try:
                response.raise_for_status()
            except HTTPStatusError as error:
                raised = error
            assert raised is not None, "raise_for_status() let a 500 pass"
            assert pickle.loads(pickle.dumps(raised)).args == raised.args

    async def check_bodies_both_ways(self, world: str, url: str) -> None:
        """What is sent comes back, of any length, with its fields."""
        async with self.client(world, url) as client:
            for length in (0, 1, 1000, LARGE):
                sent = pattern(length)
                headers = {"X-Note": f'{length}; "a, b"', "Content-Type": "application/x-numbers"}
                response, body = await client.fetch("POST", "/echo", body=sent, headers=headers)
                assert body == sent, f"{length} octets came back as {len(body)}"
                assert response.headers["x-note"] == headers["X-Note"]
                assert response.headers["content-type"] == "application/x-numbers"
                assert response.headers["x-method"] == "POST"

    @needs("streams_up")
    async def check_stream_up(self, world: str, url: str) -> None:
        """A body of unknown length arrives whole."""
        async with self.client(world, url) as client:
            pieces = [b"one", b"two" * 1000, b"three" * 20_000]
            _, body = await client.fetch("PUT", "/echo", body=iter(pieces))
            assert body == b"".join(pieces)

    @needs("streams_down")
    async def check_stream_down(self, world: str, url: str) -> None:
        """A body can be read as it comes."""
        async with self.client(world, url) as client:
            response = await client.request("GET", f"/bytes/{LARGE}", stream=True)
            pieces = await client.pieces(response)
            assert len(pieces) > 1
            assert b"".join(pieces) == pattern(LARGE)

    async def check_several_at_once(self, world: str, url: str) -> None:
        """Every request gets its own answer."""
        async with self.client(world, url) as client:

            async def ask(number: int) -> bool:
                note = f"note {number}"
                response, body = await client.fetch("POST", "/echo", body=note * 100, headers={"X-Note": note})
                return response.headers["x-note"] == note and body == note.encode() * 100

            answers = await client.together([partial(ask, number) for number in range(12)])
            assert all(answers), f"answers were mixed up: {answers}"

    # connections

    @needs("keeps_alive")
    async def check_reuse(self, world: str, url: str) -> None:
        """One connection serves one request after the other."""
        async with self.client(world, url) as client:
            for number in range(1, 4):
                await client.fetch("POST", "/echo", body=b"again")
                (connection,) = client.session.pool.connections()
                assert connection["uses"] == number
            assert client.session.pool.idle == 1

    @needs("is_shared", "can_stall")
    async def check_sharing(self, world: str, url: str) -> None:
        """A response that does not come to its end holds nobody up."""
        async with self.client(world, url, limits=Limits(max_connections=1)) as client:
            stalled = await client.request("GET", "/stall/10", stream=True)
            _, body = await client.fetch("GET", "/hello")
            assert body == b"hello"
            assert len(client.session.pool.connections()) == 1
            await client.close_response(stalled)

    async def check_queueing(self, world: str, url: str) -> None:
        """With one connection allowed, requests take turns."""
        async with self.client(world, url, limits=Limits(max_connections=1)) as client:
            answers = await client.together([lambda: client.fetch("GET", "/hello")] * 6)
            assert [body for _, body in answers] == [b"hello"] * 6

    @needs("streams_down")
    async def check_leaving_early(self, world: str, url: str) -> None:
        """A response that is closed half-read does not disturb the next."""
        async with self.client(world, url) as client:
            response = await client.request("GET", f"/bytes/{LARGE}", stream=True)
            piece = await client.first_piece(response)
            assert pattern(LARGE).startswith(piece) and piece
            await client.close_response(response)
            _check_pool(client)
            _, body = await client.fetch("GET", "/hello")
            assert body == b"hello"

    @needs("upgrades")
    async def check_upgrade(self, world: str, url: str) -> None:
        """After 101 the connection is the caller's."""
        async with self.client(world, url) as client:
            response = await client.request("GET", "/upgrade", extensions={"upgrade": "echo"})
            assert response.status_code == 101
            stream = response.extensions["network_stream"]
            for message in (b"hello", b"again"):
                await stream.write(message, 10.0)
                heard = b""
                while len(heard) < len(message):
                    heard += await stream.read(100, 10.0)
                assert heard == message
            stream.close()

    # when things go wrong

    @needs("can_stall")
    async def check_silence(self, world: str, url: str) -> None:
        """A server that falls silent is given up on in time."""
        async with self.client(world, url) as client:
            await _fails(client, "/stall/1000", TimeoutException, timeout=Timeout(timeout=10.0, read=0.2))
            await _fails(client, "/stall/1000", TimeoutException, timeout=Timeout(timeout=10.0, total=0.2))
            _, body = await client.fetch("GET", "/hello")
            assert body == b"hello"

    @needs("can_cut")
    async def check_cut(self, world: str, url: str) -> None:
        """A short body is never passed off as whole."""
        async with self.client(world, url) as client:
            await _fails(client, f"/cut/{2 * PIECE}", RequestError)
            _, body = await client.fetch("GET", "/hello")
            assert body == b"hello"

    @needs("unreachable")
    async def check_nobody_there(self, world: str, url: str) -> None:
        """A server that is not there is an error of reqivo's, which knows the request."""
        assert self.unreachable is not None
        async with self.client(world, self.unreachable) as client:
            error = await _fails(client, "/hello", RequestError)
            assert isinstance(error, RequestError)
            assert error.request is not None
            assert pickle.loads(pickle.dumps(error)).args == error.args

    @needs("has_leaves")
    async def check_interruptions(self, world: str, url: str) -> None:
        """Whichever leaf call is interrupted, the pool is whole and the next request does."""
        for fault in faults(cancelled):
            await self._survive(world, url, fault)

    @needs("has_leaves")
    async def check_late_interruptions(self, world: str, url: str) -> None:
        """The same where the interruption comes together with what was waited for."""
        for fault in faults(cancelled, afterwards=True):
            await self._survive(world, url, fault)

    @needs("has_leaves")
    async def check_broken_network(self, world: str, url: str) -> None:
        """Whichever leaf call the network breaks, the error is reqivo's and the next request does."""
        for fault in faults(broken_network):
            await self._survive(world, url, fault)

    async def _survive(self, world: str, url: str, fault: Fault) -> None:
        """Send a request that something happens to, and one to which nothing does."""
        async with self.client(world, url, wrap=fault.wrap) as client:
            try:
                _, body = await client.fetch("POST", "/echo", body=b"x" * 1000)
                assert body == b"x" * 1000, f"{fault!r}: a wrong body"
            except Cancelled:
                pass
            except ReqivoError as error:
                assert fault.was_reached, f"an error without cause: {error!r}"
                assert isinstance(error, RequestError) and error.request is not None, f"{fault!r}: {error!r}"
            fault.disarm()
            _check_pool(client, fault)
            _, body = await client.fetch("POST", "/echo", body=b"y" * 1000)
            assert body == b"y" * 1000, f"{fault!r}: the next request got a wrong body"


def _test_of(name: str, doc: str | None, world: str) -> Callable[[TransportSuite], None]:
    """Make a test of a check."""

    def test(self: TransportSuite) -> None:
        with self.serve() as url:
            run_in(world, lambda: getattr(self, name)(world, url))

    test.__doc__ = doc
    return test


def _check_pool(client: SuiteClient, fault: Fault | None = None) -> None:
    """The pool is whole: nothing is in use where nothing is going on."""
    pool = client.session.pool
    happened = "" if fault is None else f"{fault!r}: "
    assert (pool.active, pool.waiting) == (0, 0), f"{happened}the pool lost something: {pool!r}"


async def _fails(client: SuiteClient, path: str, kind: type[BaseException], **options: Any) -> BaseException:
    """Send a request that must fail; its error."""
    try:
        response, body = await client.fetch("GET", path, **options)
    except kind as error:
        _check_pool(client)
        return error
    raise AssertionError(f"{path} was to fail with {kind.__name__}; it gave {response!r} and {len(body)} octets")
