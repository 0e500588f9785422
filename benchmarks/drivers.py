"""How each workload is run, inside a contender's own process."""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Coroutine, Iterator
from itertools import cycle, islice
from typing import Any, TypeVar

from contenders.base import AsyncClient, AsyncSocket, SyncClient, SyncSocket
from driving import Counter, Digest, Driver, Wrong, wrong_answer
from server import pattern

T = TypeVar("T")


class SyncDriver(Driver):
    """One blocking client."""

    client: SyncClient

    def open(self) -> None:
        self.client = self.task.make("sync_client")(self.task.settings())
        if self.workload.server != "scripted":
            self.check_peers([self.client.get(self.task.url("peer"))])
        self.check_once()

    @abstractmethod
    def check_once(self) -> None:
        """Do it once, looking closely."""

    def close(self) -> None:
        self.client.close()


class SyncGet(SyncDriver):
    """GETs, one after the other, of one or of many origins in turn."""

    def check_once(self) -> None:
        self.urls = [self.task.url(origin=number) for number in range(self.workload.origins)]
        self.turn: Iterator[str] = cycle(self.urls)
        for url in self.urls:
            self.check(self.client.get(url))

    def run(self, count: int) -> None:
        get, size = self.client.get, self.workload.size
        for url in islice(self.turn, count):
            status, body = get(url)
            if status != 200 or len(body) != size:
                raise wrong_answer(status, len(body))


class SyncDownload(SyncDriver):
    """Large bodies, in pieces."""

    def check_once(self) -> None:
        digest = Digest()
        digest.check(self.client.download(self.url, digest), self.workload.size)

    def run(self, count: int) -> None:
        for _ in range(count):
            counter = Counter()
            status = self.client.download(self.url, counter)
            if status != 200 or counter.length != self.workload.size:
                raise wrong_answer(status, counter.length)


class SyncUpload(SyncDriver):
    """Large request bodies, in pieces."""

    def check_once(self) -> None:
        self.body = self.task.upload()
        self.answer = self.client.upload(self.url, self.body)
        self.check_echo(self.answer, self.body)

    def run(self, count: int) -> None:
        for _ in range(count):
            status, body = self.client.upload(self.url, self.body)
            if status != 200 or bytes(body) != bytes(self.answer[1]):
                raise wrong_answer(status, len(body))


class ThreadedGet(SyncGet):
    """GETs by several threads with one client."""

    def run(self, count: int) -> None:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                get, size, url = self.client.get, self.workload.size, self.url
                for _ in range(number):
                    status, body = get(url)
                    if status != 200 or len(body) != size:
                        raise wrong_answer(status, len(body))
            except BaseException as error:
                failures.append(error)

        share = max(1, count // self.workload.in_flight)
        threads = [threading.Thread(target=work, args=[share]) for _ in range(self.workload.in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


class AsyncDriver(Driver):
    """One client of one event loop, which lives as long as the driver."""

    client: AsyncClient

    def wait(self, conversation: Coroutine[Any, Any, T]) -> T:
        """Run the loop until that is done."""
        return self.loop.run_until_complete(conversation)

    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.wait(self._open())

    async def _open(self) -> None:
        self.client = await self.task.make("async_client")(self.task.settings())
        if self.workload.server != "scripted":
            url = self.task.url("peer")
            number = min(self.workload.in_flight, 200)
            await self.client.get(url)  # alone: whoever does not know yet that HTTP/2 is spoken may open more
            self.check_peers(list(await asyncio.gather(*[self.client.get(url) for _ in range(number)])))
        await self.check_once()

    @abstractmethod
    async def check_once(self) -> None:
        """Do it once, looking closely."""

    def close(self) -> None:
        self.wait(self.client.close())
        self.loop.close()


class AsyncGet(AsyncDriver):
    """GETs, so many under way at once, each by a task that goes on as long as there are any left."""

    async def check_once(self) -> None:
        self.check(await self.client.get(self.url))

    def run(self, count: int) -> None:
        self.wait(self._run(count))

    async def _run(self, count: int) -> None:
        left = iter(range(count))

        async def work() -> None:
            get, size, url = self.client.get, self.workload.size, self.url
            for _ in left:
                status, body = await get(url)
                if status != 200 or len(body) != size:
                    raise wrong_answer(status, len(body))

        await asyncio.gather(*[work() for _ in range(min(count, self.workload.in_flight))])


class AsyncDownload(AsyncDriver):
    """Large bodies, in pieces."""

    async def check_once(self) -> None:
        digest = Digest()
        digest.check(await self.client.download(self.url, digest), self.workload.size)

    def run(self, count: int) -> None:
        self.wait(self._run(count))

    async def _run(self, count: int) -> None:
        for _ in range(count):
            counter = Counter()
            status = await self.client.download(self.url, counter)
            if status != 200 or counter.length != self.workload.size:
                raise wrong_answer(status, counter.length)


class AsyncUpload(AsyncDriver):
    """Large request bodies, in pieces."""

    async def check_once(self) -> None:
        self.body = self.task.upload()
        self.answer = await self.client.upload(self.url, self.body)
        self.check_echo(self.answer, self.body)

    def run(self, count: int) -> None:
        self.wait(self._run(count))

    async def _run(self, count: int) -> None:
        for _ in range(count):
            status, body = await self.client.upload(self.url, self.body)
            if status != 200 or bytes(body) != bytes(self.answer[1]):
                raise wrong_answer(status, len(body))


class SyncEcho(Driver):
    """Messages there and back, one after the other."""

    socket: SyncSocket

    def open(self) -> None:
        self.socket = self.task.make("sync_socket")(self.task.settings(), self.url.replace("http", "ws", 1))
        self.message = pattern(self.workload.size)
        self.check((200, self.socket.echo(self.message)))

    def run(self, count: int) -> None:
        echo, message = self.socket.echo, self.message
        for _ in range(count):
            if len(echo(message)) != len(message):
                raise Wrong("the echo has another length")

    def close(self) -> None:
        self.socket.close()


class AsyncEcho(Driver):
    """The same in an event loop."""

    socket: AsyncSocket

    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self.socket = await self.task.make("async_socket")(self.task.settings(), self.url.replace("http", "ws", 1))
        self.message = pattern(self.workload.size)
        self.check((200, await self.socket.echo(self.message)))

    def run(self, count: int) -> None:
        self.loop.run_until_complete(self._run(count))

    async def _run(self, count: int) -> None:
        echo, message = self.socket.echo, self.message
        for _ in range(count):
            if len(await echo(message)) != len(message):
                raise Wrong("the echo has another length")

    def close(self) -> None:
        self.loop.run_until_complete(self.socket.close())
        self.loop.close()


class FirstRequest(Driver):
    """A client is made, asked once, and closed."""

    def open(self) -> None:
        self.run(1)

    def run(self, count: int) -> None:
        make, settings = self.task.make("sync_client"), self.task.settings()
        for _ in range(count):
            client = make(settings)
            try:
                self.check(client.get(self.url))
            finally:
                client.close()

    def close(self) -> None:
        pass
