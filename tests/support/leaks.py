"""The leak check: after a test no socket, thread or task is left that was not there before.

``with leak_check(): …`` looks at descriptors and threads, ``async with leak_check(): …`` at the
running loop's tasks as well. Sockets and threads of the test servers do not count. What is still
there is given ten seconds to go, since a peer's FIN and a thread's end take a moment to arrive, and
longer on a busy machine.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from . import ownership

_STATES = dict(
    enumerate(
        "ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING".split(),
        start=1,
    )
)


class LeakError(AssertionError):
    """Something was left behind."""


@dataclass(frozen=True)
class Snapshot:
    """What there is: each thing by what identifies it, with words to describe it."""

    things: dict[tuple[str, int], str]

    @classmethod
    def take(cls, loop: asyncio.AbstractEventLoop | None = None) -> Snapshot:
        """Look at descriptors and threads now, and at the loop's tasks when given."""
        things = dict(_descriptors())
        for thread in threading.enumerate():
            if not thread.name.startswith(ownership.THREAD_PREFIX):
                things["thread", id(thread)] = f"thread {thread.name!r}"
        if loop is not None:
            for task in asyncio.all_tasks(loop) - {asyncio.current_task(loop)}:
                things["task", id(task)] = f"task {task!r}"
        return cls(things)

    def new_since(self, before: Snapshot) -> list[str]:
        """Describe what was not there before."""
        new = {key: words for key, words in self.things.items() if key not in before.things}
        if not any(kind == "socket" for kind, _ in new):
            return list(new.values())
        # Only now: the kernel's tables also list every connection that lingers in TIME_WAIT, maybe thousands.
        names = _socket_names()
        for kind, inode in list(new):
            if kind == "socket":
                name = names.get(inode, "socket, not connected")
                new[kind, inode] = f"{new[kind, inode]}: {name}" if name else ""
        return [words for words in new.values() if words]


class leak_check:
    """A context manager, plain or async, that fails when its body left something behind.

    Args:
        settle: Seconds that what is left has to go.
        collect: Let the garbage collector help, after a second or half the time. Without, things
            must go when their last reference does.

    Raises:
        LeakError: on leaving, unless the body itself raised.
    """

    def __init__(self, settle: float = 10.0, *, collect: bool = True) -> None:
        self.settle = settle
        self.collect = collect
        self._before = Snapshot({})

    def __enter__(self) -> Self:
        self._before = Snapshot.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is None:
            for pause in self._pauses(None):
                time.sleep(pause)

    async def __aenter__(self) -> Self:
        self._before = Snapshot.take(asyncio.get_running_loop())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is None:
            for pause in self._pauses(asyncio.get_running_loop()):
                await asyncio.sleep(pause)

    def _pauses(self, loop: asyncio.AbstractEventLoop | None) -> Iterator[float]:
        """Yield how long to wait until nothing is left; raise when the time is up."""
        began = time.monotonic()
        collected = not self.collect
        while left := Snapshot.take(loop).new_since(self._before):
            waited = time.monotonic() - began
            if waited >= self.settle:
                listing = "\n  ".join(sorted(left))
                raise LeakError(f"left behind, {waited:.1f} s after the end:\n  {listing}")
            if not collected and waited >= min(1.0, self.settle / 2):
                collected = True
                gc.collect()
            yield 0.005


def _descriptors() -> Iterator[tuple[tuple[str, int], str]]:
    """Yield the sockets, pipes and selectors of this process; sockets marked as a test server's are left out."""
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor by which the directory itself was read
        if target.startswith("socket:["):
            inode = int(target[8:-1])
            if not ownership.is_owned_inode(inode):
                yield ("socket", inode), f"fd {name}"
        elif target.startswith("pipe:["):
            yield ("pipe", int(name)), f"fd {name}: {target}"
        elif target.startswith("anon_inode:"):
            yield ("selector", int(name)), f"fd {name}: {target}"


def _socket_names() -> dict[int, str]:
    """Map inodes to descriptions, "" for those at a test server's port."""
    names: dict[int, str] = {}
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        table = Path("/proc/self/net", protocol)
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            local, remote = (_port(fields[1]), _port(fields[2]))
            state = _STATES.get(int(fields[3], 16), "?")
            owned = protocol.startswith("tcp") and ownership.is_owned_port(local)
            names[int(fields[9])] = "" if owned else f"{protocol} socket, port {local} -> {remote}, {state}"
    for line in Path("/proc/self/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        names[int(fields[6])] = f"unix socket {fields[7] if len(fields) > 7 else '(unnamed)'}"
    return names


def _port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2], 16)
