"""A thread with an event loop of its own, in which a server lives."""

from __future__ import annotations

import asyncio
import selectors
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, TypeVar

from . import ownership

_T = TypeVar("_T")

PATIENCE = 60.0
"""Seconds a start, a stop or a call into the loop may take before it counts as hung."""


class LoopThread(ABC):
    """Runs :meth:`serving` in a background thread from :meth:`start` to :meth:`stop`."""

    def __init__(self, name: str) -> None:
        self.name = f"{ownership.THREAD_PREFIX}{name}"
        self.errors: list[BaseException] = []
        self.halted = threading.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_signal: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @abstractmethod
    def serving(self) -> AbstractAsyncContextManager[None]:
        """Return the context within which the server serves; entered inside the loop."""

    def start(self) -> Self:
        """Start the thread; return once the server is up, raise what kept it from starting."""
        self._thread = threading.Thread(target=self._main, name=self.name, daemon=True)
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            raise TimeoutError(f"{self.name} did not start within {PATIENCE} s")
        if self._failure is not None:
            raise RuntimeError(f"{self.name} could not start") from self._failure
        return self

    def stop(self) -> None:
        """Stop serving and join the thread; a second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self.halted.set()
        if self._loop is not None and self._stop_signal is not None and thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop_signal.set)
        thread.join(PATIENCE)
        if thread.is_alive():
            raise TimeoutError(f"{self.name} did not stop within {PATIENCE} s")
        if self._failure is not None:
            raise RuntimeError(f"{self.name} died while serving") from self._failure

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine inside the server's loop and return its result."""
        if self._loop is None:
            raise RuntimeError(f"{self.name} is not running")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_owned_loop) as runner:
                runner.run(self._live())
        except BaseException as error:  # handed to start() or stop(), which raise it
            self._failure = error
        finally:
            self._ready.set()

    async def _live(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stop_signal = asyncio.Event()
        loop.set_exception_handler(self._note)
        loop.set_default_executor(ThreadPoolExecutor(16, thread_name_prefix=self.name))
        try:
            async with self.serving():
                self._ready.set()
                await self._stop_signal.wait()
        finally:
            await _abort_transports(loop)

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what asyncio would log: a client that vanishes is what many tests do."""
        self.errors.append(context.get("exception") or RuntimeError(context["message"]))


def _owned_loop() -> asyncio.AbstractEventLoop:
    # A selector without a descriptor of its own, which a leak check could not tell from others.
    loop = asyncio.SelectorEventLoop(selectors.PollSelector())
    for end in ("_ssock", "_csock"):  # the loop's wake-up pair has no public name
        ownership.own(getattr(loop, end))
    return loop


async def _abort_transports(loop: asyncio.AbstractEventLoop) -> None:
    """Drop connections that are still open, half-done TLS handshakes included.

    ``Server.abort_clients`` does this from Python 3.13 on; before, only the loop knows them all.
    """
    for transport in list(getattr(loop, "_transports", {}).values()):
        transport.abort()
    for _ in range(3):  # connection_lost, then the streams' own callbacks
        await asyncio.sleep(0)
