"""From what a session wants of TLS (a TlsConfig) to an ``ssl.SSLContext``."""

from __future__ import annotations

import importlib
import os
import ssl
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import certifi

from reqivo_core.errors import InvalidRequest
from reqivo_core.runtime.sockets import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reqivo_core.tls_config import TlsConfig

CACHE_SIZE = 64
"""How many contexts are kept: each holds all the authorities that it trusts, half a megabyte for certifi's."""

ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


def context_for(config: TlsConfig, alpn: Sequence[str]) -> ssl.SSLContext:
    """Get the context for a configuration.

    Ours are made once for each configuration, and again when the environment variables that they depend on change (not
    when a file does: a running process keeps what it has read). A context that the user gave is used as it is, except
    that the protocols offered by ALPN are set on it, since there is no other place for them; whoever shares it with
    other code finds the protocols of the last connection there.

    Args:
        config: What is wanted.
        alpn: Protocols to offer, the preferred one first.

    Returns:
        A context for clients.

    Raises:
        InvalidRequest: A file cannot be used, or a package is missing.
    """
    if isinstance(config.verify, ssl.SSLContext):
        if config.cert is not None:
            raise InvalidRequest(
                "cert= does not go with an SSLContext: call its load_cert_chain() instead", phase="tls"
            )
        config.verify.set_alpn_protocols(list(alpn))
        return config.verify
    environment = (
        tuple(os.environ.get(name) or None for name in ENVIRONMENT) if config.trust_env else (None, None, None)
    )
    # The name is the connection's business, not the context's.
    return _make_context(replace(config, server_hostname=None), tuple(alpn), environment)


@lru_cache(maxsize=CACHE_SIZE)
def _make_context(config: TlsConfig, alpn: tuple[str, ...], environment: tuple[str, ...]) -> ssl.SSLContext:
    """Make a context; the arguments are all that it depends on."""
    cert_file, cert_dir, key_log = environment
    context = _system_context() if config.verify == "system" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, config)
    if config.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.verify is not True:
        if config.verify != "system":
            _trust(context, str(config.verify), "verify")
    elif cert_file or cert_dir:
        for path, name in ((cert_file, "SSL_CERT_FILE"), (cert_dir, "SSL_CERT_DIR")):
            if path:
                _trust(context, path, name)
    else:
        _trust(context, certifi.where(), "certifi")
    if config.cert is not None:
        _load_client_certificate(context, config.cert)
    if key_log:
        _log_keys(context, key_log)
    context.set_alpn_protocols(list(alpn))
    return context


def _harden(context: ssl.SSLContext, config: TlsConfig) -> None:
    """Set what does not depend on whom we trust; said even where it is the default, since defaults move."""
    try:
        context.minimum_version = {
            "TLSv1.2": ssl.TLSVersion.TLSv1_2,
            "TLSv1.3": ssl.TLSVersion.TLSv1_3,
        }[config.minimum_version]
    except KeyError:
        message = f"minimum_version={config.minimum_version!r}: give 'TLSv1.2' or 'TLSv1.3'"
        raise InvalidRequest(message, phase="tls") from None
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    # RFC 9110 §4.3.4: only the subjectAltName counts, and a chain ends at an authority, not at an intermediate.
    context.hostname_checks_common_name = False
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    # RFC 9113 §9.2 forbids both in HTTP/2, and nobody else should need them.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _system_context() -> ssl.SSLContext:
    """Make a context that asks the system's trust store."""
    try:
        truststore = importlib.import_module("truststore")
    except ImportError as error:
        message = "verify='system' needs the package truststore: pip install truststore"
        raise InvalidRequest(message, phase="tls") from error
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return context


def _trust(context: ssl.SSLContext, path: str, origin: str) -> None:
    """Trust the authorities in a PEM file or in a folder prepared by ``openssl rehash``."""
    try:
        # A list of folders, as SSL_CERT_DIR may hold, is no directory itself; OpenSSL takes it apart.
        if origin == "SSL_CERT_DIR" or os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise InvalidRequest(f"{origin}: {path} holds no certificates in PEM form", phase="tls") from error
    except (OSError, ValueError) as error:
        reason = explain(error) if isinstance(error, OSError) else str(error)
        raise InvalidRequest(f"{origin}: cannot read {path} ({reason})", phase="tls") from error


def _load_client_certificate(context: ssl.SSLContext, cert: tuple[str, ...]) -> None:
    """Load what we identify ourselves with. The password stays out of every message."""
    certificate, key, password = (*cert, None, None)[:3]
    assert certificate is not None
    try:
        # Always given: OpenSSL would ask for a missing one at the terminal, and wait.
        context.load_cert_chain(certificate, key, password or "")
    except ssl.SSLError as error:
        message = f"cert: cannot use {certificate} with its key {key or certificate} ({_key_problem(error, password)})"
        raise InvalidRequest(message, phase="tls") from error
    except (OSError, ValueError) as error:
        reason = explain(error) if isinstance(error, OSError) else "not a usable path or password"
        raise InvalidRequest(f"cert: cannot read {certificate} or its key ({reason})", phase="tls") from error
    context.post_handshake_auth = True


def _key_problem(error: ssl.SSLError, password: str | None) -> str:
    """Guess what is wrong with a certificate or key, of which OpenSSL says little."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key belongs to another certificate"
    return "wrong password, or not in PEM form" if password else "it needs a password, or is not in PEM form"


def _log_keys(context: ssl.SSLContext, path: str) -> None:
    """Write the sessions' secrets to a file, for tools that look into recorded traffic."""
    try:
        context.keylog_filename = path
    except OSError as error:
        raise InvalidRequest(f"SSLKEYLOGFILE: cannot write {path} ({explain(error)})", phase="tls") from error
