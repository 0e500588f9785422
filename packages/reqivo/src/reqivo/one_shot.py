"""One-shot requests: a session for a single call, fully read, nothing left open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from reqivo.session import Session

if TYPE_CHECKING:
    from reqivo.messages import Response
    from reqivo_core import URL, RequestOptions


def request(method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one request and read the whole response.

    Args:
        method: The method.
        url: An absolute URL.
        options: See RequestOptions.

    Returns:
        The response, read whole; its connection is closed. With ``stream=True`` the body is left to be read, and the
        connection is closed after that.

    Raises:
        TypeError: A keyword is not known, or two bodies are given.
        RequestError: What went wrong; the classes tell.
    """
    with Session() as session:
        response = session.request(method, url, **options)
        if not options.get("stream"):
            response.read()
        return response


def stream(method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one request and leave the body to be read: ``with reqivo.stream("GET", url) as response``."""
    options["stream"] = True
    return request(method, url, **options)


def get(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one GET request: see ``request``."""
    return request("GET", url, **options)


def head(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one HEAD request: see ``request``."""
    return request("HEAD", url, **options)


def options(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one OPTIONS request: see ``request``."""
    return request("OPTIONS", url, **options)


def delete(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one DELETE request: see ``request``."""
    return request("DELETE", url, **options)


def post(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one POST request: see ``request``."""
    return request("POST", url, **options)


def put(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one PUT request: see ``request``."""
    return request("PUT", url, **options)


def patch(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one PATCH request: see ``request``."""
    return request("PATCH", url, **options)


def query(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """Send one QUERY request: see ``request``."""
    return request("QUERY", url, **options)
