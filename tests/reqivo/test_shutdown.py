"""Forks, exits, the garbage collector and signals, in the middle of it all."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import reqivo
from reqivo import AsyncSession, Limits, Session, Timeout
from support.certs import Authority
from support.fixtures import Serve
from support.scenarios import FOLLOW_UP, head, ok, serve_on
from support.scripted import Peer

pytestmark = pytest.mark.usefixtures("no_leaks")


# -- fork (L1)


def in_child(work: Callable[[], str]) -> str:
    """Run something in a forked child and return what it says."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # CPython 3.12 on forks beside threads
        pid = os.fork()
    if pid == 0:
        try:
            said = work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writable, said.encode()[:4000])
        os._exit(0)
    os.close(writable)
    try:
        os.set_blocking(readable, False)
        end = time.monotonic() + 60
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return "the child hung"
            time.sleep(0.002)
        return os.read(readable, 4000).decode()
    finally:
        os.close(readable)


def echo_target(peer: Peer) -> None:
    while True:
        peer.respond(200, f"{peer.index} {peer.expect_request().target}".encode())


@pytest.fixture(params=["plain", "tls"])
def live(request: pytest.FixtureRequest, serve: Serve, authority: Authority) -> Iterator[tuple[Any, Session]]:
    """A server and a session."""
    server = serve(echo_target, tls=authority.server_context() if request.param == "tls" else None)
    with Session(timeout=60, verify=str(authority.path), cookies={"a": "b"}) as session:
        yield server, session


def test_a_child_opens_its_own_connections(live: tuple[Any, Session]) -> None:
    server, session = live
    url = server.url
    assert session.get(url("/parent")).content == b"0 /parent"

    def work() -> str:
        own = [session.get(url(f"/child{number}")).text for number in range(3)]
        return f"{own} {session.pool.counts[:2]}"

    for child in (1, 2):
        expected = f"{[f'{child} /child{number}' for number in range(3)]} (0, 1)"
        assert in_child(work) == expected
        assert session.get(url("/parent")).content == b"0 /parent"
    assert server.connections == 3


def test_a_child_keeps_its_hands_off_a_response_of_its_parent(serve: Serve, authority: Authority) -> None:
    go_on = threading.Event()

    def halves(peer: Peer) -> None:
        peer.expect_request()
        peer.send(head("Content-Length: 60000") + b"a" * 30000)
        peer.wait(go_on)
        peer.send(b"b" * 30000)
        serve_on(peer)

    server = serve([halves, serve_on], tls=authority.server_context())
    with Session(timeout=60, verify=str(authority.path)) as session:
        with session.stream("GET", server.url("/")) as response:
            assert response.read(1) == b"a"

            def work() -> str:
                try:
                    response.read()
                    return "read it all"
                except reqivo.ReqivoError as error:
                    said = str(error)
                response.close()
                session.close()
                gc.collect()
                return said

            said = in_child(work)
            assert "forked" in said, said
            go_on.set()
            assert response.read() == b"a" * 29999 + b"b" * 30000
        assert session.get(server.url("/next")).content == FOLLOW_UP
    assert server.connections == 1


ECHO = """
import ssl, sys
from support.scripted import ScriptedServer

def echo(peer):
    while True:
        peer.respond(200, f"{peer.index} {peer.expect_request().target}".encode())

tls = None
if sys.argv[1:]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[1])
with ScriptedServer(echo, tls=tls) as server:
    print(server.url(""), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["plain", "tls"])
def echo_process(request: pytest.FixtureRequest, authority: Authority) -> Iterator[str]:
    """The URL of a server in a process of its own: OpenSSL's locks in its threads would be beyond our reach."""
    certificate = [str(authority.issue().combined)] if request.param == "tls" else []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", ECHO, *certificate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def test_forks_beside_busy_threads(echo_process: str, authority: Authority) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    with Session(timeout=60, verify=str(authority.path), cookies={"a": "b"}) as session:

        def work(name: int) -> None:
            number = 0
            try:
                while not stop.is_set():
                    number += 1
                    target = f"/{name}/{number}"
                    connection = {"Connection": "close"} if number % 3 == 0 else {}
                    text = session.get(echo_process + target, headers=connection).text
                    assert text.endswith(f" {target}")
            except BaseException as error:
                failures.append(error)

        def child() -> str:
            return ",".join(session.get(f"{echo_process}/child/{number}").text.partition(" ")[2] for number in range(2))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        try:
            said = [in_child(child) for _ in range(8)]
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
    assert said == ["/child/0,/child/1"] * 8
    assert not failures


def test_an_async_session_in_a_child(serve: Serve) -> None:
    server = serve(echo_target)
    session = AsyncSession(timeout=60)

    async def get(target: str) -> str:
        return (await session.get(server.url(target))).text

    def work() -> str:
        return asyncio.run(get("/child"))

    with asyncio.Runner() as runner:
        assert runner.run(get("/parent")) == "0 /parent"
        assert in_child(work) == "1 /child"
        assert runner.run(get("/again")) == "0 /again"
        runner.run(session.close())


# -- exit (L2)

EXITS = {
    "an open session": "s = reqivo.Session(timeout=60); s.get(URL)",
    "an open stream": "s = reqivo.Session(timeout=60); r = s.get(URL + 'slow', stream=True)",
    "a module function": "r = reqivo.get(URL, timeout=60)",
    "a thread that waits": """
        s = reqivo.Session(timeout=50)
        def work():
            try:
                s.get(URL + 'slow').content
            except reqivo.ReqivoError:
                pass
        threading.Thread(target=work, daemon=True).start()
        while not s.pool.active:
            time.sleep(0.001)
    """,
    "an async session": """
        s = reqivo.AsyncSession(timeout=60)
        async def main():
            global r
            await s.get(URL)
            r = await s.get(URL + 'slow', stream=True)
        asyncio.run(main())
    """,
    "tasks that run": """
        async def main():
            global s, tasks
            s = reqivo.AsyncSession(timeout=60)
            tasks = [asyncio.ensure_future(s.get(URL + 'slow')) for _ in range(5)]
            while s.pool.active < 5:
                await asyncio.sleep(0.001)
        asyncio.run(main())
    """,
    "a session in a cycle": """
        s = reqivo.Session(timeout=60)
        s.get(URL)
        s.myself = s
        s.get(URL + 'slow', stream=True).session = s if False else None
    """,
}


def slow(peer: Peer) -> None:
    while True:
        if peer.expect_request().target.endswith("slow"):
            peer.send(head("Content-Length: 2000000") + b"a" * 1000000)
            peer.expect_close()
        peer.respond(200, b"abc")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", [kind for kind in EXITS if "cycle" not in kind])
def test_exit_is_quick_and_quiet(serve: Serve, authority: Authority, kind: str, tls: bool) -> None:
    server = serve(slow, tls=authority.server_context() if tls else None)
    program = textwrap.dedent(
        """
        import asyncio, threading, time, reqivo
        URL = {url!r}
        {code}
        print(f"{{time.time():.6f}}", flush=True)
        """
    ).format(url=server.url("/"), code=textwrap.dedent(EXITS[kind]))
    environment = {**os.environ, "SSL_CERT_FILE": str(authority.path)}
    quickest = 60.0
    for _ in range(10):  # a busy machine may make any one of them slow; every wait in the program is longer
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=environment, check=False
        )
        quickest = min(quickest, time.time() - float(done.stdout or "0"))
        assert (done.stderr, done.returncode) == ("", 0)
        if quickest < 1.0:
            break
    assert quickest < 1.0


# -- the collector (L7)


@pytest.mark.thorough
def test_the_collector_may_run_anywhere(serve: Serve, authority: Authority) -> None:
    server = serve(serve_on, tls=authority.server_context())
    thresholds = gc.get_threshold()
    finished: list[int] = []

    class Cycle:
        """Holds a response that only the collector can free."""

        def __init__(self, response: Any) -> None:
            self.response = response
            self.me = self

    def work(session: Session) -> None:
        for number in range(6):
            Cycle(session.get(server.url("/"), stream=True))
            assert session.pool.active <= 6
            assert session.get(server.url("/")).content == FOLLOW_UP
            finished.append(number)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with Session(timeout=60, limits=Limits(max_connections=3), verify=str(authority.path)) as session:
            gc.set_threshold(1)
            try:
                threads = [threading.Thread(target=work, args=(session,)) for _ in range(5)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(120)
            finally:
                gc.set_threshold(*thresholds)
            gc.collect()
            assert len(finished) == 30
            assert session.pool.counts[0] == session.pool.counts[2] == 0


# -- signals (L4)


class Alarm(BaseException):
    """What the signal handler raises."""


# Each signal strikes while the session waits. One in a few hundred of those that strike anywhere else costs a
# connection's place, as an exception between two instructions of a step may; THREAT_MODEL.md says so. test_torture and
# test_interruptions try every wait there is.
@pytest.mark.parametrize("target", ["/silent", "/body"])
def test_a_signal_that_raises_leaves_the_pool_whole(serve: Serve, authority: Authority, target: str) -> None:
    def script(peer: Peer) -> None:
        while True:
            match peer.expect_request().target:
                case "/silent":
                    strike_soon(peer)
                case "/body":
                    peer.send(ok(b"x" * 10)[:-1])
                    strike_soon(peer)
                case _:
                    peer.respond(200, FOLLOW_UP)

    def strike_soon(peer: Peer) -> None:
        """Strike when the client has had the time to wait for what never comes."""
        peer.sleep(0.1)
        os.kill(os.getpid(), signal.SIGALRM)
        peer.expect_close()

    def ring(*_: object) -> None:
        raise Alarm

    server = serve(script, tls=authority.server_context())
    previous = signal.signal(signal.SIGALRM, ring)
    try:
        with Session(timeout=5, limits=Limits(max_connections=2), verify=str(authority.path)) as session:
            for _ in range(8):
                with pytest.raises(Alarm):
                    session.get(server.url(target)).read()
                assert session.pool.active == session.pool.waiting == 0
            assert session.get(server.url("/next")).content == FOLLOW_UP
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_a_signal_while_an_idle_connection_is_looked_at(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(serve_on)
    with Session(timeout=5, limits=Limits(max_connections=1)) as session:
        assert session.get(server.url("/")).content == FOLLOW_UP
        with monkeypatch.context() as patch:
            patch.setattr("reqivo_core.runtime.blocking.BlockingStream.is_readable", raises_alarm)
            with pytest.raises(Alarm):
                session.get(server.url("/"))
        assert session.pool.counts == (0, 1, 0)
        assert session.get(server.url("/")).content == FOLLOW_UP
    assert server.connections == 1


def raises_alarm(_: object) -> bool:
    raise Alarm


def strike_once_queued(session: Session) -> None:
    """Strike when the main thread waits for a connection, and has had the time to fall asleep over it."""
    while not session.pool.waiting:
        time.sleep(0.001)
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGALRM)


def test_an_interrupted_queue_is_left(serve: Serve) -> None:
    def ring(*_: object) -> None:
        raise Alarm

    server = serve(serve_on)
    previous = signal.signal(signal.SIGALRM, ring)
    try:
        with Session(timeout=Timeout(timeout=60), limits=Limits(max_connections=1)) as session:
            holder = session.get(server.url("/"), stream=True)
            striker = threading.Thread(target=strike_once_queued, args=(session,))
            striker.start()
            with pytest.raises(Alarm):
                session.get(server.url("/"))
            striker.join()
            assert session.pool.counts == (1, 0, 0)
            holder.close()
            assert session.get(server.url("/")).content == FOLLOW_UP
    finally:
        signal.signal(signal.SIGALRM, previous)
