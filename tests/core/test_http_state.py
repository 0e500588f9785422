"""The cookies of the HTTP State working group: 222 cases, and where RFC 6265bis has us answer otherwise (D8)."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest

from reqivo_core.cookies import CookieJar
from reqivo_core.urls import URL
from support.http_state import CASES, DAY, RESULT, SOURCE

NAMELESS = "a cookie without a name is kept and sent without '=' (RFC 6265bis §5.6)"
CONTROLS = "a line with a control character is ignored whole (RFC 6265bis §5.6)"
EMPTY_DOMAIN = "of several Domain attributes the last counts, an empty one for the host alone (RFC 6265bis §5.6.3)"
ESCAPES = "paths are compared as they are sent: servers may take %6F for another resource"
DEVIATIONS: dict[str, tuple[str | None, str]] = {
    **dict.fromkeys(("0004", "0023", "0024", "0025", "0026", "0028", "name0023"), ("foo", NAMELESS)),
    "0021": ("a=b; x; c=d", NAMELESS),
    "0027": ("bar", NAMELESS),
    "chromium0009": ("BLAHHH", NAMELESS),
    "chromium0010": ('"BLA\\"HHH"', NAMELESS),
    "chromium0012": ("ABC", NAMELESS),
    "mozilla0012": ('test="fubar! = foo; five', NAMELESS),
    "mozilla0014": ("six", NAMELESS),
    "mozilla0015": ("seven", NAMELESS),
    "mozilla0016": ("eight", NAMELESS),
    "mozilla0017": ("eight; test=six", NAMELESS),
    "name0028": ("a", NAMELESS),
    "name0031": ('"foo', NAMELESS),
    "name0032": ('"foo\\"bar', NAMELESS),
    "name0033": ("aaa", NAMELESS),
    "disabled-chromium0022": (None, CONTROLS),
    "disabled-chromium0023": (None, CONTROLS),
    "disabled-path0029": (None, ESCAPES),
    "optional-domain0042": ("foo=bar", EMPTY_DOMAIN),
}


def octets(text: str) -> str:
    """Text as header lines hold it: a character for an octet."""
    return text.encode().decode("latin-1")


def test_they_are_all_there() -> None:
    assert len(CASES) == 222


@pytest.mark.parametrize("name", CASES)
def test_what_is_set_is_sent(name: str) -> None:
    lines, target, expected = CASES[name]
    jar = CookieJar(now=lambda: DAY)
    jar.extract(URL(SOURCE), map(octets, lines))
    deviation, _ = DEVIATIONS.get(name, (expected, ""))
    sent = jar.header_for(URL(urljoin(RESULT, target)))
    assert sent == (None if deviation is None else octets(deviation))
    assert name not in DEVIATIONS or deviation != expected, "this is no deviation"
