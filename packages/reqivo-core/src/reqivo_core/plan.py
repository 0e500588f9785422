"""Plan: how one request is to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reqivo_core.flows import Flow
    from reqivo_core.limits import Limits
    from reqivo_core.routes import Router
    from reqivo_core.timeouts import Timeout

READ_NOTHING, READ_SMALL, READ_ALL = range(3)
"""How much of a body is read before the response is handed over."""

SMALL_BODY = 1024 * 1024
"""The largest announced body that a blocking call reads at once, in octets."""


class Plan:
    """How a request is to be sent: the session's settings, with what the call changed.

    Attributes:
        timeout: The time limits.
        limits: The size limits.
        router: Finds the way to each origin.
        flows: Flows to run, outermost first.
        auth: The flow that authenticates; it does not follow redirects to other origins.
        follow_redirects: Whether to follow them.
        max_redirects: How many.
        reading: READ_NOTHING, READ_SMALL or READ_ALL.
        raises_for_status: Whether a 4xx or 5xx is an error.
        has_crossed: Whether a redirect has led to another origin, where nothing goes that was meant for the first.
    """

    __slots__ = (
        "auth",
        "flows",
        "follow_redirects",
        "has_crossed",
        "limits",
        "max_redirects",
        "raises_for_status",
        "reading",
        "router",
        "timeout",
    )

    timeout: Timeout
    limits: Limits
    router: Router
    flows: tuple[Flow, ...]
    auth: Flow | None
    follow_redirects: bool
    max_redirects: int
    reading: int
    raises_for_status: bool
    has_crossed: bool

    def __init__(self, **settings: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, settings[name])

    def but(self, **changes: Any) -> Plan:
        """A plan with some settings changed."""
        return Plan(**{name: changes.get(name, getattr(self, name)) for name in self.__slots__})

    def reads(self, length: int | None, is_error: bool) -> bool:
        """Whether a body is read before the response is handed over.

        Args:
            length: Octets announced, if they are.
            is_error: Whether the status is an error's: what an error says belongs to the error.
        """
        if self.reading != READ_SMALL:
            return self.reading == READ_ALL
        return length is not None and length <= SMALL_BODY or self.raises_for_status and is_error
