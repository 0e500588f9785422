"""Certificates of every kind, and a small threaded server that speaks TLS."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def issue(
    *names: str,
    common_name: str | None = None,
    not_before: datetime.datetime = NOW - DAY,
    not_after: datetime.datetime = NOW + DAY,
    raw_dns: Sequence[str] = (),
    critical: bool = False,
) -> tuple[bytes, bytes]:
    """Issue a certificate with anything in it; returns it and its key in PEM form."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority_key = serialization.load_pem_private_key(AUTHORITY.private_key_pem.bytes(), None)
    authority = x509.load_pem_x509_certificate(AUTHORITY.cert_pem.bytes())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in raw_dns]
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical)
    certificate = builder.sign(authority_key, hashes.SHA256())  # type: ignore[arg-type]  # an EC key, as trustme makes
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def context_of(certificate: tuple[bytes, bytes] | trustme.LeafCert, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if isinstance(certificate, trustme.LeafCert):
        certificate.configure_cert(context)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "both.pem"
            path.write_bytes(b"".join(certificate))
            context.load_cert_chain(path)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


LOCALHOST = AUTHORITY.issue_cert("localhost", "127.0.0.1", "::1")


def echo(connection: ssl.SSLSocket) -> None:
    """Send everything back."""
    while data := connection.recv(65536):
        connection.sendall(data)


class TlsServer:
    """Serves one connection after another with a function, in a thread."""

    def __init__(
        self,
        serve: Callable[[ssl.SSLSocket], object] = echo,
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.context = context or context_of(LOCALHOST)
        self.serve = serve
        self.errors: list[BaseException] = []
        self.names: list[str | None] = []
        self.context.sni_callback = lambda connection, name, context: self.names.append(name)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family)
        self.address = self.listener.getsockname()[:2]
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> TlsServer:
        self.thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)
        self.listener.close()
        assert not self.thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(10)
            try:
                with self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as connection:
                    self.serve(connection)
            except OSError as error:
                self.errors.append(error)
            finally:
                sock.close()
