"""Redirects as policy: what a 3xx leads to, and what it must not (RFC 9110 §15.4; D1, D3, D4, D6)."""

from __future__ import annotations

from typing import Any

import pytest

from reqivo_core.content import to_content
from reqivo_core.errors import InvalidRequest, RedirectLoopError, TooManyRedirects, UnsafeRedirect
from reqivo_core.headers import Headers
from reqivo_core.messages import Request
from reqivo_core.redirects import check_chain, is_redirect, next_request

STATUSES = [301, 302, 303, 307, 308]


def request(method: str = "GET", url: str = "http://a.example/x/y?q", body: Any = None, **options: Any) -> Request:
    return Request(method, url, content=to_content(body), **options)


def following(sent: Request, location: str, status: int = 302) -> Request:
    return next_request(sent, status, Headers([("Location", location)]))


@pytest.mark.parametrize("status", STATUSES)
def test_five_statuses_with_a_location_are_redirects(status: int) -> None:
    assert is_redirect(status, Headers({"Location": "/"}))
    assert not is_redirect(status, Headers())


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 399])
def test_other_statuses_are_none(status: int) -> None:
    assert not is_redirect(status, Headers({"Location": "/"}))


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/z", "http://a.example/z"),
        ("z", "http://a.example/x/z"),
        ("../z", "http://a.example/z"),
        ("?r", "http://a.example/x/y?r"),
        ("//b.example/z", "http://b.example/z"),
        ("https://b.example", "https://b.example/"),
        ("HTTP://B.example:80/%7e", "HTTP://B.example:80/%7e"),
        ("/gr\u00fc\u00dfe", "/gr%C3%BC%C3%9Fe"),
        ("", "http://a.example/x/y?q"),
    ],
)
def test_locations_are_resolved_against_the_request(location: str, expected: str) -> None:
    url = following(request(), location.encode().decode("latin-1")).url
    assert url.target == expected if expected.startswith("/") else str(url).rstrip("/") == expected.rstrip("/")


@pytest.mark.parametrize(
    ("location", "fragment"), [("/z", "old"), ("/z#new", "new"), ("/z#", ""), ("http://b.example/", "old")]
)
def test_fragments_are_carried_over(location: str, fragment: str) -> None:
    assert following(request(url="http://a.example/#old"), location).url.fragment == fragment


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        *((status, "GET", "GET") for status in STATUSES),
        *((status, "HEAD", "HEAD") for status in STATUSES),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (303, "PATCH", "GET"),
        (307, "PATCH", "PATCH"),
        (302, "QUERY", "QUERY"),
    ],
)
def test_methods(status: int, method: str, expected: str) -> None:
    assert following(request(method), "/", status).method == expected


BODY_HEADERS = {
    "Content-Type": "text/plain",
    "Content-Length": "4",
    "Content-Encoding": "identity",
    "Content-Language": "en",
    "Content-Location": "/",
    "Transfer-Encoding": "chunked",
    "Expect": "100-continue",
    "Trailer": "X",
}


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_post_that_becomes_a_get_loses_its_body_and_all_that_describes_it(status: int) -> None:
    sent = request("POST", body=b"body", headers={**BODY_HEADERS, "X-Kept": "1"}, extensions={"trailers": {"X": "1"}})
    then = following(sent, "/", status)
    assert (then.method, then.content.length) == ("GET", 0)
    assert dict(then.headers.multi_items()) == {"X-Kept": "1"}
    assert then.extensions == {}
    assert sent.content.length == 4 and len(sent.headers) == 9  # the request given is left as it was


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_that_can_be_is_sent_again(status: int) -> None:
    sent = request("POST", body=b"body", headers={"Content-Type": "text/plain"})
    then = following(sent, "/", status)
    assert (then.method, then.content.data, then.headers["content-type"]) == ("POST", b"body", "text/plain")


@pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "POST"), (302, "PUT")])
def test_a_body_that_cannot_be_sent_again_is_an_error(status: int, method: str) -> None:
    with pytest.raises(InvalidRequest, match="read only once"):
        following(request(method, body=iter([b"x"])), "/", status)


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://a.example/",
        "data:text/html,x",
        "gopher://a.example/",
        "ws://a.example/",
        "wss://a.example/",
        "javascript:alert(1)",
        "unix:/var/run/docker.sock",
        "http+unix://%2Fvar%2Frun/",
        "mailto:a@b",
        "about:blank",
        "http://",
        "http:///path",
        "http://a b/",
        "http://a.example:99999/",
        "//[::1",
        "http://\u2100.example/",
    ],
)
def test_a_location_that_must_not_be_followed(location: str) -> None:
    with pytest.raises(UnsafeRedirect) as caught:
        following(request(), location.encode().decode("latin-1"))
    assert caught.value.phase == "redirect"


def test_several_locations_must_agree() -> None:
    same = Headers([("Location", "/z"), ("Location", "/z")])
    assert next_request(request(), 302, same).url.path == "/z"
    with pytest.raises(UnsafeRedirect, match="several"):
        next_request(request(), 302, Headers([("Location", "/z"), ("Location", "/w")]))


SECRETS = [
    ("Authorization", "Bearer s3cr3t"),
    ("AUTHORIZATION", "Basic czNjcjN0"),
    ("cookie", "a=s3cr3t"),
    ("Cookie", "b=s3cr3t"),
    ("Proxy-Authorization", "Basic czNjcjN0"),
    ("Host", "a.example"),
]


@pytest.mark.parametrize(
    "location",
    [
        "http://b.example/",
        "http://a.example:8080/",
        "https://a.example/",
        "http://sub.a.example/",
        "http://a.example.evil.example/",
        "//b.example/",
    ],
)
def test_secrets_do_not_cross_origins(location: str) -> None:
    sent = request(headers=[*SECRETS, ("X-Kept", "1")])
    assert following(sent, location).headers.multi_items() == [("X-Kept", "1")]


@pytest.mark.parametrize("location", ["/z", "http://a.example:80/", "HTTP://A.EXAMPLE/z"])
def test_secrets_stay_within_an_origin(location: str) -> None:
    assert following(request(headers=SECRETS), location).headers.multi_items() == SECRETS


def test_credentials_of_a_foreign_location_are_not_used() -> None:
    assert following(request(), "http://me:pw@b.example/").url.username is None


# -- chains


class Past:
    def __init__(self, past: Request) -> None:
        self.request = past


def test_twenty_are_followed_and_no_more() -> None:
    history = [Past(request(url=f"http://a.example/{number}")) for number in range(20)]
    check_chain(history[-1].request, request(url="http://a.example/20"), history, 20)
    history.append(Past(request(url="http://a.example/20")))
    with pytest.raises(TooManyRedirects, match="after 20 redirects") as caught:
        check_chain(history[-1].request, request(url="http://u:pw@a.example/21"), history, 20)
    assert caught.value.history == history and "pw" not in str(caught.value)


def test_none_at_all_may_be_followed() -> None:
    with pytest.raises(TooManyRedirects):
        check_chain(request(), request(url="http://b/"), [Past(request())], 0)


def test_a_circle_is_noticed_before_the_count_runs_out() -> None:
    one, two = request(url="http://a/1"), request(url="http://a/2")
    check_chain(one, one, [Past(one)], 20)  # once may be a cookie being set
    check_chain(two, one, [Past(one), Past(two)], 20)
    with pytest.raises(RedirectLoopError, match="circle"):
        check_chain(one, one, [Past(one), Past(one)], 20)
    with pytest.raises(RedirectLoopError):
        check_chain(two, one, [Past(one), Past(two), Past(one), Past(two)], 20)


def test_another_method_is_no_circle() -> None:
    post = request("POST", url="http://a/1")
    check_chain(post, request(url="http://a/1"), [Past(post), Past(post)], 20)
    assert post.method == "POST"
