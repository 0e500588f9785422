"""Faults happen where they are to happen, once, and are counted."""

import pytest
from reqivo_demo_frames import FramesPlugin
from reqivo_demo_frames.serving import serve_frames

from reqivo_core import Session
from reqivo_core.errors import ConnectError, DNSError, NetworkError, ReadError, WriteError
from reqivo_core.runtime.driving import run_blocking as run
from reqivo_core.testing.failing import Cancelled, Fault, broken_network, cancelled, faults
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.streams import END, After, ScriptedStream
from reqivo_core.tls_config import TlsConfig
from support.streamed import StreamServer

LEAVES = ["resolve", "connect_tcp", "write", "read"]


def ask(fault: Fault) -> list[str]:
    """One request over memory, with a fault; the leaf calls that were made."""
    with MemoryRuntime() as runtime:
        runtime.listen("example.org", 7000, serve_frames)
        session = Session(runtime=fault.wrap(runtime), plugins=[FramesPlugin()])
        try:
            session.get("frames://example.org:7000/hello")
        finally:
            assert session.pool.active == 0
            session.close()
    return fault.leaves


def test_every_leaf_call_has_its_turn() -> None:
    reached = []
    for fault in faults(cancelled):
        try:
            ask(fault)
        except Cancelled as error:
            reached.append(str(error))
    assert reached[:4] == [f"while in {leaf}" for leaf in LEAVES]
    assert len(reached) == len(fault.leaves)
    assert not fault.was_reached
    assert "not reached" in repr(fault)


def test_after_the_work_was_done() -> None:
    stream = ScriptedStream(MemoryRuntime(), b"ab", After(b"x"), b"cd")
    fault = Fault(1, cancelled, afterwards=True)
    failing = fault.wrap_stream(stream)
    with pytest.raises(Cancelled, match="read"):
        run(failing.read(10, None))
    assert not stream.is_readable()
    assert failing.is_readable()  # what was read stays for the next read
    assert run(failing.read(1, None)) == b"a"
    assert run(failing.read(10, 0)) == b"b"
    assert not failing.is_readable()
    run(failing.write(b"x", None))
    assert run(failing.read(10, None)) == b"cd"
    assert repr(fault) == "<Fault after leaf call 1: read>"


def test_a_class_will_do() -> None:
    (first, *rest) = faults_met(KeyboardInterrupt)
    assert type(first) is KeyboardInterrupt
    assert {type(error) for error in rest} == {KeyboardInterrupt}


def faults_met(failure: type[BaseException]) -> list[BaseException]:
    met: list[BaseException] = []
    for fault in faults(failure):
        try:
            ask(fault)
        except BaseException as error:
            met.append(error)
    return met


def test_the_network_breaks_as_networks_do() -> None:
    met = []
    for fault in faults(broken_network):
        try:
            ask(fault)
        except NetworkError as error:
            met.append(type(error))
    assert met[:4] == [DNSError, ConnectError, WriteError, ReadError]
    assert broken_network("sleep") is None


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("leaf", ["sleep", "wait", "resolve", "connect_tcp", "connect_unix"])
def test_every_leaf_of_a_runtime_fails(leaf: str, afterwards: bool) -> None:
    runtime = MemoryRuntime()
    runtime.listen("10.0.0.1", 1, serve_frames)
    runtime.listen_unix("/x", serve_frames)
    fault = Fault(1, cancelled, afterwards=afterwards)
    failing = fault.wrap(runtime)
    waiter = failing.waiter()
    waiter.wake()

    async def call() -> object:
        if leaf == "sleep":
            return await failing.sleep(1.0)
        if leaf == "wait":
            return await waiter.wait(1.0)
        if leaf == "resolve":
            return await failing.resolve("10.0.0.1", 1, None)
        if leaf == "connect_unix":
            return await failing.connect_unix("/x", None)
        return await failing.connect_tcp(await runtime.resolve("10.0.0.1", 1, None), None)

    with pytest.raises(Cancelled, match=leaf):
        run(call())
    run(call())
    assert fault.leaves == [leaf, leaf]
    assert (failing.name, failing.world(), failing.now()) == ("memory", runtime, runtime.now())
    runtime.close()


def test_looks_are_not_counted() -> None:
    stream = ScriptedStream(MemoryRuntime(), b"ab", END)
    fault = Fault(1, cancelled)
    failing = fault.wrap_stream(stream)
    assert run(failing.read(10, 0)) == b"ab"
    assert failing.is_readable()
    assert failing.is_writable()
    assert failing.get_info("peername") == "memory"
    assert fault.leaves == []
    failing.close()
    assert stream.is_closed


def test_each_step_of_a_handshake_is_counted() -> None:
    stream = ScriptedStream(MemoryRuntime(), b"not TLS at all", END)
    fault = Fault(99, cancelled)
    with pytest.raises(NetworkError):
        run(fault.wrap_stream(stream).start_tls(TlsConfig(False), "localhost", [], 1.0))
    assert fault.leaves[:2] == ["write", "read"]
    assert stream.is_closed


def test_a_failure_may_be_something_that_is_done() -> None:
    done: list[str] = []

    def note(leaf: str) -> None:
        done.append(leaf)

    for fault in faults(note):
        ask(fault)
    assert done == fault.leaves


def test_a_disarmed_fault_neither_fails_nor_counts() -> None:
    fault = Fault(1, cancelled)
    fault.disarm()
    assert ask(fault) == []


def test_faults_that_prove_nothing_are_refused() -> None:
    with pytest.raises(AssertionError, match="no leaf was called at all"):
        list(faults())
    with pytest.raises(AssertionError, match="there is no end"):
        for fault in faults(limit=2):
            with pytest.raises(Cancelled):
                ask(fault)
    with pytest.raises(AssertionError, match="disarmed before it could happen"):
        for fault in faults():
            fault.leaves.extend(LEAVES)


def test_real_connections_are_closed_that_nobody_got() -> None:
    with StreamServer(serve_frames) as server:
        for fault in faults(cancelled, afterwards=True):
            with Session(plugins=[FramesPlugin()]) as plain:
                session = Session(runtime=fault.wrap(plain._runtime), plugins=[FramesPlugin()])
                try:
                    session.get(f"frames://127.0.0.1:{server.port}/hello")
                except Cancelled:
                    assert session.pool.counts == (0, 0, 0)
                session.close()
        assert server.connections >= 3
