"""Redirects (RFC 9110 §15.4), as pure policy: what request, if any, a response leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core.content import NO_CONTENT
from reqivo_core.errors import InvalidRequest, InvalidURL, RedirectLoopError, TooManyRedirects, UnsafeRedirect, excerpt

if TYPE_CHECKING:
    from reqivo_core.headers import Headers
    from reqivo_core.messages import Request
    from reqivo_core.urls import URL

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

SECRET_FIELDS = ("authorization", "cookie", "proxy-authorization", "host")
"""What never crosses origins, whoever put it there and however often."""

BODY_FIELDS = (
    "content-length",
    "content-type",
    "content-encoding",
    "content-language",
    "content-location",
    "transfer-encoding",
    "expect",
    "trailer",
)
_SCHEMES = frozenset({"http", "https"})


def is_redirect(status: int, headers: Headers) -> bool:
    """Whether a response points elsewhere."""
    return status in REDIRECT_STATUSES and "location" in headers


def next_request(request: Request, status: int, headers: Headers) -> Request:
    """The request that a redirect asks for.

    Args:
        request: What was sent, without what the session adds at each hop (the jar's cookies, ``auth=``).
        status: The response's status code, one of ``REDIRECT_STATUSES``.
        headers: The response's headers, with a Location.

    Returns:
        A new request; the given one is unchanged.

    Raises:
        UnsafeRedirect: The Location is no URL that may be followed.
        InvalidRequest: The body would have to be sent again, and cannot be.
    """
    url = _target(request.url, headers.get_all("location"))
    follow = request.copy()
    follow.extensions.pop("target", None)
    follow.url = url
    if url.origin != request.url.origin:
        for name in SECRET_FIELDS:
            follow.headers.discard(name)
    if status == 303 and request.method != "HEAD" or status in (301, 302) and request.method == "POST":
        follow.method = "GET"
        follow.content = NO_CONTENT
        follow.extensions.pop("trailers", None)
        for name in BODY_FIELDS:
            follow.headers.discard(name)
    elif not request.content.is_replayable:
        raise InvalidRequest(
            f"the server redirected {request.method} with {status}, so the body must be sent again, but an iterator or "
            "stream can be read only once: give bytes, a seekable file or a list, or follow_redirects=False",
            request=request,
        )
    return follow


def _target(base: URL, locations: list[str]) -> URL:
    """Where to go, with the fragment carried over if the Location has none (RFC 9110 §10.2.2)."""
    if len(set(locations)) > 1:
        raise UnsafeRedirect("the redirect has several different Location fields", phase="redirect")
    # What is not ASCII was meant as UTF-8 (that is how browsers take it), though headers are read as Latin-1.
    location = locations[0].encode("latin-1").decode("utf-8", "replace")
    try:
        url = base.join(location)
    except InvalidURL as error:
        raise UnsafeRedirect(
            f"the redirect's Location {excerpt(location)} is no usable URL: {error}", phase="redirect"
        ) from error
    if url.scheme not in _SCHEMES:
        raise UnsafeRedirect(
            f"the redirect leads to {excerpt(location)}: only http and https are followed", phase="redirect"
        )
    if url.fragment is None and base.fragment is not None:
        url = url.with_fragment(base.fragment)
    return url.without_userinfo() if url.origin != base.origin else url


def check_chain(request: Request, following: Request, history: list[Any], max_redirects: int) -> None:
    """Refuse to go in circles or too far.

    Args:
        request: What was sent last.
        following: What would be sent next.
        history: The responses so far, this redirect's included.
        max_redirects: How many are followed.

    Raises:
        TooManyRedirects: It is one too many.
        RedirectLoopError: The very same request was answered with a redirect before, and nothing has changed since.
    """
    if len(history) > max_redirects:
        raise TooManyRedirects(
            f"stopped after {max_redirects} redirects, the last one to {following.url.redacted}; "
            "raise max_redirects= if that is right",
            request=request,
            history=history,
        )
    seen = [(past.request.method, past.request.url) for past in history]
    if seen.count((following.method, following.url)) >= 2:
        raise RedirectLoopError(
            f"the redirects go in a circle: {following.url.redacted} has come up before",
            request=request,
            history=history,
        )
