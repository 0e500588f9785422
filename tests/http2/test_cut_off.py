"""Connections and streams that are cut off right behind what they brought: every octet that came is handed over.

Who resumes a download goes on where the application's octets end. An octet that came and is not handed over is fetched
again; one that is counted and not handed over is missing for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core.errors import IncompleteBody, ReadError, RequestError, WriteError
from reqivo_core.runtime.driving import run_blocking
from reqivo_http2 import reading
from support import h2_peer
from support import world as worlds
from support.certs import Authority
from support.h2_peer import H2Peer
from support.scripted import Peer
from support.trio_world import Trio
from support.world import Client, World

TOTAL, SENT = 100_000, bytes(range(256)) * 150
PIECE = 1600
END = "END_STREAM"
QUESTION = frames.PingFrame(0, b"answer!!")


@pytest.fixture(params=["blocking", "async", "trio"])
def world(request: pytest.FixtureRequest) -> Any:
    """Three worlds, which meet the end of a connection each in its own way."""
    with Trio() if request.param == "trio" else worlds.make(request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def small_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it all read in many pieces, so that most of it lies in the system's buffer when the first is taken in."""
    monkeypatch.setattr(reading, "READ_SIZE", 1000)


def begin(server: H2Peer, *, ends: bool = False) -> h2_peer.H2Request:
    """Answer with half a body. PINGs in between make the client write, as window updates would."""
    request = server.expect_request()
    pieces = [SENT[start : start + PIECE] for start in range(0, len(SENT), PIECE)]
    sent: list[frames.Frame] = [server.head(request, 200, [("content-length", str(TOTAL))])]
    for piece in pieces:
        sent += [server.data(request, piece), QUESTION]
    if ends:
        sent[-2].flags.add(END)
    server.send_frame(*sent)
    return request


def cut(server: H2Peer, how: str) -> None:
    server.greet()
    request = begin(server, ends=how == "short")
    if how == "stream":
        server.reset(request, h2_peer.INTERNAL_ERROR)
    elif how == "goaway":
        server.goaway(request.stream_id, h2_peer.INTERNAL_ERROR)
    elif how == "fault":
        server.peer.send(h2_peer.raw(6, 0, 0, b"7 bytes"))
    server.peer.wait_until_taken()
    if how == "rst":
        server.peer.rst()
    elif how in ("fin", "goaway"):
        server.peer.fin()


@pytest.mark.parametrize("how", ["rst", "fin", "goaway", "stream", "fault", "short"])
def test_what_came_before_a_cut_is_handed_over(h2line: Callable, how: str) -> None:
    is_cut = threading.Event()

    def script(server: H2Peer) -> None:
        cut(server, how)
        is_cut.set()
        if server.peer.is_open:
            server.expect_close()

    line = h2line(script)
    with line.client.stream("GET", line.url()) as response:
        assert is_cut.wait(5)
        came = pieces_before_the_error(line.client, response)
    assert len(came) == len(SENT)
    assert came == SENT


def pieces_before_the_error(client: Client, response: Any) -> bytes:
    """Read until it fails, as it must; return what was handed over before."""
    came = bytearray()
    world = client.world
    pieces = getattr(response, world.method("iter_bytes"))(None)

    async def collect() -> None:
        if world.name == "blocking":
            for piece in pieces:
                came.extend(piece)
        else:
            async for piece in pieces:
                came.extend(piece)

    with pytest.raises(RequestError) as caught:
        run_blocking(collect()) if world.name == "blocking" else world.run(collect())
    if isinstance(caught.value, IncompleteBody):
        assert (caught.value.received, caught.value.expected) == (len(came), TOTAL)
    return bytes(came)


def test_what_came_before_a_cut_under_tls_is_handed_over(
    serve: Callable, world: World, authority: Authority, codec: str
) -> None:
    is_cut = threading.Event()

    def script(peer: Peer) -> None:
        cut(H2Peer(peer), "rst")
        is_cut.set()

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with world.client(verify=authority.client_context()) as client:
        with client.stream("GET", server.url("/")) as response:
            assert is_cut.wait(5)
            assert pieces_before_the_error(client, response) == SENT


def test_an_answer_that_came_before_an_upload_was_cut_off_counts(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1})
        server.open_window(0, 2**31 - 1 - 65535)
        server.respond(server.expect_request(), 200, b"warm")
        request = server.expect_request(whole=False)
        server.respond(request, 413, b"too large")
        server.peer.wait_until_taken()
        server.peer.sleep(0.05)
        server.peer.rst()

    line = h2line(script, receive_buffer=4096)
    line.get()
    response = line.post(body=bytes(8 * 1024 * 1024))
    assert (response.status_code, line.client.read(response)) == (413, b"too large")
    assert line.session.pool.connections() == []


def test_an_upload_that_is_cut_off_unanswered_is_told_why(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1})
        server.open_window(0, 2**31 - 1 - 65535)
        server.respond(server.expect_request(), 200, b"warm")
        server.expect_request(whole=False)
        server.peer.sleep(0.05)
        server.peer.rst()

    line = h2line(script, receive_buffer=4096)
    line.get()
    line.fails(WriteError, method="POST", body=bytes(8 * 1024 * 1024))
    assert line.session.pool.connections() == []
    assert line.session.pool.active == 0


def test_a_tunnel_is_read_to_its_end_though_nothing_can_be_written(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1})
        server.open_window(0, 2**31 - 1 - 65535)
        request = server.expect_request(whole=False)
        server.send_frame(server.head(request, 200), *[server.data(request, SENT[:PIECE])] * 10)
        server.peer.wait_until_taken()
        server.peer.sleep(0.05)
        server.peer.rst()

    line = h2line(script, receive_buffer=4096)
    response = line.client.request("CONNECT", line.url(), extensions={"target": "far.example:443"})
    stream = response.extensions["network_stream"]

    async def talk() -> bytes:
        with pytest.raises(WriteError, match="tunnel"):
            await stream.write(bytes(8 * 1024 * 1024), 5)
        with pytest.raises(WriteError, match="tunnel"):
            await stream.write(b"more", 5)
        came = b""
        with pytest.raises(ReadError):
            while True:
                came += await stream.read(1000, 5)
        return came

    assert line.drive(talk()) == SENT[:PIECE] * 10
    assert line.session.pool.active == 0
