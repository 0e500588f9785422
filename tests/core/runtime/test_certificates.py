"""Names in certificates that nobody verified: they may hold anything."""

from __future__ import annotations

import ssl
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqivo_core.runtime.certificates import alternative_names, describe_names
from support.tls import issue


def der(*names: str, **kwargs: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issue(*names, **kwargs)[0].decode())


class Shown:
    """A connection that was shown a certificate, as Python 3.13 and later tell of it."""

    def __init__(self, *chain: Any) -> None:
        self.chain = list(chain)

    def get_unverified_chain(self) -> list[Any]:
        return self.chain


class Older:
    """The same before Python 3.13."""

    def __init__(self, pem: str) -> None:
        self._sslobj = Shown(self)
        self.pem = pem

    def public_bytes(self) -> str:
        return self.pem


def describe(connection: Any) -> str:
    return describe_names(cast("ssl.SSLObject", connection))


@pytest.mark.parametrize("critical", [False, True])
def test_names_and_addresses_are_read(critical):
    names = ["a.example", "10.0.0.1", "*.b.example", "::1"]
    assert alternative_names(der(*names, critical=critical)) == names


def test_long_lists_are_read():
    names = [f"host-{n}.example" for n in range(300)]
    assert alternative_names(der(*names)) == names


def test_without_the_extension_there_are_no_names():
    assert alternative_names(der(common_name="x.example")) == []


def test_names_become_a_clause():
    assert describe(Shown(der("a.example"))) == "; it is for a.example"
    assert describe(Older(issue("a.example")[0].decode())) == "; it is for a.example"
    assert describe(Shown(der(common_name="x"))) == "; it names no host in its subjectAltName"
    assert describe(Shown(der(*"abcdefg"))) == "; it is for a, b, c, d, e and 2 more"


@pytest.mark.parametrize("connection", [Shown(), Shown(None), Older("x"), object()])
def test_without_a_certificate_there_is_no_clause(connection):
    assert describe(connection) == ""


def test_what_the_server_wrote_is_escaped_and_cut():
    octets = b"\x06\x03\x55\x1d\x11\x04\x82\x01\x04\x30\x82\x01\x00\x82\x81\xfd\x1b[31m\n" + b"x" * 247
    clause = describe(Shown(octets))
    assert "\\x1b[31m\\n" in clause
    assert len(clause) < 150


@given(st.binary(max_size=60))
def test_anything_may_follow(octets):
    assert isinstance(alternative_names(b"\x06\x03\x55\x1d\x11" + octets), list)


@given(st.integers(0, 400), st.integers(0, 255))
def test_any_octet_may_be_wrong(position, value):
    certificate = bytearray(der_once)
    certificate[position % len(certificate)] = value
    assert isinstance(alternative_names(bytes(certificate)), list)


der_once = der("a.example", "10.0.0.1", critical=True)
