"""The names in a certificate that was refused, for the message: ``ssl`` tells them of accepted ones only."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from reqivo_core.errors import excerpt

NAMES_SHOWN = 5
"""How many names a message shows at most; a certificate can hold thousands."""

NAME_LENGTH = 100
"""How many characters of one name a message shows at most."""

_SUBJECT_ALT_NAME = b"\x06\x03\x55\x1d\x11"  # the object identifier 2.5.29.17 in DER (RFC 5280 §4.2.1.6)
_BOOLEAN, _DNS_NAME, _IP_ADDRESS = 0x01, 0x82, 0x87


def describe_names(connection: ssl.SSLObject) -> str:
    """Say for whom the certificate is that a server has shown.

    Args:
        connection: A connection whose handshake has failed.

    Returns:
        A clause for a message; empty where the certificate cannot be looked at.
    """
    certificate = _shown_certificate(connection)
    if certificate is None:
        return ""
    names = [excerpt(name, NAME_LENGTH).strip("'") for name in alternative_names(certificate)]
    if not names:
        return "; it names no host in its subjectAltName"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"; it is for {', '.join(names[:NAMES_SHOWN])}{more}"


def _shown_certificate(connection: ssl.SSLObject) -> bytes | None:
    """Get the server's own certificate in DER form. Before Python 3.13 only a private object has it."""
    source: Any = connection if hasattr(connection, "get_unverified_chain") else getattr(connection, "_sslobj", None)
    try:
        certificate = source.get_unverified_chain()[0]
        return (
            certificate
            if isinstance(certificate, bytes)
            else bytes(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()))
        )
    except (AttributeError, LookupError, TypeError, ValueError, ssl.SSLError):
        return None


def alternative_names(certificate: bytes) -> list[str]:
    """Read the host names and IP addresses of a certificate's subjectAltName.

    Args:
        certificate: The certificate in DER form; anything, since it is not verified.

    Returns:
        The names, as far as they can be read.
    """
    names: list[str] = []
    start = certificate.find(_SUBJECT_ALT_NAME)
    if start < 0:
        return names
    try:
        tag, value, rest = _element(certificate[start + len(_SUBJECT_ALT_NAME) :])
        if tag == _BOOLEAN:  # «critical»
            _, value, _ = _element(rest)
        _, rest, _ = _element(value)
        while rest:
            tag, value, rest = _element(rest)
            if tag == _DNS_NAME:
                names.append(value.decode("latin-1"))
            elif tag == _IP_ADDRESS:
                names.append(socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value))
    except (IndexError, ValueError):
        pass
    return names


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Split DER into its first element's tag, that element's value, and the rest."""
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    return data[0], data[start : start + length], data[start + length :]
