"""Hosts: one spelling each, the URL Standard's or none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqivo_core.errors import InvalidURL
from reqivo_core.hosts import bracketed, normalise_host


@pytest.mark.parametrize(
    ("given_host", "normalised"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("example.com.", "example.com."),
        ("my_service-1", "my_service-1"),
        ("-a.b-", "-a.b-"),
        ("ex%61mple.com", "example.com"),
        ("EX%41MPLE.com", "example.com"),
        ("b%C3%BCcher.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("a\u3002b\uff0ec\uff61d", "a.b.c.d"),
        ("ü\u3002example", "xn--tda.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("xn--53h.example", "xn--53h.example"),  # an emoji domain, in the form in which it is registered
        ("xn--hgbk6aj7f53bba.example", "xn--hgbk6aj7f53bba.example"),  # right to left
        ("xn--mgba3gch31f060k.example", "xn--mgba3gch31f060k.example"),  # with a joiner where one may stand
        ("127.0.0.1", "127.0.0.1"),
        ("127%2e0.0.1", "127.0.0.1"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("0x7f.example", "0x7f.example"),
        ("[::1]", "::1"),
        ("[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"),
        ("[::FFFF:127.0.0.1]", "::ffff:7f00:1"),
        ("[64:ff9b::192.0.2.33]", "64:ff9b::c000:221"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        (".".join(["a" * 49] * 5) + ".", ".".join(["a" * 49] * 5) + "."),
    ],
)
def test_a_host_has_one_spelling(given_host: str, normalised: str) -> None:
    assert normalise_host(given_host) == normalised


@pytest.mark.parametrize("numbers", ["127.0.0.1", "0.0.0.0", "255.255.255.255", "10.20.30.40"])
def test_dotted_decimal_addresses_stay(numbers: str) -> None:
    assert normalise_host(numbers) == numbers


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("", "empty label"),
        (".", "empty label"),
        ("a..b", "empty label"),
        (".a", "empty label"),
        ("a" * 64, "longer than 63"),
        (".".join(["a" * 50] * 5), "longer than 253"),
        ("ü" * 254, "longer than 253"),
        ("a b", "character that no host has"),
        ("a%2Fb", "character that no host has"),
        ("a%00b", "character that no host has"),
        ("a%25b", "character that no host has"),
        ("a%40b", "character that no host has"),
        ("a%5Bb", "character that no host has"),
        ("a%zz", "character that no host has"),
        ("a<b", "character that no host has"),
        ("a|b", "character that no host has"),
        ("a,b", "character that no host has"),
        ("a;b", "character that no host has"),
        ("%FF", "not UTF-8"),
        ("%41" * 2000, "longer than 253"),
        ("127.1", "four decimal numbers"),
        ("2130706433", "four decimal numbers"),
        ("0x7f.1", "four decimal numbers"),
        ("0x7f000001", "four decimal numbers"),
        ("0X7F.0.0.1", "four decimal numbers"),
        ("0x", "four decimal numbers"),
        ("0177.0.0.1", "four decimal numbers"),
        ("127.0.0.01", "four decimal numbers"),
        ("127.0.0.1.", "four decimal numbers"),
        ("256.0.0.1", "four decimal numbers"),
        ("1.2.3.4.5", "four decimal numbers"),
        ("foo.09", "four decimal numbers"),
        ("[", "IPv6 address in brackets"),
        ("[]", "IPv6 address in brackets"),
        ("[::1", "IPv6 address in brackets"),
        ("[1.2.3.4]", "IPv6 address in brackets"),
        ("[::1::]", "IPv6 address in brackets"),
        ("[v1.a]", "IPv6 address in brackets"),
        ("[::1%25.ex.com]", "zone"),
        ("[fe80::1%eth0]", "zone"),
        ("ℂ", "write them as ASCII"),
        ("ⓔⓧⓐⓜⓟⓛⓔ.com", "write them as ASCII"),
        ("①②⑦.⓪.⓪.①", "write them as ASCII"),
        ("１２７.0.0.1", "write them as ASCII"),
        ("exam\u00adple.com", "write them as ASCII"),
        ("\u212aelvin.example", "write them as ASCII"),
        ("%E2%84%82", "write them as ASCII"),
        ("a℀b.example", "write them as ASCII"),
        ("ü℀b.example", "IDNA2008"),
        ("☕.example", "IDNA2008"),
        ("\u200d.example", "IDNA2008"),
        ("ü\u2488.example", "IDNA2008"),
        ("\u0301ü.example", "IDNA2008"),
        ("ü" * 60 + ".example", "IDNA2008"),
        ("\ufdfa.example", "IDNA2008"),
        ("xn--", "xn--"),
        ("xn--example-.com", "xn--"),
        ("xn--a", "xn--"),
        ("xn--99999999", "xn--"),
        ("xn--zn7c.com", "xn--"),
        ("xn--ls8h-.com", "xn--"),
        ("xn--bcher-kvA-.com", "xn--"),
        ("a.xn--1ug.example", "xn--"),  # a joiner with nothing to join
        ("xn--a-zhc.example", "xn--"),  # begins with Latin, goes on in Hebrew
    ],
)
def test_what_is_no_host_is_refused(host: str, reason: str) -> None:
    with pytest.raises(InvalidURL, match=reason):
        normalise_host(host)


@settings(deadline=None)  # the first international name loads the tables of idna
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_host_is_ascii_stable_and_nothing_else_is_raised(host: str) -> None:
    try:
        normalised = normalise_host(host)
    except InvalidURL:
        return
    assert normalised.isascii()
    assert normalise_host(bracketed(normalised)) == normalised


@given(st.integers(0, 2**128 - 1))
def test_every_ipv6_address_comes_back_compressed(number: int) -> None:
    groups = [f"{number >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)]
    normalised = normalise_host(f"[{':'.join(groups)}]")
    assert normalise_host(f"[{normalised}]") == normalised
    assert "." not in normalised


def test_brackets_are_for_ipv6_only() -> None:
    assert [bracketed(host) for host in ("::1", "127.0.0.1", "a.example")] == ["[::1]", "127.0.0.1", "a.example"]
