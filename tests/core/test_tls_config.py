"""``verify=`` and ``cert=`` as users write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reqivo_core.errors import InvalidRequest
from reqivo_core.tls_config import TlsConfig

PEM = Path("/certificates/mine.pem")


def test_a_path_is_a_path_in_either_form() -> None:
    assert TlsConfig.of(PEM) == TlsConfig.of(str(PEM)) == TlsConfig(str(PEM))
    assert TlsConfig.of(True, PEM).cert == TlsConfig.of(True, str(PEM)).cert == (str(PEM),)
    assert TlsConfig.of(True, (PEM, "key.pem")).cert == (str(PEM), "key.pem")
    assert TlsConfig.of(True, (PEM, "key.pem", "s3cr3t")).cert == (str(PEM), "key.pem", "s3cr3t")
    assert "s3cr3t" not in repr(TlsConfig.of(True, (PEM, "key.pem", "s3cr3t")))


def test_a_certificate_may_be_added_to_what_is_known() -> None:
    known = TlsConfig(str(PEM), server_hostname="example.org")
    assert TlsConfig.of(known) is known
    assert TlsConfig.of(known, "c.pem") == TlsConfig(str(PEM), ("c.pem",), "example.org")


@pytest.mark.parametrize("cert", [(), ("c",), ("c", "k", "p", "?"), 7, ["c", "k"], ("c", None), True])
def test_what_is_no_certificate_is_refused(cert: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^cert: give the path of a PEM file, or \(certificate, key"):
        TlsConfig.of(True, cert)
