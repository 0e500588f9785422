"""Opening: the conversation of the handshake, sent through a session like any other request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from reqivo_core.auth import BasicAuth
from reqivo_core.cookies import header_of
from reqivo_core.errors import (
    HandshakeError,
    HTTPStatusError,
    InvalidRequest,
    ProtocolError,
    ReqivoError,
    RequestError,
    ServerDisconnected,
    TooManyRedirects,
    UnsafeRedirect,
    excerpt,
)
from reqivo_core.headers import Headers
from reqivo_core.redirects import check_chain, is_redirect, next_request
from reqivo_core.timeouts import Deadline, Timeout
from reqivo_core.urls import HTTP_EQUIVALENTS
from reqivo_ws.handshake import (
    OWN_FIELDS,
    Refused,
    check_response,
    http_url,
    is_accepted,
    new_key,
    request_fields,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reqivo_core.base_response import BaseResponse
    from reqivo_core.base_session import BaseSession
    from reqivo_core.body import Body
    from reqivo_core.headers import HeaderTypes
    from reqivo_core.interfaces import NetworkStream
    from reqivo_core.messages import Request
    from reqivo_core.urls import URL
    from reqivo_ws.deflate import Deflate
    from reqivo_ws.handshake import Negotiated

OPEN_TIMEOUT = 30.0
"""Seconds for the whole opening handshake, redirects and authentication included, where no total is set."""

MAX_BODY = 1024 * 1024
"""Octets kept of the body of a response that refuses the handshake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What to open.

    Attributes:
        url: As given; may be relative to the session's ``base_url``.
        headers: Field lines to add.
        params: For the URL's query.
        cookies: To send along with the session's.
        subprotocols: To offer, the preferred one first.
        offers: What compression to offer, the preferred one first.
        timeout: Time limits; None for the session's.
        max_redirects: How many to follow.
        sending: Options for ``send``: ``auth``, ``verify``, ``proxy`` ….
    """

    url: str | URL
    headers: HeaderTypes = None
    params: Any = None
    cookies: Mapping[str, str] | None = None
    subprotocols: tuple[str, ...] = ()
    offers: tuple[Deflate, ...] = ()
    timeout: Timeout | None = None
    max_redirects: int = 10
    sending: Mapping[str, Any] = field(default_factory=dict)


class Opened(NamedTuple):
    """A WebSocket's beginnings.

    Attributes:
        stream: Its octets.
        response: The response that opened it.
        negotiated: What was agreed upon.
    """

    stream: NetworkStream
    response: BaseResponse
    negotiated: Negotiated


async def open_stream(session: BaseSession[Any], target: Target) -> Opened:
    """Do the opening handshake.

    Args:
        session: Whose pool, proxies, TLS settings, cookies, authentication and hooks are used.
        target: What to open.

    Raises:
        HandshakeError: The server would not, or not as it must.
        RequestError: It could not be asked.
    """
    base = session.timeout if target.timeout is None else target.timeout
    total = OPEN_TIMEOUT if base.total is None else base.total
    deadline = Deadline(_with_total(base, total), session.runtime.now)
    request, sending = _first_request(session, target)
    history: list[Any] = []
    while True:
        request.headers["Sec-WebSocket-Key"] = key = new_key()
        timeout = _with_total(base, deadline.left() or total)
        response = await _ask(session, request, {**sending, "timeout": timeout})
        response.history = list(history)
        following = await _redirected(request, response, history, target.max_redirects)
        if following is None:
            return await _judge(response, key, target)
        if following.url.origin != request.url.origin:
            sending["auth"] = None
        request = following


def _with_total(base: Timeout, total: float) -> Timeout:
    return Timeout(base.connect, base.read, total, write=base.write, pool=base.pool)


def _first_request(session: BaseSession[Any], target: Target) -> tuple[Request, dict[str, Any]]:
    """The request of the first handshake, and how to send it."""
    sending = dict(target.sending)
    request = session.build_request("GET", target.url, params=target.params)
    url = request.url
    if url.username is not None and "auth" not in sending:
        sending["auth"] = BasicAuth(url.username, url.password or "")
    request.url = http_url(url.without_userinfo())
    given = Headers(target.headers)
    for name in OWN_FIELDS[1:]:
        if name in given:
            raise InvalidRequest(f"header {name!r} is the handshake's own; use subprotocols= and compression=")
    request.headers.merge(target.headers)
    if target.cookies and (cookies := header_of(target.cookies, request.url)):
        request.headers["Cookie"] = cookies
    for name in OWN_FIELDS[1:]:
        request.headers.discard(name)
    for name, value in request_fields("", target.subprotocols, target.offers):
        request.headers[name] = value
    request.extensions["upgrade"] = "websocket"
    return request, sending


async def _ask(session: BaseSession[Any], request: Request, sending: dict[str, Any]) -> Any:
    """Send one request of the handshake."""
    try:
        return await session.converse(request, stream=True, follow_redirects=False, **sending)
    except (ProtocolError, ServerDisconnected) as error:
        raise HandshakeError(f"the server did not complete the opening handshake: {error}") from error
    except HTTPStatusError as error:
        raise HandshakeError(str(error), response=error.response) from error


async def _redirected(request: Request, response: Any, history: list[Any], max_redirects: int) -> Request | None:
    """The next request, if the response is a redirect that is to be followed."""
    if not max_redirects or not is_redirect(response.status_code, response.headers):
        return None
    locations = [_in_http(location) for location in response.headers.get_all("location")]
    try:
        following = next_request(request, response.status_code, Headers([("Location", place) for place in locations]))
        http_url(following.url)
        if request.url.scheme == "https" and following.url.scheme == "http":
            raise UnsafeRedirect(f"it leads from wss to ws, to {following.url.redacted}")
        history.append(response)
        check_chain(request, following, history, max_redirects)
    except (UnsafeRedirect, TooManyRedirects, InvalidRequest) as error:
        raise await _refusal(response, f"the redirect was not followed: {error}") from error
    except RequestError as error:
        raise await _refusal(response, f"the redirect leads nowhere: {error}") from error
    await response.drop()
    return following


def _in_http(location: str) -> str:
    """A Location with the scheme in which its handshake is sent."""
    scheme, colon, rest = location.partition(":")
    return f"{HTTP_EQUIVALENTS.get(scheme.strip().lower(), scheme)}{colon}{rest}"


async def _judge(response: Any, key: str, target: Target) -> Opened:
    """Take the connection of a server that accepts as it must; raise for any other."""
    stream: NetworkStream | None = response.extensions.get("network_stream")
    if stream is None or not is_accepted(response.status_code, response.http_version):
        said = f"{response.status_code} {excerpt(response.reason)}" if response.reason else str(response.status_code)
        raise await _refusal(response, f"the server answered {said}")
    del response.extensions["network_stream"]
    try:
        negotiated = _agreed(response, key, target)
    except BaseException:
        stream.close()
        raise
    return Opened(stream, response, negotiated)


def _agreed(response: Any, key: str, target: Target) -> Negotiated:
    """What the server agreed upon, accepting."""
    try:
        return check_response(response.http_version, response.headers, key, target.subprotocols, target.offers)
    except Refused as refused:
        raise HandshakeError(f"the server's opening handshake is not valid: {refused.why}", response=response) from None


async def _beginning(body: Body) -> bytes:
    """As much of a body as comes, up to what may be kept; the rest is given up."""
    kept = bytearray()
    try:
        while len(kept) < MAX_BODY and (chunk := await body.read_chunk()):
            kept += chunk
    except ReqivoError:
        pass  # the rest of the body is not what went wrong
    finally:
        body.close()
    return bytes(kept)


async def _refusal(response: Any, why: str) -> HandshakeError:
    """The error for a response that opens nothing, with as much of its body as may be kept."""
    body = response.body_reader
    kept = response.content if body is None else await _beginning(body)
    await response.drop()
    readable = type(response).build(
        response.status_code,
        headers=response.headers,
        body=kept[:MAX_BODY],
        request=response.request,
        reason=response.reason,
        http_version=response.http_version,
    )
    readable.history = response.history
    return HandshakeError(f"no WebSocket at {response.request.url.redacted}: {why}", response=readable)
