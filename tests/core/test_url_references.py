"""References: what a Location field resolves to (RFC 3986 §5)."""

import re
from functools import partial
from urllib.parse import urljoin

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reqivo_core.errors import InvalidURL
from reqivo_core.urls import URL
from support.steps import count_steps


@pytest.mark.parametrize(
    ("reference", "resolved"),
    [
        # RFC 3986 §5.4.1
        ("g:h", "g:h"),
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        # RFC 3986 §5.4.2
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http:g", "http://a/b/c/g"),  # the backward-compatible answer, which browsers give
        # beyond the RFC
        ("https://x/../y", "https://x/../y"),
        ("//x/../y", "http://x/y"),
        ("HTTP:/evil/x", "http://a/evil/x"),
        ("  g h ", "http://a/b/c/g h"),
        ("ü?ü", "http://a/b/c/ü?ü"),
        ("%2e%2E/g%7e", "http://a/b/c/%2e%2E/g%7e"),
        ("g//../h", "http://a/b/c/g/h"),
        ("/a//../b", "http://a/a/b"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("1:2", "http://a/b/c/1:2"),
    ],
)
def test_references_resolve(reference: str, resolved: str) -> None:
    assert URL("http://a/b/c/d;p?q").join(reference) == URL(resolved)


@pytest.mark.parametrize(
    ("base", "reference", "resolved"),
    [
        ("http://a", "g", "http://a/g"),
        ("http://a", "?y", "http://a/?y"),
        ("http://a#f", "", "http://a/"),
        ("https://u:p@a:8/x", "y", "https://u:p@a:8/y"),
        ("https://u:p@a:8/x", "//b/y", "https://b/y"),
        ("HTTPS://a/x", "https:y", "HTTPS://a/y"),
        ("asgi:///x/y", "../z", "asgi:///z"),
        ("data:,x#f", "#g", "data:,x#g"),
        ("data:,x", "data:,y", "data:,y"),
        ("file:/x/y", "http://a/", "http://a/"),
    ],
)
def test_other_bases_resolve_references(base: str, reference: str, resolved: str) -> None:
    assert str(URL(base).join(reference)) == resolved


def test_a_url_is_a_reference_too() -> None:
    other = URL("https://other/x")
    assert URL("http://a/").join(other) == other


@pytest.mark.parametrize(
    "reference",
    ["\\\\evil\\x", "/\\evil", "\\/..", "/\\/../x", "http:\\\\evil", "///evil/x", "http:///evil", "https:/evil",
     "https:evil", "g\n", "//a\\@b/", "//a:x/", "localhost:80/x", "X.:0"],
)  # fmt: skip
def test_references_that_browsers_send_elsewhere_are_refused(reference: str) -> None:
    with pytest.raises(InvalidURL):
        URL("http://a/b").join(reference)


@pytest.mark.parametrize("reference", ["g", "?q", "/g", ".//evil"])
def test_a_url_without_a_host_is_no_base(reference: str) -> None:
    with pytest.raises(InvalidURL, match="no base for it"):
        URL("data:,x").join(reference)


SEGMENT = st.text("abcXYZ019-_~.:@", min_size=1, max_size=6).filter(lambda s: s.strip(".") or len(s) < 3)
RELATIVE = st.lists(SEGMENT, min_size=1, max_size=5).map("/".join).filter(lambda s: not re.match(r"[A-Za-z0-9.-]*:", s))


@given(st.lists(SEGMENT, max_size=4).map("/".join), RELATIVE)
@example("a/b", "../../../c")
def test_join_agrees_with_urljoin_on_sane_references(directory: str, reference: str) -> None:
    base = URL(f"http://a/{directory}/x" if directory else "http://a/x")
    absolute = f"{base}/../{reference}"
    assert str(base.join(reference)) == urljoin(str(base), reference)
    assert str(base.join(absolute)) == absolute  # no dot segment of an absolute URL is touched


def test_dot_segments_are_removed_in_one_pass() -> None:
    base = URL("http://a/")
    few, many = (count_steps(partial(base.join, "a/../" * times)) for times in (1_000, 10_000))
    assert many < 11 * few
    assert str(base.join("a/../" * 10_000)) == "http://a/"
