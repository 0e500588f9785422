"""A throw-away certificate authority, its good certificates and a drawer full of bad ones."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""The names a test server on this machine is reached by."""

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, as PEM files.

    Attributes:
        path: The chain (leaf first) and nothing else.
        key: The private key.
        combined: Key and chain in one file.
    """

    path: Path
    key: Path
    combined: Path

    def server_context(
        self,
        alpn: Sequence[str] = (),
        *,
        client_ca: Path | None = None,
        maximum_version: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        """Return a server's context that presents this certificate.

        Args:
            alpn: Protocols to select from, the preferred first; none means no ALPN answer.
            client_ca: Demand a client certificate signed by this authority.
            maximum_version: Speak nothing newer than this.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        if maximum_version is not None:
            context.maximum_version = maximum_version
        return context


class Authority:
    """A certificate authority whose files live, and die, with ``directory``.

    Every maker returns the same certificate for the same names, so asking again costs nothing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "ca.pem"
        self._root = trustme.CA()
        self._intermediate: trustme.CA | None = None
        self._made: dict[tuple[str, ...], Certificate] = {}
        self._root.cert_pem.write_to_path(self.path)

    def client_context(self, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """Return a client's context that trusts this authority and nobody else."""
        context = ssl.create_default_context(cafile=str(self.path))
        context.hostname_checks_common_name = False  # on by default, against RFC 9525
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def server_context(self, *hosts: str, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """Return a server's context with a good certificate for the hosts (default: loopback)."""
        return self.issue(*hosts).server_context(alpn)

    def issue(self, *hosts: str) -> Certificate:
        """Return a good certificate for the hosts or addresses (default: loopback)."""
        names = hosts or LOOPBACK
        return self._leaf("good", names, self._root)

    def client(self, name: str = "tester@example.org") -> Certificate:
        """Return a client certificate; ``name`` is its subject's e-mail address."""
        return self._leaf("client", (name,), self._root)

    def expired(self, *hosts: str) -> Certificate:
        """Return a certificate whose validity ended yesterday."""
        return self._leaf("expired", hosts or LOOPBACK, self._root, from_day=-30, to_day=-1)

    def not_yet_valid(self, *hosts: str) -> Certificate:
        """Return a certificate whose validity begins tomorrow."""
        return self._leaf("early", hosts or LOOPBACK, self._root, from_day=1, to_day=30)

    def wrong_host(self) -> Certificate:
        """Return a certificate for a name that no test server has."""
        return self.issue("elsewhere.example.org")

    def untrusted(self, *hosts: str) -> Certificate:
        """Return a certificate of another authority, which nobody trusts."""
        return self._leaf("untrusted", hosts or LOOPBACK, trustme.CA())

    def incomplete_chain(self, *hosts: str) -> Certificate:
        """Return a certificate of an intermediate authority that the server does not send."""
        return self._leaf("incomplete", hosts or LOOPBACK, self._child(), chain=False)

    def by_intermediate(self, *hosts: str) -> Certificate:
        """Return a good certificate of an intermediate authority, with its whole chain."""
        return self._leaf("intermediate", hosts or LOOPBACK, self._child())

    def self_signed(self, *hosts: str) -> Certificate:
        """Return a certificate that vouches for itself."""
        return self._odd("self-signed", hosts or LOOPBACK, self_signed=True)

    def cn_only(self, host: str = "localhost") -> Certificate:
        """Return a certificate that names its host only as common name (RFC 9525 section 6.3)."""
        return self._odd("cn-only", (), common_name=host)

    def dns_sans(self, *names: str) -> Certificate:
        """Return a certificate with these DNS names taken literally.

        For what no decent authority signs: ``*``, ``*.com``, ``f*.example.com``, or an IP
        address written as a DNS name.
        """
        return self._odd("literal", names)

    def _child(self) -> trustme.CA:
        if self._intermediate is None:
            self._intermediate = self._root.create_child_ca()
        return self._intermediate

    def _leaf(
        self,
        kind: str,
        names: tuple[str, ...],
        issuer: trustme.CA,
        *,
        from_day: int = -1,
        to_day: int = 365,
        chain: bool = True,
    ) -> Certificate:
        if made := self._made.get((kind, *names)):
            return made
        now = datetime.datetime.now(datetime.UTC)
        leaf = issuer.issue_cert(*names, not_before=now + from_day * _DAY, not_after=now + to_day * _DAY)
        pems = leaf.cert_chain_pems if chain else leaf.cert_chain_pems[:1]
        cert = b"".join(pem.bytes() for pem in pems)
        return self._write((kind, *names), cert, leaf.private_key_pem.bytes())

    def _odd(
        self,
        kind: str,
        dns_names: tuple[str, ...],
        *,
        common_name: str = "reqivo test",
        self_signed: bool = False,
    ) -> Certificate:
        """Build a certificate by hand where trustme, rightly, would refuse."""
        if made := self._made.get((kind, common_name, *dns_names)):
            return made
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        root = x509.load_pem_x509_certificate(self._root.cert_pem.bytes())
        root_key = load_pem_private_key(self._root.private_key_pem.bytes(), None)
        assert isinstance(root_key, ec.EllipticCurvePrivateKey)
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 365 * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if dns_names:
            sans = [_general_name(name, literal=kind == "literal") for name in dns_names]
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        issuer_key = key if self_signed else root_key
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(authority_key, critical=False)
        cert = builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self._write((kind, common_name, *dns_names), cert, pem)

    def _write(self, name: tuple[str, ...], cert: bytes, key: bytes) -> Certificate:
        stem = f"{len(self._made)}-{name[0]}"
        made = Certificate(
            self.directory / f"{stem}.pem",
            self.directory / f"{stem}.key",
            self.directory / f"{stem}-combined.pem",
        )
        made.path.write_bytes(cert)
        made.key.write_bytes(key)
        made.combined.write_bytes(key + cert)
        return self._made.setdefault(name, made)


def _general_name(name: str, *, literal: bool) -> x509.GeneralName:
    if not literal:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            pass  # a host name
    return x509.DNSName(name)
