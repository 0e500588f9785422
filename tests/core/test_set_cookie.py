"""Set-Cookie lines, cookie dates and scopes, against the algorithms of RFC 6265bis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqivo_core.cookie_scope import (
    Cookie,
    default_path,
    is_domain_match,
    is_ip_address,
    is_path_match,
    is_single_label,
)
from reqivo_core.set_cookie import MAX_AGE, parse_cookie_date, parse_set_cookie, receive_cookie

NOW = 1_700_000_000.0


@dataclass
class URL:
    scheme: str = "https"
    host: str = "www.example.org"
    path: str = "/dir/page"


def receive(line: str, url: URL | None = None) -> Cookie | None:
    return receive_cookie(line, url or URL(), NOW, is_single_label)


def moment(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]  # the parts are all ints


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", moment(2023, 11, 14, 22, 13, 20)),
        ("Tuesday, 14-Nov-23 22:13:20 GMT", moment(2023, 11, 14, 22, 13, 20)),
        ("Tue Nov 14 22:13:20 2023", moment(2023, 11, 14, 22, 13, 20)),
        ("14 nov 2023 22:13:20", moment(2023, 11, 14, 22, 13, 20)),
        ("2023 NOVEMBER 14 22:13:20", moment(2023, 11, 14, 22, 13, 20)),
        ("22:13:20 14 Novembre 2023 +0100", moment(2023, 11, 14, 22, 13, 20)),
        ("14/Nov/2023|22:13:20", moment(2023, 11, 14, 22, 13, 20)),
        ("14/Nov/2023 22:13:20", moment(2023, 11, 14, 22, 13, 20)),
        ("1 Jan 70 0:0:0", 0.0),
        ("1 Jan 69 0:0:0", moment(2069, 1, 1)),
        ("1 Jan 99 0:0:0", moment(1999, 1, 1)),
        ("1 Jan 0 0:0:0", None),  # one digit is a day, never a year
        ("1 Jan 00 0:0:0", moment(2000, 1, 1)),
        ("1 Jan 0099 0:0:0", moment(1999, 1, 1)),
        ("1 Jan 100 0:0:0", None),
        ("1 Jan 1600 0:0:0", None),
        ("1 Jan 1601 0:0:0", moment(1601, 1, 1)),
        ("31 Dec 9999 23:59:59", moment(9999, 12, 31, 23, 59, 59)),
        ("1 Jan 10000 0:0:0", None),
        ("29 Feb 2023 0:0:0", None),
        ("29 Feb 2024 0:0:0", moment(2024, 2, 29)),
        ("0 Jan 2023 0:0:0", None),
        ("32 Jan 2023 0:0:0", None),
        ("1 Jan 2023 24:0:0", None),
        ("1 Jan 2023 0:60:0", None),
        ("1 Jan 2023 0:0:60", None),
        ("1 Jan 2023 0:0:5x", moment(2023, 1, 1, 0, 0, 5)),
        ("1 Jan 2023 0:0:555", None),
        ("1 Jan 2023 0:0", None),
        ("1th Jan 2023rd 1:2:3", moment(2023, 1, 1, 1, 2, 3)),
        ("1 2 Jan 2023 1:2:3", moment(2023, 1, 1, 1, 2, 3)),  # a second day is passed over
        ("12 34 Jan 2023 1:2:3", moment(2034, 1, 12, 1, 2, 3)),  # but one of two digits is a year
        ("Jan 2023 1:2:3", None),
        ("1 2023 1:2:3", None),
        ("1 Jan 1:2:3", None),
        ("١ Jan 2023 1:2:3", None),
        ("", None),
        ("tomorrow", None),
    ],
)
def test_dates_are_read_token_by_token(text: str, expected: float | None) -> None:
    assert parse_cookie_date(text) == expected


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("a=b", "a", "b"),
        ("a=b; Path=/", "a", "b"),
        ("  a  =  b  ;x", "a", "b"),
        ("\ta\t=\tb\t", "a", "b"),
        ("a=", "a", ""),
        ("a=b=c", "a", "b=c"),
        ("a==b", "a", "=b"),
        ("a", "", "a"),
        ("=a", "", "a"),
        ("a b=c d", "a b", "c d"),
        ('a="b c"', "a", '"b c"'),
        ('a="b;c"', "a", '"b'),
        ('"a;b"=c', "", '"a'),
        ("a=b, c=d", "a", "b, c=d"),
        ("a=b\tc", "a", "b\tc"),
        ("a=\xe9", "a", "\xe9"),
        ("a=%3B%00", "a", "%3B%00"),
        ("$Version=1; a=b", "$Version", "1"),
        ("a" * 96 + "=" + "b" * 4000, "a" * 96, "b" * 4000),
    ],
)
def test_a_line_begins_with_name_and_value(line: str, name: str, value: str) -> None:
    parsed = parse_set_cookie(line)
    assert parsed is not None
    assert (parsed.name, parsed.value) == (name, value)


@pytest.mark.parametrize(
    "line",
    [
        *("", "=", ";", " \t ", "; a=b", "=;a=b"),
        *("a=b\0", "a\0=b", "a=b\r", "a=b\nc", "a=\x1f", "a=\x7f", "a=b; Path=/\x01"),
        *("a=\u0100", "a=b; Domain=\u212a"),
        *("a=" + "b" * 4096, "b" * 4097),
    ],
)
def test_a_line_that_cannot_be_a_cookie_is_ignored(line: str) -> None:
    assert parse_set_cookie(line) is None
    assert receive(line) is None


def test_a_parsed_line_and_a_cookie_hide_their_value() -> None:
    assert "geheim" not in repr(parse_set_cookie("a=geheim"))
    assert "geheim" not in repr(receive("a=geheim"))


@pytest.mark.parametrize(
    ("attributes", "expires"),
    [
        ("", None),
        ("Max-Age=60", NOW + 60),
        ("max-AGE = 60 ", NOW + 60),
        ("Max-Age=060", NOW + 60),
        ("Max-Age=0", float("-inf")),
        ("Max-Age=-1", float("-inf")),
        ("Max-Age=-0", float("-inf")),
        ("Max-Age", None),
        ("Max-Age=", None),
        ("Max-Age=-", None),
        ("Max-Age=+60", None),
        ("Max-Age=6.0", None),
        ("Max-Age=6_0", None),
        ("Max-Age=60s", None),
        ("Max-Age=\xb2", None),
        ("Max-Age=" + "9" * 1024, NOW + MAX_AGE),
        ("Max-Age=" + "9" * 1025, None),
        ("Max-Age=1; Max-Age=60", NOW + 60),
        ("Max-Age=60; Max-Age=x", NOW + 60),
        ("Expires=Tue, 14 Nov 2023 22:13:21 GMT", NOW + 1),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", NOW + MAX_AGE),
        ("Expires=soon", None),
        ("Expires=14 Nov 2023 22:13:21; Expires=14 Nov 2023 22:13:22", NOW + 2),
        ("Expires=14 Nov 2023 22:13:21; Expires=0", NOW + 1),
        ("Expires=14 Nov 2023 22:13:21; Max-Age=60", NOW + 60),
        ("Max-Age=60; Expires=14 Nov 2023 22:13:21", NOW + 60),
        ("Max-Age=x; Expires=14 Nov 2023 22:13:21", NOW + 1),
    ],
)
def test_lifetime(attributes: str, expires: float | None) -> None:
    cookie = receive(f"a=b; {attributes}")
    assert cookie is not None
    assert cookie.expires == expires


@pytest.mark.parametrize(
    ("attributes", "secure", "http_only", "same_site"),
    [
        ("Secure", True, False, None),
        ("sEcUrE; HTTPonly", True, True, None),
        ("Secure=no; HttpOnly=false", True, True, None),
        ("Secure foo; Http-Only", False, False, None),
        ('"Secure"', False, False, None),
        ("SameSite=strict", False, False, "Strict"),
        ("SameSite=LAX", False, False, "Lax"),
        ("samesite=none", False, False, "None"),
        ("SameSite=Lax; SameSite=weird", False, False, None),
        ("SameSite", False, False, None),
        ("Partitioned; Priority=High; =; ;;", False, False, None),
    ],
)
def test_flags(attributes: str, secure: bool, http_only: bool, same_site: str | None) -> None:
    cookie = receive(f"a=b; {attributes}")
    assert cookie is not None
    assert (cookie.secure, cookie.http_only, cookie.same_site) == (secure, http_only, same_site)


@pytest.mark.parametrize(
    ("host", "domain", "stored"),
    [
        ("www.example.org", None, "www.example.org!"),
        ("www.example.org", "", "www.example.org!"),
        ("www.example.org", ".", "www.example.org!"),
        ("www.example.org", "www.example.org", "www.example.org"),
        ("www.example.org", ".www.example.org", "www.example.org"),
        ("www.example.org", "example.org", "example.org"),
        ("www.example.org", "EXAMPLE.Org", "example.org"),
        ("www.example.org", "..example.org", None),
        ("www.example.org", "example..org", None),
        ("www.example.org", "example.org.", None),
        ("www.example.org", "org", None),
        ("www.example.org", ".org", None),
        ("www.example.org", "xample.org", None),
        ("www.example.org", "sibling.example.org", None),
        ("www.example.org", "a.www.example.org", None),
        ("www.example.org", "example.org:443", None),
        ("www.example.org", '"example.org"', None),
        ("www.example.org", "example.com; Domain=example.org", "example.org"),
        ("www.example.org", "example.org; Domain=example.com", None),
        ("www.example.org", "example.com; Domain=", "www.example.org!"),
        ("www.example.org", "x" * 1025 + "; Domain=example.org", "example.org"),
        ("www.example.org", "example.org; Domain=" + "x" * 1025, "example.org"),
        ("www.example.org.", "example.org.", "example.org."),
        ("www.example.org.", "org.", None),
        ("www.example.org.", "example.org", None),
        ("localhost", "localhost", "localhost!"),
        ("app.localhost", "localhost", None),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1!"),
        ("127.0.0.1", "0.0.1", None),
        ("127.0.0.1", "1", None),
        ("::1", "::1", "::1!"),
        ("::1", None, "::1!"),
        ("", None, None),
    ],
)
def test_domain(host: str, domain: str | None, stored: str | None) -> None:
    cookie = receive("a=b" if domain is None else f"a=b; Domain={domain}", URL(host=host))
    shown = cookie and cookie.domain + ("!" if cookie.host_only else "")
    assert shown == stored


def test_an_address_is_not_widened_whatever_the_list_of_suffixes_says() -> None:
    cookie = receive_cookie("a=b; Domain=127.0.0.1", URL(host="127.0.0.1"), NOW, lambda _: False)
    assert cookie is not None
    assert cookie.host_only


def test_suffixes_are_asked_for_only_where_the_host_lies_below_them() -> None:
    asked: list[str] = []

    def is_public_suffix(domain: str) -> bool:
        asked.append(domain)
        return domain == "co.uk"

    url = URL(host="www.example.co.uk.")
    assert receive_cookie("a=b; Domain=evil.test", url, NOW, is_public_suffix) is None
    assert receive_cookie("a=b; Domain=co.uk.", url, NOW, is_public_suffix) is None
    assert receive_cookie("a=b; Domain=example.co.uk.", url, NOW, is_public_suffix) is not None
    assert receive_cookie("a=b", url, NOW, is_public_suffix) is not None
    assert asked == ["co.uk", "example.co.uk"]


@pytest.mark.parametrize(
    ("attribute", "path"),
    [
        ("", "/dir"),
        ("; Path", "/dir"),
        ("; Path=", "/dir"),
        ("; Path=dir", "/dir"),
        ("; Path=/", "/"),
        ("; path =\t/a b\t", "/a b"),
        ("; Path=/x; Path=/y", "/y"),
        ("; Path=/x; Path=y", "/dir"),
        ("; Path=/%2F", "/%2F"),
        ("; Path=/" + "x" * 1024, "/dir"),
    ],
)
def test_path(attribute: str, path: str) -> None:
    cookie = receive("a=b" + attribute)
    assert cookie is not None
    assert cookie.path == path


@pytest.mark.parametrize(
    ("line", "scheme", "accepted"),
    [
        ("a=b; Secure", "http", False),
        ("a=b; Secure", "ws", False),
        ("a=b; Secure", "https", True),
        ("a=b; Secure", "wss", True),
        ("a=b; SameSite=None", "http", True),
        ("__Secure-a=b", "https", False),
        ("__Secure-a=b; Secure", "https", True),
        ("__Secure-a=b; Secure", "http", False),
        ("__SECURE-a=b", "https", False),
        ("__secure-a=b; Secure; Domain=example.org", "https", True),
        ("__Host-a=b; Secure; Path=/", "https", True),
        ("__Host-a=b; Path=/", "https", False),
        ("__Host-a=b; Secure", "https", False),
        ("__Host-a=b; Secure; Path=/dir", "https", False),
        ("__Host-a=b; Secure; Path=/; Domain=www.example.org", "https", False),
        ("__hoST-a=b; Secure; Path=/; Domain=example.org", "https", False),
        ("__hoST-a=b; Secure; Path=/; Domain=", "https", True),
        ("__Host-a=b; Secure; Path=/", "http", False),
        ("__Hosta=b", "http", True),
        ("__Host-a", "https", False),
        ("=__secure-a; Secure", "https", False),
        ("=__Host-a=b", "https", False),
        ("=a=b", "https", False),
        ("=a", "https", True),
    ],
)
def test_secure_and_prefixes(line: str, scheme: str, accepted: bool) -> None:
    assert (receive(line, URL(scheme=scheme)) is not None) == accepted


def test_host_prefix_needs_the_attribute_and_not_only_the_default_path() -> None:
    assert receive("__Host-a=b; Secure", URL(path="/page")) is None
    assert receive("__Host-a=b; Secure; Path=/", URL(path="/page")) is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", "/"), ("*", "/"), ("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a"), ("/a//", "/a/"), ("a/b", "/")],
)
def test_default_path(path: str, expected: str) -> None:
    assert default_path(path) == expected


@pytest.mark.parametrize(
    ("path", "cookie_path", "expected"),
    [
        ("/", "/", True),
        ("/a", "/", True),
        ("/a", "/a", True),
        ("/a/", "/a", True),
        ("/a/b", "/a/", True),
        ("/a/b", "/a", True),
        ("/ab", "/a", False),
        ("/a", "/a/", False),
        ("/A", "/a", False),
        ("/", "/a", False),
        ("/%61", "/a", False),
    ],
)
def test_path_match(path: str, cookie_path: str, expected: bool) -> None:
    assert is_path_match(path, cookie_path) == expected


@pytest.mark.parametrize(
    ("host", "domain", "expected"),
    [
        ("example.org", "example.org", True),
        ("a.example.org", "example.org", True),
        ("a.b.example.org", "example.org", True),
        ("aexample.org", "example.org", False),
        ("example.org", "a.example.org", False),
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "3.4", False),
        ("::2:3.4.5.6", "4.5.6", False),
    ],
)
def test_domain_match(host: str, domain: str, expected: bool) -> None:
    assert is_domain_match(host, domain) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("1.2.3.4", True), ("::1", True), ("a.4", True), ("a.b", False), ("4.a", False), ("localhost", False)],
)
def test_ip_addresses(host: str, expected: bool) -> None:
    assert is_ip_address(host) == expected


@given(st.text(st.characters(max_codepoint=300), max_size=80), st.text("abg.:-1;=/ ", max_size=20))
def test_no_line_from_any_host_raises(line: str, host: str) -> None:
    for url in (URL(host=host), URL("http", "a.b", host)):
        cookie = receive(line, url)
        assert cookie is None or cookie.host_only or is_domain_match(url.host, cookie.domain)


_ATTRIBUTES = st.sampled_from(["Expires", "Max-Age", "Domain", "Path", "Secure", "SameSite"])


@given(st.lists(st.tuples(_ATTRIBUTES, st.text(st.characters(max_codepoint=255), max_size=30)), max_size=8))
def test_no_attribute_raises(attributes: list[tuple[str, str]]) -> None:
    cookie = receive("a=b" + "".join(f"; {name}={value}" for name, value in attributes))
    assert cookie is None or (cookie.name, cookie.value) == ("a", "b")


@given(st.text("0123456789:/ JanFebt", max_size=40))
def test_a_date_is_in_range_or_none(text: str) -> None:
    parsed = parse_cookie_date(text)
    assert parsed is None or moment(1601, 1, 1) <= parsed < moment(9999, 12, 31) + 86400
