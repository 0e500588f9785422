"""The world in memory: turns, time, servers, and the deadlocks it names."""

from typing import Any

import pytest
from reqivo_demo_frames import FramesPlugin
from reqivo_demo_frames.serving import serve_frames

from reqivo_core import Address, AsyncSession, NetworkStream, Session, Timeout
from reqivo_core.errors import ConnectError, DNSError, ReadTimeout, TotalTimeout
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.testing.memory import Deadlock, MemoryRuntime
from reqivo_core.testing.streams import MemoryStream


async def echo(stream: MemoryStream) -> None:
    while data := await stream.read(100, None):
        await stream.write(data, None)


async def connect(runtime: MemoryRuntime, host: str = "example.org", port: int = 80) -> NetworkStream:
    return await runtime.connect_tcp(await runtime.resolve(host, port, None), None)


def test_a_conversation_with_a_server(memory_runtime: MemoryRuntime) -> None:
    async def talk() -> bytes:
        stream = await connect(memory_runtime)
        await stream.write(b"hello", None)
        heard = await stream.read(3, None) + await stream.read(100, None)
        stream.close()
        return heard

    memory_runtime.listen("example.org", 80, echo)
    assert memory_runtime.run(talk()) == b"hello"
    assert run_blocking(talk()) == b"hello"  # a blocking caller lets the server go on by itself


def test_servers_have_addresses_and_nobody_else_has(memory_runtime: MemoryRuntime) -> None:
    memory_runtime.listen("a.example", 80, echo)
    memory_runtime.listen("::1", 443, echo)
    run = memory_runtime.run
    (named,) = run(memory_runtime.resolve("a.example", 80, None))
    assert run(memory_runtime.resolve(named.host, 8080, None)) == [Address(named.host, 8080)]
    with pytest.raises(DNSError, match="'b.example'"):
        run(memory_runtime.resolve("b.example", 80, None))
    with pytest.raises(ConnectError, match="10.9.9.9:80 and ::1:80"):
        run(memory_runtime.connect_tcp([Address("10.9.9.9", 80), Address("::1", 80)], None))
    second = run(memory_runtime.connect_tcp([Address("10.9.9.9", 80), Address("::1", 443)], None))
    assert second.get_info("peername") == "memory"


def test_unix_sockets(memory_runtime: MemoryRuntime) -> None:
    memory_runtime.listen_unix("/run/demo", echo)

    async def talk() -> bytes:
        stream = await memory_runtime.connect_unix("/run/demo", None)
        await stream.write(b"x", None)
        return await stream.read(1, None)

    assert memory_runtime.run(talk()) == b"x"
    with pytest.raises(ConnectError, match="/run/other"):
        memory_runtime.run(memory_runtime.connect_unix("/run/other", None))


def test_time_passes_only_when_everybody_waits(memory_runtime: MemoryRuntime) -> None:
    order: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await memory_runtime.sleep(seconds)
        order.append((name, memory_runtime.now()))

    tasks = [memory_runtime.start(wait("late", 3600.0)), memory_runtime.start(wait("early", 0.5))]
    memory_runtime.run(wait("middle", 60.0))
    assert order == [("early", 0.5), ("middle", 60.0)]
    assert [task.is_done for task in tasks] == [False, True]
    run_blocking(memory_runtime.sleep(7200.0))
    assert order[-1] == ("late", 3600.0)
    assert memory_runtime.now() == 7260.0
    assert tasks[0].result() is None


def test_waiters(memory_runtime: MemoryRuntime) -> None:
    waiter = memory_runtime.waiter()
    assert run_blocking(waiter.wait(2.0)) is False
    assert memory_runtime.now() == 2.0

    async def wake() -> None:
        await memory_runtime.sleep(1.0)
        waiter.wake()

    memory_runtime.start(wake())
    assert memory_runtime.run(waiter.wait(2.0)) is True
    assert memory_runtime.now() == 3.0
    assert memory_runtime.run(waiter.wait(0)) is True


def test_a_deadlock_is_said_so(memory_runtime: MemoryRuntime) -> None:
    with pytest.raises(Deadlock, match="nobody else is there"):
        run_blocking(memory_runtime.waiter().wait(None))

    async def wait_for_ever() -> None:
        await memory_runtime.waiter().wait(None)

    memory_runtime.start(wait_for_ever())
    with pytest.raises(Deadlock, match="wait_for_ever"):
        memory_runtime.run(wait_for_ever())


def test_a_task_can_be_cancelled(memory_runtime: MemoryRuntime) -> None:
    cleaned: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await memory_runtime.waiter().wait(None)
        finally:
            cleaned.append("up")

    task = memory_runtime.start(wait_for_ever())
    run_blocking(memory_runtime.sleep(1.0))
    assert not task.is_done
    with pytest.raises(AssertionError, match="has not come to its end"):
        task.result()
    task.cancel(KeyboardInterrupt())
    run_blocking(memory_runtime.sleep(1.0))
    assert cleaned == ["up"]
    with pytest.raises(KeyboardInterrupt):
        task.result()


def test_a_conversation_cannot_run_another_to_its_end(memory_runtime: MemoryRuntime) -> None:
    async def nested() -> None:
        inner = memory_runtime.sleep(1.0)
        try:
            memory_runtime.run(inner)
        finally:
            inner.close()

    with pytest.raises(RuntimeError, match="start\\(\\) it"):
        memory_runtime.run(nested())


def test_what_another_world_waits_for_is_refused(memory_runtime: MemoryRuntime) -> None:
    class Future:
        def __await__(self) -> Any:
            yield "a future"

    async def foreign() -> None:
        await Future()

    with pytest.raises(RuntimeError, match="'a future'"):
        memory_runtime.run(foreign())


def test_what_a_server_raised_is_not_lost() -> None:
    async def broken(stream: MemoryStream) -> None:
        raise ZeroDivisionError("in the server")

    def connect_to_it(runtime: MemoryRuntime) -> None:
        runtime.listen("example.org", 80, broken)
        stream = run_blocking(connect(runtime))
        assert run_blocking(stream.read(1, None)) == b""

    with pytest.raises(ZeroDivisionError, match="in the server"), MemoryRuntime() as runtime:
        connect_to_it(runtime)
    with pytest.raises(LookupError, match="in the test"), MemoryRuntime() as runtime:
        connect_to_it(runtime)
        raise LookupError("in the test")
    with pytest.raises(LookupError, match="in the test"), MemoryRuntime():
        raise LookupError("in the test")


def test_sessions_of_both_kinds(memory_runtime: MemoryRuntime) -> None:
    memory_runtime.listen("example.org", 7000, serve_frames)

    async def ask() -> str:
        async with AsyncSession(runtime=memory_runtime, plugins=[FramesPlugin()]) as session:
            answer = await session.post("frames://example.org:7000/echo", body="async")
            return str(answer.text)

    with Session(runtime=memory_runtime, plugins=[FramesPlugin()]) as session:
        assert session.post("frames://example.org:7000/echo", body="blocking").text == "blocking"
    assert memory_runtime.run(ask()) == "async"


def test_a_minute_of_silence_takes_no_time(memory_runtime: MemoryRuntime) -> None:
    memory_runtime.listen("example.org", 7000, serve_frames)
    with Session(runtime=memory_runtime, plugins=[FramesPlugin()]) as session:
        with pytest.raises(ReadTimeout):
            session.get("frames://example.org:7000/stall/10", timeout=Timeout(read=60.0))
        assert memory_runtime.now() == 60.0
        with pytest.raises(TotalTimeout):
            session.get("frames://example.org:7000/stall/10", timeout=Timeout(total=3600.0, read=None))
        assert memory_runtime.now() == 3660.0
        assert session.pool.counts == (0, 0, 0)
