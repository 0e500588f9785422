"""The same lines run in both worlds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from support.world import Blocking, World

pytestmark = pytest.mark.usefixtures("no_leaks")


class Reply:
    def __init__(self, url: str) -> None:
        self.url = url
        self.text = url

    def json(self) -> dict[str, str]:
        return {"url": self.url}

    def read(self) -> bytes:
        return self.url.encode()

    async def aread(self) -> bytes:
        return self.read()

    def iter_content(self, size: int) -> Iterator[bytes]:
        yield from (self.read()[i : i + size] for i in range(0, len(self.url), size))

    async def aiter_content(self, size: int) -> AsyncIterator[bytes]:
        for piece in self.iter_content(size):
            yield piece

    def close(self) -> None:
        self.url = ""

    async def aclose(self) -> None:
        self.close()

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Reply:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


class Fake:
    """A session of the blocking world."""

    is_open = True

    def request(self, method: str, url: str) -> Reply:
        if method == "BAD":
            raise LookupError(url)
        return Reply(url)

    def get(self, url: str) -> Reply:
        return self.request("GET", url)

    def stream(self, method: str, url: str) -> Reply:
        return self.request(method, url)

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *exc: object) -> None:
        self.is_open = False


class AsyncFake:
    """A session of the async world."""

    is_open = True

    async def request(self, method: str, url: str) -> Reply:
        await asyncio.sleep(0)
        return Fake().request(method, url)

    async def get(self, url: str) -> Reply:
        return await self.request("GET", url)

    async def stream(self, method: str, url: str) -> Reply:
        return await self.request(method, url)

    async def __aenter__(self) -> AsyncFake:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.is_open = False


def fake_of(world: World) -> Any:
    return Fake() if isinstance(world, Blocking) else AsyncFake()


def test_calls_readers_and_contexts(world: World) -> None:
    fake = fake_of(world)
    with world.client(fake) as client:
        reply = client.get("abcde")
        assert client.read(reply) == b"abcde"
        assert client.text(client.request("GET", "x")) == "x"
        assert client.json(reply) == {"url": "abcde"}
        assert client.pieces(reply, "content", 2) == [b"ab", b"cd", b"e"]
        assert client.call(lambda session: session.is_open) is True
        with client.stream("GET", "abc") as streamed:
            assert client.read(streamed) == b"abc"
        assert streamed.url == ""
        client.close(reply)
        assert reply.url == ""
    assert not fake.is_open


def test_errors_come_through(world: World) -> None:
    with world.client(fake_of(world)) as client:
        with pytest.raises(LookupError, match="there"):
            client.request("BAD", "there")
        with pytest.raises(AttributeError):
            client.teleport("there")
        with pytest.raises(KeyError), client.stream("GET", "x"):
            raise KeyError


def test_things_happen_together(world: World) -> None:
    with world.client(fake_of(world)) as client:
        urls = [str(number) for number in range(5)]
        calls: list[tuple[str, str]] = [*(("GET", url) for url in urls), ("BAD", "x")]
        actions = [lambda session, call=call: session.request(*call) for call in calls]
        *replies, error = client.together(actions)
        assert [reply.url for reply in replies] == urls
        assert isinstance(error, LookupError)


def test_classes_are_found_by_world(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(Session=Fake, AsyncSession=AsyncFake)
    monkeypatch.setitem(sys.modules, "reqivo_core", module)
    with world.client() as client:
        assert client.read(client.get("abc")) == b"abc"
        assert type(client.session) is type(fake_of(world))
