"""Servers that others wrote: hypercorn always; nghttpd and nginx where they are installed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from reqivo_core.errors import TlsError
from reqivo_http2 import PushPolicy
from support.asgi_app import pattern
from support.certs import Authority
from support.programs import free_ports, running
from support.servers import AsgiServer
from support.world import World

pytestmark = pytest.mark.usefixtures("codec")


# hypercorn


def test_alpn_chooses_http2(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    with world.client(verify=authority.client_context()) as client:
        response = client.get(h2_server.url("/echo/1"))
        assert response.http_version == "HTTP/2"
        assert client.json(response)["http_version"] == "2"


def test_http11_where_the_server_knows_no_other(world: World, tls_server: AsgiServer, authority: Authority) -> None:
    pytest.importorskip("reqivo_http11", reason="this distribution is tested alone here")
    with world.client(verify=authority.client_context()) as client:
        assert client.json(client.get(tls_server.url("/echo/1")))["http_version"] == "1.1"
        with pytest.raises(TlsError, match="does not speak HTTP/2"):
            client.get(tls_server.url("/echo/1"), http2=True)


def test_http2_false_never_offers_it(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    pytest.importorskip("reqivo_http11", reason="this distribution is tested alone here")
    with world.client(verify=authority.client_context(), http2=False) as client:
        assert client.json(client.get(h2_server.url("/echo/1")))["http_version"] == "1.1"


def test_prior_knowledge(world: World, plain_server: AsgiServer) -> None:
    pytest.importorskip("reqivo_http11", reason="this distribution is tested alone here")
    with world.client() as client:
        assert client.json(client.get(plain_server.url("/echo/1")))["http_version"] == "1.1"
        assert client.json(client.get(plain_server.url("/echo/1"), http2=True))["http_version"] == "2"


@pytest.mark.parametrize("body", [b"", b"x" * 1024, b"y" * 300_000], ids=len)
def test_bodies_of_every_size(world: World, h2_server: AsgiServer, authority: Authority, body: bytes) -> None:
    with world.client(verify=authority.client_context()) as client:
        for given in (body, iter([body[:1000], body[1000:]])):
            told = client.json(client.post(h2_server.url("/upload"), body=given))
            assert told["length"] == len(body)
            assert told["sha256"] == hashlib.sha256(body).hexdigest()


def test_codings_trailers_and_hints(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    hints: list[int] = []
    inform = {"on_informational": lambda status, headers: hints.append(status)}
    with world.client(verify=authority.client_context()) as client:
        assert client.read(client.get(h2_server.url("/gzip/100000"))) == pattern(100_000)
        response = client.get(h2_server.url("/trailers"), headers={"TE": "trailers"})
        body = client.read(response)
        assert response.trailers["x-digest"] == hashlib.sha256(body).hexdigest()
        client.read(client.get(h2_server.url("/early-hints"), extensions=inform))
        assert hints == [103]


def test_redirects_and_cookies(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    with world.client(verify=authority.client_context()) as client:
        assert client.json(client.get(h2_server.url("/redirect/3")))["nonce"] == "redirected"
        client.read(client.get(h2_server.url("/cookies/set?a=1&b=2")))
        assert client.json(client.get(h2_server.url("/cookies"))) == {"a": "1", "b": "2"}


def test_push(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    with world.client(verify=authority.client_context(), push=PushPolicy(max_streams=2)) as client:
        response = client.get(h2_server.url("/push?path=/bytes/5&path=/bytes/70000"))
        pushes = world.collect(response.pushes)
        assert sorted(push.path for push in pushes) == ["/bytes/5", "/bytes/70000"]
        assert client.json(response)["pushed"] == ["/bytes/5", "/bytes/70000"]
        for push in pushes:
            pushed = world.run(push.get_response())
            assert client.read(pushed) == pattern(int(push.path.rpartition("/")[2]))
            assert push.request_headers["x-pushed"] == "yes"


def test_ping(world: World, h2_server: AsgiServer, authority: Authority) -> None:
    with world.client(verify=authority.client_context()) as client:
        took = client.call(lambda session: session.ping(h2_server.url("/")))
        assert 0 < took < 10
        assert client.session.pool.idle == 1


# nghttpd and nginx


Run = Callable[..., str]


@pytest.fixture
def nghttpd(tmp_path: Path) -> Iterator[Run]:
    """A maker of nghttpd servers; returns the base URL."""
    program = shutil.which("nghttpd")
    if program is None:
        pytest.skip("nghttpd is not installed")
    (tmp_path / "index.html").write_bytes(b"<html>")
    (tmp_path / "style.css").write_bytes(b"body {}")
    (tmp_path / "big").write_bytes(pattern(3_000_000))
    with ExitStack() as servers:

        def run(*options: str) -> str:
            (port,) = free_ports(1)
            command = [program, "--no-tls", f"--htdocs={tmp_path}", *options, "--address=127.0.0.1", str(port)]
            servers.enter_context(running(command, [port]))
            return f"http://127.0.0.1:{port}"

        yield run


def test_nghttpd_pushes_by_its_own_rules(world: World, nghttpd: Run) -> None:
    base = nghttpd("--push=/index.html=/style.css,/big")
    with world.client(http2=True, push=True) as client:
        response = client.get(f"{base}/index.html")
        found = {push.path: world.run(push.get_response()) for push in world.collect(response.pushes)}
        assert client.read(found["/style.css"]) == b"body {}"
        assert client.read(response) == b"<html>"
        assert client.read(found["/big"]) == pattern(3_000_000)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "options",
    [
        ("--padding=200",),
        ("--window-bits=16", "--connection-window-bits=16"),
        ("--max-concurrent-streams=1",),
        ("--header-table-size=0",),
        ("--encoder-header-table-size=0",),
        ("--trailer=x-end: yes",),
        ("--hexdump",),
    ],
)
def test_nghttpd_in_all_its_moods(world: World, nghttpd: Run, options: tuple[str, ...]) -> None:
    base = nghttpd(*options)
    with world.client(http2=True) as client:
        for _ in range(3):
            assert client.read(client.get(f"{base}/big")) == pattern(3_000_000)
        answers = client.together([lambda session: session.get(f"{base}/style.css")] * 20)
        assert [client.read(answer) for answer in answers] == [b"body {}"] * 20


def test_nghttpd_echoes_what_is_uploaded(world: World, nghttpd: Run) -> None:
    base = nghttpd("--echo-upload")
    with world.client(http2=True) as client:
        pieces = [pattern(65_000, 65_000 * number) for number in range(40)]
        with client.stream("POST", f"{base}/", body=iter(pieces)) as response:
            assert b"".join(client.pieces(response, "bytes")) == b"".join(pieces)


def test_nghttpd_answers_early(world: World, nghttpd: Run) -> None:
    base = nghttpd("--early-response")
    with world.client(http2=True) as client:
        assert client.post(f"{base}/none", body=iter([b"x" * 60_000] * 50)).status_code == 404
        assert client.read(client.get(f"{base}/style.css")) == b"body {}"


_NGINX = """
daemon off; master_process off; error_log stderr; pid {dir}/pid; events {{}}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{
    listen 127.0.0.1:{port} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key};
    keepalive_requests 50; client_max_body_size 1m;
    location / {{ root {dir}; }}
    location /upload {{ return 413; }}
  }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """An nginx that ends connections after 50 requests; its URL and what to verify it with."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        pytest.skip("nginx is not installed")
    import trustme

    (port,) = free_ports(1)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    cert, key, root = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "root.pem"
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(cert), append=number > 0)
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(root))
    (tmp_path / "big").write_bytes(pattern(3_000_000))
    (tmp_path / "small").write_bytes(b"small")
    config = tmp_path / "nginx.conf"
    config.write_text(_NGINX.format(dir=tmp_path, port=port, cert=cert, key=key))
    with running([program, "-c", str(config), "-p", str(tmp_path)], [port]):
        yield f"https://127.0.0.1:{port}", str(root)


def test_nginx_says_goodbye_every_fifty_requests(world: World, nginx: tuple[str, Any]) -> None:
    base, root = nginx
    with world.client(verify=root) as client:
        for _ in range(6):
            answers = client.together([lambda session: session.get(f"{base}/small")] * 40)
            assert [client.read(answer) for answer in answers] == [b"small"] * 40
        assert client.read(client.get(f"{base}/big")) == pattern(3_000_000)


def test_nginx_refuses_a_large_upload_early(world: World, nginx: tuple[str, Any]) -> None:
    base, root = nginx
    with world.client(verify=root) as client:
        assert client.post(f"{base}/small", body=b"x" * 3_000_000).status_code in (405, 413)
        assert client.read(client.get(f"{base}/small")) == b"small"
