"""URLs: what is parsed, what is refused, what a reference resolves to."""

import copy
import pickle
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reqivo_core import urls
from reqivo_core.errors import InvalidURL
from reqivo_core.urls import HTTP_EQUIVALENTS, URL, Origin, merge_base, parse_url
from support.steps import count_steps


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "path", "query", "fragment", "target", "authority"),
    [
        ("http://a", "http", "a", 80, "/", None, None, "/", "a"),
        ("HTTPS://A.Example", "https", "a.example", 443, "/", None, None, "/", "a.example"),
        ("https://a:443/", "https", "a", 443, "/", None, None, "/", "a"),
        ("https://a:80/", "https", "a", 80, "/", None, None, "/", "a:80"),
        ("http://a:/x", "http", "a", 80, "/x", None, None, "/x", "a"),
        ("http://a:00080/", "http", "a", 80, "/", None, None, "/", "a"),
        ("http://a:65535/", "http", "a", 65535, "/", None, None, "/", "a:65535"),
        ("ws://a/chat", "ws", "a", 80, "/chat", None, None, "/chat", "a"),
        ("wss://a/chat", "wss", "a", 443, "/chat", None, None, "/chat", "a"),
        ("echo://name/", "echo", "name", 0, "/", None, None, "/", "name"),
        ("echo://name:7/", "echo", "name", 7, "/", None, None, "/", "name:7"),
        ("asgi:///app", "asgi", "", 0, "/app", None, None, "/app", ""),
        ("data:text/plain,x", "data", "", 0, "text/plain,x", None, None, "text/plain,x", ""),
        ("file:/etc/x", "file", "", 0, "/etc/x", None, None, "/etc/x", ""),
        ("http://[::1]:8080/", "http", "::1", 8080, "/", None, None, "/", "[::1]:8080"),
        ("http://[::0:1]", "http", "::1", 80, "/", None, None, "/", "[::1]"),
        ("http://bücher.example/", "http", "xn--bcher-kva.example", 80, "/", None, None, "/", "xn--bcher-kva.example"),
        ("http://a?q", "http", "a", 80, "/", "q", None, "/?q", "a"),
        ("http://a/?", "http", "a", 80, "/", "", None, "/?", "a"),
        ("http://a/#", "http", "a", 80, "/", None, "", "/", "a"),
        ("http://a#f?x", "http", "a", 80, "/", None, "f?x", "/", "a"),
        ("http://a/?x?y#f#g", "http", "a", 80, "/", "x?y", "f#g", "/?x?y", "a"),
        ("http://a//b", "http", "a", 80, "//b", None, None, "//b", "a"),
        ("http://a/b/../c/./d", "http", "a", 80, "/b/../c/./d", None, None, "/b/../c/./d", "a"),
        ("http://a/b c?d e", "http", "a", 80, "/b c", "d e", None, "/b%20c?d%20e", "a"),
        ("http://a/ü?ü", "http", "a", 80, "/ü", "ü", None, "/%C3%BC?%C3%BC", "a"),
        ("http://a/%7e%7E%2f%zz%", "http", "a", 80, "/%7e%7E%2f%zz%", None, None, "/%7e%7E%2f%zz%", "a"),
        ('http://a/"<>^`{|}', "http", "a", 80, '/"<>^`{|}', None, None, "/%22%3C%3E%5E%60%7B%7C%7D", "a"),
        ("http://a/!$&'()*+,;=:@[]-._~", "http", "a", 80, "/!$&'()*+,;=:@[]-._~", None, None,
         "/!$&'()*+,;=:@[]-._~", "a"),
        ("http://a/?p=C:\\x", "http", "a", 80, "/", "p=C:\\x", None, "/?p=C:%5Cx", "a"),
        ("http://a/x@y", "http", "a", 80, "/x@y", None, None, "/x@y", "a"),
        ("http://a/?u=http://b:x/", "http", "a", 80, "/", "u=http://b:x/", None, "/?u=http://b:x/", "a"),
    ],
)  # fmt: skip
def test_a_url_has_its_parts(
    text: str, scheme: str, host: str, port: int, path: str, query: str | None, fragment: str | None, target: str,
    authority: str,
) -> None:  # fmt: skip
    url = URL(text)
    assert (url.scheme, url.host, url.port, url.path, url.query) == (scheme, host, port, path, query)
    assert (url.fragment, url.target, url.authority) == (fragment, target, authority)
    assert url.origin == Origin(scheme, host, port)
    assert url.is_absolute is (host != "")
    assert str(url) == text


@pytest.mark.parametrize(
    ("text", "username", "password", "redacted"),
    [
        ("https://h/", None, None, "https://h/"),
        ("https://@h/", None, None, "https://@h/"),
        ("https://u@h/", "u", None, "https://***@h/"),
        ("https://u:@h/", "u", "", "https://u:***@h/"),
        ("https://:p@h/", "", "p", "https://:***@h/"),
        ("https://u:p:q@h/x?y@z#@", "u", "p:q", "https://u:***@h/x?y@z#@"),
        ("https://u%40:%70%C3%BC@h/", "u@", "pü", "https://u%40:***@h/"),
        ("https://ü:p@h/", "ü", "p", "https://ü:***@h/"),
        ("https://h/x@y", None, None, "https://h/x@y"),
        ("user:secret@host/", None, None, "user:***@host/"),
        ("data:,x", None, None, "data:,x"),
    ],
)
def test_userinfo_is_decoded_and_masked(text: str, username: str | None, password: str | None, redacted: str) -> None:
    url = URL(text)
    assert (url.username, url.password) == (username, password)
    assert url.redacted == redacted
    assert repr(url) == f"URL({redacted!r})"
    assert str(url) == text
    assert "@" not in url.authority


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("/users", "add a base_url"),
        ("../users", "add a base_url"),
        ("?q", "add a base_url"),
        ("#f", "add a base_url"),
        ("example.com/x", "did you mean 'https://example.com/x'"),
        ("//example.com/x", "did you mean 'https://example.com/x'"),
        ("localhost:8000/x", "did you mean 'https://localhost:8000/x'"),
        ("example.com:80", "did you mean 'https://example.com:80'"),
        ("1http://a/", "no scheme"),
        ("://a/", "no scheme"),
        ("http:a", "no host"),
        ("http:/a", "no host"),
        ("https:", "no host"),
        ("http://", "no host"),
        ("http:///x", "no host"),
        ("ws://?x", "no host"),
        ("http://:80/", "host"),
        ("http://u@/", "host"),
        ("echo://:80/", "host"),
        ("echo://u:p@/", "host"),
        ("http://a:65536/", "above 65535"),
        ("http://a:99999/", "above 65535"),
        ("http://a:123456/", "up to 65535"),
        ("http://a:x/", "host:port"),
        ("http://a:+80/", "host:port"),
        ("http://a:-1/", "host:port"),
        ("http://a: 80/", "host:port"),
        ("http://a:٨٠/", "host:port"),
        ("http://a:8_0/", "host:port"),
        ("http://a:80:80/", "host:port"),
        ("http://::1/", "host:port"),
        ("http://[::1/", "host:port"),
        ("http://[::1]a/", "host:port"),
        ("http://a[::1]/", "host:port"),
        ("http://[[::1]]/", "host:port"),
        ("http://[::1%25.ex.com]/", "zone"),
        ("http://a%2Fb/", "no host has"),
        ("http://a b/", "no host has"),
        ("http://a..b/", "empty label"),
        ("http://127.1/", "four decimal numbers"),
        ("http://ℂ/", "write them as ASCII"),
        ("http://xn--example-.com/", "xn--"),
        ("http://a\\@b/", "backslash"),
        ("http://a/b\\c", "backslash"),
        ("http:\\\\a/", "backslash"),
        ("http://a\t/", "control character"),
        ("http://a/\n", "control character"),
        ("http://a/\r\nHost: b", "control character"),
        ("http://a/\0", "control character"),
        ("http://a/?\x7f", "control character"),
        ("http://a/#\x85", "control character"),
        ("java\nscript:x", "control character"),
        ("http://a/\ud800", "lone surrogate"),
        (" http://a/", "white space around"),
        ("http://a/ ", "white space around"),
        ("http://a/\u3000", "white space around"),
        ("http://a@b@c/", "'@' or white space in its userinfo"),
        ("http://a.com @b/", "'@' or white space in its userinfo"),
        ("http://" + "@" * 100_000 + "a/", "'@' or white space in its userinfo"),
        ("http://%FF@a/", "userinfo that are not UTF-8"),
        ("http://a:%FF@a/", "userinfo that are not UTF-8"),
    ],
)
def test_what_parsers_disagree_on_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidURL, match=reason) as caught:
        URL(text)
    message = str(caught.value)
    assert message.isascii() and message.isprintable() and len(message) < 700
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", [None, 5, b"http://a/", ["http://a/"], object()])
@pytest.mark.parametrize("use", [URL, parse_url, URL("http://a/").join, lambda v: merge_base(URL("http://a/"), v)])
def test_only_strings_are_urls(value: Any, use: Any) -> None:
    with pytest.raises(InvalidURL, match=f"must be a string, not {type(value).__name__}"):
        use(value)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:hunter2@h:99999/",
        "http://user:hun/ter2@h/",
        "http://user:hun?ter2@h/",
        "http://user:hun#ter2@h/",
        "http://user:hunter2@a%2Fb/",
        "http://user:hunter2@x@h/",
        "http://user:hunter2@h/\n",
        "user:hunter2@h:x\\",
        "//user:hunter2@h/",
        "hunter2@h/",
        "http://hunter2@[::1",
    ],
)
def test_no_message_shows_a_password(text: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        URL(text)
    assert "ter2" not in str(caught.value)
    assert "hun" not in str(caught.value)
    assert "***@" in str(caught.value)


def test_a_long_url_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidURL) as caught:
        URL("http://a:x/" + "y" * 10_000)
    assert "…" not in str(caught.value)[:100] and len(str(caught.value)) < 400


HOSTILE = [
    "http://" + "@" * 100_000,
    "http://" + "a" * 100_000 + "/",
    "http://" + "a." * 50_000 + "/",
    "http://[" + ":" * 100_000 + "]/",
    "http://a:" + "0" * 100_000 + "/",
    "http://" + "ü" * 100_000 + "/",
    "http://" + "%41" * 50_000 + "/",
    "a" * 100_000,
    "a" * 100_000 + ":",
    "http://a/" + "../" * 30_000,
    "http://a/" + "%" * 100_000,
    "http://a/?" + "&" * 100_000 + "#" * 100_000,
    " " * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:12]}…")
def test_hostile_text_costs_no_python_per_character(text: str) -> None:
    assert count_steps(lambda: URL(text)) < 2_000


@settings(deadline=None)  # the first international name loads the tables of idna
@given(st.text(max_size=60))
@example("http://u:p@[::1]:80/a?b#c")
def test_any_text_is_a_url_or_an_invalid_url(text: str) -> None:
    for candidate in (text, f"http://{text}", f"http://a/{text}"):
        try:
            url = URL(candidate)
        except InvalidURL:
            continue
        assert URL(str(url)) == url
        assert url.target.isascii() and not re.search(r"[\s#\\]", url.target)
        assert url.host.isascii() and url.authority.isascii()


@given(st.text("%2fFzZeE0aA/?=&", max_size=40))
def test_percent_encodings_are_never_rewritten(text: str) -> None:
    assert URL(f"http://a/{text}").target == f"/{text}"
    assert URL("http://a/x").join(f"/b{text}").target == f"/b{text}"
    assert merge_base(URL("http://a/v"), f"/b{text}").target == f"/v/b{text}"


def test_urls_are_equal_hashed_copied_and_pickled_by_text() -> None:
    url = URL("http://u:p@a/x?y#z")
    assert url == URL(str(url)) == str(url)
    assert url != URL("http://a/") and url != 5
    assert hash(url) == hash(str(url)) and url in {str(url): 1}
    assert pickle.loads(pickle.dumps(url)).password == "p"
    assert copy.deepcopy(url) == copy.copy(url) == URL(url) == url


def test_urls_are_immutable() -> None:
    url: Any = URL("http://a/")
    with pytest.raises(AttributeError, match="immutable"):
        url.host = "b"
    with pytest.raises(AttributeError, match="immutable"):
        del url.host
    assert url.host == "a" and not hasattr(url, "__dict__")


def test_parsing_is_cached_by_text_within_bounds() -> None:
    assert parse_url("http://cached.example/x") is parse_url("http://cached.example/x")
    url = URL("http://a/")
    assert parse_url(url) is url is URL.parse(url)
    assert URL.parse("http://cached.example/x") is parse_url("http://cached.example/x")
    long = "http://a/" + "x" * 10_000
    assert parse_url(long) == parse_url(long) and parse_url(long) is not parse_url(long)
    assert urls._parse_cached.cache_info().maxsize == 1024


@pytest.mark.parametrize(
    ("text", "origin", "authority"),
    [
        ("HTTP://A:80/x", "http://a", "a"),
        ("https://u:p@a:8443/", "https://a:8443", "a:8443"),
        ("wss://[::1]/", "wss://[::1]", "[::1]"),
        ("wss://[::1]:9/", "wss://[::1]:9", "[::1]:9"),
        ("echo://name/", "echo://name", "name"),
    ],
)
def test_an_origin_is_written_without_a_default_port(text: str, origin: str, authority: str) -> None:
    assert str(URL(text).origin) == origin
    assert URL(text).origin.authority == authority


@pytest.mark.parametrize(
    ("base", "text", "merged"),
    [
        (None, "http://a/x", "http://a/x"),
        ("http://a/v1", "/users", "http://a/v1/users"),
        ("http://a/v1", "users", "http://a/v1/users"),
        ("http://a/v1/", "/users", "http://a/v1/users"),
        ("http://a/v1/", "users/", "http://a/v1/users/"),
        ("http://a", "/users", "http://a/users"),
        ("http://a", "", "http://a/"),
        ("http://a/v1", "", "http://a/v1"),
        ("http://a/v1", "/", "http://a/v1/"),
        ("http://a/v1", "?x=1", "http://a/v1?x=1"),
        ("http://a/v1", "#f", "http://a/v1#f"),
        ("http://a/v1?k=%7e#old", "/u?x=1#f", "http://a/v1/u?k=%7e&x=1#f"),
        ("http://a/v1?k=1", "/u", "http://a/v1/u?k=1"),
        ("http://u:p@a:8/v1", "u", "http://u:p@a:8/v1/u"),
        ("http://a/v1", "../u", "http://a/v1/../u"),
        ("http://a/v1", "item:7", "http://a/v1/item:7"),
        ("http://a/v1", "http:/b", "http://a/v1/http:/b"),
        ("http://a/v1", "https://b/x", "https://b/x"),
        ("http://a/v1", "echo://b", "echo://b"),
    ],
)
def test_a_base_url_is_appended_to(base: str | None, text: str, merged: str) -> None:
    assert str(merge_base(URL(base) if base else None, text)) == merged


def test_a_url_wins_over_the_base() -> None:
    url = URL("http://b/")
    assert merge_base(URL("http://a/"), url) is url


@pytest.mark.parametrize(
    ("base", "text", "reason"),
    [
        (None, "/users", "add a base_url"),
        ("http://a/", "//evil/x", "leave the host of base_url"),
        ("http://a/", "\\\\evil", "backslash"),
        ("http://a/", "/x\r\n", "control character"),
        ("http://a/", "http:///x", "no host"),
    ],
)
def test_what_no_base_can_mend_is_refused(base: str | None, text: str, reason: str) -> None:
    with pytest.raises(InvalidURL, match=reason):
        merge_base(URL(base) if base else None, text)


@pytest.mark.parametrize(
    ("text", "params", "result"),
    [
        ("http://a", {"x": 1}, "http://a/?x=1"),
        ("http://a/?", {"x": 1}, "http://a/?x=1"),
        ("http://a/b?q=%7e#f", {"x": [1, True], "n": None}, "http://a/b?q=%7e&x=1&x=true#f"),
        ("http://a/b?q", None, "http://a/b?q"),
        ("http://a/b", "?y=#1", "http://a/b?y=%231"),
    ],
)
def test_parameters_are_added_to_the_query(text: str, params: Any, result: str) -> None:
    assert str(URL(text).with_query(params)) == result


def test_parts_are_replaced() -> None:
    url = URL("wss://u:p@a/x?y#z")
    assert str(url.with_fragment("n")) == "wss://u:p@a/x?y#n"
    assert str(url.with_fragment(None)) == "wss://u:p@a/x?y"
    assert str(url.without_userinfo()) == "wss://a/x?y#z"
    opened = url.with_scheme(HTTP_EQUIVALENTS[url.scheme])
    assert (str(opened), opened.port) == ("https://u:p@a/x?y#z", 443)
    assert URL("ws://a:8/").with_scheme("http").port == 8
    plain = URL("http://a/@")
    assert plain.without_userinfo() is plain


def test_a_scheme_must_be_one() -> None:
    with pytest.raises(InvalidURL, match="'ht tp' is not a URL scheme"):
        URL("http://a/").with_scheme("ht tp")
