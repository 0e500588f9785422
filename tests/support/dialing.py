"""Connections with TLS, made in any world, and servers that speak none."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from reqivo_core.errors import (
    ReqivoError,
    TlsError,
)
from reqivo_core.interfaces import Address, NetworkStream
from reqivo_core.tls_config import TlsConfig
from support.worlds import World


async def dial(
    world: World,
    address: tuple[str, int],
    config: TlsConfig,
    name: str = "localhost",
    alpn: Sequence[str] = (),
    timeout: float | None = 10,
) -> NetworkStream:
    stream = await world.runtime.connect_tcp([Address(*address)], 5)
    return await stream.start_tls(config, name, alpn, timeout)


async def until(condition: Callable[[], object], world: World) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        await world.runtime.sleep(0.001)


def fails_to_start(
    world: World,
    address: tuple[str, int],
    config: TlsConfig,
    name: str = "localhost",
    *,
    error: type[ReqivoError] = TlsError,
    timeout: float | None = 10,
) -> Any:
    """Dial, expecting an error, which is returned."""

    async def body() -> ReqivoError:
        with pytest.raises(error) as caught:
            await dial(world, address, config, name, timeout=timeout)
        return caught.value

    return world.run(body())


@contextlib.contextmanager
def plain_server(serve: Callable[[socket.socket], object]) -> Iterator[tuple[str, int]]:
    """A server that speaks no TLS: a function of a socket, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.settimeout(10)
                serve(sock)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        thread.join(20)
        listener.close()


def wait_for_end(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass
