"""What streaming holds in memory, measured in a process of its own; and the third world."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from reqivo_core import AsyncSession
from support.certs import Authority
from support.servers import AsgiServer

pytestmark = pytest.mark.thorough

MEGABYTES = int(os.environ.get("REQIVO_TEST_MEGABYTES", "100"))
"""How much is streamed; the promise is for any amount (try 1000)."""
ALLOWED = 16

_PROGRAM = """
import json, sys
from reqivo_core import Session

def peak():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))  # ru_maxrss would be the parent's
    return int(lines["VmHWM"].split()[0]) / 1024

url, amount, way = sys.argv[1], int(sys.argv[2]) * 2**20, sys.argv[3]
piece = b"x" * 65536
with Session(http2=True, timeout=500) as session:
    session.get(url + "/a").content
    session.post(url + "/a", body=iter([piece])).content
    before = peak()
    if way == "down":
        size = 0
        with session.stream("GET", f"{url}/{amount}") as response:
            for chunk in response.iter_content(None):
                size += len(chunk)
    else:
        size = int(session.post(url + "/a", body=(piece for _ in range(amount // 65536))).text)
    print(json.dumps({"grown": peak() - before, "size": size}))
"""


async def _app(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]  # ASGI
    """Count what comes, and send as many octets as the path says."""
    if scope["type"] != "http":
        return
    count, more = 0, True
    while more:
        message = await receive()  # type: ignore[operator]
        count += len(message.get("body", b""))
        more = message.get("more_body", False)
    left = int(scope["path"][1:]) if scope["path"][1:].isdigit() else 0
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    while left:
        size = min(left, 65536)
        left -= size
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"" if scope["path"] != "/a" else b"%d" % count})  # type: ignore[operator]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="measures by /proc")
@pytest.mark.parametrize("codec", ["h2", "jh2"])
@pytest.mark.parametrize("way", ["down", "up"])
def test_streaming_takes_no_memory_to_speak_of(way: str, codec: str) -> None:
    with AsgiServer(_app) as server:
        told = subprocess.run(
            [sys.executable, "-c", _PROGRAM, server.url("").rstrip("/"), str(MEGABYTES), way],
            env=os.environ | {"REQIVO_HTTP2_CODEC": codec},
            capture_output=True,
            text=True,
            check=True,
        )
    result = json.loads(told.stdout)
    assert result["size"] == MEGABYTES * 2**20
    assert result["grown"] < ALLOWED


def test_trio_tasks_share_a_connection_too(authority: Authority) -> None:
    trio = pytest.importorskip("trio")
    from reqivo_core.runtime.trio import TrioRuntime

    answers: dict[int, str] = {}

    async def main() -> None:
        async with AsyncSession(verify=authority.client_context(), runtime=TrioRuntime()) as session:

            async def one(number: int) -> None:
                response = await session.get(server.url(f"/echo/{number}"))
                assert response.http_version == "HTTP/2"
                answers[number] = response.json()["nonce"]

            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(one, number)
            with trio.move_on_after(0.05):
                await session.get(server.url("/hang"))
            await one(99)
            assert len(session.pool.connections()) == 1

    with AsgiServer(tls=authority.server_context(alpn=["h2"])) as server:
        trio.run(main)
    assert answers == {number: str(number) for number in [*range(50), 99]}
