"""Contexts: what is trusted, what is shown, and what a message must not tell."""

from __future__ import annotations

import ssl
import sys
import types
from dataclasses import replace
from pathlib import Path

import certifi
import pytest
from cryptography.hazmat.primitives import serialization

from reqivo_core.errors import InvalidRequest
from reqivo_core.runtime import tls_contexts
from reqivo_core.runtime.tls import context_for
from reqivo_core.tls_config import TlsConfig
from support.tls import AUTHORITY, STRANGER

PASSWORD = "a secret of the key"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in tls_contexts.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    yield
    tls_contexts._make_context.cache_clear()  # a context may hold a log file open


@pytest.fixture
def ca_path(tmp_path):
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def cert_paths(tmp_path):
    """A certificate, its key, the same key encrypted, and somebody else's key."""
    leaf, other = AUTHORITY.issue_cert("me"), AUTHORITY.issue_cert("other")
    cert, key, secret, wrong = (str(tmp_path / name) for name in ("cert.pem", "key.pem", "secret.pem", "wrong.pem"))
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    other.private_key_pem.write_to_path(wrong)
    loaded = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    encryption = serialization.BestAvailableEncryption(PASSWORD.encode())
    with open(secret, "wb") as file:
        file.write(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return cert, key, secret, wrong


def subjects(context: ssl.SSLContext) -> list[object]:
    return [entry["subject"] for entry in context.get_ca_certs()]


def test_the_default_is_certifi_and_strict(monkeypatch):
    context = context_for(TlsConfig(), ())
    assert len(context.get_ca_certs()) > 50
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.hostname_checks_common_name
    assert not context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context_for(TlsConfig(minimum_version="TLSv1.3"), ()).minimum_version is ssl.TLSVersion.TLSv1_3


def test_an_unknown_version_is_refused():
    with pytest.raises(InvalidRequest, match=r"minimum_version='SSLv3': give 'TLSv1.2' or 'TLSv1.3'"):
        context_for(TlsConfig(minimum_version="SSLv3"), ())


def test_a_context_is_made_once_for_each_configuration(ca_path):
    config = TlsConfig(verify=ca_path)
    context = context_for(config, ("h2",))
    assert context_for(TlsConfig(verify=ca_path), ("h2",)) is context
    assert context_for(replace(config, server_hostname="x"), ("h2",)) is context
    others = [
        context_for(config, ()),
        context_for(replace(config, verify=False), ("h2",)),
        context_for(replace(config, minimum_version="TLSv1.3"), ("h2",)),
    ]
    assert context not in others
    assert tls_contexts._make_context.cache_info().maxsize == tls_contexts.CACHE_SIZE


def test_verification_can_be_switched_off():
    context = context_for(TlsConfig(verify=False), ())
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_trust_comes_from_a_file_or_a_folder(ca_path, tmp_path):
    assert len(subjects(context_for(TlsConfig(verify=ca_path), ()))) == 1
    assert context_for(TlsConfig(verify=str(tmp_path)), ()).verify_mode is ssl.CERT_REQUIRED


def test_the_environment_names_what_is_trusted(ca_path, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", ca_path)
    assert len(subjects(context_for(TlsConfig(), ()))) == 1
    assert len(subjects(context_for(TlsConfig(trust_env=False), ()))) > 50
    assert len(subjects(context_for(TlsConfig(verify=certifi.where()), ()))) > 50
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}:/nonexistent")
    assert subjects(context_for(TlsConfig(), ())) == []
    monkeypatch.delenv("SSL_CERT_DIR")
    assert len(subjects(context_for(TlsConfig(), ()))) > 50


def test_secrets_are_logged_where_the_environment_says(monkeypatch, tmp_path):
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    assert context_for(TlsConfig(), ()).keylog_filename == str(path)
    assert context_for(TlsConfig(trust_env=False), ()).keylog_filename is None
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "none" / "keys.log"))
    with pytest.raises(InvalidRequest, match=r"SSLKEYLOGFILE: cannot write .*no such file or directory"):
        context_for(TlsConfig(), ())


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "verify"])
def test_unusable_authorities_are_named(name, monkeypatch, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path, reason in [
        (str(tmp_path / "none"), "no such file or directory"),
        (str(empty), "holds no certificates in PEM form"),
    ]:
        config = TlsConfig()
        if name == "verify":
            config = TlsConfig(verify=path)
        else:
            monkeypatch.setenv(name, path)
        with pytest.raises(InvalidRequest, match=reason) as caught:
            context_for(config, ())
        assert str(caught.value).startswith(f"{name}: ")
        assert caught.value.phase == "tls"


def test_a_path_that_cannot_be_one_is_named():
    with pytest.raises(InvalidRequest, match="verify: cannot read"):
        context_for(TlsConfig(verify="a\0b"), ())


def test_a_context_of_the_user_is_used_as_it_is():
    context = ssl.create_default_context()
    assert context_for(TlsConfig(verify=context), ("h2",)) is context
    with pytest.raises(InvalidRequest, match="load_cert_chain"):
        context_for(TlsConfig(verify=context, cert=("x",)), ())


def test_the_systems_trust_needs_a_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "truststore", None)
    with pytest.raises(InvalidRequest, match="pip install truststore"):
        context_for(TlsConfig(verify="system"), ())


def test_the_systems_trust_is_used(monkeypatch):
    class SystemContext(ssl.SSLContext):
        """Stands for truststore's."""

    monkeypatch.setitem(sys.modules, "truststore", types.SimpleNamespace(SSLContext=SystemContext))
    context = context_for(TlsConfig(verify="system", minimum_version="TLSv1.3"), ())
    assert isinstance(context, SystemContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs() == []


def test_client_certificates_are_loaded(cert_paths, tmp_path):
    cert, key, secret, _ = cert_paths
    both = tmp_path / "both.pem"
    both.write_bytes(Path(cert).read_bytes() + Path(key).read_bytes())
    for given in [(cert, key), (cert, secret, PASSWORD), (str(both),)]:
        assert context_for(TlsConfig(cert=given), ()).post_handshake_auth
    assert not context_for(TlsConfig(), ()).post_handshake_auth


def test_unusable_client_certificates_are_named_without_the_password(cert_paths):
    cert, key, secret, wrong = cert_paths
    cases = [
        ((cert, secret, PASSWORD + "!"), "wrong password"),
        ((cert, secret), "it needs a password"),
        ((cert, wrong, PASSWORD), "the key belongs to another certificate"),
        ((cert,), "it needs a password, or is not in PEM form"),
        ((cert, key + "x", PASSWORD), "no such file or directory"),
        ((cert, secret, PASSWORD * 1000), "not a usable path or password"),
    ]
    for given, reason in cases:
        config = TlsConfig(cert=given)
        with pytest.raises(InvalidRequest, match=reason) as caught:
            context_for(config, ())
        assert cert in str(caught.value)
        assert PASSWORD not in str(caught.value)
        assert PASSWORD not in repr(config)


def test_authorities_of_two_files_do_not_mix(tmp_path, ca_path):
    other = tmp_path / "other.pem"
    STRANGER.cert_pem.write_to_path(str(other))
    first = context_for(TlsConfig(verify=ca_path), ())
    second = context_for(TlsConfig(verify=str(other)), ())
    assert len(subjects(first)) == len(subjects(second)) == 1
    assert [c["serialNumber"] for c in first.get_ca_certs()] != [c["serialNumber"] for c in second.get_ca_certs()]
