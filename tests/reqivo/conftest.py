"""Whole sessions are tested in four modes (blocking and async, plain and TLS), on every codec, without a leak."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from reqivo_http11.codec import load_codec
from support.certs import Authority
from support.fixtures import Serve
from support.messages import SEGMENTATIONS, Segmentation
from support.scenarios import Stage
from support.world import World

CODECS = [name for name in ("h11", "httptools") if find_spec(name) is not None]


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine that reads HTTP/1.1."""
    name: str = request.param
    monkeypatch.setattr("reqivo_http11.transport.CODEC", load_codec(name))
    return name


@pytest.fixture(params=SEGMENTATIONS)
def segmentation(request: pytest.FixtureRequest) -> Segmentation:
    """How a server's octets are cut."""
    how: Segmentation = request.param
    return how


@pytest.fixture(params=["plain", "tls"])
def stage(request: pytest.FixtureRequest, world: World, serve: Serve, authority: Authority, no_leaks: None) -> Stage:
    """A mode to run scenarios in, bracketed by the leak check."""
    if request.param == "plain":
        return Stage(world, serve, None, True)
    return Stage(world, serve, authority.server_context(), str(authority.path))


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Warnings are errors, also those that finalizers would only print (pytest tells of them too late)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port at which connecting hangs: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as sock:
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        yield sock.getsockname()[1]
        for filler in fillers:
            filler.close()
