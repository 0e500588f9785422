"""Retries: which failures are worth another attempt, when, and how often; as a value and as a flow.

Nothing is sent again after the server may have acted, unless the method is idempotent and the body replayable (RFC
9110 §9.2.2). What can be repeated without asking anybody (a connection that had idled was closed under us) has been
repeated by core before a failure gets here.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from reqivo.exceptions import AddressRefused
from reqivo_core import Sleep
from reqivo_core.errors import (
    CertificateError,
    ConnectError,
    ConnectTimeout,
    InvalidRequest,
    NetworkError,
    ProxyError,
    ReadTimeout,
    RequestError,
    StreamReset,
    TimeoutException,
    TlsError,
    WriteTimeout,
)
from reqivo_core.messages import IDEMPOTENT_METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from reqivo_core import Request

ATTEMPTS = "attempts"
"""Under this name a response's ``extensions`` tell how often its request was sent."""


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """When to send a request again.

    Attributes:
        total: How often, at most.
        connect: How often of these because no connection could be made; None for no bound of its own.
        statuses: Status codes that are worth another attempt.
        methods: Methods that may be sent again once the server may have seen them. Whoever adds POST says that sending
            it twice does no harm.
        backoff: Seconds to wait before the first repetition; twice as many before each further one.
        max_backoff: Seconds that this grows to at most.
        jitter: Wait for a random part of that time, so that clients that failed together do not return together.
        respect_retry_after: Wait for as long as the server's Retry-After says instead (RFC 9110 §10.2.3).
        max_retry_after: Seconds beyond which that is not done, but the response is given to the caller.
    """

    total: int
    connect: int | None
    statuses: frozenset[int]
    methods: frozenset[str]
    backoff: float
    max_backoff: float
    jitter: bool
    respect_retry_after: bool
    max_retry_after: float

    def __init__(
        self,
        total: int = 3,
        *,
        connect: int | None = None,
        statuses: Iterable[int] = (429, 502, 503, 504),
        methods: Iterable[str] = IDEMPOTENT_METHODS,
        backoff: float = 0.5,
        max_backoff: float = 30,
        jitter: bool = True,
        respect_retry_after: bool = True,
        max_retry_after: float = 60,
    ) -> None:
        """Make a policy; see the class.

        Raises:
            InvalidRequest: A count or time is negative or no number, or ``statuses`` are no status codes.
            TypeError: ``statuses`` or ``methods`` is no collection of them.
        """
        if isinstance(methods, str):
            raise TypeError("Retry(methods=…): give a collection of methods, such as ('GET', 'HEAD')")
        settings = {
            "total": _checked("total", total, whole=True),
            "connect": None if connect is None else _checked("connect", connect, whole=True),
            "statuses": frozenset(_checked("statuses", status, whole=True) for status in statuses),
            "methods": frozenset(method.upper() for method in methods),
            "backoff": _checked("backoff", backoff),
            "max_backoff": _checked("max_backoff", max_backoff),
            "jitter": bool(jitter),
            "respect_retry_after": bool(respect_retry_after),
            "max_retry_after": _checked("max_retry_after", max_retry_after),
        }
        for name, value in settings.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, value: Retry | int | None) -> Retry:
        """Take ``retries=`` in any form that users write.

        Args:
            value: A Retry; a number, which stands for that many repetitions after connection failures alone; None
                for none.

        Raises:
            InvalidRequest: It is none of these.
        """
        if isinstance(value, Retry):
            return value
        if value is None:
            value = 0
        return cls(_checked("total", value, whole=True), statuses=())

    def may_repeat(self, request: Request, error: RequestError) -> bool:
        """Whether a request may be sent again after a failure, however often it has been."""
        if is_unsent(error):
            return True
        if not isinstance(error, NetworkError | ReadTimeout | WriteTimeout | StreamReset):
            return False
        if isinstance(error, ConnectError | TlsError):
            return False  # the connection failed for a reason that stays
        return self._may_send_twice(request)

    def is_wanted(self, request: Request, status: int) -> bool:
        """Whether a request may be sent again because of this status, however often it has been."""
        return status in self.statuses and self._may_send_twice(request)

    def _may_send_twice(self, request: Request) -> bool:
        return request.method in self.methods and request.content.is_replayable

    def delay(self, repetition: int, retry_after: float | None = None) -> float | None:
        """How long to wait.

        Args:
            repetition: Before which one; the first is 1.
            retry_after: Seconds that the server asks for.

        Returns:
            Seconds; None where the server asks for more than we are ready to wait.
        """
        if retry_after is not None and self.respect_retry_after:
            return retry_after if retry_after <= self.max_retry_after else None
        # A float overflows after a thousand doublings; by then max_backoff counts anyhow.
        seconds = min(self.max_backoff, self.backoff * 2.0 ** min(repetition - 1, 1000))
        return random.uniform(0, seconds) if self.jitter else seconds


def _checked(name: str, value: Any, *, whole: bool = False) -> Any:
    """Refuse what is no number of at least 0; NaN compares as false and is refused too."""
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not value >= 0:
        raise InvalidRequest(f"retries: {name}={value!r} is not {'a whole' if whole else 'a'} number of at least 0")
    return value


def is_unsent(error: RequestError) -> bool:
    """Whether an error shows that nothing reached the server, so that any request may be sent again.

    A refusal that would be repeated word by word does not count: a certificate, a guarded address, what a proxy denies.
    """
    if error.unprocessed:
        return True
    if isinstance(error, AddressRefused | CertificateError):
        return False
    if isinstance(error, ProxyError):
        return error.status is None or error.status >= 500
    return isinstance(error, ConnectError | ConnectTimeout) or (isinstance(error, TlsError) and error.phase == "tls")


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Read a Retry-After field (RFC 9110 §10.2.3).

    Args:
        value: Its value: seconds, or a date.
        now: Seconds since 1970; None for the system's clock.

    Returns:
        Seconds from now, 0 where that has passed; None where there is no such field, or none that can be read.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:20])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def retry_flow(retry: Retry) -> Callable[[Request], Generator[Any, Any, Any]] | None:
    """Make the flow of a policy.

    Returns:
        The flow; None where the policy never repeats anything.
    """
    if retry.total == 0:
        return None
    return lambda request: _attempts(retry, request)


def _attempts(retry: Retry, request: Request) -> Generator[Any, Any, Any]:
    """Send a request until it succeeds, or no further attempt is allowed, or there is no time for one."""
    attempt = unconnected = 0
    while True:
        attempt += 1
        response: Any = None
        failure: RequestError | None = None
        try:
            # A copy: what flows further in add to a request (credentials) is not what the next attempt begins with.
            response = yield request.copy()
            response.extensions[ATTEMPTS] = attempt
            may_repeat = retry.is_wanted(request, response.status_code)
            wish = retry_after(response.headers.get("retry-after"))
        except RequestError as error:
            failure, wish = error, None
            unconnected += is_unsent(error)
            may_repeat = retry.may_repeat(request, error) and (retry.connect is None or unconnected <= retry.connect)
        delay = retry.delay(attempt, wish) if may_repeat and attempt <= retry.total else None
        try:
            if delay is not None:
                yield Sleep(delay, response)
                continue
        except TimeoutException:
            pass  # the deadline leaves no time for it: what we have is the answer
        if failure is not None:
            raise failure
        return response
