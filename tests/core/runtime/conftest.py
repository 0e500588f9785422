from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from reqivo_core.runtime import tls
from reqivo_core.tls_config import TlsConfig
from support.tls import AUTHORITY
from support.worlds import WORLDS, World


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def world(request: pytest.FixtureRequest) -> World:
    return request.param  # type: ignore[no-any-return]  # params are worlds


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(10)
        yield sock


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody else may."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def deaf_address() -> Iterator[tuple[str, int]]:
    """An address at which connecting hangs: a full backlog makes Linux drop the SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as sock:
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
            fillers.append(filler)
        yield sock.getsockname()
        for filler in fillers:
            filler.close()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test may leave a descriptor or a thread behind."""
    descriptors = len(os.listdir("/proc/self/fd"))
    threads = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)  # one that has done its work may need a moment to end
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.fixture(scope="session")
def authority_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def config(authority_path: str) -> TlsConfig:
    return TlsConfig(verify=authority_path)


@pytest.fixture(autouse=True)
def no_sessions() -> None:
    tls._sessions._sessions.clear()
