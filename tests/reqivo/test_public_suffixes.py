"""Public suffixes: the list's own test data, and what servers cannot make a session's jar believe (D8)."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from typing import Any

import pytest

from reqivo import CookieJar, Session
from reqivo.public_suffixes import is_public_suffix
from reqivo_core import URL
from support.messages import response
from support.scripted import answers
from support.world import World

CHECK = re.compile(r"^checkPublicSuffix\('([^']+)', (?:'([^']+)'|null)\);", re.MULTILINE)
CASES = [
    (domain.lower(), registrable.lower())
    for domain, registrable in CHECK.findall(files("publicsuffixlist").joinpath("test_psl.txt").read_text("utf-8"))
    if not domain.startswith(".")
]


def test_the_data_is_there() -> None:
    assert len(CASES) > 70


@pytest.mark.parametrize(("domain", "registrable"), CASES)
def test_the_lists_own_cases(domain: str, registrable: str) -> None:
    assert is_public_suffix(domain) == (registrable == "")
    if registrable:
        assert not is_public_suffix(registrable)
        assert is_public_suffix(registrable.partition(".")[2])


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


def test_sessions_know_the_list(world: World, serve: Any) -> None:
    lines = [("Set-Cookie", "evil=1; Domain=co.uk"), ("Set-Cookie", "fine=1; Domain=example.co.uk")]
    server = serve(answers(response(200, b"", lines), response()))
    with world.client(resolve={"*": "127.0.0.1"}) as client:
        client.get(f"http://www.example.co.uk:{server.port}/")
        client.get(f"http://shop.example.co.uk:{server.port}/")
    assert server.requests[1].header("cookie") == "fine=1"


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
