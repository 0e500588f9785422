"""SuiteClient: a session of any world, called with the same words, so that a check is written once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from reqivo_core.async_session import AsyncSession
from reqivo_core.runtime import running
from reqivo_core.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from reqivo_core.interfaces import Runtime

T = TypeVar("T")


class SuiteClient(ABC):
    """A session and its base URL. Every method is awaited; in the blocking world no await ever suspends.

    Attributes:
        world: ``blocking``, ``asyncio`` or ``trio``.
        session: The ``Session`` or ``AsyncSession`` itself.
        url: What the paths of requests are appended to.
    """

    session: Any

    def __init__(self, world: str, url: str) -> None:
        self.world = world
        self.url = url

    @abstractmethod
    async def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request; the options are those of ``session.request``."""

    @abstractmethod
    async def read(self, response: Any) -> bytes:
        """Read a response to its end."""

    @abstractmethod
    async def pieces(self, response: Any) -> list[bytes]:
        """Read a response to its end, as it comes."""

    @abstractmethod
    async def first_piece(self, response: Any) -> bytes:
        """Read the beginning of a response."""

    @abstractmethod
    async def close_response(self, response: Any) -> None:
        """Close a response."""

    @abstractmethod
    async def close(self) -> None:
        """Close the session."""

    async def fetch(self, method: str, path: str, **options: Any) -> tuple[Any, bytes]:
        """Send a request and read the response to its end."""
        response = await self.request(method, path, **options)
        return response, await self.read(response)

    async def together(self, mains: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
        """Do several things at once."""
        return await running.together(self.world, mains)


class BlockingClient(SuiteClient):
    """Drives a Session."""

    session: Session

    def __init__(self, world: str, url: str, **options: Any) -> None:
        super().__init__(world, url)
        self.session = Session(**options)

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """See SuiteClient."""
        return self.session.request(method, self.url + path, **options)

    async def read(self, response: Any) -> bytes:
        """See SuiteClient."""
        return bytes(response.read())

    async def pieces(self, response: Any) -> list[bytes]:
        """See SuiteClient."""
        return list(response.iter_bytes())

    async def first_piece(self, response: Any) -> bytes:
        """See SuiteClient."""
        return bytes(next(iter(response.iter_bytes()), b""))

    async def close_response(self, response: Any) -> None:
        """See SuiteClient."""
        response.close()

    async def close(self) -> None:
        """See SuiteClient."""
        self.session.close()


class AsyncClient(SuiteClient):
    """Drives an AsyncSession."""

    session: AsyncSession

    def __init__(self, world: str, url: str, **options: Any) -> None:
        super().__init__(world, url)
        self.session = AsyncSession(**options)

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """See SuiteClient."""
        return await self.session.request(method, self.url + path, **options)

    async def read(self, response: Any) -> bytes:
        """See SuiteClient."""
        return bytes(await response.aread())

    async def pieces(self, response: Any) -> list[bytes]:
        """See SuiteClient."""
        return [piece async for piece in response.aiter_bytes()]

    async def first_piece(self, response: Any) -> bytes:
        """See SuiteClient."""
        return bytes(await anext(aiter(response.aiter_bytes()), b""))

    async def close_response(self, response: Any) -> None:
        """See SuiteClient."""
        await response.aclose()

    async def close(self) -> None:
        """See SuiteClient."""
        await self.session.aclose()


def make_client(
    world: str, url: str, *, wrap: Callable[[Runtime], Runtime] = lambda runtime: runtime, **options: Any
) -> SuiteClient:
    """A client of a world.

    Args:
        world: Its name.
        url: What paths are appended to.
        wrap: Puts something around the world's runtime.
        options: For the session.
    """
    runtime = wrap(running.make_runtime(world))
    kind = BlockingClient if world == "blocking" else AsyncClient
    return kind(world, url, runtime=runtime, **options)
