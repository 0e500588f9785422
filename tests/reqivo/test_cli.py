"""The command line, as a user meets it: in a process of its own."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from reqivo.cli import main
from support.asgi_app import pattern
from support.certs import Authority
from support.servers import AsgiServer


def reqivo(*arguments: str, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "reqivo", *arguments],
        input=given,
        capture_output=True,
        timeout=180,
        env={**os.environ, **environment},
    )


def sent_by(*arguments: str, given: bytes = b"", status: int = 0) -> dict[str, object]:
    """What a server was sent."""
    ran = reqivo(*arguments, given=given)
    assert ran.returncode == status, ran.stderr
    told: dict[str, object] = json.loads(ran.stdout)
    return told


def test_get(plain_server: AsgiServer) -> None:
    ran = reqivo(plain_server.url("/bytes/1000"))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, pattern(1000), b"")


def test_installed_command_is_the_same() -> None:
    command = shutil.which("reqivo", path=str(Path(sys.executable).parent))
    assert command is not None
    ran = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=180)
    assert (ran.returncode, ran.stdout) == (0, f"reqivo {version('reqivo')}\n")


def test_method_headers_and_body(plain_server: AsgiServer) -> None:
    told = sent_by("put", plain_server.url("/echo/1"), "-d", "hello", "-H", "X-One: 1", "-H", "X-Two:2", "-u", "a:b:c")
    assert (told["method"], told["body_length"]) == ("PUT", 5)
    headers = dict(told["headers"])  # type: ignore[call-overload]  # pairs
    assert (headers["x-one"], headers["x-two"]) == ("1", "2")
    assert headers["authorization"] == "Basic YTpiOmM="


def test_json_is_posted(plain_server: AsgiServer) -> None:
    told = sent_by(plain_server.url("/echo/1"), "-j", '{"a": 1}')
    assert (told["method"], told["body_length"]) == ("POST", 8)
    assert ["content-type", "application/json"] in told["headers"]  # type: ignore[operator]  # pairs


def test_bodies_of_files_and_of_standard_input(plain_server: AsgiServer, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"x" * 70_000)
    assert sent_by(plain_server.url("/echo/1"), "-d", f"@{file}")["body_length"] == 70_000
    assert sent_by(plain_server.url("/echo/1"), "-d", "@-", given=b"y" * 300)["body_length"] == 300
    ran = reqivo(plain_server.url("/echo/1"), "-d", "@/there/is/none")
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"reqivo: ") and b"Traceback" not in ran.stderr


def test_output_into_a_file(plain_server: AsgiServer, tmp_path: Path) -> None:
    ran = reqivo(plain_server.url("/bytes/100000"), "-o", str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == pattern(100_000)
    assert ran.stdout == b""
    assert reqivo(plain_server.url("/bytes/1000"), "-o", "-").stdout == pattern(1000)
    assert ran.stderr == f"100000 octets written to {tmp_path / 'file'}\n".encode()
    ran = reqivo(plain_server.url("/bytes/10"), "-o", str(tmp_path / "no" / "folder"))
    assert (ran.returncode, ran.stderr.startswith(b"reqivo: ")) == (1, True)


def test_head_is_shown(plain_server: AsgiServer) -> None:
    ran = reqivo("-i", plain_server.url("/status/404"))
    lines = ran.stderr.decode().splitlines()
    assert lines[0].startswith("HTTP/1.1 404")
    assert any(line.lower() == "content-length: 11" for line in lines)
    assert (ran.returncode, ran.stdout) == (0, b"status 404\n")


def test_what_happens_is_told(plain_server: AsgiServer) -> None:
    ran = reqivo("-v", plain_server.url("/bytes/1"))
    assert b"connect complete" in ran.stderr
    assert b"HTTP/1.1 200" in ran.stderr


def test_failing_on_status(plain_server: AsgiServer) -> None:
    ran = reqivo("--fail", plain_server.url("/status/500"))
    assert (ran.returncode, ran.stdout) == (3, b"status 500\n")
    assert b"/status/500 answered 500" in ran.stderr
    assert reqivo("--fail", plain_server.url("/status/200")).returncode == 0


def test_redirects(plain_server: AsgiServer) -> None:
    assert sent_by(plain_server.url("/redirect/2"))["path"] == "/echo/redirected"
    ran = reqivo("-i", "--no-follow", plain_server.url("/redirect/2"))
    assert b"HTTP/1.1 302" in ran.stderr


def test_tls(tls_server: AsgiServer, authority: Authority) -> None:
    url = tls_server.url("/echo/1", host="localhost")
    assert sent_by(url, "--cacert", str(authority.path))["scheme"] == "https"
    assert sent_by(url, "-k")["scheme"] == "https"
    ran = reqivo(url)
    assert ran.returncode == 1
    assert b"certificate" in ran.stderr


def test_versions(plain_server: AsgiServer) -> None:
    assert sent_by("--http1", plain_server.url("/echo/1"))["http_version"] == "1.1"
    assert sent_by("--http2", plain_server.url("/echo/1"))["http_version"] == "2"


def test_failures_are_a_line_each(plain_server: AsgiServer) -> None:
    for arguments, words in {
        ("http://127.0.0.1:1/",): "could not connect to 127.0.0.1:1",
        ("gopher://example.org/",): "no installed transport serves gopher://",
        ("http://exa mple/",): "exa mple",
        ("-t", "0.2", plain_server.url("/hang")): "0.2 s",
        ("-x", "http://127.0.0.1:1/", "http://example.org/"): "127.0.0.1:1",
    }.items():
        ran = reqivo(*arguments)
        assert (ran.returncode, ran.stdout) == (1, b"")
        lines = ran.stderr.decode().splitlines()
        assert len(lines) == 1 and lines[0].startswith("reqivo: ") and words in lines[0], lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "arguments are required"),
        (["GET", "http://x/", "y"], "give [METHOD] URL"),
        (["http://x/", "-H", "nonsense"], "write 'Name: value'"),
        (["http://x/", "-d", "a", "-j", "b"], "not allowed with"),
        (["plugins", "x"], "unrecognized arguments: x"),
    ],
)
def test_wrong_commands(arguments: list[str], words: str) -> None:
    ran = reqivo(*arguments)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert words in ran.stderr.decode()


def test_reader_that_leaves(plain_server: AsgiServer) -> None:
    command = [sys.executable, "-m", "reqivo", plain_server.url("/bytes/30000000")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(120) == 1


def test_interrupting() -> None:
    arrived = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        arrived.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    with AsgiServer(app) as server:
        command = [sys.executable, "-m", "reqivo", server.url("/")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert arrived.wait(120)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=120) == (b"", b"")
            assert process.returncode == 130


def test_an_import_runs_nothing() -> None:
    assert importlib.import_module("reqivo.__main__").main is importlib.import_module("reqivo.cli").main


def test_plugins_are_listed() -> None:
    ran = reqivo("plugins")
    lines = ran.stdout.decode().splitlines()
    assert lines[0].split() == ["plugin", "distribution", "hooks"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert rows["http11"].split()[1:] == ["reqivo-http11", version("reqivo-http11"), "register_transports"]
    assert rows["demo-echo"].split()[1:3] == ["reqivo-demo-echo", "1.0"]
    assert "register_codings" in rows["demo-extras"]
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_plugins_left_out_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ZeroDivisionError('at import')")
    info = tmp_path / "reqivo_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reqivo-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[reqivo]\nbroken = broken:Plugin\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "REQIVO_DISABLE_PLUGINS": "demo-echo"}
    command = [sys.executable, "-m", "reqivo", "plugins"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    assert ran.returncode == 0
    assert "demo-echo" not in ran.stdout and "demo-frames" in ran.stdout
    told = ran.stderr.splitlines()
    assert told[0].startswith("reqivo: plugin 'broken' of distribution 'reqivo-broken' is broken")
    assert told[1] == "left out by REQIVO_DISABLE_PLUGINS: demo-echo"


def test_options_may_stand_between_method_and_url(plain_server: AsgiServer) -> None:
    assert sent_by("PUT", "-H", "X-One: 1", plain_server.url("/echo/1"), "-d", "hello")["method"] == "PUT"


def test_a_content_type_of_the_users_own_is_the_only_one(plain_server: AsgiServer) -> None:
    told = sent_by(plain_server.url("/echo/1"), "-j", "{}", "-H", "content-type: application/vnd.api+json")
    kinds = [value for name, value in told["headers"] if name == "content-type"]  # type: ignore[attr-defined]  # pairs
    assert kinds == ["application/vnd.api+json"]


@pytest.mark.parametrize("seconds", ["-1", "nan"])
def test_a_time_that_cannot_be_is_named(seconds: str) -> None:
    ran = reqivo("http://127.0.0.1:9/", "-t", seconds)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"reqivo: timeout={float(seconds)!r}: give seconds".encode())


def test_a_process_without_standard_output_says_so(monkeypatch: Any, capsys: Any, plain_server: AsgiServer) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main([plain_server.url("/bytes/10")]) == 1
    assert "no standard output to write to: -o FILE" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stderr", None)
    assert main([plain_server.url("/bytes/10")]) == 1


def test_help_tells_of_exit_codes() -> None:
    assert b"3, with --fail: the status is 400 or more" in reqivo("--help").stdout
