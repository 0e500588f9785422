"""The numbered scenarios of requests and responses: uploads, windows, bodies, heads, trailers (RFC 9113)."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core import Timeout
from reqivo_core.errors import (
    HeadersTooLarge,
    IncompleteBody,
    LocalProtocolError,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    StreamReset,
    TimeoutException,
    WriteTimeout,
)
from support import h2_peer
from support.certs import Authority
from support.h2_peer import H2Peer, raw, serving
from support.scripted import Peer
from support.world import World

WINDOW = frames.SettingsFrame.INITIAL_WINDOW_SIZE
CLOSED = "END_STREAM"


# Uploads.


@pytest.mark.parametrize("is_known", [True, False])
def test_s20_an_early_answer_stops_an_upload(h2line: Callable, is_known: bool) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 1000})
        request = server.expect_request(whole=False)
        while len(request.body) < 1000:
            server.expect_frame()
        head = server.head(request, 413, [("content-length", "7")])
        body = server.data(request, b"too big", CLOSED)
        server.send_frame(head, body, frames.RstStreamFrame(request.stream_id, h2_peer.NO_ERROR))
        server.serve([b"next"])

    line = h2line(script)
    body = b"x" * 100_000 if is_known else (b"x" * 1000 for _ in range(100))
    response = line.post(body=body)
    assert (response.status_code, line.client.read(response)) == (413, b"too big")
    assert line.body() == b"next"
    assert line.server.connections == 1


def test_s20_without_a_reset_we_reset_what_is_not_wanted(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 10})
        server.respond(server.expect_request())  # so that the client knows the window
        request = server.expect_request(whole=False)
        server.respond(request, 200, b"enough")
        server.expect_reset(request.stream_id, h2_peer.NO_ERROR)
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    assert line.client.read(line.post(body=b"x" * 100)) == b"enough"
    assert line.body() == b"next"


def test_s21_an_echo_goes_both_ways_at_once(h2line: Callable) -> None:
    total = 300_000

    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 1024})
        request = server.expect_request(whole=False)
        server.send_frame(server.head(request, 200))
        while not request.has_ended:
            frame = server.expect_frame()
            if isinstance(frame, frames.DataFrame) and frame.data:
                server.send_frame(server.data(request, frame.data))
                server.open_window(0, len(frame.data))
                server.open_window(request.stream_id, len(frame.data))
        server.send_frame(server.data(request, b"", CLOSED))
        server.expect_close()

    line = h2line(script, window_manager=_small_windows())
    pieces = [bytes([number % 256]) * 1000 for number in range(total // 1000)]
    with line.client.stream("POST", line.url(), body=iter(pieces)) as response:
        assert response.status_code == 200
        assert b"".join(line.client.pieces(response, "bytes")) == b"".join(pieces)


def _small_windows() -> type:
    from reqivo_http2 import BaseFlowControlManager

    class Echo(BaseFlowControlManager):
        def increase_window_size(self, frame_size: int) -> int:
            return frame_size

    return Echo


def test_s22_nothing_leaves_until_both_windows_are_open(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 0})
        server.respond(server.expect_request())  # so that the client knows the window
        request = server.expect_request(whole=False)
        server.send_frame(frames.PingFrame(0, b"nothing?"))
        server.expect(frames.PingFrame)
        assert not server.seen(frames.DataFrame)
        server.open_window(request.stream_id, 100)
        while len(request.body) < 100:
            server.expect_frame()
        server.send_frame(frames.PingFrame(0, b"no more?"))
        server.expect(frames.PingFrame)
        assert request.body == b"x" * 100
        server.open_window(request.stream_id, 100_000)  # now the connection's own 65535 are the limit
        while len(request.body) < 65535:
            server.expect_frame()
        server.send_frame(frames.PingFrame(0, b"no more?"))
        server.expect(frames.PingFrame)
        assert len(request.body) == 65535
        server.open_window(0, 100_000)
        while not request.has_ended:
            server.expect_frame()
        assert len(request.body) == 70_000
        server.respond(request, 200, b"got it")
        server.expect_close()

    line = h2line(script)
    line.get()
    assert line.client.read(line.post(body=b"x" * 70_000)) == b"got it"


def test_s23_a_window_may_fall_below_nothing(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 40_000})
        server.respond(server.expect_request())  # so that the client knows the window
        request = server.expect_request(whole=False)
        while len(request.body) < 40_000:
            server.expect_frame()
        server.send_settings({WINDOW: 0})
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)
        server.open_window(request.stream_id, 40_000)  # only makes up for what was taken away
        server.send_frame(frames.PingFrame(0, b"nothing?"))
        server.expect(frames.PingFrame)
        assert len(request.body) == 40_000
        server.open_window(request.stream_id, 10_000)
        while not request.has_ended:
            server.expect_frame()
        server.respond(request)
        server.expect_close()

    line = h2line(script)
    line.get()
    assert line.post(body=b"x" * 50_000).status_code == 200


@pytest.mark.parametrize(("increment", "code"), [(0, h2_peer.PROTOCOL_ERROR), (2**31 - 1, h2_peer.FLOW_CONTROL_ERROR)])
def test_s24_a_bad_window_update_is_its_streams_error(h2line: Callable, increment: int, code: int) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.peer.send(raw(8, 0, request.stream_id, increment.to_bytes(4, "big")))
        server.expect_reset(request.stream_id, code)
        server.serve([b"next"])

    line = h2line(script)
    line.fails(RemoteProtocolError)
    assert line.body() == b"next"


def test_s25_more_than_the_window_ends_the_connection(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        window = server.settings[WINDOW]
        server.send_frame(server.head(request, 200))
        for _ in range(window // 16384 + 1):
            server.send_frame(server.data(request, b"x" * 16384))
        server.expect_goaway(h2_peer.FLOW_CONTROL_ERROR)
        server.expect_close()

    line = h2line(script)
    with line.client.stream("GET", line.url()) as response:
        with pytest.raises(RemoteProtocolError, match="window of stream 1"):
            _read_after_all_came(line, response)


def _read_after_all_came(line: Any, response: Any) -> None:
    """Read nothing until the server has sent it all: another request's reader takes it in."""
    line.client.call(lambda session: session.ping(line.url(), timeout=5))
    line.client.read(response)


def test_s26_an_unread_stream_stalls_only_itself(h2line: Callable) -> None:
    total = 4 * 1024 * 1024

    def script(server: H2Peer) -> None:
        server.greet()
        first = server.expect_request()
        window = server.settings[WINDOW]
        server.send_frame(server.head(first, 200, [("content-length", str(total))]))
        sent, granted = 0, window
        while sent < window:
            server.send_frame(server.data(first, b"x" * 16384))
            sent += 16384
        second = server.expect_request()
        server.respond(second, 200, b"not held up")
        while sent < total:
            frame = server.expect_frame()
            if isinstance(frame, frames.WindowUpdateFrame) and frame.stream_id == first.stream_id:
                granted += frame.window_increment  # given in whatever portions were consumed
                while granted >= sent + 16384 and sent < total:
                    sent += 16384
                    server.send_frame(server.data(first, b"x" * 16384, *([CLOSED] if sent == total else [])))
        server.expect_close()

    line = h2line(script)
    with line.client.stream("GET", line.url("/slow")) as response:
        assert line.body("/quick") == b"not held up"
        (stream,) = line.connection["streams"].values()
        assert stream["buffered"] == 256 * 1024
        assert stream["receive_window"] == 0
        assert len(line.client.read(response)) == total


def test_the_window_grows_with_what_the_way_holds(h2line: Callable) -> None:
    """A server that fills the window before it answers a PING has a way that holds more than the window."""
    total = 6 * 1024 * 1024

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        window, left = server.settings[WINDOW], total
        server.send_frame(server.head(request, 200, [("content-length", str(total))]))
        while left:
            while window and left:
                size = min(16384, window, left)
                window, left = window - size, left - size
                server.send_frame(server.data(request, b"x" * size, *([CLOSED] if not left else [])))
            while left and not window:
                frame = server.expect_frame()  # PINGs are answered by the way
                if isinstance(frame, frames.WindowUpdateFrame) and frame.stream_id == request.stream_id:
                    window += frame.window_increment
                    granted.append(frame.window_increment)
        server.expect_close()

    granted: list[int] = []
    line = h2line(script)
    with line.client.stream("GET", line.url()) as response:
        assert sum(len(piece) for piece in line.client.pieces(response, "bytes")) == total
        assert 256 * 1024 < line.connection["bandwidth_delay_product"] <= 16 * 1024 * 1024
        assert line.connection["round_trip"] > 0
    assert max(granted) > 256 * 1024


def test_s27_closing_early_resets_once_and_costs_no_window(h2line: Callable) -> None:
    rounds, late = 100, 1024 * 1024

    def script(server: H2Peer) -> None:
        server.greet()
        for _ in range(rounds):
            request = server.expect_request()
            server.send_frame(server.head(request, 200), server.data(request, b"begun"))
            server.expect_reset(request.stream_id, h2_peer.CANCEL)
            piece = server.data(request, b"x" * 16384)
            window = min(late, server.settings[WINDOW] - 5)
            server.peer.send(piece.serialize() * (window // 16384))
        server.respond(server.expect_request(), 200, b"still here")
        resets = [frame.stream_id for frame in server.seen(frames.RstStreamFrame)]
        assert len(resets) == len(set(resets)) == rounds
        server.expect_close()

    line = h2line(script)
    for _ in range(rounds):
        with line.client.stream("GET", line.url()) as response:
            assert response.status_code == 200
    assert line.body() == b"still here"
    assert line.connection["receive_window"] > 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("payload", "flags", "outcome"),
    [
        (b"\xff" + b"hello" + b"\0" * 255, 0x8 | 0x1, b"hello"),
        (b"\x03\0\0\0", 0x8 | 0x1, b""),
        (b"\x04\0\0\0", 0x8 | 0x1, None),
        (b"", 0x8 | 0x1, None),
    ],
    ids=["most", "nothing-else", "too-much", "no-length"],
)
def test_s28_padding(h2line: Callable, payload: bytes, flags: int, outcome: bytes | None) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.peer.send(server.head(request, 200).serialize() + raw(0, flags, request.stream_id, payload))
        if outcome is None:
            server.expect_goaway(h2_peer.PROTOCOL_ERROR)
        server.expect_close()

    line = h2line(script)
    if outcome is None:
        line.fails(RemoteProtocolError)
    else:
        assert line.body() == outcome


def test_s28_padding_is_refunded_though_nobody_reads(h2line: Callable) -> None:
    refunded = threading.Event()

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200))
        padded = raw(0, 8, request.stream_id, b"\xff" + b"\0" * 255)
        for _ in range(600):
            server.peer.send(padded)
        server.send_frame(frames.PingFrame(0, b"all came"))
        server.expect(frames.WindowUpdateFrame, lambda frame: frame.stream_id == request.stream_id)
        refunded.set()
        server.send_frame(server.data(request, b"end", CLOSED))
        server.expect_close()

    line = h2line(script)
    with line.client.stream("GET", line.url()) as response:
        line.client.call(lambda session: session.ping(line.url()))
        assert line.client.read(response) == b"end"
    assert refunded.is_set()


# Heads.


def test_s31_a_head_may_come_in_pieces(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        block = server.head(request, 200, [("x-long", "y" * 4000)]).data
        cuts = [block[:10], block[10:2000], block[2000:3000], block[3000:]]
        server.peer.send(
            raw(1, 0, request.stream_id, cuts[0])
            + raw(9, 0, request.stream_id, cuts[1])
            + raw(9, 0, request.stream_id, cuts[2])
            + raw(9, 4, request.stream_id, cuts[3])
            + raw(0, 1, request.stream_id, b"fine")
        )
        server.expect_close()

    line = h2line(script)
    response = line.get()
    assert response.headers["x-long"] == "y" * 4000
    assert line.client.read(response) == b"fine"


@pytest.mark.parametrize(
    "fields",
    [
        [("x", "y" * 100_000)],
        [(f"x-{number}", "") for number in range(300)],
        [("x", "")] * 5000,
        [("x", "y" * 4000)] * 2000,
    ],
    ids=["100-kb", "300-fields", "5000-tiny", "bomb"],
)
def test_s32_too_large_a_head_fails_its_request(h2line: Callable, fields: list[tuple[str, str]]) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        block = server.head(request, 200, fields).data
        pieces = [block[start : start + 16384] for start in range(0, len(block), 16384)]
        data = raw(1, 4 if len(pieces) == 1 else 0, request.stream_id, pieces[0])
        for number, piece in enumerate(pieces[1:], start=2):
            data += raw(9, 4 if number == len(pieces) else 0, request.stream_id, piece)
        server.peer.send(data)
        server.serve()

    line = h2line(script, serving)
    error = line.fails(RemoteProtocolError)
    assert isinstance(error, HeadersTooLarge) or "too large" in str(error) or "CONTINUATION" in str(error)
    assert line.body("/next") == b"/next"


def test_s34_the_heads_of_cancelled_streams_count_for_the_table(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        first = server.expect_request()
        server.expect_reset(first.stream_id, h2_peer.CANCEL)
        server.send_frame(server.head(first, 200, [("x-learnt", "from a late head")]))
        second = server.expect_request()
        server.send_frame(server.head(second, 200, [("x-learnt", "from a late head")], CLOSED))
        server.expect_close()

    line = h2line(script)
    line.fails(ReadTimeout, timeout=Timeout(read=0.1))
    assert line.get().headers["x-learnt"] == "from a late head"


def test_s35_interim_responses_are_shown_in_order(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(
            server.head(request, 100),
            server.head(request, 103, [("link", "</a.css>")]),
            server.head(request, 103, [("link", "</b.css>")]),
        )
        server.respond(request, 200, b"final")
        server.expect_close()

    seen: list[tuple[int, str | None]] = []
    line = h2line(script)
    inform = lambda status, headers: seen.append((status, headers.get("link")))  # noqa: E731
    assert line.body(extensions={"on_informational": inform}) == b"final"
    assert seen == [(100, None), (103, "</a.css>"), (103, "</b.css>")]


@pytest.mark.parametrize("kind", ["ends", "flood"])
def test_s35_interim_responses_have_their_limits(h2line: Callable, kind: str) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        if kind == "ends":
            server.send_frame(server.head(request, 103, [], CLOSED))
        else:
            server.send_frame(*[server.head(request, 103, [("x", "y" * 1000)]) for _ in range(1000)])
        server.expect_reset(request.stream_id, h2_peer.PROTOCOL_ERROR if kind == "ends" else h2_peer.ENHANCE_YOUR_CALM)
        server.serve([b"next"])

    line = h2line(script)
    line.fails(RemoteProtocolError)
    assert line.body() == b"next"


@pytest.mark.parametrize("answer", ["100", "final", "silence", "417"])
def test_s36_a_body_that_waits_to_be_asked_for(h2line: Callable, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reqivo_http2.transport.CONTINUE_WAIT", 0.05 if answer == "silence" else 5.0)

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request(whole=False)
        assert request["expect"] == "100-continue"
        if answer == "100":
            assert request.body == b""
            server.send_frame(server.head(request, 103), server.head(request, 100))
        if answer == "final":
            server.respond(request, 403, b"no")
            server.expect_reset(request.stream_id, h2_peer.NO_ERROR)
            assert request.body == b""
        elif answer == "417":
            server.respond(request, 417)
            request = server.expect_request()
            assert request["expect"] == ""
            server.respond(request, 200, request.body)
        else:
            while not request.has_ended:
                server.expect_frame()
            server.respond(request, 200, request.body)
        server.expect_close()

    line = h2line(script)
    response = line.post(body=b"the body", headers={"Expect": "100-continue"})
    assert response.status_code == (403 if answer == "final" else 200)
    assert line.client.read(response) == (b"no" if answer == "final" else b"the body")


def test_s36_a_body_that_was_sent_after_silence_cannot_be_sent_again(
    h2line: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may complain of the expectation only then; if the body is used up, that is the answer."""
    monkeypatch.setattr("reqivo_http2.transport.CONTINUE_WAIT", 0.05)

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        assert request.body == b"once"
        server.respond(request, 417, b"too late")
        server.expect_close()

    line = h2line(script)

    async def one_piece() -> AsyncIterator[bytes]:
        yield b"once"

    body = iter([b"once"]) if line.client.world.name == "blocking" else one_piece()
    response = line.post(body=body, headers={"Expect": "100-continue"})
    assert (response.status_code, line.client.read(response)) == (417, b"too late")


# Trailers.


def test_s37_trailers_both_ways(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        assert request.trailers == [("x-digest", "abc")]
        server.send_frame(
            server.head(request, 200),
            server.data(request, request.body),
            server.headers(request.stream_id, [("x-checked", "yes")], CLOSED),
        )
        server.expect_close()

    line = h2line(script)
    response = line.post(body=iter([b"one ", b"two"]), extensions={"trailers": {"X-Digest": "abc"}})
    assert line.client.read(response) == b"one two"
    assert response.trailers["x-checked"] == "yes"
    assert "x-checked" not in response.headers


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ([(":status", "200")], [CLOSED]),
        ([("X-Upper", "1")], [CLOSED]),
        ([("x-open", "1")], []),
        ([("connection", "close")], [CLOSED]),
        ([("x-big", "y" * 20_000)], [CLOSED]),
    ],
)
def test_s37_bad_trailers_are_their_streams_error(h2line: Callable, fields: Any, flags: list[str]) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200), server.data(request, b"body"))
        server.peer.send(_cut(server.headers(request.stream_id, fields, *flags)))
        server.serve([b"next"])

    line = h2line(script)
    line.fails(RemoteProtocolError)
    assert line.body() == b"next"
    assert line.server.connections == 1


def _cut(frame: frames.HeadersFrame) -> bytes:
    """A header section in as many frames as it needs."""
    if len(frame.data) <= 16384:
        return bytes(frame.serialize())
    ends = 1 if CLOSED in frame.flags else 0
    return raw(1, ends, frame.stream_id, frame.data[:16384]) + raw(9, 4, frame.stream_id, frame.data[16384:])


MALFORMED: dict[str, list[tuple[str | bytes, str | bytes]]] = {
    "no-status": [("x", "y")],
    "doubled-status": [(":status", "200"), (":status", "200")],
    "late-status": [("x", "y"), (":status", "200")],
    "status-abc": [(":status", "abc")],
    "status-99": [(":status", "99")],
    "status-2000": [(":status", "2000")],
    "status-099": [(":status", "099")],
    "status-+20": [(":status", "+20")],
    "status-empty": [(":status", "")],
    "status-101": [(":status", "101")],
    "upper-case": [(":status", "200"), ("X-Upper", "1")],
    "connection": [(":status", "200"), ("connection", "close")],
    "transfer-encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
    "empty-name": [(":status", "200"), ("", "1")],
    "nul": [(":status", "200"), ("x", b"a\0b")],
    "cr": [(":status", "200"), ("x", b"a\rb")],
    "lf": [(":status", "200"), ("x", b"a\nb")],
    "leading-space": [(":status", "200"), ("x", b" a")],
    "trailing-tab": [(":status", "200"), ("x", b"a\t")],
    "other-pseudo": [(":status", "200"), (":path", "/")],
    "length-abc": [(":status", "200"), ("content-length", "abc")],
    "length-negative": [(":status", "200"), ("content-length", "-1")],
    "two-lengths": [(":status", "200"), ("content-length", "3"), ("content-length", "4")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_s38_a_malformed_head_is_its_streams_error(h2line: Callable, name: str) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        bad, good = server.expect_request(), server.expect_request()
        if bad[":path"] != "/bad":
            bad, good = good, bad
        server.send_frame(  # in the same segment
            server.headers(bad.stream_id, MALFORMED[name], CLOSED),
            server.head(good, 200, [("content-length", "4")]),
            server.data(good, b"good", CLOSED),
        )
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    failed, good = line.together("/bad", "/good")
    assert isinstance(failed, RemoteProtocolError), failed
    assert not isinstance(failed, StreamReset)
    assert line.client.read(good) == b"good"
    assert line.body() == b"next"
    assert line.server.connections == 1


@pytest.mark.parametrize(
    ("length", "sent", "error"),
    [
        ("5", [b"abc"], IncompleteBody),
        ("5", [b"abcdefg"], RemoteProtocolError),
        ("5", [b"abc", b"defg"], RemoteProtocolError),
        ("5", [], IncompleteBody),
    ],
    ids=["short", "long", "long-in-two", "end-with-head"],
)
def test_s39_a_body_of_another_length_than_announced(
    h2line: Callable, length: str, sent: list[bytes], error: type[RequestError]
) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        parts: list[frames.Frame] = [server.head(request, 200, [("content-length", length)])]
        parts += [server.data(request, piece) for piece in sent]
        parts[-1].flags.add(CLOSED)
        server.send_frame(*parts)
        server.serve([b"next"])

    line = h2line(script)
    failed = line.fails(error)
    if isinstance(failed, IncompleteBody):
        assert failed.expected == 5
    assert line.body() == b"next"
    assert line.server.connections == 1


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
def test_s39_a_length_without_a_body_is_fine_where_there_is_none(h2line: Callable, method: str, status: int) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, status, [("content-length", "1000")], CLOSED))
        server.expect_close()

    line = h2line(script)
    response = line.client.request(method, line.url())
    assert response.status_code == status
    assert line.client.read(response) == b""


@pytest.mark.parametrize("kind", ["data-first", "data-after-end", "headers-after-end"])
def test_s40_frames_in_the_wrong_place_are_their_streams_error(h2line: Callable, kind: str) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 1})
        server.respond(server.expect_request())  # so that the client knows the window
        request = server.expect_request(whole=False)
        if kind == "data-first":
            server.send_frame(server.data(request, b"too early"))
            server.expect_reset(request.stream_id, h2_peer.PROTOCOL_ERROR)
        else:
            surplus = server.data(request, b"more") if kind == "data-after-end" else server.head(request, 200)
            server.send_frame(server.head(request, 200, [], CLOSED), surplus)
            server.expect_reset(request.stream_id, h2_peer.STREAM_CLOSED)
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    if kind == "data-first":
        line.fails(RemoteProtocolError, method="POST", body=b"x" * 100)
    else:
        assert line.client.read(line.post(body=b"x" * 100)) == b""  # the response was whole
    assert line.body() == b"next"
    assert line.server.connections == 1


# Bodies that break off.


def test_a_reset_in_a_body_breaks_that_body_only(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200, [("content-length", "10")]), server.data(request, b"part"))
        server.reset(request, h2_peer.INTERNAL_ERROR)
        server.serve([b"next"])

    line = h2line(script)
    error = line.fails(IncompleteBody)
    assert (error.received, error.expected) == (4, 10)
    assert "INTERNAL_ERROR" in str(error)
    assert line.body() == b"next"


def test_s52_an_end_in_a_body_is_an_error_and_behind_it_none(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        if request[":path"] == "/whole":
            server.respond(request, 200, b"whole")
        else:
            server.send_frame(server.head(request, 200), server.data(request, b"part"))

    line = h2line(script)
    assert line.body("/whole") == b"whole"
    error = line.fails(IncompleteBody, "/part")
    assert error.received == 4


def test_s52_tls_that_ends_without_saying_so(serve: Callable, world: World, authority: Authority, codec: str) -> None:
    def script(peer: Peer) -> None:
        server = H2Peer(peer)
        server.greet()
        request = server.expect_request()
        if request[":path"] == "/whole":
            server.respond(request, 200, b"whole")
        else:
            server.send_frame(server.head(request, 200), server.data(request, b"part"))
        peer.abort_tls()

    server = serve(script, tls=authority.server_context(alpn=["h2"]))
    with world.client(verify=authority.client_context()) as client:
        assert client.read(client.get(server.url("/whole"))) == b"whole"
        with pytest.raises(RequestError) as caught:
            client.read(client.get(server.url("/part")))
        assert isinstance(caught.value, IncompleteBody), repr(caught.value)
        assert caught.value.received == 4
    assert server.connections == 2


def test_a_reset_after_a_whole_response_does_not_matter(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 1})
        server.respond(server.expect_request())  # so that the client knows the window
        request = server.expect_request(whole=False)
        head = server.head(request, 200, [("content-length", "5")])
        whole = server.data(request, b"whole", CLOSED)
        server.send_frame(head, whole, frames.RstStreamFrame(request.stream_id, h2_peer.CANCEL))
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    assert line.client.read(line.post(body=b"x" * 100)) == b"whole"
    assert line.body() == b"next"


# Time, and giving up.


def test_one_streams_time_out_is_that_streams_alone(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        hung = [server.expect_request() for _ in range(2)]
        slow = next(request for request in hung if request[":path"] == "/slow")
        lost = next(request for request in hung if request[":path"] == "/lost")
        if not server.seen(frames.RstStreamFrame):  # the other may have come after it
            server.expect_reset(lost.stream_id, h2_peer.CANCEL)
        server.respond(slow, 200, b"in time")
        server.expect_close()

    line = h2line(script)
    line.get()
    lost, slow = line.client.together(
        [
            lambda session: session.get(line.url("/lost"), timeout=Timeout(read=0.15)),
            lambda session: session.get(line.url("/slow")),
        ]
    )
    assert isinstance(lost, ReadTimeout)
    assert line.client.read(slow) == b"in time"


def test_s48_a_server_that_reads_nothing(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 2**31 - 1})
        server.open_window(0, 2**31 - 1 - 65535)
        server.respond(server.expect_request(), 200, b"warm")
        server.peer.stop_reading()

    line = h2line(script, receive_buffer=4096)
    line.get()
    error = line.fails(WriteTimeout, method="POST", body=b"x" * 64 * 1024 * 1024, timeout=Timeout(write=0.3))
    assert error.phase == "write"
    assert line.session.pool.connections() == []


def test_a_window_that_stays_shut_is_a_write_time_out_of_its_stream(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 0})
        server.respond(server.expect_request())  # so that the client knows the window
        request = server.expect_request(whole=False)
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script)
    line.get()
    line.fails(WriteTimeout, method="POST", body=b"x", timeout=Timeout(write=0.1))
    assert line.body() == b"next"


@pytest.mark.parametrize("declared", ["3", "30"])
def test_a_body_of_another_length_than_declared_resets_its_stream(h2line: Callable, declared: str) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request(whole=False)
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script)
    headers = {"Content-Length": declared}
    line.fails(LocalProtocolError, method="POST", body=iter([b"12", b"34"]), headers=headers)
    assert line.body() == b"next"


def test_a_body_that_raises_resets_its_stream(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request(whole=False)
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        server.serve([b"next"])

    def broken() -> Iterator[bytes]:
        yield b"first"
        raise ZeroDivisionError("in the user's own code")

    line = h2line(script)
    line.fails(ZeroDivisionError, method="POST", body=broken())
    assert line.body() == b"next"
    assert line.session.pool.active == 0


def test_uploads_take_turns(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({WINDOW: 2**20})
        requests = [server.expect_request(whole=False) for _ in range(2)]
        server.open_window(0, 2**20)
        while not all(request.has_ended for request in requests):
            server.expect_frame()
        order = [frame.stream_id for frame in server.seen(frames.DataFrame)]
        # Each got its turn before the other was through.
        assert order.index(requests[1].stream_id) < len(order) - 1 - order[::-1].index(requests[0].stream_id)
        for request in requests:
            server.respond(request, 200, str(len(request.body)).encode())
        server.expect_close()

    line = h2line(script)
    answers = line.client.together([lambda session: session.post(line.url(), body=b"x" * 400_000)] * 2)
    assert [line.client.read(answer) for answer in answers] == [b"400000"] * 2
    assert line.server.connections == 1


def test_what_times_out_as_a_whole_says_so(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200), server.data(request, b"drip"))
        server.expect_close()

    error = h2line(script).fails(TimeoutException, timeout=Timeout(total=0.2))
    assert "total" in str(error)


def test_421_is_retried_once_on_a_connection_of_its_own(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        while True:
            request = server.expect_request()
            wanted = request[":path"] == "/never" or server.peer.index == 0
            server.respond(request, 421 if wanted else 200, request[":path"].encode())

    line = h2line(script)
    assert line.body("/moved") == b"/moved"
    assert line.server.connections == 2
    response = line.get("/never")
    assert response.status_code == 421
    assert line.server.connections == 3
