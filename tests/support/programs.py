"""Servers that are programs of their own, which must be told a port and do not say when they listen."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

# Below what systems give to who asks for any port: nothing else of the tests comes by one of these between our choice
# and the program's start, as happens to a port that was bound and let go. Each process begins elsewhere.
_FIRST, _COUNT = 10_000, 20_000
_candidates = itertools.count(os.getpid() * 97)


def free_ports(count: int) -> list[int]:
    """Choose ports of the loopback interface on which nothing listens."""
    found: list[int] = []
    for number in _candidates:
        port = _FIRST + number % _COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found


def listens(port: int) -> bool:
    """Tell whether a connection to ``port`` is accepted."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(command: Sequence[str], ports: Sequence[int], seconds: float = 30) -> Iterator[None]:
    """Run a program until the block ends; its body begins when the program listens on all ``ports``.

    A program that does not come to that fails the test and says so.
    """
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + seconds
            while not all(map(listens, ports)):
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"{command[0]} does not listen on {ports} ({process.poll()=})")
                time.sleep(0.02)  # there is no other way to know that it listens
            yield
        finally:
            process.kill()
