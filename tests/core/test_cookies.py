"""The cookie jar: what it stores, what it sends where, what it forgets."""

from __future__ import annotations

import copy
import http.cookiejar
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqivo_core import Session
from reqivo_core.cookies import Cookie, CookieJar, CookieLimits
from reqivo_core.errors import InvalidRequest


@dataclass
class URL:
    scheme: str
    host: str
    path: str


class Clock:
    def __init__(self, time: float = 1_700_000_000.0) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


def url(text: str) -> URL:
    parts = urlsplit(text)
    return URL(parts.scheme, parts.hostname or "", parts.path)


def jar_with(source: str, *lines: str, clock: Clock | None = None) -> CookieJar:
    jar = CookieJar(now=clock or Clock())
    jar.extract(url(source), lines)
    return jar


def sent(jar: CookieJar, target: str, include_unbound: bool = True) -> str | None:
    return jar.header_for(url(target), include_unbound)


HOME = "http://home.site.test/area/page"

ROUND_TRIPS: list[tuple[str, list[str], str, str | None]] = [
    # names and values
    (HOME, ["a=b"], HOME, "a=b"),
    (HOME, ["a=b", "a=c"], HOME, "a=c"),
    (HOME, ["a=b", "c=d"], HOME, "a=b; c=d"),
    (HOME, ["c=d", "a=b"], HOME, "c=d; a=b"),
    (HOME, ["a=b", "c=d", "a=e"], HOME, "a=e; c=d"),
    (HOME, ["a=b, c=d"], HOME, "a=b, c=d"),
    (HOME, ["a="], HOME, "a="),
    (HOME, ["bare"], HOME, "bare"),
    (HOME, ["bare", "other"], HOME, "other"),
    (HOME, ["=a=b", "c=d"], HOME, "c=d"),
    (HOME, ["A=1", "a=2"], HOME, "A=1; a=2"),
    (HOME, ['a="b c"'], HOME, 'a="b c"'),
    (HOME, ["a=\xe4\xb8\xad"], HOME, "a=\xe4\xb8\xad"),
    (HOME, ["a=b\x00", "c=d"], HOME, "c=d"),
    # deletion and expiry
    (HOME, ["a=b", "a=; Max-Age=0"], HOME, None),
    (HOME, ["a=b", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], HOME, None),
    (HOME, ["a=b", "a=; Max-Age=0; Path=/"], HOME, "a=b"),
    (HOME, ["a=b; Max-Age=0", "c=d"], HOME, "c=d"),
    (HOME, ["a=b; Max-Age=0", "a=c"], HOME, "a=c"),
    # hosts
    (HOME, ["a=b"], "http://site.test/area/", None),
    (HOME, ["a=b"], "http://sub.home.site.test/area/", None),
    (HOME, ["a=b"], "http://sibling.site.test/area/", None),
    (HOME, ["a=b"], "https://home.site.test/area/", "a=b"),
    (HOME, ["a=b"], "http://home.site.test:8080/area/", "a=b"),
    (HOME, ["a=b; Domain=home.site.test"], "http://sub.home.site.test/area/", "a=b"),
    (HOME, ["a=b; Domain=.site.test"], "http://sibling.site.test/area/", "a=b"),
    (HOME, ["a=b; Domain=site.test"], "http://site.test/area/", "a=b"),
    (HOME, ["a=b; Domain=site.test"], "http://othersite.test/area/", None),
    (HOME, ["a=b; Domain=site.test"], "http://site.test.evil.example/area/", None),
    (HOME, ["a=b; Domain=site.test"], "http://site.test./area/", None),
    (HOME, ["a=b; Domain=sibling.site.test"], "http://sibling.site.test/area/", None),
    (HOME, ["a=b; Domain=test"], "http://test/area/", None),
    (HOME, ["a=b", "a=c; Domain=home.site.test"], HOME, "a=b; a=c"),
    ("http://127.0.0.1/", ["a=b"], "http://127.0.0.1/", "a=b"),
    ("http://127.0.0.1/", ["a=b; Domain=127.0.0.1"], "http://127.0.0.1/", "a=b"),
    ("http://127.0.0.1/", ["a=b; Domain=0.0.1"], "http://127.0.0.1/", None),
    ("http://[::1]/", ["a=b"], "http://[::1]/", "a=b"),
    ("http://[::1]/", ["a=b"], "http://[::2]/", None),
    ("http://localhost/", ["a=b; Domain=localhost"], "http://localhost/", "a=b"),
    ("http://localhost/", ["a=b; Domain=localhost"], "http://app.localhost/", None),
    # paths
    (HOME, ["a=b"], "http://home.site.test/", None),
    (HOME, ["a=b"], "http://home.site.test/area", "a=b"),
    (HOME, ["a=b"], "http://home.site.test/areas", None),
    (HOME, ["a=b"], "http://home.site.test/area/deep/er", "a=b"),
    (HOME, ["a=b; Path=/"], "http://home.site.test", "a=b"),
    (HOME, ["a=b; Path=/x/"], "http://home.site.test/x", None),
    (HOME, ["a=b; Path=/x/"], "http://home.site.test/x/y", "a=b"),
    (HOME, ["a=1; Path=/", "b=2; Path=/area", "c=3; Path=/area/page", "d=4; Path=/"], HOME, "c=3; b=2; a=1; d=4"),
    # secure
    (HOME, ["a=b; Secure"], "https://home.site.test/area/", None),
    ("https://home.site.test/", ["a=b; Secure"], "http://home.site.test/", None),
    ("https://home.site.test/", ["a=b; Secure"], "https://home.site.test/", "a=b"),
    ("https://home.site.test/", ["a=b; Secure"], "wss://home.site.test/", "a=b"),
    ("https://localhost/", ["a=b; Secure"], "http://localhost/", None),
]


@pytest.mark.parametrize(("source", "lines", "target", "expected"), ROUND_TRIPS)
def test_what_one_response_sets_another_request_sends(
    source: str, lines: list[str], target: str, expected: str | None
) -> None:
    assert sent(jar_with(source, *lines), target) == expected


@pytest.mark.parametrize(("source", "lines", "target", "expected"), ROUND_TRIPS)
def test_scope_survives_saving(source: str, lines: list[str], target: str, expected: str | None) -> None:
    clock = Clock()
    jar = jar_with(source, *lines, clock=clock)
    again = CookieJar.from_json(jar.to_json(), now=clock)
    assert again.cookies == jar.cookies
    assert sent(again, target) == expected


def test_extract_tells_what_it_stored() -> None:
    jar = CookieJar({"u": "1"}, now=Clock())
    stored = jar.extract(url(HOME), ["a=1", "a=2", "b=1", "b=; Max-Age=0", "c=1; Domain=evil.test", "\0"])
    assert stored == [Cookie("a", "2", "home.site.test", "/area", host_only=True, created=1_700_000_000.0)]
    assert jar.extract(url(HOME), []) == []
    assert jar.extract(url(HOME), ["u=; Max-Age=0"]) == []


def test_a_cookie_ends_at_its_time_and_not_before() -> None:
    clock = Clock()
    jar = jar_with(HOME, "a=b; Max-Age=10", "c=d", clock=clock)
    clock.time += 9.5
    assert sent(jar, HOME) == "a=b; c=d"
    clock.time += 0.5
    assert sent(jar, HOME) == "c=d"
    assert dict(jar) == {"c": "d"}


def test_a_jar_of_expired_cookies_empties_when_looked_at() -> None:
    clock = Clock()
    jar = jar_with(HOME, "a=b; Max-Age=10", clock=clock)
    clock.time += 11
    assert bool(jar)
    assert sent(jar, HOME) is None
    assert not jar
    assert jar.cookies == []


def test_a_replaced_cookie_keeps_its_place_and_its_time_of_creation() -> None:
    clock = Clock(100.0)
    jar = jar_with(HOME, "a=1", "b=1", clock=clock)
    clock.time = 200.0
    stored = jar.extract(url(HOME), ["a=2"])
    assert stored[0].created == 100.0
    assert sent(jar, HOME) == "a=2; b=1"


def test_earlier_created_goes_first_across_domains() -> None:
    clock = Clock(100.0)
    jar = jar_with(HOME, "far=1; Path=/; Domain=site.test", clock=clock)
    clock.time = 101.0
    jar.extract(url(HOME), ["near=1; Path=/"])
    assert sent(jar, HOME) == "far=1; near=1"
    assert [cookie.name for cookie in jar.cookies] == ["far", "near"]


# Secure cookies and insecure responses (RFC 6265bis §5.7 step 16)


@pytest.mark.parametrize(
    ("line", "stored"),
    [
        ("sid=evil; Path=/login", False),
        ("sid=evil; Path=/login/en", False),
        ("sid=evil; Path=/login; Domain=site.test", False),
        ("sid=; Path=/login; Max-Age=0", False),
        ("sid=harmless; Path=/", True),
        ("sid=harmless; Path=/logins", True),
        ("other=1; Path=/login", True),
    ],
)
def test_an_insecure_response_does_not_get_in_the_way_of_a_secure_cookie(line: str, stored: bool) -> None:
    jar = jar_with("https://home.site.test/", "sid=good; Secure; Path=/login")
    assert bool(jar.extract(url(HOME), [line])) == stored
    assert (sent(jar, "https://home.site.test/login") or "").split("; ")[0] == "sid=good"


def test_nor_does_one_from_a_host_below() -> None:
    jar = jar_with("https://home.site.test/", "sid=good; Secure; Path=/; Domain=site.test")
    assert jar.extract(url("http://home.site.test/"), ["sid=evil"]) == []
    assert jar.extract(url("http://other.test/"), ["sid=fine"]) != []


def test_a_secure_response_may_replace_a_secure_cookie_by_an_insecure_one() -> None:
    jar = jar_with("https://home.site.test/", "sid=1; Secure")
    jar.extract(url("https://home.site.test/"), ["sid=2"])
    assert sent(jar, "http://home.site.test/") == "sid=2"


def test_an_expired_secure_cookie_guards_nothing() -> None:
    clock = Clock()
    jar = jar_with("https://home.site.test/", "sid=1; Secure; Max-Age=5", clock=clock)
    clock.time += 5
    assert len(jar.extract(url("http://home.site.test/"), ["sid=2"])) == 1


def test_an_insecure_response_does_not_shadow_a_secure_unbound_cookie() -> None:
    jar = CookieJar()
    jar.set("sid", "good", secure=True)
    assert jar.extract(url("http://home.site.test/"), ["sid=evil"]) == []
    assert sent(jar, "https://home.site.test/") == "sid=good"


# Public suffixes


def test_the_list_of_suffixes_may_be_replaced() -> None:
    jar = CookieJar(now=Clock())
    source = url("https://shop.example.co.uk/")
    assert len(jar.extract(source, ["a=1; Domain=co.uk"])) == 1
    jar.clear()
    jar.is_public_suffix = lambda domain: domain == "co.uk"
    assert jar.extract(source, ["a=1; Domain=co.uk"]) == []
    assert [cookie.domain for cookie in jar.extract(source, ["a=1; Domain=example.co.uk"])] == ["example.co.uk"]


def test_a_saved_cookie_of_what_is_now_a_public_suffix_stays_with_that_host() -> None:
    text = jar_with("https://shop.co.uk/", "a=1; Domain=co.uk").to_json()
    jar = CookieJar.from_json(text, is_public_suffix=lambda domain: domain == "co.uk")
    assert sent(jar, "https://shop.co.uk/") is None
    assert sent(jar, "https://co.uk/") == "a=1"


# Limits


def test_only_so_many_lines_of_a_response_are_looked_at() -> None:
    jar = jar_with(HOME, *(f"c{number}=1" for number in range(200)))
    assert len(jar) == 50


def test_a_full_domain_loses_insecure_cookies_first_and_those_not_used_for_longest() -> None:
    jar = CookieJar(limits=CookieLimits(per_domain=3))
    source = url("https://a.test/")
    jar.extract(source, ["safe=1; Secure", "old=1", "used=1; Path=/deep"])
    jar.header_for(url("https://a.test/deep"))
    jar.extract(source, ["old=2"])
    jar.extract(source, ["new=1"])
    assert sorted(jar) == ["new", "old", "safe"]


def test_a_full_domain_loses_expired_cookies_before_any_other() -> None:
    clock = Clock()
    jar = CookieJar(now=clock, limits=CookieLimits(per_domain=2))
    jar.extract(url("https://a.test/"), ["plain=1", "brief=1; Secure; Max-Age=5"])
    clock.time += 5
    jar.extract(url("https://a.test/"), ["new=1"])
    assert sorted(jar) == ["new", "plain"]


def test_a_full_jar_loses_what_was_not_used_for_longest() -> None:
    jar = CookieJar(limits=CookieLimits(total=3))
    for host in ("a.test", "b.test", "c.test"):
        jar.extract(URL("https", host, "/"), ["x=1; Secure"])
    jar.header_for(URL("https", "a.test", "/"))
    jar.extract(URL("https", "d.test", "/"), ["x=1"])
    assert [cookie.domain for cookie in jar.cookies] == ["a.test", "c.test", "d.test"]


def test_servers_cannot_push_out_what_the_user_set_unbound() -> None:
    jar = CookieJar({f"mine{number}": "1" for number in range(10)}, limits=CookieLimits(per_domain=3, total=5))
    for host in range(10):
        jar.extract(URL("https", f"h{host}.test", "/"), ["x=1", "y=1"])
    assert len(jar) == 12
    assert len(jar.cookies) == 15


def test_defaults_hold_for_a_hostile_server() -> None:
    jar = CookieJar()
    for host in range(30):
        for batch in range(5):
            jar.extract(URL("https", f"h{host}.test", "/"), [f"c{batch}-{number}=1" for number in range(60)])
    domains = [cookie.domain for cookie in jar.cookies]
    assert len(domains) == 3000
    assert max(map(domains.count, set(domains))) == 180


def test_the_header_is_bounded_and_the_users_own_cookies_come_first() -> None:
    jar = jar_with(
        "https://a.test/", *(f"c{number}={'x' * 1000}; Path=/deep" for number in range(20)), "small=1; Path=/deep"
    )
    jar["mine"] = "1"
    header = sent(jar, "https://a.test/deep")
    assert header is not None
    assert len(header) <= 8192
    assert header.startswith("mine=1; c0=")
    assert header.endswith("; small=1")


def test_a_session_that_is_given_a_jar_keeps_to_its_limits_and_leaves_it_alone() -> None:
    mine = CookieJar({"own": "1"}, limits=CookieLimits(per_response=1))
    with Session(cookies=mine) as session:
        session.cookies.extract(url("http://a.test/"), ["a=1", "b=2"])
        assert dict(session.cookies) == {"own": "1", "a": "1"}
    assert dict(mine) == {"own": "1"}


def test_a_copy_of_a_jar_is_like_it_in_everything() -> None:
    clock = Clock()
    jar = CookieJar(now=clock, is_public_suffix=lambda domain: domain == "a.test", limits=CookieLimits(per_response=2))
    jar.extract(url("https://b.a.test/x"), ["a=1; Path=/x; Secure; Max-Age=5"])
    copy = jar.copy()
    assert copy.cookies == jar.cookies
    assert [c.name for c in copy.extract(url("http://b.a.test/"), ["b=2; Domain=a.test", "c=3", "d=4"])] == ["c"]
    clock.time += 6
    assert [c.name for c in copy.cookies] == ["c"] and jar.cookies == []


def test_a_header_of_exactly_the_limit_is_sent() -> None:
    jar = CookieJar({"a": "1", "b": "2"}, limits=CookieLimits(header_size=8))
    assert sent(jar, HOME) == "a=1; b=2"
    jar = CookieJar({"a": "1", "b": "2"}, limits=CookieLimits(header_size=7))
    assert sent(jar, HOME) == "a=1"
    jar = CookieJar({"a": "1"}, limits=CookieLimits(header_size=2))
    assert sent(jar, HOME) is None


# The user's side


def test_unbound_cookies_go_wherever_the_user_addresses_a_request_and_nowhere_else() -> None:
    jar = CookieJar({"a": "1"})
    assert sent(jar, "http://one.test/") == "a=1"
    assert sent(jar, "https://127.0.0.1/x") == "a=1"
    assert sent(jar, "http://one.test/", include_unbound=False) is None


def test_a_url_without_a_host_does_not_pass_for_the_unbound() -> None:
    jar = CookieJar({"a": "1"})
    assert jar.header_for(URL("https", "", "/"), include_unbound=False) is None
    assert jar.header_for(URL("https", "", "/")) == "a=1"


def test_what_was_set_last_is_sent_where_bound_and_unbound_share_a_name() -> None:
    jar = CookieJar({"a": "mine", "b": "mine"})
    jar.extract(url(HOME), ["a=server"])
    assert sent(jar, HOME) == "b=mine; a=server"
    assert sent(jar, "http://other.test/") == "a=mine; b=mine"
    assert jar["a"] == "server"
    jar["a"] = "again"
    assert jar["a"] == "again"
    assert sent(jar, HOME) == "a=again; b=mine"
    assert sent(jar, HOME, include_unbound=False) == "a=server"


def test_that_order_survives_saving() -> None:
    jar = CookieJar({"a": "mine", "b": "mine"}, now=Clock())
    jar.extract(url(HOME), ["a=server", "b=server"])
    jar["a"] = "again"
    again = CookieJar.from_json(jar.to_json())
    assert sent(again, HOME) == "a=again; b=server"
    assert dict(again) == dict(jar) == {"a": "again", "b": "server"}


def test_names_that_the_request_brings_itself_are_left_out() -> None:
    jar = CookieJar({"a": "1", "b": "2"})
    assert jar.header_for(url(HOME), without={"a": "own"}) == "b=2"
    assert jar.header_for(url(HOME), without=["a", "b"]) is None


def test_set_binds_to_a_domain_as_a_server_would() -> None:
    jar = CookieJar()
    jar.set("wide", "1", domain=".Site.test")
    jar.set("narrow", "1", domain="site.test", host_only=True)
    jar.set("local", "1", domain="localhost")
    jar.set("address", "1", domain="127.0.0.1")
    jar.set("six", "1", domain="::1")
    assert sent(jar, "http://sub.site.test/") == "wide=1"
    assert sent(jar, "http://site.test/") == "wide=1; narrow=1"
    assert sent(jar, "http://localhost/") == "local=1"
    assert sent(jar, "http://app.localhost/") is None
    assert sent(jar, "http://127.0.0.1/") == "address=1"
    assert sent(jar, "http://[::1]/") == "six=1"


def test_set_knows_path_secure_and_expiry() -> None:
    clock = Clock()
    jar = CookieJar(now=clock)
    jar.set("deep", "1", path="/deep")
    jar.set("safe", "1", secure=True)
    jar.set("brief", "1", expires=clock.time + 1)
    jar.set("gone", "1", expires=clock.time)
    assert sent(jar, "https://a.test/deep/er") == "deep=1; safe=1; brief=1"
    assert sent(jar, "http://a.test/") == "brief=1"
    clock.time += 1
    assert sent(jar, "http://a.test/") is None


def test_a_prefix_makes_the_users_cookie_what_it_promises() -> None:
    jar = CookieJar({"__Secure-a": "1"})
    jar.set("__host-b", "1", domain="site.test")
    assert sent(jar, "http://site.test/") is None
    assert sent(jar, "https://site.test/") == "__Secure-a=1; __host-b=1"
    assert sent(jar, "https://sub.site.test/") == "__Secure-a=1"


@pytest.mark.parametrize(
    "bad",
    [
        lambda jar: jar.set("a\r\n", "1"),
        lambda jar: jar.set("a", "1;b"),
        lambda jar: jar.set("a", "1", domain="site.test:80"),
        lambda jar: jar.set("a", "1", domain="[::1]"),
        lambda jar: jar.set("a", "1", domain="."),
        lambda jar: jar.set("a", "1", domain="bücher.test"),
        lambda jar: jar.set("a", "1", domain="a b"),
        lambda jar: jar.set("a", "1", path="x"),
        lambda jar: jar.set("a", "1", path=""),
        lambda jar: jar.set("a", "1", path="/\n"),
        lambda jar: jar.set("__Host-a", "1", path="/x"),
        lambda jar: jar.set("a", "1", expires=float("nan")),
        lambda jar: jar.set("a", "1", expires=float("inf")),
        lambda jar: jar.set("a", "1", expires="tomorrow"),
        lambda jar: jar.update({"fine": "1", "a": "\u20ac"}),
        lambda jar: jar.update(a="\0"),
        lambda jar: jar.update(a=1),
        lambda jar: jar.__setitem__("", "1"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(bad: Callable[[CookieJar], None]) -> None:
    jar = CookieJar({"kept": "1"})
    with pytest.raises(InvalidRequest):
        bad(jar)
    assert dict(jar) == {"kept": "1"}


def test_a_jar_is_a_mapping_of_names() -> None:
    jar = CookieJar({"a": "1"})
    jar["b"] = "2"
    jar.update({"c": "3"}, d="4")
    jar.update([("e", "5")])
    assert jar == {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}
    assert next(iter(jar.items())) == ("a", "1")
    assert list(jar.values()) == ["1", "2", "3", "4", "5"]
    assert jar.get("z") is None
    assert jar.pop("e") == "5"
    assert "e" not in jar
    assert len(jar) == 4
    with pytest.raises(KeyError):
        jar["e"]
    with pytest.raises(KeyError):
        del jar["e"]


def test_deleting_a_name_removes_it_everywhere() -> None:
    jar = jar_with(HOME, "a=1", "a=2; Path=/", "b=1")
    jar["a"] = "3"
    assert len(jar) == 2
    del jar["a"]
    assert sent(jar, HOME) == "b=1"


def test_clear_takes_domain_and_name() -> None:
    def filled() -> CookieJar:
        jar = CookieJar({"a": "1", "b": "1"}, now=Clock())
        jar.set("a", "2", domain="x.test")
        jar.set("b", "2", domain="x.test")
        jar.set("a", "3", domain="sub.x.test")
        return jar

    def left(**options: str) -> set[tuple[str, str]]:
        jar = filled()
        jar.clear(**options)
        return {(cookie.name, cookie.domain) for cookie in jar.cookies}

    everything = left(name="unknown")
    assert len(everything) == 5
    assert left() == set()
    assert everything - left(domain=".X.test") == {("a", "x.test"), ("b", "x.test")}
    assert everything - left(domain="") == {("a", ""), ("b", "")}
    assert everything - left(name="a") == {("a", ""), ("a", "x.test"), ("a", "sub.x.test")}
    assert everything - left(domain="x.test", name="a") == {("a", "x.test")}


def test_a_jar_takes_in_another_with_its_scopes() -> None:
    source = jar_with(HOME, "a=1", "bare")
    source["b"] = "2"
    jar = CookieJar(source, now=Clock())
    jar.update(source, c="3")
    assert sent(jar, HOME) == "b=2; c=3; a=1; bare"
    assert sent(jar, "http://other.test/") == "b=2; c=3"


def test_repr_shows_names_and_domains_but_no_values() -> None:
    jar = jar_with(HOME, "sid=geheim", "\xe9=geheim; Domain=site.test", "geheim2")
    jar["mine"] = "geheim"
    shown = repr(jar)
    assert "geheim" not in shown
    assert shown == r"<CookieJar: 'sid' (home.site.test), '\xe9' (site.test), '' (home.site.test), 'mine' (any host)>"
    assert repr(CookieJar()) == "<CookieJar: empty>"
    assert repr(CookieJar({str(number): "" for number in range(12)})).endswith("'9' (any host), 2 more>")


def test_an_empty_jar_asks_nobody_anything() -> None:
    def fail() -> float:
        raise AssertionError

    jar = CookieJar(now=fail)
    assert not jar
    assert jar.header_for(object()) is None  # type: ignore[arg-type]  # it is not looked at


def test_a_mapping_of_nothing_leaves_the_jar_empty() -> None:
    jar = CookieJar({}, now=Clock())
    assert not jar
    assert jar.to_json() == CookieJar().to_json()


def test_no_foreign_code_runs_under_the_lock() -> None:
    class Foreign:
        scheme, path = "https", "/"

        @property
        def host(self) -> str:
            return probe("a.test")

    def probe(answer: str) -> str:
        assert not jar._lock.locked()
        return answer

    jar = CookieJar(now=lambda: float(probe("5")), is_public_suffix=lambda _: bool(probe("")))
    jar["a"] = "1"
    jar.set("b", "1", domain="a.test")
    jar.extract(Foreign(), (probe(line) for line in ["c=1", "d=1; Domain=a.test"]))
    assert jar.header_for(Foreign(), without=(probe(name) for name in ["a"])) == "b=1; c=1; d=1"
    assert len(jar) == 4
    assert len(CookieJar.from_json(jar.to_json(), is_public_suffix=lambda _: bool(probe("")))) == 4


def test_threads_share_a_jar() -> None:
    jar = CookieJar(limits=CookieLimits(per_domain=20, total=60))
    start = threading.Barrier(8)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            start.wait(10)
            for turn in range(150):
                target = URL("https", f"h{turn % 7}.test", "/")
                jar.extract(target, [f"c{number}-{turn}=1", f"own{number}=1; Max-Age={turn % 2}"])
                header = jar.header_for(target) or ""
                assert all(pair.partition("=")[2] in ("1", "mine") for pair in header.split("; ") if pair)
                jar[f"mine{number}"] = "mine"
                assert dict(jar.items())
                if turn % 50 == 0:
                    jar.clear(domain=target.host)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    bound = [cookie for cookie in jar.cookies if cookie.domain]
    assert len(bound) <= 60
    assert sorted(cookie.name for cookie in jar.cookies if not cookie.domain) == [f"mine{n}" for n in range(8)]


_HOSTS = st.sampled_from(["a.test", "b.a.test", "c.b.a.test", "127.0.0.1", "::1", "test", "a.test."])
_URLS = st.builds(URL, st.sampled_from(["http", "https"]), _HOSTS, st.sampled_from(["", "/", "/x", "/x/y", "/xy"]))
_LINES = st.one_of(
    st.text(st.characters(max_codepoint=270), max_size=40),
    st.builds(
        "{}={}; Domain={}; Path={}; Max-Age={}{}".format,
        st.sampled_from(["a", "b", "", "__Host-a"]),
        st.text("xyz=", max_size=3),
        st.sampled_from(["", "a.test", ".b.a.test", "test", "127.0.0.1"]),
        st.sampled_from(["", "/", "/x", "/x/"]),
        st.sampled_from(["", "0", "5"]),
        st.sampled_from(["", "; Secure"]),
    ),
)


@settings(deadline=None)
@given(st.lists(st.tuples(_URLS, st.lists(_LINES, max_size=3)), max_size=6), _URLS)
def test_whatever_servers_set_every_request_gets_only_what_is_its_own(
    responses: list[tuple[URL, list[str]]], target: URL
) -> None:
    jar = CookieJar(now=Clock())
    for source, lines in responses:
        jar.extract(source, lines)
    header = jar.header_for(target)
    mine = {
        f"{cookie.name}={cookie.value}" if cookie.name else cookie.value
        for cookie in jar.cookies
        if (target.host == cookie.domain or (not cookie.host_only and target.host.endswith("." + cookie.domain)))
        and (target.scheme == "https" or not cookie.secure)
        and ((target.path or "/") + "/").startswith(cookie.path.rstrip("/") + "/")
        and (not cookie.path.endswith("/") or (target.path or "/").startswith(cookie.path))
    }
    assert set((header or "").split("; ")) - {""} == mine
    assert header is None or not set(header) & set("\r\n\0\u0100")


def test_a_jar_is_pickled_and_copied_with_the_scope_of_its_cookies() -> None:
    jar = CookieJar({"any": "1"}, limits=CookieLimits(per_domain=3))
    jar.extract(url(HOME), ["a=2; Path=/area", "b=3; Domain=site.test"])
    jar["any"] = "4"
    for other in (pickle.loads(pickle.dumps(jar)), copy.copy(jar), copy.deepcopy({"jar": jar})["jar"]):
        assert other.cookies == jar.cookies and other._limits == jar._limits
        assert (sent(other, HOME), sent(other, "http://www.site.test/area/")) == ("any=4; a=2; b=3", "any=4; b=3")
        other.clear()
        assert len(jar) == 3


def standard_jar(kind: type[http.cookiejar.CookieJar] = http.cookiejar.CookieJar) -> http.cookiejar.CookieJar:
    jar = kind()
    domain, path = ("other.test", True, False), ("/", True)
    jar.set_cookie(http.cookiejar.Cookie(0, "sid", "1", None, False, *domain, *path, False, None, True, None, None, {}))
    return jar


class MappingJar(http.cookiejar.CookieJar, dict[str, str]):  # type: ignore[misc]  # as that of requests is a mapping
    """A jar of the standard library's kind that is a mapping of names besides."""

    def __init__(self) -> None:
        http.cookiejar.CookieJar.__init__(self)
        dict.__init__(self, sid="1")

    def __iter__(self) -> Any:
        return http.cookiejar.CookieJar.__iter__(self)


@pytest.mark.parametrize("kind", [http.cookiejar.CookieJar, MappingJar])
def test_a_jar_of_another_kind_keeps_the_scope_of_its_cookies(kind: type[http.cookiejar.CookieJar]) -> None:
    jar = CookieJar(standard_jar(kind))  # type: ignore[arg-type]  # what mypy sees is no mapping
    assert (sent(jar, "http://other.test/"), sent(jar, HOME)) == ("sid=1", None)
    with Session(cookies=jar) as session:
        assert (sent(session.cookies, "http://other.test/"), sent(session.cookies, HOME)) == ("sid=1", None)


@pytest.mark.parametrize("kind", [CookieJar, http.cookiejar.CookieJar, MappingJar])
def test_a_jar_given_to_one_request_keeps_the_scope_of_its_cookies(kind: Any) -> None:
    jar = kind() if kind is CookieJar else standard_jar(kind)
    if kind is CookieJar:
        jar.set("sid", "1", domain="other.test")
    with Session() as session:
        assert session.build_request("GET", "http://other.test/", cookies=jar).headers["Cookie"] == "sid=1"
        assert "cookie" not in session.build_request("GET", HOME, cookies=jar).headers
