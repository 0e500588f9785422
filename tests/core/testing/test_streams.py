"""Connections in memory."""

import ssl

import pytest

from reqivo_core.errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from reqivo_core.runtime.driving import run_blocking as run
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.streams import END, SEGMENTATIONS, After, MemoryStream, ScriptedStream, memory_pair, segments
from reqivo_core.tls_config import TlsConfig
from support.tls import AUTHORITY, LOCALHOST, context_of

DATA = bytes(range(256)) * 4


def test_segments_lose_nothing(segmentation: str) -> None:
    pieces = segments(DATA, segmentation)
    assert b"".join(pieces) == DATA
    assert all(pieces)
    assert segments(b"", segmentation) == []


def test_segmentations_are_what_they_are_called() -> None:
    assert SEGMENTATIONS == ("whole", "single", "random")
    assert len(segments(DATA, "whole")) == 1
    assert len(segments(DATA, "single")) == len(DATA)
    assert 1 < len(segments(DATA, "random")) < len(DATA)
    assert segments(DATA, "random") == segments(DATA, "random")
    assert segments(DATA, "random", 1) != segments(DATA, "random", 2)
    with pytest.raises(ValueError, match="'halves' is no segmentation; give one of whole, single, random"):
        segments(DATA, "halves")


def test_pieces_are_reads(memory_runtime: MemoryRuntime) -> None:
    stream = MemoryStream(memory_runtime)
    assert not stream.is_readable()
    stream.feed(b"abc", "single")
    stream.feed(b"defg")
    stream.feed_end()
    reads = [run(stream.read(3, 1.5)) for _ in range(7)]
    assert reads == [b"a", b"b", b"c", b"def", b"g", END, END]
    assert stream.timeouts == [1.5] * 7
    assert stream.is_readable()


def test_silence_takes_its_time(memory_runtime: MemoryRuntime) -> None:
    stream = MemoryStream(memory_runtime)
    with pytest.raises(ReadTimeout, match="within 5 s"):
        run(stream.read(1, 5.0))
    with pytest.raises(ReadTimeout):
        run(stream.read(1, 0))
    assert memory_runtime.now() == 5.0


def test_a_broken_connection_stays_broken(memory_runtime: MemoryRuntime) -> None:
    stream = MemoryStream(memory_runtime)
    stream.feed(b"a")
    stream.feed_error()
    assert run(stream.read(1, None)) == b"a"
    for _ in range(2):
        with pytest.raises(ReadError, match="reset"):
            run(stream.read(1, None))
    with pytest.raises(WriteError):
        run(stream.write(b"x", None))


def test_a_closed_end(memory_runtime: MemoryRuntime) -> None:
    near, far = memory_pair(memory_runtime)
    near.close()
    near.close()
    assert near.is_readable()
    with pytest.raises(ReadError, match="on this side"):
        run(near.read(1, None))
    with pytest.raises(WriteError):
        run(near.write(b"x", None))
    assert run(far.read(1, None)) == END
    with pytest.raises(WriteError):
        run(far.write(b"x", None))


def test_a_pair_holds_back_who_writes(memory_runtime: MemoryRuntime) -> None:
    near, far = memory_pair(memory_runtime, capacity=4)

    async def write() -> None:
        await near.write(b"0123456789", 60.0)

    task = memory_runtime.start(write())
    run(memory_runtime.sleep(0.1))
    assert (near.is_writable(), far.is_writable()) == (False, True)
    assert run(far.read(100, None)) == b"0123"
    assert not task.is_done
    assert run(far.read(100, None)) == b"4567"
    assert run(far.read(100, None)) == b"89"
    assert task.is_done
    assert bytes(near.sent) == b"0123456789"
    run(far.write(b"abcd", None))
    with pytest.raises(WriteTimeout, match="within 3 s"):
        run(far.write(b"e", 3.0))


def test_facts(memory_runtime: MemoryRuntime) -> None:
    stream = MemoryStream(memory_runtime)
    assert stream.get_info("peername") == "memory"
    assert stream.get_info("socket") is None


def test_a_script_waits_for_what_is_sent(memory_runtime: MemoryRuntime) -> None:
    stream = ScriptedStream(
        memory_runtime, b"hi", After(b"x"), b"one", After(b"x"), b"two", ReadError("gone"), After(b"never"), END
    )
    assert run(stream.read(10, 1.0)) == b"hi"
    with pytest.raises(ReadTimeout):
        run(stream.read(10, 1.0))
    run(stream.write(b"a x", None))
    assert run(stream.read(10, 1.0)) == b"one"
    with pytest.raises(ReadTimeout):  # the same x does not count twice
        run(stream.read(10, 1.0))
    run(stream.write(b"x", None))
    assert run(stream.read(10, 1.0)) == b"two"
    with pytest.raises(ReadError, match="gone"):
        run(stream.read(10, 1.0))
    assert not stream.is_over


def test_a_script_is_cut_as_wanted(memory_runtime: MemoryRuntime, segmentation: str) -> None:
    stream = ScriptedStream(memory_runtime, DATA, END, how=segmentation)
    heard = b""
    while data := run(stream.read(10_000, None)):
        heard += data
    assert heard == DATA
    assert stream.is_over


def test_tls_through_memory(memory_runtime: MemoryRuntime) -> None:
    near, far = memory_pair(memory_runtime)

    async def serve() -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context_of(LOCALHOST, ["demo"]).wrap_bio(incoming, outgoing, server_side=True)
        steps = [tls.do_handshake, lambda: tls.read(100), lambda: tls.write(b"echo: " + heard[1])]
        heard: list[bytes] = []
        while steps:
            try:
                heard.append(steps[0]())  # type: ignore[arg-type]  # only what was read is looked at
                steps.pop(0)
            except ssl.SSLWantReadError:
                await far.write(outgoing.read(), None)
                incoming.write(await far.read(65536, None))
        await far.write(outgoing.read(), None)

    with AUTHORITY.cert_pem.tempfile() as path:
        memory_runtime.start(serve())
        stream = run(near.start_tls(TlsConfig(path), "localhost", ["demo"], 10.0))
        assert stream.get_info("alpn_protocol") == "demo"
        run(stream.write(b"hello", 10.0))
        assert run(stream.read(100, 10.0)) == b"echo: hello"
        assert b"hello" not in near.sent
        stream.close()
