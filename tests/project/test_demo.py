"""The demo does what it says, and fails where something is not as it should be."""

import subprocess
import sys
from pathlib import Path

from support.servers import AsgiServer

ROOT = Path(__file__).resolve().parents[2]


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(ROOT / "tools" / "demo" / "main.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_tour() -> None:
    ran = demo()
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    for section in ("HTTP/1.1\n", "HTTP/1.1 over TLS", "HTTP/2 over TLS", "WebSocket over TLS"):
        assert f"\n{section}" in ran.stdout
    for step in ("50 requests at once", "a redirect with a cookie", "a time limit of 0.2 s", "hooks", "two pushes"):
        assert f"\n{step}" in ran.stdout
    assert "✗" not in ran.stdout
    assert ran.stdout.splitlines()[-1] == "✓ 26 steps, each blocking and async, all as they should be"


def test_visit(plain_server: AsgiServer) -> None:
    ran = demo(plain_server.url("/bytes/1000"))
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "1,000 octets" in ran.stdout
    assert "connect complete" in ran.stdout


def test_visit_to_a_socket(plain_server: AsgiServer) -> None:
    ran = demo(plain_server.url("/ws/echo", scheme="ws"))
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "open, subprotocol None" in ran.stdout


def test_nobody_there() -> None:
    ran = demo("http://127.0.0.1:1/")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "✗ GET, blocking: ConnectError: GET http://127.0.0.1:1/: could not connect to 127.0.0.1:1" in ran.stdout
    assert "were not as they should be" in ran.stdout.splitlines()[-1]
