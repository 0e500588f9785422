"""Servers that mean harm, by their numbers (I1 to I11), and scenario 42's others, who go on meanwhile.

What the numbered scenarios of the other modules show already is not shown again: I3 (s17, s18, s20), I8 (s37 to s40),
I10 (s03, s04) and I11 (s29, s30) are there for one request; here is what they do to the others.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core import Timeout
from reqivo_core.errors import IncompleteBody, ReadTimeout, RemoteProtocolError, RequestError, StreamReset
from support import h2_peer
from support.h2_peer import H2Peer, raw, serving

CLOSED = "END_STREAM"
MIB = 2**20


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """See that Python's memory does not grow by more, at any moment."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < size


def million() -> bytes:
    """A header section of a million fields of an octet each, in as many frames as it takes."""
    block = b"\x88" + b"\x90" * 1_000_000
    pieces = [block[start : start + 16384] for start in range(0, len(block), 16384)]
    frames_ = [raw(1 if not number else 9, 0, 1, piece) for number, piece in enumerate(pieces)]
    return b"".join(frames_) + raw(9, 4, 1)


def bomb() -> bytes:
    """An entry of 4 KB that is named 16,000 times, by an octet each: 64 MB."""
    entry = b"\x40\x01x" + b"\x7f\xa1\x1e" + b"y" * 4000
    return raw(1, 4, 1, (b"\x88" + entry + b"\xbe" * 12_000)[:16384])


@pytest.mark.parametrize("attack", [million, bomb, lambda: raw(1, 0, 1, b"\x88") + raw(9, 0, 1, b"") * 100_000])
def test_i1_oversized_header_sections_end_all_at_once(h2line: Callable, attack: Callable[[], bytes]) -> None:
    sent = attack()
    sent = sent.replace(raw(1, 0, 1)[3:], raw(1, 0, 3)[3:]).replace(raw(9, 0, 1)[3:], raw(9, 0, 3)[3:])

    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        for _ in range(3):
            server.expect_request()
        server.peer.send(sent)
        server.expect_close()

    line = h2line(script)
    line.get()
    with at_most(4 * MIB):
        outcomes = line.together("/a", "/b", "/c", timeout=20)
    # A request that was still being sent when the connection ended may have been sent again over another.
    failed = [outcome for outcome in outcomes if isinstance(outcome, RequestError)]
    assert failed
    assert len(failed) + line.server.connections - 1 >= 3, outcomes
    assert not any(isinstance(outcome, ReadTimeout) for outcome in outcomes)
    left = line.session.pool.connections()
    assert [one["active"] for one in left] == [0] * (line.server.connections - 1)


def test_i2_a_server_that_always_says_goodbye_is_left_in_the_end(h2line: Callable) -> None:
    def first(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        last(server)

    def last(server: H2Peer) -> None:
        if not server.settings:
            server.greet()
        server.expect_request()
        server.goaway(0)
        server.expect_close()

    line = h2line(first, last)
    line.get()
    assert "GOAWAY" in str(line.fails(RequestError, method="POST", body=b"x"))
    assert 1 < line.server.connections <= 8
    assert line.session.pool.active == 0


def test_i3_a_reset_amid_a_body_is_that_bodys_alone(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        requests = [server.expect_request() for _ in range(10)]
        for request in requests:
            server.send_frame(server.head(request, 200, [("content-length", "8")]), server.data(request, b"half"))
        for number, request in enumerate(requests):
            if number % 2:
                server.reset(request, h2_peer.INTERNAL_ERROR)
            else:
                server.send_frame(server.data(request, b"half", CLOSED))
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    outcomes = line.together(*["/x"] * 10)
    whole = [line.client.read(outcome) for outcome in outcomes if not isinstance(outcome, Exception)]
    assert whole == [b"halfhalf"] * 5
    assert sum(isinstance(outcome, IncompleteBody) for outcome in outcomes) == 5
    assert line.body() == b"next"
    assert line.server.connections == 1


def test_i4_settings_that_change_under_way(h2line: Callable) -> None:
    """A limit lowered to 1, then 0; a table of 4 GiB, then none; no window, then one: requests wait, and none fails."""
    setting = frames.SettingsFrame

    def first(server: H2Peer) -> None:
        server.greet({setting.HEADER_TABLE_SIZE: 2**32 - 1})
        server.respond(server.expect_request())
        three = [server.expect_request() for _ in range(3)]
        assert server.decoder.header_table_size <= 4096
        server.send_settings({setting.MAX_CONCURRENT_STREAMS: 1, setting.HEADER_TABLE_SIZE: 0})
        server.send_settings({setting.MAX_CONCURRENT_STREAMS: 0})
        for request in three:
            server.respond(request, 200, request[":path"].encode())
        server.expect_close()  # with no stream to be had, another connection is a better place

    def second(server: H2Peer) -> None:
        server.greet({setting.MAX_CONCURRENT_STREAMS: 1, setting.INITIAL_WINDOW_SIZE: 0})
        request = server.expect_request(whole=False)
        server.send_settings({setting.MAX_CONCURRENT_STREAMS: 100, setting.INITIAL_WINDOW_SIZE: 65535})
        while not request.has_ended:
            server.expect_frame()
        server.respond(request, 200, request[":path"].encode())
        server.serve()

    line = h2line(first, second, limits={"max_connections": 1})
    line.get()
    for paths in (["/0", "/1", "/2"], ["/3"], [f"/later/{number}" for number in range(10)]):
        answers = line.client.together([lambda session, p=path: session.post(line.url(p), body=b"x") for path in paths])
        assert [line.client.read(answer) for answer in answers] == [path.encode() for path in paths]
    assert line.server.connections == 2


FLOODS = {
    "ping": raw(6, 0, 0, b"8 bytes!"),
    "settings": raw(4, 0, 0),
    "empty-data": raw(0, 0, 3),
    "window-update": raw(8, 0, 0, b"\0\0\0\x01"),
    "priority": raw(2, 0, 3, b"\0" * 5),
    "unknown": raw(0xAB, 0, 0),
    "altsvc": raw(0xA, 0, 3, b"\0\0h2"),
    "resets": raw(3, 0, 1, b"\0\0\0\x08"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_i5_s42_a_flood_is_cut_off_and_others_are_not_held_up(h2line: Callable, flood: str) -> None:
    """One server floods, reading nothing, whenever it is asked; the other is asked by others meanwhile."""
    codes: list[int] = []

    def flooding(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        request = server.expect_request()
        server.send_frame(server.head(request, 200))
        server.peer.send(FLOODS[flood] * 10_000)  # nothing is read meanwhile
        codes.append(server.expect(frames.GoAwayFrame).error_code)
        server.expect_close()

    bad, other = h2line(flooding), h2line(serving)
    bad.get()
    paths = [f"/{number}" for number in range(40)]

    def ask(path: str) -> Callable[[Any], Any]:
        return lambda session: session.get(other.url(path))

    def provoke(session: Any) -> Any:
        response = session.get(bad.url("/flood"), timeout=20)
        return response.content if bad.client.world.name == "blocking" else response

    with at_most(4 * MIB):
        first, *others = bad.client.together([provoke, *map(ask, paths)])
    assert isinstance(first, RemoteProtocolError)
    assert "Limits(max_control_frames=1000)" in str(first)
    assert [bad.client.read(response) for response in others] == [path.encode() for path in paths]
    bad.server.wait_for_closed(1)
    assert codes == [h2_peer.ENHANCE_YOUR_CALM]


def test_i5_s42_others_on_the_same_connection_go_on_too(h2line: Callable) -> None:
    """What comes between answers is within the budget: it is borne, and all get theirs."""

    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        requests = [server.expect_request() for _ in range(8)]
        for request in requests:
            server.peer.send(b"".join(FLOODS[name] for name in ("ping", "window-update", "unknown")) * 300)
            server.respond(request, 200, request[":path"].encode())
        server.expect_close()

    line = h2line(script)
    line.get()
    paths = [f"/{number}" for number in range(8)]
    assert [line.client.read(response) for response in line.together(*paths)] == [path.encode() for path in paths]


@pytest.mark.thorough
def test_i5_answers_that_are_never_read_have_an_end(h2line: Callable) -> None:
    """Octets of a body between the floods: there is progress, but our answers pile up on the way to the server."""

    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        request = server.expect_request()
        server.send_frame(server.head(request, 200))
        server.peer.flood(FLOODS["ping"] * 900 + server.data(request, b"x").serialize())

    line = h2line(script, receive_buffer=4096)
    line.get()
    with at_most(8 * MIB):
        error = line.fails(RequestError, timeout=Timeout(read=5, write=0.5))
    assert error.phase in ("write", "read", "body")
    assert line.session.pool.connections() == []


def test_i7_one_of_a_hundred_is_never_read(h2line: Callable) -> None:
    size = 200_000

    def script(server: H2Peer) -> None:
        server.greet()
        unread = server.expect_request()
        window = server.settings[frames.SettingsFrame.INITIAL_WINDOW_SIZE]
        server.send_frame(server.head(unread, 200), *[server.data(unread, b"x" * 16384)] * (window // 16384))
        for _ in range(99):  # 20 MB in all: more than the connection's window
            server.respond(server.expect_request(), 200, b"y" * size)
        server.expect_reset(unread.stream_id, h2_peer.CANCEL)
        server.respond(server.expect_request(), 200, b"after")
        server.expect_close()

    line = h2line(script)
    with line.client.stream("GET", line.url("/unread")):
        for start in range(0, 99, 33):
            answers = line.together(*[f"/{start + number}" for number in range(33)])
            assert [len(line.client.read(answer)) for answer in answers] == [size] * 33
    assert line.body() == b"after"
    assert line.connection["streams"] == {}
    assert line.server.connections == 1


def test_i9_one_of_fifty_is_cancelled(h2line: Callable) -> None:
    """Its late frames are ignored, but for what they teach the table; the others get theirs."""

    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        requests = [server.expect_request() for _ in range(50)]
        (lost,) = [request for request in requests if request[":path"] == "/lost"]
        if not server.seen(frames.RstStreamFrame):  # some of the others may have come after it
            server.expect_reset(lost.stream_id, h2_peer.CANCEL)
        server.send_frame(server.head(lost, 200, [("x-learnt", "late")]), server.data(lost, b"late", CLOSED))
        for request in requests:
            if request is not lost:
                server.respond(request, 200, request[":path"].encode(), [("x-learnt", "late")])
        server.expect_close()

    line = h2line(script)
    line.get()
    paths = [f"/{number}" for number in range(49)]
    lost, *others = line.client.together(
        [
            lambda session: session.get(line.url("/lost"), timeout=Timeout(read=0.3)),
            *[lambda session, path=path: session.get(line.url(path)) for path in paths],
        ]
    )
    assert isinstance(lost, ReadTimeout)
    assert [line.client.read(other) for other in others] == [path.encode() for path in paths]
    assert {other.headers["x-learnt"] for other in others} == {"late"}
    assert line.server.connections == 1


def test_i11_a_dead_peer_fails_all_who_wait_for_it(h2line: Callable, patience: Callable) -> None:
    patience(ping_interval=0.1, ping_timeout=1.5)

    def dead(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        for _ in range(5):
            server.expect_request()
        server.acknowledges = False
        server.expect_close()

    line = h2line(dead, serving)
    line.get()
    posts = [lambda session: session.post(line.url(), body=b"x", timeout=8)] * 5
    outcomes = line.client.together(posts)
    assert all("connection lost" in str(outcome) for outcome in outcomes), outcomes
    assert not any(isinstance(outcome, StreamReset) for outcome in outcomes)
    assert line.body("/next") == b"/next"
    assert line.server.connections == 2
