"""``verify=`` and ``cert=`` as users write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reqivo_core.errors import InvalidRequest
from reqivo_core.tls_config import TlsConfig


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "mine.pem"
    path.write_text("a certificate")
    return path


def test_a_path_is_a_path_in_either_form(pem: Path) -> None:
    key = str(pem.parent)
    assert TlsConfig.of(pem) == TlsConfig.of(str(pem)) == TlsConfig(str(pem))
    assert TlsConfig.of(True, pem).cert == TlsConfig.of(True, str(pem)).cert == (str(pem),)
    assert TlsConfig.of(True, (pem, key)).cert == (str(pem), key)
    assert TlsConfig.of(True, (pem, key, "s3cr3t")).cert == (str(pem), key, "s3cr3t")
    assert "s3cr3t" not in repr(TlsConfig.of(True, (pem, key, "s3cr3t")))


def test_a_certificate_may_be_added_to_what_is_known(pem: Path) -> None:
    known = TlsConfig(str(pem), server_hostname="example.org")
    assert TlsConfig.of(known) is known
    assert TlsConfig.of(known, pem) == TlsConfig(str(pem), (str(pem),), "example.org")


@pytest.mark.parametrize("missing", ["/no/such", ("/no/such", "/no/key")])
def test_what_does_not_exist_is_refused(missing: Any, pem: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no file '/no/such'"):
        TlsConfig.of(True, missing)
    with pytest.raises(InvalidRequest, match=r"no file '/no/key'"):
        TlsConfig.of(True, (pem, "/no/key"))
    with pytest.raises(InvalidRequest, match=r"verify='/no/such': there is no such file or folder"):
        TlsConfig.of("/no/such")


@pytest.mark.parametrize("cert", [(), ("c",), ("c", "k", "p", "?"), 7, ["c", "k"], ("c", None), True])
def test_what_is_no_certificate_is_refused(cert: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^cert: give the path of a PEM file, or \(certificate, key"):
        TlsConfig.of(True, cert)
