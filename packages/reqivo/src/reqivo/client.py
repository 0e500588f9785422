"""The facade: sessions with a fluent face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from reqivo.async_session import AsyncSession
from reqivo.session import Session
from reqivo_core.base_session import BaseSession

if TYPE_CHECKING:
    from collections.abc import Callable


class _Chained(BaseSession[Any]):
    """Settings that give the session back."""

    def on_request(self, hook: Callable[..., Any]) -> Self:
        """Call ``hook(method, url, headers)`` before each request: see ``add_pre_request_hook``."""
        self.add_pre_request_hook(hook)
        return self

    def on_response(self, hook: Callable[..., Any]) -> Self:
        """Call ``hook(response)`` with each response: see ``add_post_response_hook``."""
        self.add_post_response_hook(hook)
        return self

    def basic_auth(self, username: str, password: str) -> Self:
        """Authenticate with user name and password (RFC 7617)."""
        self.set_basic_auth(username, password)
        return self

    def bearer_token(self, token: str) -> Self:
        """Authenticate with a token (RFC 6750)."""
        self.set_bearer_token(token)
        return self


class Reqivo(Session, _Chained):
    """A session, blocking, whose settings can be chained.

    ::

        with Reqivo(base_url="https://api.example.com").bearer_token(token).on_response(log) as client:
            client.get("/users")

    It takes all that ``Session`` takes. ``Client`` is another name of it.
    """


class AsyncReqivo(AsyncSession, _Chained):
    """A session, asynchronous, whose settings can be chained.

    ::

        async with AsyncReqivo(base_url="https://api.example.com").bearer_token(token) as client:
            await client.get("/users")

    It takes all that ``AsyncSession`` takes; hooks may be ``async def``. ``AsyncClient`` is another name of it.
    """
