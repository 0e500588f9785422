"""Good certificates are accepted, and every bad one is refused for its own reason."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import pytest

from support.certs import Authority, Certificate
from support.scripted import Peer, ScriptedServer


def handshake(server: ScriptedServer, context: ssl.SSLContext, name: str) -> bytes:
    with socket.create_connection(server.address, 5) as raw:
        with context.wrap_socket(raw, server_hostname=name) as sock:
            return sock.recv(10)


def hello(peer: Peer) -> None:
    peer.send(b"hello")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize("maker", [Authority.issue, Authority.by_intermediate])
def test_good_certificates_hold_for_every_name_of_loopback(
    authority: Authority, maker: Callable[[Authority], Certificate], name: str
) -> None:
    with ScriptedServer(hello, tls=maker(authority).server_context()) as server:
        assert handshake(server, authority.client_context(), name) == b"hello"


def test_names_of_the_internet_can_be_had(authority: Authority) -> None:
    certificate = authority.issue("httpbin.org", "*.example.com")
    assert certificate is authority.issue("httpbin.org", "*.example.com")
    with ScriptedServer(hello, tls=certificate.server_context()) as server:
        assert handshake(server, authority.client_context(), "www.example.com") == b"hello"


@pytest.mark.parametrize(
    ("maker", "reason"),
    [
        (Authority.expired, "expired"),
        (Authority.not_yet_valid, "not yet valid"),
        (Authority.wrong_host, "Hostname mismatch"),
        (Authority.self_signed, "self-signed"),
        (Authority.untrusted, "unable to get local issuer|self-signed certificate in"),
        (Authority.incomplete_chain, "unable to get local issuer"),
        (Authority.cn_only, "Hostname mismatch"),
        (lambda authority: authority.dns_sans("*"), "Hostname mismatch"),
        (lambda authority: authority.dns_sans("127.0.0.1"), "Hostname mismatch"),
    ],
)
def test_bad_certificates_are_refused(
    authority: Authority, maker: Callable[[Authority], Certificate], reason: str
) -> None:
    with ScriptedServer(hello, tls=maker(authority).server_context()) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            handshake(server, authority.client_context(), "localhost")


def test_a_server_may_demand_a_client_certificate(authority: Authority) -> None:
    seen: list[bytes | None] = []

    def script(peer: Peer) -> None:
        seen.append(peer.client_certificate)
        peer.send(b"hello")

    demanding = authority.issue().server_context(client_ca=authority.path)
    with ScriptedServer(script, tls=demanding) as server:
        context = authority.client_context()
        with pytest.raises(ssl.SSLError):
            handshake(server, context, "localhost")
        context.load_cert_chain(authority.client().combined)
        assert handshake(server, context, "localhost") == b"hello"
    assert len(seen) == 1 and seen[0]
