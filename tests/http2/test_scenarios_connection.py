"""The numbered scenarios of a connection's life: how it begins, what breaks it, how it ends (RFC 9113 §3-§6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hyperframe import frame as frames

from reqivo_core import Timeout
from reqivo_core.errors import (
    InvalidRequest,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    ServerDisconnected,
    StreamReset,
)
from reqivo_core.interfaces import Exchange
from reqivo_core.limits import DEFAULT_LIMITS
from reqivo_core.timeouts import Deadline
from reqivo_http2 import Http2Transport
from support import h2_peer
from support.h2_peer import H2Peer, raw, serving

GREETING = raw(4, 0, 0)
PATIENT = Timeout(timeout=5.0)


def test_s01_a_server_that_does_not_begin_with_settings_is_refused(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.expect_preface()
        request = server.expect_request()
        server.send_frame(server.head(request, 200, (), "END_STREAM"))
        server.expect_goaway(h2_peer.PROTOCOL_ERROR)
        server.expect_close()

    assert "did not begin with SETTINGS" in str(h2line(script).fails(RemoteProtocolError))


def test_s02_a_request_does_not_wait_for_the_servers_settings(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.acknowledges = False
        server.expect_preface()
        request = server.expect_request()  # before anything was said to the client
        server.send_settings({})
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)
        server.respond(request, 200, b"late")
        server.expect_close()

    assert h2line(script).body() == b"late"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"HTTP/1.0 2", b"\x15\x03\x01\0\x02\x02\x46"])
def test_s03_a_peer_that_speaks_something_else_is_recognised(h2line: Callable, answer: bytes) -> None:
    def script(server: H2Peer) -> None:
        server.expect_preface()
        server.peer.send(answer)
        server.expect_close()

    message = str(h2line(script).fails(RemoteProtocolError, timeout=20))
    assert "speaks HTTP/1" in message or "TLS alert" in message


def test_a_frame_as_large_as_we_offer_is_taken(h2line: Callable) -> None:
    octets = bytes(range(256)) * 256

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        assert server.settings[frames.SettingsFrame.MAX_FRAME_SIZE] == len(octets)
        server.send_frame(server.head(request, 200), server.data(request, octets, "END_STREAM"))
        server.expect_close()

    assert h2line(script).body() == octets


def test_s04_a_frame_is_judged_by_its_header(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200))
        server.peer.send(raw(0, 0, 1, length=65537))  # and no payload at all
        server.expect_goaway(h2_peer.FRAME_SIZE_ERROR)
        server.expect_close()

    assert "65537" in str(h2line(script).fails(RemoteProtocolError))


def test_s05_what_is_not_known_is_ignored(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({0xF0F0: 7, 0x10: 1})
        request = server.expect_request()
        head = server.head(request, 200).serialize()
        server.peer.send(
            raw(0xBE, 0xFF, 0, b"what?")
            + raw(0xA, 0, request.stream_id, b"altsvc")
            + head[:4]
            + bytes([head[4] | 0xC2])  # flags that HEADERS does not have
            + (1 << 31 | request.stream_id).to_bytes(4, "big")
            + head[9:]
            + raw(0, 0x1 | 0x80, request.stream_id, b"fine")
        )
        server.expect_close()

    assert h2line(script).body() == b"fine"


def test_s06_pings_are_answered_before_queued_data(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.INITIAL_WINDOW_SIZE: 10})
        server.respond(server.expect_request())  # so that the client knows the window
        request = server.expect_request(whole=False)
        server.expect(frames.DataFrame)
        server.send_frame(frames.PingFrame(0, b"unasked!", flags=["ACK"]), frames.PingFrame(0, b"question"))
        server.open_window(request.stream_id, 100)
        answer = server.expect(frames.PingFrame)
        assert answer.opaque_data == b"question"
        assert "ACK" in answer.flags
        assert len(server.seen(frames.DataFrame)) == 1
        while not request.has_ended:
            server.expect_frame()
        server.respond(request)
        server.expect_close()

    line = h2line(script)
    line.get()
    assert line.post(body=b"x" * 50).status_code == 200


def test_s07_an_acknowledgement_of_nothing_is_ignored(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(*[frames.SettingsFrame(0, flags=["ACK"])] * 2)
        server.respond(request, 200, b"fine")
        server.expect_close()

    assert h2line(script).body() == b"fine"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(raw(6, 0, 0, b"7 bytes"), h2_peer.FRAME_SIZE_ERROR, id="s06-ping-of-7"),
        pytest.param(raw(6, 0, 1, b"8 bytes!"), h2_peer.PROTOCOL_ERROR, id="s06-ping-on-stream"),
        pytest.param(raw(4, 1, 0, b"\0" * 6), h2_peer.FRAME_SIZE_ERROR, id="s07-ack-with-payload"),
        pytest.param(raw(4, 0, 0, b"\0" * 7), h2_peer.FRAME_SIZE_ERROR, id="s07-not-a-multiple"),
        pytest.param(raw(4, 0, 1), h2_peer.PROTOCOL_ERROR, id="s07-settings-on-stream"),
        pytest.param(raw(4, 0, 0, b"\0\x04\x80\0\0\0"), h2_peer.FLOW_CONTROL_ERROR, id="s08-window-2^31"),
        pytest.param(raw(4, 0, 0, b"\0\x05\0\0\0\0"), h2_peer.PROTOCOL_ERROR, id="s08-frame-size-0"),
        pytest.param(raw(4, 0, 0, b"\0\x05\0\0\x3f\xff"), h2_peer.PROTOCOL_ERROR, id="s08-frame-size-16383"),
        pytest.param(raw(4, 0, 0, b"\0\x05\x01\0\0\0"), h2_peer.PROTOCOL_ERROR, id="s08-frame-size-2^24"),
        pytest.param(raw(4, 0, 0, b"\0\x02\0\0\0\x01"), h2_peer.PROTOCOL_ERROR, id="s08-enable-push"),
        pytest.param(raw(4, 0, 0, b"\0\x08\0\0\0\x02"), h2_peer.PROTOCOL_ERROR, id="s08-connect-protocol-2"),
        pytest.param(raw(4, 0, 0, b"\xf0\xf0\0\0\0\x02" * 200), h2_peer.ENHANCE_YOUR_CALM, id="s08-200-settings"),
        pytest.param(raw(8, 0, 0, b"\0\0\0\0"), h2_peer.PROTOCOL_ERROR, id="s24-connection-by-0"),
        pytest.param(raw(8, 0, 0, b"\x7f\xff\xff\xff"), h2_peer.FLOW_CONTROL_ERROR, id="s24-connection-overflow"),
        pytest.param(raw(8, 0, 0, b"\0\0\x01"), h2_peer.FRAME_SIZE_ERROR, id="s24-window-update-of-3"),
        pytest.param(raw(8, 0, 99, b"\0\0\0\x01"), h2_peer.PROTOCOL_ERROR, id="s24-idle-stream"),
        pytest.param(raw(9, 4, 1, b""), h2_peer.PROTOCOL_ERROR, id="s31-lonely-continuation"),
        pytest.param(raw(1, 0, 1, b"\x88") + raw(6, 0, 0, b"8 bytes!"), h2_peer.PROTOCOL_ERROR, id="s31-interleaved"),
        pytest.param(raw(1, 0, 1, b"\x88") + raw(9, 0, 3, b""), h2_peer.PROTOCOL_ERROR, id="s31-other-stream"),
        pytest.param(raw(1, 0, 1, b"\x88") + raw(9, 0, 1) * 10_000, h2_peer.ENHANCE_YOUR_CALM, id="s31-flood"),
        pytest.param(raw(1, 4, 1, b"\x80"), h2_peer.COMPRESSION_ERROR, id="s33-index-0"),
        pytest.param(raw(1, 4, 1, b"\xff\x49"), h2_peer.COMPRESSION_ERROR, id="s33-index-200"),
        pytest.param(raw(1, 4, 1, b"\x88\0\x01x\x84\xff\xff\xff\xff"), h2_peer.COMPRESSION_ERROR, id="s33-huffman-eos"),
        pytest.param(raw(1, 4, 1, b"\x3f\xe2\x1f\x88"), h2_peer.COMPRESSION_ERROR, id="s33-table-4097"),
        pytest.param(raw(1, 4, 1, b"\x88\x20"), h2_peer.COMPRESSION_ERROR, id="s33-update-behind-field"),
        pytest.param(raw(1, 4, 1, b"\x88\0\x05ab"), h2_peer.COMPRESSION_ERROR, id="s33-cut-off"),
        pytest.param(raw(0, 0, 99, b"x"), h2_peer.PROTOCOL_ERROR, id="s40-data-on-idle"),
        pytest.param(raw(1, 4, 2, b"\x88"), h2_peer.PROTOCOL_ERROR, id="s40-headers-on-even"),
        pytest.param(raw(1, 4, 5, b"\x88"), h2_peer.PROTOCOL_ERROR, id="s41-headers-on-unopened"),
        pytest.param(raw(1, 4, 0, b"\x88"), h2_peer.PROTOCOL_ERROR, id="headers-on-0"),
        pytest.param(raw(0, 0, 0, b"x"), h2_peer.PROTOCOL_ERROR, id="data-on-0"),
        pytest.param(raw(1, 4 | 8, 1, b"\x05\x88"), h2_peer.PROTOCOL_ERROR, id="s28-headers-overpadded"),
        pytest.param(raw(1, 4 | 0x20, 1, b"\0\0"), h2_peer.FRAME_SIZE_ERROR, id="headers-short-priority"),
        pytest.param(raw(2, 0, 1, b"\0"), h2_peer.FRAME_SIZE_ERROR, id="priority-of-1"),
        pytest.param(raw(3, 0, 1, b"\0"), h2_peer.FRAME_SIZE_ERROR, id="reset-of-1"),
        pytest.param(raw(3, 0, 9, b"\0\0\0\0"), h2_peer.PROTOCOL_ERROR, id="reset-of-idle"),
        pytest.param(raw(7, 0, 1, b"\0" * 8), h2_peer.PROTOCOL_ERROR, id="goaway-on-stream"),
        pytest.param(raw(7, 0, 0, b"\0" * 7), h2_peer.FRAME_SIZE_ERROR, id="goaway-of-7"),
        pytest.param(raw(5, 4, 1, b"\0\0\0\x02\x82"), h2_peer.PROTOCOL_ERROR, id="s44-push-while-off"),
        pytest.param(raw(6, 0, 0, b"8 bytes!") * 10_000, h2_peer.ENHANCE_YOUR_CALM, id="s42-pings"),
        pytest.param(raw(4, 0, 0) * 10_000, h2_peer.ENHANCE_YOUR_CALM, id="s42-settings"),
        pytest.param(raw(8, 0, 0, b"\0\0\0\x01") * 10_000, h2_peer.ENHANCE_YOUR_CALM, id="s42-window-updates"),
        pytest.param(raw(2, 0, 1, b"\0" * 5) * 10_000, h2_peer.ENHANCE_YOUR_CALM, id="s42-priorities"),
        pytest.param(raw(0xAB, 0, 0) * 10_000, h2_peer.ENHANCE_YOUR_CALM, id="s42-unknown"),
        pytest.param(raw(1, 4, 1, b"\x88") + raw(0, 0, 1) * 10_000, h2_peer.ENHANCE_YOUR_CALM, id="s42-empty-data"),
        pytest.param(raw(3, 0, 1, b"\0\0\0\x08") * 10_000, h2_peer.ENHANCE_YOUR_CALM, id="s42-resets-of-what-is-over"),
    ],
)
def test_s06_s44_violations_end_the_connection_with_the_right_code(h2line: Callable, sent: bytes, code: int) -> None:
    codes = []

    def script(server: H2Peer) -> None:
        server.greet()
        server.expect_request()
        server.peer.send(sent)
        codes.append(server.expect(frames.GoAwayFrame).error_code)
        server.expect_close()

    line = h2line(script)
    line.fails(RequestError)
    line.server.wait_for_closed(1)
    assert codes == [code]
    assert line.session.pool.connections() == []


def test_s09_more_requests_than_a_connection_takes_open_another(h2line: Callable) -> None:
    def others(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 1})
        server.serve()  # two may come before the client has seen the limit

    line = h2line(_one_at_a_time, others)
    assert line.body() == b"/"
    assert [line.client.read(response) for response in line.together("/a", "/b", "/c")] == [b"/a", b"/b", b"/c"]
    assert line.server.connections <= 3


def _one_at_a_time(server: H2Peer) -> None:
    """Take one request at a time, and see that no other comes before it has been answered."""
    server.greet({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 1})
    while True:
        request = server.expect_request()
        server.send_frame(frames.PingFrame(0, b"any more"))
        server.expect(frames.PingFrame)
        assert not server.waiting
        server.respond(request, 200, request[":path"].encode())


def test_s09_with_one_connection_they_queue(h2line: Callable) -> None:
    line = h2line(_one_at_a_time, limits={"max_connections": 1})
    assert line.body("/0") == b"/0"
    paths = [f"/{number}" for number in range(10)]
    assert [line.client.read(response) for response in line.together(*paths)] == [path.encode() for path in paths]
    assert line.server.connections == 1


def test_s10_no_streams_at_all_is_a_pause(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 0})
        server.reset(server.expect_request(), h2_peer.REFUSED_STREAM)
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)
        server.send_settings({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 10})
        server.serve()

    line = h2line(script)
    assert line.client.read(line.post("/paused", body=b"again")) == b"/paused"
    assert line.server.connections == 1


def test_s10_no_streams_for_too_long_is_a_time_out(h2line: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    await_room = Http2Transport._await_room

    async def hurried(self: Http2Transport, exchange: Exchange) -> None:
        """Only this wait is short: the server's refusal has all the time that it takes."""
        runtime = self._wire.runtime
        await await_room(self, Exchange(runtime, Deadline(Timeout(read=0.05), runtime.now), DEFAULT_LIMITS))

    monkeypatch.setattr(Http2Transport, "_await_room", hurried)

    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 0})
        server.reset(server.expect_request(), h2_peer.REFUSED_STREAM)
        server.expect_close()

    assert "took no requests" in str(h2line(script).fails(ReadTimeout))


@pytest.mark.parametrize("why", ["paused", "cancelled"])
def test_s10_a_connection_that_takes_nothing_is_replaced(h2line: Callable, why: str) -> None:
    """Also where there may be no second one: nobody reads from it, so nobody would learn of a change."""

    def first(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 1})
        request = server.expect_request()
        if why == "paused":
            server.send_settings({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 0})
        server.respond(request)
        server.acknowledges = False
        server.expect_close()

    def second(server: H2Peer) -> None:
        server.greet()
        server.serve([b"next"])

    line = h2line(first, second, limits={"max_connections_per_host": 1})
    line.get()
    if why == "cancelled":
        line.fails(ReadTimeout, timeout=Timeout(read=0.1))
    assert line.body() == b"next"
    assert line.server.connections == 2


def test_s10_a_lower_limit_lets_open_streams_end(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 10})
        server.respond(server.expect_request(), 200, b"first")
        requests = [server.expect_request() for _ in range(3)]
        server.send_settings({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 1})
        for request in requests:
            server.respond(request, 200, request[":path"].encode())
        server.serve()

    line = h2line(script, limits={"max_connections": 1})
    assert line.body() == b"first"
    assert sorted(line.client.read(response) for response in line.together("/a", "/b", "/c")) == [b"/a", b"/b", b"/c"]
    assert line.connection["max_concurrent_streams"] == 1
    assert line.body("/d") == b"/d"


def test_s11_a_server_that_names_no_limit_gets_more_than_a_hundred(h2line: Callable) -> None:
    enough = 120

    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        requests = [server.expect_request() for _ in range(enough)]
        for request in requests:
            server.respond(request, 200, request[":path"].encode())
        server.expect_close()

    line = h2line(script)
    line.get()
    paths = [f"/{number}" for number in range(enough)]
    assert [line.client.read(response) for response in line.together(*paths)] == [path.encode() for path in paths]
    assert line.server.connections == 1


def test_s11_the_fourth_of_three_waits_for_an_end(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.MAX_CONCURRENT_STREAMS: 3})
        server.respond(server.expect_request())
        three = [server.expect_request() for _ in range(3)]
        server.send_frame(frames.PingFrame(0, b"a fourth"))
        server.expect(frames.PingFrame)
        assert not server.waiting
        for request in three:
            server.respond(request, 200, request[":path"].encode())
        server.serve()

    line = h2line(script, limits={"max_connections": 1})
    line.get()
    paths = ["/a", "/b", "/c", "/d"]
    assert [line.client.read(response) for response in line.together(*paths)] == [b"/a", b"/b", b"/c", b"/d"]
    assert line.server.connections == 1


def test_s12_goaway_lets_processed_requests_end_and_sends_others_again(h2line: Callable) -> None:
    def first(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        kept, lost = server.expect_request(), server.expect_request()
        server.goaway(kept.stream_id)
        server.respond(kept, 200, kept[":path"].encode())
        assert lost[":method"] == "POST"
        server.expect_close()

    def second(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.respond(request, 200, request.body)
        server.expect_close()

    line = h2line(first, second)
    assert line.body() == b"warm"
    answers = line.client.together(
        [lambda s: s.post(line.url("/x"), body=b"same"), lambda s: s.post(line.url("/x"), body=b"same")]
    )
    assert sorted(line.client.read(answer) for answer in answers) == [b"/x", b"same"]
    assert line.server.connections == 2


def test_s13_a_graceful_goaway_comes_in_two_steps(h2line: Callable) -> None:
    def first(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        kept, _ = server.expect_request(), server.expect_request()
        server.goaway(2**31 - 1)
        server.goaway(kept.stream_id)
        server.respond(kept, 200, b"first")
        server.expect_close()

    def second(server: H2Peer) -> None:
        server.greet()
        server.serve([b"second", b"third"])

    line = h2line(first, second)
    line.get()
    assert sorted(line.client.read(answer) for answer in line.together("/a", "/a")) == [b"first", b"second"]
    assert line.body() == b"third"


def test_s14_a_connection_refused_from_its_first_request_on_is_no_use_to_retry(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.expect_request()
        server.goaway(0, h2_peer.ENHANCE_YOUR_CALM, b"too_many_pings")
        server.expect_close()

    line = h2line(script)
    error = line.fails(StreamReset)
    assert error.code == h2_peer.ENHANCE_YOUR_CALM
    assert "too_many_pings" in str(error)
    assert "ENHANCE_YOUR_CALM" in str(error)
    assert line.server.connections == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_s15_an_end_behind_goaway_is_told_as_goaway(h2line: Callable, method: str) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        request = server.expect_request()
        server.goaway(request.stream_id, h2_peer.NO_ERROR, b"bye")

    def second(server: H2Peer) -> None:
        server.greet()
        server.serve([b"again"])

    line = h2line(script, second)
    line.get()
    if method == "POST":
        error = line.fails(ServerDisconnected, method="POST", body=b"once")
        assert "GOAWAY NO_ERROR, saying 'bye'" in str(error)
        assert line.server.connections == 1
    else:
        assert line.body() == b"again"


@pytest.mark.parametrize("farewell", [b"", raw(7, 0, 0, b"\0\0\0\x01\0\0\0\0")], ids=["eof", "goaway"])
def test_s16_what_ended_while_idle_is_not_used_again(h2line: Callable, farewell: bytes) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"first")
        if farewell:
            server.peer.send(farewell)
        else:
            server.peer.fin()

    line = h2line(script, serving)
    assert line.body() == b"first"
    line.await_arrival()
    assert line.client.read(line.post("/second", body=b"x")) == b"/second"


def test_s17_a_refused_request_is_sent_again(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        first = server.expect_request()
        server.reset(first, h2_peer.REFUSED_STREAM)
        second = server.expect_request()
        assert (second.headers, second.body) == (first.headers, first.body)
        server.respond(second, 200, b"now")
        server.expect_close()

    line = h2line(script)
    assert line.client.read(line.post(body=b"same octets")) == b"now"
    assert line.server.connections == 1


def test_s17_but_not_for_ever(h2line: Callable) -> None:
    refused = []

    def script(server: H2Peer) -> None:
        server.greet()
        while True:
            request = server.expect_request()
            refused.append(request)
            server.reset(request, h2_peer.REFUSED_STREAM)

    error = h2line(script).fails(StreamReset)
    assert error.code == h2_peer.REFUSED_STREAM
    assert 1 < len(refused) <= 6


def test_s17_a_body_that_is_used_up_cannot_be_sent_again(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.reset(server.expect_request(), h2_peer.REFUSED_STREAM)
        server.expect_close()

    error = h2line(script).fails(StreamReset, method="POST", body=iter([b"once"]))
    assert "REFUSED_STREAM" in str(error)
    assert "its body can be read only once" in str(error)


@pytest.mark.parametrize("code", [h2_peer.CANCEL, h2_peer.INTERNAL_ERROR, h2_peer.PROTOCOL_ERROR])
def test_s18_a_reset_without_proof_is_an_error(h2line: Callable, code: int) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.reset(server.expect_request(), code)
        server.serve([b"next"])

    def second(server: H2Peer) -> None:
        server.greet()
        server.serve([b"other"])

    line = h2line(script, second)
    error = line.fails(StreamReset, method="POST", body=b"once")
    assert error.code == code
    assert not error.unprocessed
    assert line.body() == (b"other" if code == h2_peer.PROTOCOL_ERROR else b"next")


@pytest.mark.parametrize("how", ["reset", h2_peer.HTTP_1_1_REQUIRED, h2_peer.INADEQUATE_SECURITY])
def test_s19_a_server_that_wants_http11_gets_it(
    serve: Callable, world: object, authority: object, codec: str, how: str | int
) -> None:
    pytest.importorskip("reqivo_http11", reason="this distribution is tested alone here")
    from support.scripted import Peer
    from support.world import World

    assert isinstance(world, World)
    protocols = []

    def script(peer: Peer) -> None:
        protocols.append(peer.alpn)
        if peer.alpn == "h2":
            server = H2Peer(peer)
            server.greet()
            request = server.expect_request()
            if isinstance(how, int):
                server.goaway(0, how)
            else:
                server.reset(request, h2_peer.HTTP_1_1_REQUIRED)
            server.expect_close()
        else:
            peer.expect_request()
            peer.respond(200, b"one")
            peer.expect_request()
            peer.respond(200, b"two")
            peer.expect_close()

    context = authority.server_context(alpn=["h2", "http/1.1"])  # type: ignore[attr-defined]
    server = serve(script, tls=context)
    with world.client(verify=authority.client_context()) as client:  # type: ignore[attr-defined]
        assert client.read(client.get(server.url("/"))) == b"one"
        assert client.read(client.get(server.url("/"))) == b"two"
    assert protocols == ["h2", "http/1.1"]


def test_s29_a_request_cancelled_unanswered_keeps_its_slot_until_a_sign_of_life(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.acknowledges = False
        server.greet()
        server.respond(server.expect_request())  # so that the client knows the limit
        request = server.expect_request()
        server.expect_reset(request.stream_id, h2_peer.CANCEL)
        ping = server.expect(frames.PingFrame)
        second = server.expect_request()
        assert seen_capacity[0] == 999
        server.send_frame(frames.SettingsFrame(0, flags=["ACK"]), frames.PingFrame(0, ping.opaque_data, flags=["ACK"]))
        server.respond(second, 200, b"alive")
        server.expect_close()

    seen_capacity: list[int] = []
    line = h2line(script)
    line.get()
    line.fails(ReadTimeout, timeout=Timeout(read=0.05))
    seen_capacity.append(line.connection["capacity"])
    assert line.body() == b"alive"
    assert line.connection["capacity"] == 1000


def test_s29_a_dead_server_is_left(h2line: Callable, patience: Callable) -> None:
    patience(ping_timeout=0.15)

    def dead(server: H2Peer) -> None:
        server.greet()
        server.expect_request()
        server.acknowledges = False
        server.expect_close()

    line = h2line(dead, serving)
    line.fails(ReadTimeout, timeout=Timeout(read=0.1))
    assert line.body("/second") == b"/second"
    assert line.server.connections == 2


def test_s30_silence_is_asked_about(h2line: Callable, patience: Callable) -> None:
    patience(ping_interval=0.05, ping_timeout=8.0)

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.expect(frames.PingFrame)
        server.expect(frames.PingFrame)  # the first was answered, so the connection stayed
        server.respond(request, 200, b"at last")
        server.expect_close()

    assert h2line(script).body() == b"at last"


def test_s30_and_a_dead_peer_given_up(h2line: Callable, patience: Callable) -> None:
    patience(ping_interval=0.05, ping_timeout=0.1)

    def script(server: H2Peer) -> None:
        server.greet()
        server.expect_request()
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)
        server.acknowledges = False
        server.expect_close()

    line = h2line(script)
    assert "connection lost" in str(line.fails(ServerDisconnected, timeout=5))
    assert line.session.pool.connections() == []


def test_s30_who_asks_too_often_asks_half_as_often(h2line: Callable, patience: Callable) -> None:
    patience(ping_interval=0.02)

    def calm(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"warm")
        kept, _ = server.expect_request(), server.expect_request()
        server.expect(frames.PingFrame)
        server.goaway(kept.stream_id, h2_peer.ENHANCE_YOUR_CALM, b"too_many_pings")
        server.respond(kept, 200, kept[":path"].encode())
        server.expect_close()

    line = h2line(calm, serving)
    assert line.body() == b"warm"
    assert [line.client.read(answer) for answer in line.together("/a", "/b")] == [b"/a", b"/b"]
    assert line.server.connections == 2
    assert line.transport._state.eagerness.pause == 2  # for the new connection too


def test_a_connection_that_is_gone_is_not_pinged(h2line: Callable) -> None:
    line = h2line(serving)
    line.get()
    transport = line.transport
    runtime = transport._wire.runtime
    transport.close()

    async def ping() -> float:
        took: float = await transport.ping(Exchange(runtime, Deadline(PATIENT, runtime.now), DEFAULT_LIMITS))
        return took

    with pytest.raises(ServerDisconnected, match="closed on this side"):
        line.drive(ping())


def test_settings_that_are_never_acknowledged_end_the_connection(h2line: Callable, patience: Callable) -> None:
    patience(settings_timeout=0.1)

    def script(server: H2Peer) -> None:
        server.acknowledges = False
        server.greet()
        server.expect_request()
        server.expect_goaway(h2_peer.SETTINGS_TIMEOUT)
        server.expect_close()

    assert "did not acknowledge our SETTINGS" in str(h2line(script).fails(RemoteProtocolError))


def test_s43_the_encoders_table_stays_small(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.HEADER_TABLE_SIZE: 2**31 - 1})
        for _ in range(30):
            server.respond(server.expect_request())
        assert server.decoder.header_table_size <= 4096
        server.send_settings({frames.SettingsFrame.HEADER_TABLE_SIZE: 0})
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)
        for _ in range(3):
            server.respond(server.expect_request())
        assert server.decoder.header_table_size == 0
        assert not server.decoder.header_table.dynamic_entries
        server.expect_close()

    line = h2line(script)
    for number in range(33):
        line.get(f"/{number}", headers={f"x-{number}": "v" * 300})
    line.client.call(lambda session: session.close())
    line.server.wait_for_closed(1)
    assert not line.server.errors


def test_s43_a_table_that_was_smaller_for_a_moment_is_empty(h2line: Callable) -> None:
    sizes = (0).to_bytes(4, "big"), (4096).to_bytes(4, "big")

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.peer.send(raw(4, 0, 0, b"".join(b"\0\x01" + size for size in sizes)))
        server.respond(request)
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)  # of the first ones
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)
        server.decoder.header_table_size = 0  # which forgets all
        server.decoder.header_table_size = 4096
        server.respond(server.expect_request(), 200, b"next")
        block = next(frame.data for frame in reversed(server.frames) if isinstance(frame, frames.HeadersFrame))
        assert block[:4] == b"\x20\x3f\xe1\x1f"  # the size is 0, then 4096
        server.expect_close()

    line = h2line(script)
    line.get(headers={"x-learnt": "a"})
    assert line.body(headers={"x-learnt": "a"}) == b"next"


def test_s51_running_out_of_stream_ids_is_invisible(h2line: Callable, patience: Callable) -> None:
    patience(first_stream_id=2**31 - 3)

    line = h2line(serving)
    assert [line.body(f"/{number}") for number in range(3)] == [b"/0", b"/1", b"/2"]
    assert line.server.connections == 2


def test_a_head_larger_than_the_server_takes_is_not_sent(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet({frames.SettingsFrame.MAX_HEADER_LIST_SIZE: 500})
        server.serve()

    line = h2line(script)
    assert line.body("/a") == b"/a"
    assert "the server takes 500" in str(line.fails(InvalidRequest, headers={"x": "y" * 500}))
    assert line.body("/b") == b"/b"
    assert line.server.connections == 1


def test_closing_says_goodbye(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        server.expect_goaway(h2_peer.NO_ERROR)
        server.expect_close()

    line = h2line(script)
    line.get()
    line.client.call(lambda session: session.close())
    line.server.wait_for_closed(1)
    assert not line.server.errors


def test_a_connection_that_is_reset_while_idle_is_not_used_again(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request(), 200, b"first")
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)
        server.peer.rst()

    line = h2line(script, serving)
    assert line.body() == b"first"
    line.await_arrival()
    assert line.client.read(line.post("/second", body=b"x")) == b"/second"
    assert line.server.connections == 2


def test_a_ping_that_is_not_answered(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.respond(server.expect_request())
        server.expect(frames.SettingsFrame, lambda frame: "ACK" in frame.flags)
        server.acknowledges = False
        server.expect(frames.PingFrame)
        server.expect(frames.PingFrame)

    line = h2line(script)
    line.get()
    with pytest.raises(ReadTimeout, match="did not answer a PING"):
        line.client.call(lambda session: session.ping(line.url(), timeout=Timeout(read=0.1)))
    with pytest.raises(ServerDisconnected):  # the server leaves instead of answering
        line.client.call(lambda session: session.ping(line.url(), timeout=5))
    assert line.session.pool.connections() == []


def test_an_upgrade_meets_a_server_that_leaves(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.expect_preface()

    line = h2line(script)
    line.fails(ServerDisconnected, extensions={"upgrade": "websocket"})
    assert line.session.pool.connections() == []
