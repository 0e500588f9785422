"""One connection for many: threads on a blocking session, tasks on an asynchronous one; scenarios 49 and 50."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reqivo_core import AsyncSession, Session, Timeout
from reqivo_core.errors import RequestError, TimeoutException
from support.asgi_app import pattern
from support.certs import Authority
from support.servers import AsgiServer
from support.world import World

pytestmark = pytest.mark.thorough

THREADS, REQUESTS = 40, 500


@pytest.fixture(scope="module")
def generous(authority: Authority) -> Iterator[AsgiServer]:
    """A server that does not end connections after so many requests."""
    with AsgiServer(tls=authority.server_context(alpn=["h2"]), keep_alive_max_requests=10**9) as server:
        yield server


def test_forty_threads_share_a_session() -> None:
    with AsgiServer(keep_alive_max_requests=10**9) as server, Session(http2=True, timeout=60) as session:

        def work(thread: int) -> list[str]:
            wrong = []
            for number in range(REQUESTS):
                nonce = f"{thread}-{number}"
                response = session.get(server.url(f"/echo/{nonce}"))
                if response.headers["x-nonce"] != nonce or response.json()["nonce"] != nonce:
                    wrong.append(nonce)
            return wrong

        with ThreadPoolExecutor(THREADS) as executor:
            assert sum(executor.map(work, range(THREADS)), []) == []
        assert session.pool.active == 0
        assert session.pool.waiting == 0
        assert server.connections == 1


@pytest.mark.usefixtures("codec")
def test_s49_threads_that_give_up_disturb_nobody(generous: AsgiServer, authority: Authority) -> None:
    """Delays, time-outs, early closes and uploads at random; every answer is its own request's."""
    with Session(verify=authority.client_context(), timeout=30) as session:

        def work(thread: int) -> int:
            dice = random.Random(thread)
            done = 0
            for number in range(10):
                done += _one(session, generous, dice, f"{thread}-{number}")
            return done

        with ThreadPoolExecutor(THREADS) as executor:
            assert sum(executor.map(work, range(THREADS))) == THREADS * 10
        assert session.pool.active == 0


def _one(session: Session, server: AsgiServer, dice: random.Random, nonce: str) -> int:
    """One exchange of a random kind."""
    kind = dice.randrange(5)
    if kind == 0:
        with pytest.raises(TimeoutException):
            session.get(server.url("/delay/2000"), timeout=Timeout(read=0.02))
    elif kind == 1:
        with session.stream("GET", server.url("/bytes/1000000")) as response:
            assert next(response.iter_content(10)) == pattern(10)
    elif kind == 2:
        assert session.get(server.url("/chunked/100000")).content == pattern(100_000)
    elif kind == 3:
        assert session.post(server.url("/upload"), body=[pattern(70_000)] * 3).json()["length"] == 210_000
    else:
        assert session.get(server.url(f"/echo/{nonce}")).json()["nonce"] == nonce
    return 1


@pytest.mark.usefixtures("codec")
def test_s49_five_hundred_tasks_some_of_them_cancelled(generous: AsgiServer, authority: Authority) -> None:
    async def main() -> None:
        dice = random.Random(7)
        async with AsyncSession(verify=authority.client_context(), timeout=60) as session:

            async def one(number: int) -> int | str:
                response = await session.get(generous.url(f"/echo/{number}"))
                nonce: str = response.json()["nonce"]
                return nonce

            tasks = [asyncio.create_task(one(number)) for number in range(500)]
            await tasks[0]
            cancelled = dice.sample(range(1, 500), 100)
            for number in cancelled:
                await asyncio.sleep(0)
                tasks[number].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for number, answer in enumerate(answers):
                assert answer == str(number) or (number in cancelled and isinstance(answer, asyncio.CancelledError))
            assert sum(answer == str(number) for number, answer in enumerate(answers)) >= 400
            assert session.pool.active == 0
            assert session.pool.waiting == 0
            assert (await session.get(generous.url("/echo/after"))).json()["nonce"] == "after"

    asyncio.run(main())


@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_s50_one_connection_finds_out_what_is_spoken(world: World, authority: Authority, alpn: str) -> None:
    with AsgiServer(tls=authority.server_context(alpn=[alpn])) as server:
        with world.client(verify=authority.client_context()) as client:
            url = server.url("/delay/200")
            answers = client.together([lambda session: session.get(url)] * 20)
            assert [client.json(answer) for answer in answers] == [{"delayed_ms": 200}] * 20
        # One that comes late may find a connection that has served another by then.
        assert (server.connections == 1) if alpn == "h2" else (1 < server.connections <= 20)


def test_a_dropped_session_leaves_nothing(world: World, generous: AsgiServer, authority: Authority) -> None:
    from support.leaks import leak_check

    with leak_check():
        with world.client(verify=authority.client_context()) as client:
            client.read(client.get(generous.url("/bytes/1000")))


def test_closing_while_requests_wait(generous: AsgiServer, authority: Authority) -> None:
    session = Session(verify=authority.client_context(), timeout=30)
    session.get(generous.url("/echo/1"))
    outcomes: list[Any] = []

    def work() -> None:
        try:
            outcomes.append(session.get(generous.url("/delay/300")).status_code)
        except RequestError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    while session.pool.active == 0:
        time.sleep(0.001)
    session.close()
    for thread in threads:
        thread.join(10)
    assert len(outcomes) == 5
