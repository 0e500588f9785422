"""One test, two worlds: the same lines drive a blocking session and an async one.

::

    def test_reuse(world: World, plain_server: AsgiServer) -> None:
        with world.client() as client:
            response = client.get(plain_server.url("/echo/1"))
            assert client.json(response)["nonce"] == "1"
            assert client.call(lambda session: session.pool.idle) == 1

In the async world every call runs its awaitable in one event loop, which the world owns.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

NAMES = ("blocking", "async")
"""The worlds, as ids of a parametrized test."""

PATIENCE = 30.0
"""Seconds any single step may take before it counts as hung, on a busy machine too."""

# Where the two responses call the same thing by different names.
_ASYNC_NAMES = {
    "read": "aread",
    "close": "aclose",
    "save": "asave",
    **{f"iter_{unit}": f"aiter_{unit}" for unit in "content bytes text lines raw sse".split()},
}
_VERBS = frozenset("get head options delete post put patch query send".split())


class World(ABC):
    """How values are waited for; a session is called ``Session`` or ``AsyncSession`` in it."""

    name: str
    prefix: str

    @abstractmethod
    def run(self, value: Any) -> Any:
        """Return the value, awaited if it is awaitable."""

    @abstractmethod
    def collect(self, iterable: Any) -> list[Any]:
        """Return everything an iterator, plain or async, yields."""

    @abstractmethod
    def entered(self, manager: Any) -> Any:
        """Return a plain context manager around a plain or async one, or an awaitable of one."""

    @abstractmethod
    def together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run the calls at the same time, in threads or in tasks; return their results in order.

        A call that raised yields its exception.
        """

    @abstractmethod
    def method(self, name: str) -> str:
        """Return what a method of the blocking response is called in this world."""

    def close(self) -> None:  # noqa: B027 - one of the two worlds has nothing to give up
        """Give up what the world needed."""

    def find(self, name: str, module: str = "reqivo_core") -> Any:
        """Return this world's form of a class, as ``find("Reqivo", "reqivo")``."""
        return getattr(importlib.import_module(module), f"{self.prefix}{name}")

    @contextmanager
    def client(self, session: Any = None, **options: Any) -> Iterator[Client]:
        """Open a session (or take this one) and close it in the end."""
        opened = self.find("Session")(**options) if session is None else session
        with self.entered(opened) as inside:
            yield Client(self, inside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Blocking(World):
    """The world of threads."""

    name = "blocking"
    prefix = ""

    def run(self, value: Any) -> Any:
        """Return the value as it is."""
        assert not inspect.isawaitable(value), "a blocking call returned an awaitable"
        return value

    def collect(self, iterable: Any) -> list[Any]:
        """Return a list."""
        return list(iterable)

    @contextmanager
    def entered(self, manager: Any) -> Iterator[Any]:
        """Enter and leave."""
        with manager as inside:
            yield inside

    def together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run each call in a thread."""
        with ThreadPoolExecutor(max(1, len(calls)), thread_name_prefix="together") as executor:
            futures = [executor.submit(_outcome, call) for call in calls]
            return [future.result(2 * PATIENCE) for future in futures]

    def method(self, name: str) -> str:
        """Return the name."""
        return name


class Async(World):
    """The world of tasks, in an event loop of its own."""

    name = "async"
    prefix = "Async"

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()  # now, not at the first call, where it would look like a leak
        self._context = contextvars.copy_context()

    def run(self, value: Any) -> Any:
        """Await in the world's loop, for a bounded time."""
        if not inspect.isawaitable(value):
            return value
        return self._wait(_within(_awaited(value)))

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Do as the runner does, save for its handler of SIGINT, to set which takes longer than most calls."""
        return self._loop.run_until_complete(self._loop.create_task(coroutine, context=self._context))

    def collect(self, iterable: Any) -> list[Any]:
        """Iterate in the world's loop; plain iterables are taken too."""
        if not hasattr(iterable, "__aiter__"):
            return list(iterable)
        return list(self._wait(_within(_listed(iterable))))

    @contextmanager
    def entered(self, manager: Any) -> Iterator[Any]:
        """Enter and leave, each in the world's loop."""
        if not hasattr(manager, "__aenter__"):
            manager = self.run(manager)
        inside = self.run(manager.__aenter__())
        try:
            yield inside
        except BaseException as error:
            if not self.run(manager.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self.run(manager.__aexit__(None, None, None))

    def together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run each call's awaitable in a task."""

        async def one(call: Callable[[], Any]) -> Any:
            return await _awaited(call())

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*map(one, calls), return_exceptions=True)

        return list(self._wait(_within(all_of_them())))

    def method(self, name: str) -> str:
        """Return the async name."""
        return _ASYNC_NAMES.get(name, name)

    def close(self) -> None:
        """Close the loop."""
        self._runner.close()


class Client:
    """A session of either world, called as if it were blocking.

    Attributes:
        world: The world it lives in.
        session: The real ``Session`` or ``AsyncSession``.
    """

    def __init__(self, world: World, session: Any) -> None:
        self.world = world
        self.session = session

    def call(self, action: Callable[[Any], Any]) -> Any:
        """Return ``action(session)``, awaited if need be."""
        return self.world.run(action(self.session))

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Send a request; ``get``, ``post`` and the rest exist too."""
        return self.call(lambda session: session.request(method, url, **options))

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb not in _VERBS:
            raise AttributeError(verb)
        return lambda *args, **options: self.call(lambda session: getattr(session, verb)(*args, **options))

    def stream(self, method: str, url: str, **options: Any) -> Any:
        """Return a plain context manager around ``session.stream(…)``."""
        return self.world.entered(self.session.stream(method, url, **options))

    def together(self, actions: Sequence[Callable[[Any], Any]]) -> list[Any]:
        """Run actions on the session at the same time; exceptions come as results."""
        return self.world.together([partial(action, self.session) for action in actions])

    def read(self, response: Any) -> bytes:
        """Read a response to its end."""
        return bytes(self._on(response, "read"))

    def text(self, response: Any) -> str:
        """Read a response to its end, as text."""
        self.read(response)
        return str(response.text)

    def json(self, response: Any) -> Any:
        """Read a response to its end, as JSON."""
        self.read(response)
        return response.json()

    def pieces(self, response: Any, unit: str = "content", *args: Any) -> list[Any]:
        """Return all that ``iter_content`` (or ``iter_<unit>``) yields."""
        return self.world.collect(getattr(response, self.world.method(f"iter_{unit}"))(*args))

    def close(self, response: Any) -> None:
        """Close a response."""
        self._on(response, "close")

    def _on(self, response: Any, name: str, *args: Any) -> Any:
        return self.world.run(getattr(response, self.world.method(name))(*args))


def make(name: str) -> World:
    """Return the world of this name."""
    return Blocking() if name == "blocking" else Async()


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BaseException as error:  # given back as a result, as asyncio.gather does
        return error


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _listed(iterable: Any) -> list[Any]:
    return [item async for item in iterable]


async def _within(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await coroutine
