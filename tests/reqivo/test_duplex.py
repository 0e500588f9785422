"""Servers that answer while they read: both sides go on, and neither waits for the other for ever."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from reqivo import AsyncSession, IncompleteBody, RemoteProtocolError, Session, Timeout, TotalTimeout, WriteTimeout
from reqivo_core.runtime.trio import TrioRuntime
from support.certs import Authority
from support.fixtures import Serve
from support.messages import Request, chunked
from support.scenarios import FOLLOW_UP, PATIENCE, Stage, head, ok, serve_on
from support.scripted import Peer

SIZE = 6_000_000
"""Octets that no buffers between the two hold, not with the server's as small as they are here."""
PIECE = bytes(range(256)) * 64
CHUNKED = head("Transfer-Encoding: chunked")


COUNT = SIZE // len(PIECE)
WHOLE = PIECE * COUNT
ENDLESS = 1 << 30


def pieces(peers: Peers, count: int = COUNT) -> Iterator[bytes]:
    """A body that goes on when the server has answered: it is looked for between two pieces."""
    yield PIECE
    assert peers.have_answered.wait(PATIENCE)
    for _ in range(count - 1):
        yield PIECE


async def async_pieces(peers: Peers, count: int = COUNT) -> AsyncIterator[bytes]:
    for piece in pieces(peers, count):
        yield piece


class Peers:
    """A server's side.

    Attributes:
        have_answered: Set once an answer has begun.
    """

    def __init__(self) -> None:
        self.have_answered = threading.Event()

    def answer(self, peer: Peer, octets: bytes) -> None:
        """Begin to answer."""
        peer.expect_head()
        peer.send(octets, "whole")
        self.have_answered.set()

    def echo(self, peer: Peer) -> None:
        """Send every chunk back before the next is read."""
        self.answer(peer, CHUNKED)
        for chunk in chunks_of(peer):
            peer.send(chunked(chunk).removesuffix(b"0\r\n\r\n"), "whole")
        peer.send(b"0\r\n\r\n")
        serve_on(peer)

    def flood(self, peer: Peer) -> None:
        """Answer without end, and take nothing."""
        self.answer(peer, head("Content-Length: 100000000"))
        peer.flood(b"x" * 65536)

    def stick(self, peer: Peer) -> None:
        """Begin to answer, and then nothing goes either way."""
        self.answer(peer, CHUNKED + b"3\r\nabc\r\n")
        peer.stop_reading()


@pytest.fixture
def peers() -> Peers:
    return Peers()


def chunks_of(peer: Peer) -> Iterator[bytes]:
    """The chunks of a request, as they come."""
    while size := int(peer.expect_until(b"\r\n"), 16):
        yield peer.expect(size + 2)[:-2]
    peer.expect(2)


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_an_echo_of_more_than_all_buffers_hold(stage: Stage, peers: Peers, codec: str, kind: str) -> None:
    if kind == "async generator" and stage.world.name == "blocking":
        pytest.skip("it needs an async session")
    server = stage.server(peers.echo, receive_buffer=4096)
    with stage.client() as client:
        got = client.post(server.url("/"), body=pieces(peers) if kind == "generator" else async_pieces(peers))
        assert client.read(got) == WHOLE
        assert client.session.pool.counts == (0, 1, 0)
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
    assert server.connections == 1, "both ended well, so the connection is as good as any"


def test_the_same_in_trio(peers: Peers, serve: Serve, authority: Authority, no_leaks: None) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        async with AsyncSession(runtime=TrioRuntime(), timeout=30, verify=str(authority.path)) as session:
            for context in (None, authority.server_context()):
                peers.have_answered.clear()
                server = serve(peers.echo, receive_buffer=4096, tls=context)
                assert (await session.post(server.url("/"), body=async_pieces(peers))).content == WHOLE

    trio.run(main)


def test_what_has_come_is_there_before_the_request_was_sent(stage: Stage, peers: Peers) -> None:
    """An endless request and an endless response: the one goes on as the other is read."""
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        for number, piece in enumerate(pieces(peers, ENDLESS)):
            sent.append(number)
            yield piece

    server = stage.server([peers.echo, serve_on], receive_buffer=4096)
    with stage.client() as client:
        with client.stream("POST", server.url("/"), body=endless()) as got:
            before = len(sent)
            read = getattr(got, client.world.method("read"))
            digest = hashlib.sha256()
            for _ in range(COUNT):
                digest.update(client.world.run(read(len(PIECE))))
            assert digest.digest() == hashlib.sha256(WHOLE).digest()
            assert before < len(sent) < 10_000
        assert client.session.pool.counts == (0, 0, 0)
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP


def test_a_response_that_is_over_first_lets_the_request_end(stage: Stage, peers: Peers) -> None:
    """It was larger than is kept; the server reads on all the same, and the connection serves again."""
    got_all = threading.Event()

    def script(peer: Peer) -> None:
        peers.answer(peer, head("Content-Length: 400000") + b"x" * 400_000)
        assert sum(map(len, chunks_of(peer))) == len(WHOLE)
        got_all.set()
        serve_on(peer)

    server = stage.server(script, receive_buffer=4096)
    with stage.client() as client:
        assert client.read(client.post(server.url("/"), body=pieces(peers))) == b"x" * 400_000
        assert got_all.wait(PATIENCE)
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
    assert server.connections == 1


def test_a_response_that_is_left_once_the_request_was_sent(stage: Stage, peers: Peers) -> None:
    def script(peer: Peer) -> None:
        peers.answer(peer, head("Content-Length: 100000000") + b"x" * 400_000)
        assert sum(map(len, chunks_of(peer))) == len(WHOLE)
        peer.send(b"y")
        peer.expect_close()

    server = stage.server([script, serve_on], receive_buffer=4096)
    with stage.client() as client:
        got = client.post(server.url("/"), body=pieces(peers), stream=True)
        assert client.world.run(getattr(got, client.world.method("read"))(400_001)) == b"x" * 400_000 + b"y"
        client.close(got)
        server.wait_for_closed(1)
        assert client.session.pool.counts == (0, 0, 0)
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP


def test_a_server_that_floods_and_reads_nothing(stage: Stage, peers: Peers) -> None:
    """The response is the user's to read, or to leave; the upload ends with it."""
    closed: list[str] = []

    def endless() -> Iterator[bytes]:
        try:
            yield from pieces(peers, ENDLESS)
        finally:
            closed.append("it was")

    server = stage.server([peers.flood, serve_on], receive_buffer=4096)
    with stage.client() as client:
        with client.stream("POST", server.url("/"), body=endless()) as got:
            assert len(client.world.run(getattr(got, client.world.method("read"))(1_000_000))) == 1_000_000
        assert closed == ["it was"]
        assert client.session.pool.counts == (0, 0, 0)
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP


@pytest.mark.parametrize(
    ("timeout", "error", "words"),
    [
        (
            Timeout(timeout=60, write=0.2),
            WriteTimeout,
            "took no more .* for 0.2 s; it has answered with 200",
        ),
        (Timeout(timeout=60, total=0.5), TotalTimeout, "total of 0.5 s"),
    ],
)
def test_silence_on_both_sides_has_an_end(stage: Stage, peers: Peers, timeout: Timeout, error: Any, words: str) -> None:
    server = stage.server([peers.stick, serve_on], receive_buffer=4096)
    with stage.client(timeout=timeout) as client:
        with pytest.raises(error, match=words):
            client.post(server.url("/"), body=pieces(peers, ENDLESS))
        server.wait_for_connections(1)
        assert client.session.pool.counts == (0, 0, 0)
        assert client.read(client.get(server.url("/"), timeout=60)) == FOLLOW_UP


BREAKS: dict[str, tuple[Callable[[Peer], Any], type[BaseException]]] = {
    "reset": (Peer.rst, IncompleteBody),
    "cut": (Peer.abort_tls, IncompleteBody),
    "nonsense": (lambda peer: (peer.send(b"no chunk\r\n"), peer.expect_close()), RemoteProtocolError),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_response_that_breaks_while_the_request_is_sent(stage: Stage, peers: Peers, codec: str, how: str) -> None:
    leave, error = BREAKS[how]

    def script(peer: Peer) -> None:
        peers.answer(peer, CHUNKED + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 4)
        peer.wait(may_leave)
        leave(peer)

    may_leave = threading.Event()
    server = stage.server([script, serve_on], receive_buffer=4096)
    with stage.client() as client:
        got = client.post(server.url("/"), body=pieces(peers, ENDLESS), stream=True)
        may_leave.set()
        with pytest.raises(error) as caught:
            client.read(got)
        assert caught.value.request is not None
        assert client.session.pool.counts == (0, 0, 0)
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP


class Oops(Exception):
    """Something of the user's."""


def test_a_body_that_fails_while_the_response_is_read(stage: Stage, peers: Peers) -> None:
    def failing() -> Iterator[bytes]:
        yield from pieces(peers, 1000)
        raise Oops

    server = stage.server([peers.echo, serve_on], receive_buffer=4096)
    with stage.client() as client:
        got = client.post(server.url("/"), body=failing(), stream=True)
        with pytest.raises(Oops):
            client.read(got)
        assert client.session.pool.counts == (0, 0, 0)
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP


def test_a_cancelled_reader_ends_the_request(peers: Peers, serve: Serve, no_leaks: None) -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            for piece in pieces(peers, ENDLESS):
                yield piece
        finally:
            closed.append("it was")

    def script(peer: Peer) -> None:
        peers.answer(peer, head("Content-Length: 100000000") + b"x" * 400_000)
        peer.stop_reading()

    server = serve([script, serve_on], receive_buffer=4096)

    async def main() -> None:
        async with AsyncSession(timeout=60) as session:
            got = await session.post(server.url("/"), body=endless(), stream=True)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await got.aread()
            assert closed == ["it was"]
            assert session.pool.counts == (0, 0, 0)
            assert (await session.get(server.url("/"))).content == FOLLOW_UP

    asyncio.run(main(), debug=True)


def test_an_early_refusal_still_stops_the_upload(stage: Stage, peers: Peers) -> None:
    """Only a success is worth to go on for."""
    seen: list[Request] = []

    def script(peer: Peer) -> None:
        seen.append(peer.expect_head())
        peer.send(head("Content-Length: 100000", status="HTTP/1.1 413 No") + b"x" * 100_000, "whole")
        peer.expect_close()

    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        for number in range(1 << 30):
            sent.append(number)
            yield PIECE

    server = stage.server([script, serve_on])
    with stage.client() as client:
        got = client.post(server.url("/"), body=endless())
        count = len(sent)
        assert (got.status_code, client.read(got)) == (413, b"x" * 100_000)
        assert len(sent) == count
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP


def test_a_small_answer_is_kept_until_the_request_was_sent(stage: Stage, peers: Peers) -> None:
    """What servers send that have nothing to wait for: the upload goes on to its end, as ever."""

    def script(peer: Peer) -> None:
        peers.answer(peer, ok(b"early"))
        assert sum(map(len, chunks_of(peer))) == 3 * len(PIECE)
        serve_on(peer)

    server = stage.server(script)
    with stage.client() as client:
        assert client.read(client.post(server.url("/"), body=pieces(peers, 3))) == b"early"
        assert client.read(client.get(server.url("/"))) == FOLLOW_UP
    assert server.connections == 1


def test_a_response_dropped_in_the_middle_leaves_nothing(peers: Peers, serve: Serve, no_leaks: None) -> None:
    server = serve([peers.flood, serve_on], receive_buffer=4096)
    with Session(timeout=60) as session:
        with pytest.warns(ResourceWarning, match="dropped unread"):
            session.post(server.url("/"), body=pieces(peers, ENDLESS), stream=True)
        assert session.pool.counts == (0, 0, 0)
        assert session.get(server.url("/")).content == FOLLOW_UP
