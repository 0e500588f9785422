"""Cookies from users, files and the standard library's jar."""

from __future__ import annotations

import http.cookiejar
import json
import stat
import sys
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest

from reqivo_core.cookie_input import cookies_from_cookiejar, cookies_from_json, encode_cookies
from reqivo_core.cookies import CookieJar
from reqivo_core.errors import InvalidRequest


class URL:
    scheme, host, path = "https", "site.test", "/"


def test_encoded_cookies_stand_in_one_line() -> None:
    assert encode_cookies({}) == ""
    assert encode_cookies({"a": "1", "b": ""}) == "a=1; b="
    assert encode_cookies({"a": 'x y,"\\z\xe9\tq='}) == 'a=x y,"\\z\xe9\tq='
    assert len(encode_cookies({"a": "b" * 4095})) == 4097


@pytest.mark.parametrize("bad", ["a\r", "a\nb", "\0", "a;b", "\u0100", "\x1b", "\x7f", " a", "a\t", "\ud800"])
def test_what_would_break_the_header_is_refused_in_names_and_values(bad: str) -> None:
    with pytest.raises(InvalidRequest, match="name of the cookie"):
        encode_cookies({bad: "1"})
    with pytest.raises(InvalidRequest, match="value of the cookie 'sid'") as caught:
        encode_cookies({"sid": f"geheim{bad}" if bad != " a" else " geheim"})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("", "1"), ("a=b", "1"), ("a", "b" * 4096)])
def test_names_that_are_none_and_what_is_too_long_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be sent"):
        encode_cookies({name: value})


@pytest.mark.parametrize("pair", [(1, "a"), ("a", 1), ("a", None), (b"a", "b"), ("a", b"b")])
def test_names_and_values_are_text(pair: tuple[Any, Any]) -> None:
    with pytest.raises(InvalidRequest, match="must be str, not"):
        encode_cookies(dict([pair]))


def item(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {"name": "a", "value": "1", "domain": "site.test", "path": "/", "expires": None}
    fields |= {"secure": False, "http_only": False, "host_only": True, "same_site": None, "created": 0}
    return fields | changes


def saved(*items: object) -> str:
    return json.dumps({"version": 1, "cookies": items})


def test_json_is_read_back() -> None:
    (cookie,) = cookies_from_json(saved(item(expires=5e9, same_site="lax", extra=1)))
    assert (cookie.name, cookie.value, cookie.host_only, cookie.expires) == ("a", "1", True, 5e9)
    assert cookie.same_site == "Lax"
    assert cookies_from_json(saved().encode()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        b"\xff\xfe\xff",
        "[" * 100_000,
        "[]",
        "{}",
        '{"version": 2, "cookies": []}',
        '{"version": 1}',
        '{"version": 1, "cookies": {}}',
        '{"version": 1, "cookies": [], "written": {}}',
        '{"version": 1, "cookies": [], "written": [0]}',
        '{"version": 1, "cookies": [], "written": [-1]}',
        '{"version": 1, "cookies": [], "written": [false]}',
        saved(1),
        saved({}),
        saved({"name": "a", "value": "geheim"}),
        saved(item(name=1)),
        saved(item(secure=1)),
        saved(item(expires=True)),
        saved(item(expires="geheim")),
        saved(item(value="geheim\r\n")),
        saved(item(name="a;b")),
        saved(item(name="", value="")),
        saved(item(name="", value="a=b")),
        saved(item(name="", value="__Host-a")),
        saved(item(domain="a b")),
        saved(item(path="x")),
        saved(item(expires=float("nan"))),
        saved(item(created=float("inf"))),
        saved(item(created=10**400)),
    ],
)
def test_what_is_no_saved_jar_is_refused_without_being_shown(text: str | bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        CookieJar.from_json(text)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_nameless_cookie_may_be_read_back() -> None:
    assert CookieJar.from_json(saved(item(name="", value="bare"))).header_for(URL()) == "bare"


def test_expired_cookies_are_not_read_back() -> None:
    assert not CookieJar.from_json(saved(item(expires=10)), now=lambda: 10.0)


def test_a_jar_goes_through_a_file_that_is_private(tmp_path: Path) -> None:
    jar = CookieJar({"mine": "1"})
    jar.extract(URL(), ["host=1", "wide=1; Domain=site.test; Max-Age=100; Secure; HttpOnly; SameSite=Lax"])
    path = tmp_path / "cookies.json"
    path.write_text("older and longer" * 1000)
    jar.save(path)
    loaded = CookieJar({"more": "1"})
    assert loaded.load(str(path)) is loaded
    assert [cookie for cookie in loaded.cookies if cookie.name != "more"] == jar.cookies
    assert [entry.name for entry in tmp_path.iterdir()] == ["cookies.json"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError, match="target"):
        CookieJar({"a": "1"}).save(tmp_path / "target")
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]
    with pytest.raises(FileNotFoundError):
        CookieJar({"a": "1"}).save(tmp_path / "nowhere" / "file")


def test_a_broken_file_adds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cookies.json"
    jar = CookieJar()
    with pytest.raises(FileNotFoundError):
        jar.load(path)
    path.write_text(saved(item(), item(path="x")))
    with pytest.raises(InvalidRequest):
        jar.load(path)
    assert not jar


def standard_jar(source: str, *lines: str) -> http.cookiejar.CookieJar:
    """Let the standard library take in a response."""

    class Response:
        def info(self) -> Message:
            message = Message()
            for line in lines:
                message["Set-Cookie"] = line
            return message

    jar = http.cookiejar.CookieJar()
    jar.extract_cookies(cast(Any, Response()), urllib.request.Request(source))
    return jar


def test_the_standard_jar_is_taken_over_with_its_scopes() -> None:
    lines = [
        "host=1",
        "wide=2; Domain=site.test; Path=/x; Secure; HttpOnly; SameSite=lax",
        "brief=3; Max-Age=60",
        "bare",
    ]
    jar = CookieJar.from_cookiejar(standard_jar("https://www.site.test/x/y", *lines), now=lambda: 7.0)
    found = {cookie.name: cookie for cookie in jar.cookies}
    assert sorted(found) == ["", "brief", "host", "wide"]
    assert (found["host"].domain, found["host"].host_only, found["host"].path) == ("www.site.test", True, "/x")
    assert (found["wide"].domain, found["wide"].host_only, found["wide"].path) == ("site.test", False, "/x")
    assert (found["wide"].secure, found["wide"].http_only, found["wide"].same_site) == (True, True, "Lax")
    assert found["brief"].expires is not None
    assert found[""].value == "bare"
    assert {cookie.created for cookie in jar.cookies} == {7.0}


def test_the_standard_jars_name_for_a_dotless_host_is_undone() -> None:
    (cookie,) = cookies_from_cookiejar(standard_jar("http://localhost:8000/", "a=1"))
    assert (cookie.domain, cookie.host_only) == ("localhost", True)


def standard_cookie(name: str, value: str, domain: str = "", path: str = "/") -> http.cookiejar.Cookie:
    return http.cookiejar.Cookie(
        0, name, value, None, False, domain, bool(domain), False, path, True, False, None, True, None, None, {}
    )


def test_a_standard_cookie_without_a_domain_is_unbound_and_one_that_cannot_be_sent_is_left_out() -> None:
    items = [standard_cookie("a", "1"), standard_cookie("b", "\r\n"), standard_cookie("c", "3", path="")]
    jar = CookieJar.from_cookiejar(items)
    assert jar == {"a": "1", "c": "3"}
    assert jar.header_for(URL()) == "a=1; c=3"
