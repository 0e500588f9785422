"""Many requests at once, over good networks and bad ones: each gets its own answer or an error, never another's."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

import reqivo
from reqivo import AsyncSession, Limits, Session, Timeout
from support.fixtures import MakeToxic, Serve
from support.scenarios import Stage
from support.scripted import Peer
from support.toxics import Bandwidth, Latency, Limit, Reset, Slicer, SlowClose, Toxic
from support.toxics import Timeout as Stall

pytestmark = pytest.mark.thorough

THREADS, TASKS, REQUESTS = 40, 200, 5000


def echo(peer: Peer) -> None:
    """Say back target and body, and a body of a size of its own."""
    while True:
        request = peer.expect_request()
        nonce = request.target.rpartition("/")[2]
        body = filling(nonce)
        digest = hashlib.sha256(request.body).hexdigest()
        peer.respond(200, body, [("X-Nonce", nonce), ("X-Sha256", digest), ("X-Method", request.method)])


def filling(nonce: str) -> bytes:
    return f"{nonce};".encode() * (1 + hash(nonce) % 200)


def assert_mine(response: Any, nonce: str, sent: bytes) -> None:
    assert response.status_code == 200
    assert response.headers["x-nonce"] == nonce
    assert response.headers["x-sha256"] == hashlib.sha256(sent).hexdigest()
    assert response.content == filling(nonce)


def test_threads_and_tasks_share_a_session(stage: Stage) -> None:  # F7
    server = stage.server(echo)
    numbers = itertools.count()
    served: Counter[str] = Counter()
    workers = THREADS if stage.world.name == "blocking" else TASKS

    def work(session: Session) -> None:
        while (number := next(numbers)) < REQUESTS:
            nonce, body = f"n{number}", f"b{number}".encode() * (number % 50)
            assert_mine(session.post(server.url(f"/{nonce}"), body=body), nonce, body)
            served[nonce] += 1

    async def work_async(session: AsyncSession) -> None:
        while (number := next(numbers)) < REQUESTS:
            nonce, body = f"n{number}", f"b{number}".encode() * (number % 50)
            assert_mine(await session.post(server.url(f"/{nonce}"), body=body), nonce, body)
            served[nonce] += 1

    with stage.client(timeout=Timeout(timeout=20), limits=Limits(max_connections=20)) as client:
        outcomes = client.together([work if stage.world.name == "blocking" else work_async] * workers)
        assert outcomes == [None] * workers
        assert client.session.pool.counts == (0, client.session.pool.idle, 0)
    assert len(served) == REQUESTS
    assert set(served.values()) == {1}
    assert server.connections <= 20
    assert len(server.requests) == REQUESTS


FATES: Sequence[Sequence[Toxic]] = (
    [],
    [Latency(0.005, 0.005)],
    [Slicer(7)],
    [Slicer(100, 0.0005)],
    [Bandwidth(200_000)],
    [Limit(900)],
    [Limit(30)],
    [Limit(5000), Slicer(40)],
    [Reset(0.01)],
    [Stall(0.5)],
    [SlowClose(0.01)],
    [],
)


def fate(index: int) -> Sequence[Toxic]:
    return FATES[index % len(FATES)]


def assert_expected(error: BaseException) -> None:
    """A bad network may cost a request, but only by these errors."""
    expected = (
        reqivo.TimeoutException,
        reqivo.IncompleteBody,
        reqivo.ServerDisconnected,
        reqivo.NetworkError,
        reqivo.RemoteProtocolError,  # a head cut short
        reqivo.PoolTimeout,
    )
    assert isinstance(error, expected), repr(error)
    assert error.request is not None


SOAK = Timeout(timeout=0.25, pool=3.0)


def test_tasks_on_a_bad_network(serve: Serve, make_toxic: MakeToxic, no_leaks: None) -> None:  # F1
    origins = [make_toxic(serve(echo).address, fate, seed=seed) for seed in range(3)]
    counts: Counter[str] = Counter()
    numbers = itertools.count()

    async def one(session: AsyncSession, dice: random.Random, number: int) -> None:
        nonce, body = f"n{number}", b"x" * dice.choice((0, 10, 5000))
        method = dice.choice(("GET", "POST", "PUT"))
        url = dice.choice(origins).url(f"/{nonce}")
        call = session.request(method, url, body=body or None, stream=dice.random() < 0.3)
        try:
            async with asyncio.timeout(dice.choice((0.004, 0.02, 5, 5, 5))):
                response = await call
                if dice.random() < 0.1:
                    return await response.aclose()
                await response.aread()
            assert_mine(response, nonce, body)
            counts["good"] += 1
        except TimeoutError as error:
            if isinstance(error, reqivo.ReqivoError):
                assert_expected(error)
            counts[type(error).__name__] += 1
        except reqivo.ReqivoError as error:
            assert_expected(error)
            counts[type(error).__name__] += 1

    async def work(session: AsyncSession, seed: int) -> None:
        dice = random.Random(seed)
        while (number := next(numbers)) < 1500:
            await one(session, dice, number)

    async def main() -> None:
        async with AsyncSession(timeout=SOAK, limits=Limits(max_connections=25)) as session:
            await asyncio.gather(*(work(session, seed) for seed in range(60)))
            assert (session.pool.active, session.pool.waiting) == (0, 0)

    asyncio.run(main())
    assert counts["good"] > 50, counts
    assert len(counts) >= 4, counts


def test_threads_on_a_bad_network(serve: Serve, make_toxic: MakeToxic, no_leaks: None) -> None:  # F1
    origins = [make_toxic(serve(echo).address, fate, seed=seed) for seed in range(3)]
    counts: Counter[str] = Counter()
    numbers = itertools.count()
    surprises: list[BaseException] = []

    def one(session: Session, dice: random.Random, number: int) -> None:
        nonce, body = f"n{number}", b"x" * dice.choice((0, 10, 5000))
        url = dice.choice(origins).url(f"/{nonce}")
        try:
            response = session.request(dice.choice(("GET", "POST", "PUT")), url, body=body or None, stream=True)
            match dice.randrange(10):
                case 0:
                    return response.close()
                case 1:
                    next(response.iter_content(1))
                    return response.close()
                case _:
                    response.read()
            assert_mine(response, nonce, body)
            counts["good"] += 1
        except reqivo.ReqivoError as error:
            assert_expected(error)
            counts[type(error).__name__] += 1

    def work(session: Session, seed: int) -> None:
        dice = random.Random(seed)
        try:
            while (number := next(numbers)) < 800:
                one(session, dice, number)
        except BaseException as error:
            surprises.append(error)

    with Session(timeout=SOAK, limits=Limits(max_connections=15)) as session:
        threads = [threading.Thread(target=work, args=(session, seed)) for seed in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not surprises
        assert not any(thread.is_alive() for thread in threads)
        assert (session.pool.active, session.pool.waiting) == (0, 0)
    assert counts["good"] > 25, counts
    assert len(counts) >= 4, counts


@pytest.mark.parametrize("stream", [False, True])
def test_two_threads_at_one_response_never_hang(stage: Stage, stream: bool) -> None:
    if stage.world.name == "async":
        pytest.skip("a response belongs to one task")
    server = stage.server(lambda peer: (peer.expect_request(), peer.flood(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 9000))[0])
    with stage.client() as client:
        response = client.get(server.url("/"), stream=stream)
        outcomes: list[BaseException | None] = []

        def read() -> None:
            try:
                for _ in response.iter_content(100):
                    pass
                outcomes.append(None)
            except BaseException as error:
                outcomes.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        server.wait_for_requests(1)
        response.close()
        reader.join(60)
        assert not reader.is_alive()
        assert isinstance(outcomes[0], reqivo.ReqivoError), outcomes
