"""Hosts of URLs: one canonical ASCII spelling for each, or a refusal.

A host decides whom a request trusts, so two spellings that a browser would send to different places must never be one
here. What comes out of :func:`normalise_host` is either what the WHATWG URL Standard would make of it or an
:class:`~reqivo_core.errors.InvalidURL`: where the standard repairs what only a disguise needs (``http://0x7f.1/``,
letters in circles), this module refuses.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote

from reqivo_core.errors import InvalidURL

MAX_HOST_LENGTH = 253
"""Characters in a host name, without the root's dot (RFC 1035 §3.1 as text)."""

# Each character has one way to match, so the time is linear in the length of the host.
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_ENDS_IN_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\.?")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # the full stops that UTS #46 maps to "."
_JOINERS = re.compile("[\u200c\u200d]")


def normalise_host(host: str) -> str:
    """Bring the host of a URL to its one ASCII spelling.

    Args:
        host: The host as it stands in a URL: a name, an IPv4 address, or an IPv6 address in brackets.

    Returns:
        The name in lower case and A-labels (RFC 5891 over UTS #46), the dotted IPv4 address, or the IPv6 address
        compressed and without brackets (RFC 5952, with no dotted tail).

    Raises:
        InvalidURL: It is not a host. The message tells only the reason: what looks like a host may be part of a
            password, so the caller decides what of the text is shown.
    """
    if host.startswith("["):
        return _normalise_ipv6(host)
    name = host.lower() if host.isascii() else host
    if "%" in name:
        name = _percent_decoded(name)
    if not name.isascii():
        name = _to_ascii(name)
    _check_name(name)
    return name


def bracketed(host: str) -> str:
    """Write a normalised host as it stands in a URL or a Host field: IPv6 in brackets (RFC 3986 §3.2.2)."""
    return f"[{host}]" if ":" in host else host


def _check_name(name: str) -> None:
    if len(name) > MAX_HOST_LENGTH + name.endswith("."):
        raise InvalidURL(f"its host is longer than {MAX_HOST_LENGTH} characters")
    if not _NAME.fullmatch(name):
        raise InvalidURL(
            "its host has an empty label, a label longer than 63 characters, or a character that no host has"
        )
    last = name.rstrip(".").rpartition(".")[2]
    if _ENDS_IN_NUMBER.fullmatch(last):
        _check_ipv4(name)
    elif "xn--" in name:
        _check_a_labels(name)


def _check_ipv4(name: str) -> None:
    """Let through four decimal numbers only: ``127.1``, ``0x7f.1`` and ``0177.0.0.1`` get around address filters."""
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        raise InvalidURL("its host ends in a number but is not four decimal numbers of an IPv4 address") from None


def _normalise_ipv6(host: str) -> str:
    if "%" in host:  # "[::1%25.ex.com]" is a name to some parsers; the URL Standard has no zones at all
        raise InvalidURL("its IPv6 address has a zone identifier, which a URL cannot carry")
    try:
        address = ipaddress.IPv6Address(host[1:-1] if host.endswith("]") else "")
    except ValueError:
        raise InvalidURL("its host is not an IPv6 address in brackets") from None
    mapped = address.ipv4_mapped
    if mapped is None:
        return str(address)
    # Python writes this one differently from 3.13 on; pool keys and Host fields need one spelling.
    return f"::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}"


def _percent_decoded(name: str) -> str:
    """Decode a percent-encoded host (RFC 3986 §3.2.2); what it hid is checked like the rest."""
    if len(name) > 12 * MAX_HOST_LENGTH:  # a character is at most four bytes, three letters each
        raise InvalidURL(f"its host is longer than {MAX_HOST_LENGTH} characters")
    try:
        decoded = unquote(name, errors="strict")
    except UnicodeDecodeError:
        raise InvalidURL("its host has percent-encoded bytes that are not UTF-8") from None
    return decoded.lower() if decoded.isascii() else decoded


def _to_ascii(name: str) -> str:
    """Map by UTS #46 (non-transitional) and encode by IDNA2008."""
    import idna  # here, because its tables cost more to load than a first request to an ASCII host

    if len(name) > MAX_HOST_LENGTH:
        raise InvalidURL(f"its host is longer than {MAX_HOST_LENGTH} characters")
    try:
        mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
        _check_disguise(name, mapped)
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in mapped.split("."))
    except idna.IDNAError:
        raise InvalidURL("its host is not an internationalised name that IDNA2008 allows") from None


def _check_disguise(name: str, mapped: str) -> None:
    """Refuse labels that are ASCII to a resolver but not to a reader: U+2102 for ``c``, circled digits."""
    given, became = _DOTS.split(name), mapped.split(".")
    if len(given) != len(became) or any(
        after.isascii() and not before.isascii() for before, after in zip(given, became, strict=True)
    ):
        raise InvalidURL("its host spells ASCII letters in other characters; write them as ASCII")


def _check_a_labels(name: str) -> None:
    if not all(_is_sound_a_label(label) for label in name.split(".") if label.startswith("xn--")):
        raise InvalidURL('its host has an "xn--" label that decodes to nothing valid')


def _is_sound_a_label(label: str) -> bool:
    """Whether a label is the one encoding of what it decodes to.

    Symbols (emoji), which IDNA2008 does not allow, pass: such names are registered, browsers go there, and in this
    form nobody mistakes them for another.
    """
    import idna

    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        if decoded.isascii() or decoded.encode("punycode").decode("ascii") != label[4:]:
            return False
        idna.check_initial_combiner(decoded)
        idna.check_bidi(decoded)
        if _JOINERS.search(decoded):
            idna.check_label(decoded)
        return idna.uts46_remap(decoded, std3_rules=False, transitional=False) == decoded
    except ValueError:  # IDNAError and UnicodeError are ValueErrors
        return False
