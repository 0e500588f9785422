"""What only the blocking world can get wrong: threads, signals, platforms without poll."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from reqivo_core.errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from reqivo_core.interfaces import Address
from reqivo_core.runtime import blocking
from reqivo_core.runtime.blocking import BlockingRuntime, BlockingStream
from reqivo_core.runtime.driving import run_blocking
from support.leaks import leak_check
from support.processes import run_in_child


@pytest.fixture(params=["poll", "select"])
def pair(request, monkeypatch):
    """A stream and its peer, with each way of waiting."""
    wait = {"poll": blocking._poll_wait, "select": blocking._select_wait}[request.param]
    monkeypatch.setattr(blocking, "_wait_for", wait)
    near, far = socket.socketpair()
    stream = BlockingStream(near, "the peer")
    far.settimeout(10)
    yield stream, far
    stream.close()
    far.close()


def test_both_ways_of_waiting_read_write_and_time_out(pair):
    stream, far = pair
    with pytest.raises(ReadTimeout):
        run_blocking(stream.read(10, 0.01))
    assert not stream.is_readable()
    far.sendall(b"x")
    assert stream.is_readable()
    assert run_blocking(stream.read(10, None)) == b"x"
    with pytest.raises(WriteTimeout):
        run_blocking(stream.write(bytes(10_000_000), 0.01))


def test_a_reader_and_a_writer_keep_their_own_time_limits(pair):
    """The reader gives up long before the writer, whose limit must neither be shortened nor lengthened by it."""
    stream, far = pair
    octets = bytes(5_000_000)
    received = []
    timeouts = []

    def read():
        for _ in range(5):
            with pytest.raises(ReadTimeout):
                run_blocking(stream.read(10, 0.01))
            timeouts.append(True)
        with far.makefile("rb") as file:
            received.append(file.read(len(octets)))

    reader = threading.Thread(target=read)
    reader.start()
    run_blocking(stream.write(octets, 30))
    reader.join()
    assert len(timeouts) == 5
    assert received == [octets]


def test_readability_can_be_asked_by_many_threads_beside_a_reader(pair):
    stream, far = pair
    stop = threading.Event()
    failures = []

    def ask():
        try:
            while not stop.is_set():
                stream.is_readable()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        far.sendall(b"x")
        assert run_blocking(stream.read(1, 5)) == b"x"
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_readability_is_told_where_another_thread_asks_at_this_moment(pair):
    stream, far = pair

    def busy(_milliseconds):
        raise RuntimeError("concurrent poll() invocation")

    stream._wait_idle = busy
    assert not stream.is_readable()
    far.sendall(b"x")
    assert stream.is_readable()


def test_what_another_thread_closes_under_a_reader_has_not_ended(pair):
    stream, _far = pair
    wait = stream._wait_readable

    def close_meanwhile(milliseconds):
        stream.close()
        return wait(milliseconds)

    stream._wait_readable = close_meanwhile
    with pytest.raises(ReadError, match="closed on this side"):
        run_blocking(stream.read(10, 5))


def test_a_socket_that_seemed_ready_is_waited_for_again(pair):
    stream, far = pair
    stream._has_more = True
    with pytest.raises(ReadTimeout):
        run_blocking(stream.read(10, 0.01))
    stream._has_more = True
    with pytest.raises(ReadTimeout):
        run_blocking(stream.read(10, 0))
    stream._has_more = True
    far.sendall(b"x")
    assert run_blocking(stream.read(10, 5)) == b"x"


def test_a_full_send_buffer_is_waited_for(pair):
    stream, far = pair
    sock = stream.get_info("socket")
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))
    with pytest.raises(WriteTimeout):
        run_blocking(stream.write(b"x", 0))
    drain = threading.Timer(0.02, far.recv, (10_000_000,))
    drain.start()
    run_blocking(stream.write(b"x", 10))
    drain.join()
    far.close()
    with contextlib.suppress(WriteError):
        run_blocking(stream.write(b"x", 10))


@pytest.mark.parametrize("timeout", [float("inf"), 1e12])
def test_endless_time_limits_do_not_overflow(pair, timeout):
    stream, far = pair
    far.sendall(b"x")
    assert run_blocking(stream.read(10, timeout)) == b"x"
    run_blocking(stream.write(b"x", timeout))
    waiter = BlockingRuntime().waiter()
    waker = threading.Timer(0.01, waiter.wake)
    waker.start()
    assert run_blocking(waiter.wait(timeout))
    waker.join()


def test_a_time_limit_below_zero_is_none_left(pair):
    stream, _far = pair
    with pytest.raises(ReadTimeout):
        run_blocking(stream.read(10, -1))


def test_closing_waits_for_the_last_user_to_give_the_descriptor_back(pair):
    stream, _far = pair
    number = stream.get_info("socket").fileno()
    results = []

    def read():
        try:
            results.append(run_blocking(stream.read(10, 30)))
        except ReadError as error:
            results.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while not stream._is_reading:
        time.sleep(0.001)
    stream._is_writing = True
    stream.close()
    reader.join()
    assert len(results) == 1
    assert os.fstat(number), "a writer still used it"
    stream._is_writing = False
    stream._release()
    assert stream.get_info("socket").fileno() == -1


def test_signals_do_not_disturb_a_read(pair):
    """A handler that returns is invisible, and does not make the time limit start again."""
    stream, _far = pair
    calls = []
    previous = signal.signal(signal.SIGALRM, lambda *_: calls.append(True))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        start = time.monotonic()
        with pytest.raises(ReadTimeout):
            run_blocking(stream.read(10, 0.1))
        assert time.monotonic() - start < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert calls


@contextlib.contextmanager
def interrupted():
    """Have Ctrl-C strike what is done within, soon."""

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_an_interrupted_read_leaves_the_stream_usable(pair):
    stream, far = pair
    with interrupted():
        run_blocking(stream.read(10, 30))
    far.sendall(b"x")
    assert run_blocking(stream.read(10, 5)) == b"x"
    number = stream.get_info("socket").fileno()
    stream.close()
    with pytest.raises(OSError):
        os.fstat(number)


def test_an_interrupted_connection_attempt_leaves_nothing(deaf_address):
    with leak_check(), interrupted():
        run_blocking(BlockingRuntime().connect_tcp([Address(*deaf_address)], 30))


def test_a_forked_child_is_another_world():
    runtime = BlockingRuntime()
    before = runtime.world()

    def compare():
        assert runtime.world() != before

    run_in_child(compare)
    assert runtime.world() == before
