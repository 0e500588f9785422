"""TlsConfig: what a session wants of TLS, as a value that the pool can compare.

It is part of a connection's identity: a connection made with other settings is never reused (RFC 9110 §4.3.4 leaves
the trust decision to the client, so two decisions must not share a connection). Contexts are made of it in
``runtime.tls``; nothing here touches ``ssl``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from reqivo_core.errors import InvalidRequest

if TYPE_CHECKING:
    import ssl

Verify: TypeAlias = "bool | str | os.PathLike[str] | ssl.SSLContext | TlsConfig"
Cert: TypeAlias = "str | os.PathLike[str] | tuple[str | os.PathLike[str], ...] | None"

_VERIFY = "give True, False, 'system', the path of a PEM file or folder, an SSLContext or a TlsConfig"
_CERT = "give the path of a PEM file, or (certificate, key[, password])"


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """What is wanted of TLS. ``verify=`` takes one where there is more to be said than whom to trust.

    Attributes:
        verify: True for the default authorities (certifi, or ``SSL_CERT_FILE``/``SSL_CERT_DIR`` where the environment
            is trusted), ``"system"`` for the system's, False for none, the path of a PEM file or folder, or an
            ``ssl.SSLContext``, which is compared by identity.
        cert: The client's certificate: PEM path, or (certificate, key[, password]).
        server_hostname: The name to send and verify instead of the URL's host.
        minimum_version: ``"TLSv1.2"`` or ``"TLSv1.3"``.
        trust_env: Whether ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` and ``SSLKEYLOGFILE`` are looked at.
    """

    verify: bool | str | ssl.SSLContext = True
    cert: tuple[str, ...] | None = None
    server_hostname: str | None = None
    minimum_version: str = "TLSv1.2"
    trust_env: bool = True

    @classmethod
    def of(cls, verify: Verify = True, cert: Cert = None, *, trust_env: bool = True) -> TlsConfig:
        """Take ``verify=`` and ``cert=`` as users write them.

        Args:
            verify: See the class.
            cert: See the class.
            trust_env: See the class.

        Returns:
            The value.

        Raises:
            InvalidRequest: One of them is something else, or names a file that does not exist.
        """
        parts = _paths(cert)
        if isinstance(verify, TlsConfig):
            return verify if parts is None else replace(verify, cert=parts)
        if isinstance(verify, str | os.PathLike):
            verify = os.fspath(verify)
            if verify != "system" and not os.path.exists(verify):
                raise InvalidRequest(f"verify={verify!r}: there is no such file or folder; {_VERIFY}")
        elif not isinstance(verify, bool) and not hasattr(verify, "wrap_bio"):
            raise InvalidRequest(f"verify={verify!r}: {_VERIFY}")
        return cls(verify, parts, trust_env=trust_env)

    def __repr__(self) -> str:
        """Without the key's password."""
        return f"TlsConfig(verify={self.verify!r}, cert={self.cert and self.cert[:2]!r})"


def _paths(cert: Cert) -> tuple[str, ...] | None:
    """A client's certificate as a tuple, however it was written."""
    if cert is None:
        return None
    parts = cert if isinstance(cert, tuple) else (cert,)
    is_one = cert is not parts
    if not is_one and len(parts) not in (2, 3) or not all(isinstance(part, str | os.PathLike) for part in parts):
        raise InvalidRequest(f"cert: {_CERT}")
    for path in parts[:2]:
        if not os.path.exists(path):
            raise InvalidRequest(f"cert: there is no file {os.fspath(path)!r}; {_CERT}")
    return tuple(os.fspath(part) for part in parts)
