"""Public suffixes: the list's own cases, and what servers cannot make a session's jar believe (D8)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any
from urllib.parse import urljoin

import pytest

from reqivo import CookieJar, InvalidURL, Session
from reqivo.public_suffixes import is_public_suffix
from reqivo_core import URL
from support.certs import Authority
from support.http_state import CASES, DAY, RESULT, SOURCE
from support.messages import response
from support.public_suffixes import PUBLIC, REGISTRABLE, UNLISTED, WITH_A_DOT
from support.scripted import Peer, answers
from support.world import World

BELONGING = [(domain, registrable) for registrable, domains in REGISTRABLE.items() for domain in domains]


def test_the_cases_are_all_there() -> None:
    assert len(BELONGING) + len(PUBLIC) + len(WITH_A_DOT) + len(UNLISTED) + len(["no domain at all"]) == 82


@pytest.mark.parametrize(("domain", "registrable"), BELONGING)
def test_a_registrable_domain_is_as_far_as_a_cookie_gets(domain: str, registrable: str) -> None:
    url, owner = f"http://{domain}/", URL(f"http://{registrable}/").host
    assert stored(url, f"a=b; Domain={owner}", jar()) == [(owner, False)]
    assert stored(url, f"a=b; Domain={owner.partition('.')[2]}", jar()) == []
    assert not is_public_suffix(registrable)
    assert is_public_suffix(registrable.partition(".")[2])


@pytest.mark.parametrize("domain", PUBLIC)
def test_nobody_speaks_for_a_public_suffix(domain: str) -> None:
    url = URL(f"http://below.{domain}/")
    suffix = url.host.partition(".")[2]
    assert stored(str(url), f"a=b; Domain={suffix}", jar()) == []
    assert stored(str(url), f"a=b; Domain=.{suffix}", jar()) == []
    assert stored(f"http://{suffix}/", f"a=b; Domain={suffix}", jar()) == [(suffix, True)]


@pytest.mark.parametrize("domain", WITH_A_DOT)
def test_no_host_begins_with_a_dot(domain: str) -> None:
    with pytest.raises(InvalidURL):
        URL(f"http://{domain}/")


@pytest.mark.parametrize("domain", UNLISTED)
def test_an_unknown_top_level_name_is_a_suffix_like_any(domain: str) -> None:
    """The list's own cases have nobody own these; but its rule for what it does not name is ``*``."""
    assert is_public_suffix(domain) == (domain == "local")


def test_no_domain_at_all_is_the_hosts_own() -> None:
    assert stored("http://example.com/", "a=b; Domain=", jar()) == [("example.com", True)]


@pytest.mark.parametrize(
    "domain", ["github.io", "s3.amazonaws.com", "localhost", "127.0.0.1", "2001:db8::1", "no-such"]
)
def test_private_suffixes_single_labels_and_addresses_count(domain: str) -> None:
    assert is_public_suffix(domain)


def jar() -> CookieJar:
    with Session() as session:
        return session.cookies


def stored(url: str, line: str, jar: CookieJar) -> list[tuple[str, bool]]:
    """Domain and host-only of what a Set-Cookie line leaves behind."""
    return [(cookie.domain, cookie.host_only) for cookie in jar.extract(URL(url), [line])]


@pytest.mark.parametrize(
    ("host", "attribute", "expected"),
    [
        ("www.example.co.uk", "co.uk", []),
        ("www.example.co.uk", "co.uk.", []),
        ("www.example.co.uk", ".CO.UK", []),
        ("www.example.co.uk", "uk", []),
        ("www.example.org", ".org", []),
        ("www.example.co.uk", "example.co.uk", [("example.co.uk", False)]),
        ("www.example.co.uk", ".Example.Co.UK", [("example.co.uk", False)]),
        ("www.example.co.uk", "", [("www.example.co.uk", True)]),
        ("me.github.io", "github.io", []),
        ("me.github.io", "you.github.io", []),
        ("github.io", "github.io", [("github.io", True)]),  # the suffix's own host may set a cookie for itself
        ("xn--85x722f.xn--55qx5d.cn", "xn--55qx5d.cn", []),
        ("a.example.com", "b.example.com", []),
        ("127.0.0.1", "127.0.0.1", [("127.0.0.1", True)]),
        ("127.0.0.1", "0.0.1", []),
    ],
)
def test_no_server_speaks_for_a_public_suffix(host: str, attribute: str, expected: list[Any]) -> None:
    domain = f"; Domain={attribute}" if attribute else ""
    assert stored(f"http://{host}/", f"a=b{domain}", jar()) == expected


def test_what_was_saved_stays_with_its_host() -> None:
    kept = jar()
    kept.extract(URL("https://www.example.com/"), ["a=b"])
    again = CookieJar.from_json(kept.to_json(), is_public_suffix=is_public_suffix)
    assert again.header_for(URL("https://www.example.com/")) == "a=b"
    assert again.header_for(URL("https://sub.www.example.com/")) is None
    kept.set("c", "d", domain="co.uk")
    assert kept.header_for(URL("https://example.co.uk/")) is None


def test_what_is_secure_stays_so(world: World, serve: Any, authority: Authority) -> None:  # D8
    """A Secure cookie is neither sent nor set nor shadowed in plain text, and prefixes mean something."""
    secure = [("Set-Cookie", "id=1; Secure"), ("Set-Cookie", "__Host-id=1; Secure; Path=/"), ("Set-Cookie", "open=1")]
    evil = [("Set-Cookie", line) for line in ("id=2", "evil=2; Secure", "__Host-id=2; Path=/", "__Secure-x=2")]
    tls = serve(
        answers(response(200, b"", secure), response(), response()), tls=authority.server_context("example.com")
    )
    plain = serve(answers(response(200, b"", evil), response()))
    with world.client(resolve={"*": "127.0.0.1"}, verify=str(authority.path)) as client:
        for server in (tls, plain, plain, tls):
            client.get(server.url("/", host="example.com"))
    assert [seen.header("cookie") for seen in plain.requests] == ["open=1"] * 2
    assert tls.requests[1].header("cookie") == "id=1; __Host-id=1; open=1"


def test_sessions_know_the_list(world: World, serve: Any) -> None:
    lines = [("Set-Cookie", "evil=1; Domain=co.uk"), ("Set-Cookie", "fine=1; Domain=example.co.uk")]
    server = serve(answers(response(200, b"", lines), response()))
    with world.client(resolve={"*": "127.0.0.1"}) as client:
        client.get(f"http://www.example.co.uk:{server.port}/")
        client.get(f"http://shop.example.co.uk:{server.port}/")
    assert server.requests[1].header("cookie") == "fine=1"


def test_a_host_field_of_the_users_gets_no_other_hosts_cookies(world: World, serve: Any) -> None:  # D8
    """Whose cookies these are is decided by the URL, which says whom we trust to answer."""
    set_cookie = [("Set-Cookie", "mine=1"), ("Set-Cookie", "wide=1; Domain=victim.example.com")]
    server = serve(answers(response(200, b"", set_cookie), response(), response(), response()))
    with world.client(resolve={"*": "127.0.0.1"}) as client:
        client.session.cookies.set("theirs", "1", domain="victim.example.com")
        for host in ("victim.example.com", "victim.example.com:80", "other.test"):
            client.get(f"http://evil.test:{server.port}/", headers={"Host": host})
        assert {cookie.domain for cookie in client.session.cookies.cookies} == {"victim.example.com", "evil.test"}
        client.get(f"http://victim.example.com:{server.port}/")
    assert [seen.header("cookie") for seen in server.requests] == ["", "mine=1", "mine=1", "theirs=1"]


def test_what_a_jar_makes_of_a_line_a_session_makes_of_it_too(world: World, serve: Any) -> None:
    """The cases of the HTTP State working group, over the wire: what they set and what is sent."""
    fit = {name: case for name, case in CASES.items() if all(line.isprintable() for line in case[0])}

    def script(peer: Peer) -> None:
        while True:
            name = peer.expect_request().target.partition("?")[2]
            lines = [("Set-Cookie", line.encode().decode("latin-1")) for line in fit[name][0]] if name else []
            peer.send(response(200, b"", lines))

    server = serve(script)
    sent = []
    with world.client(resolve={"*": "127.0.0.1"}) as client:
        session_jar = client.session.cookies
        session_jar._now = lambda: DAY
        for name, (_, target, _) in fit.items():
            client.get(f"{SOURCE}?{name}".replace("8888", str(server.port)))
            client.get(urljoin(RESULT, target).replace("8888", str(server.port)))
            sent.append(server.requests[-1].header("cookie") or None)
            session_jar.clear()
    assert len(fit) == 217
    assert sent == [alone(*case) for case in fit.values()]


def alone(lines: list[str], target: str, _: str | None) -> str | None:
    """What a jar without a session sends."""
    kept = CookieJar(now=lambda: DAY, is_public_suffix=is_public_suffix)
    kept.extract(URL(SOURCE), [line.encode().decode("latin-1") for line in lines])
    return kept.header_for(URL(urljoin(RESULT, target)))


def test_the_list_is_not_read_before_a_cookie_names_a_domain() -> None:
    program = (
        "import sys, reqivo\n"
        "with reqivo.Session() as session:\n"
        "    session.cookies.extract(reqivo.URL('http://example.com/'), ['a=b'])\n"
        "assert 'publicsuffixlist' not in sys.modules and 'brotli' not in sys.modules\n"
        "assert 'reqivo.retries' not in sys.modules and 'asyncio' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
