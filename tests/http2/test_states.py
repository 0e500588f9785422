"""The pure parts, one by one: frames, windows, the queue of what is sent, fields, pings."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from reqivo_core.content import to_content
from reqivo_core.errors import (
    InvalidRequest,
    RemoteProtocolError,
    ServerDisconnected,
    StreamReset,
    WriteError,
    WriteTimeout,
)
from reqivo_core.headers import Headers
from reqivo_core.limits import DEFAULT_LIMITS
from reqivo_core.messages import Request
from reqivo_core.urls import URL
from reqivo_http2 import frames
from reqivo_http2.codec import load_codec
from reqivo_http2.connection_state import ConnectionState
from reqivo_http2.faults import ConnectionFault, StreamFault, disconnected, reset
from reqivo_http2.flow_control import (
    LARGEST_TUNED_WINDOW,
    AutoTuningFlowControlManager,
    BandwidthDelayEstimator,
    BaseFlowControlManager,
    FixedFlowControlManager,
)
from reqivo_http2.frames import FrameReader
from reqivo_http2.outgoing import Outgoing
from reqivo_http2.pings import Complaints, Pings
from reqivo_http2.receiving import Receiver
from reqivo_http2.request_fields import build_head
from reqivo_http2.response_fields import check_fields, take_status
from reqivo_http2.streams import Stream
from reqivo_http2.writing import broken_by

GREETING = frames.settings({})


# Frames.


@pytest.mark.parametrize("size", [1, 5, 9, 1000])
def test_frames_are_cut_whatever_the_pieces(size: int) -> None:
    sent = GREETING + frames.frame(6, 0, 0, b"8 octets") + frames.frame(0, 1, 3, b"x" * 100) + frames.frame(0, 0, 5)
    reader = FrameReader()
    found = [frame for start in range(0, len(sent), size) for frame in reader.receive(sent[start : start + size])]
    assert found == [(4, 0, 0, b""), (6, 0, 0, b"8 octets"), (0, 1, 3, b"x" * 100), (0, 0, 5, b"")]
    assert not reader.has_rest


def test_frames_before_a_bad_one_are_given_first() -> None:
    reader = FrameReader()
    found = []
    with pytest.raises(ConnectionFault, match="65537"):
        for frame in reader.receive(GREETING + frames.frame(6, 0, 0, b"8 octets") + b"\x01\0\x01\0\0\0\0\0\x01"):
            found.append(frame[0])  # noqa: PERF401  # extend would lose what came before the error
    assert found == [4, 6]


@pytest.mark.parametrize("octets", [b"HTTP/", b"\x15\x03", b"\0\0\x04\x08\0\0\0\0\0", b"\0\0\0\x04\x01\0\0\0\0"])
def test_what_is_not_http2_is_recognised_within_nine_octets(octets: bytes) -> None:
    with pytest.raises(ConnectionFault):
        list(FrameReader().receive(octets))


def test_long_header_blocks_are_cut() -> None:
    block = b"x" * 35
    (first, *others) = all_frames(frames.header_frames(7, block, frames.END_STREAM, 10))
    assert first == (frames.HEADERS, frames.END_STREAM, 7, b"x" * 10)
    assert [frame[1] for frame in others] == [0, 0, frames.END_HEADERS]
    assert b"".join(frame[3] for frame in (first, *others)) == block


def all_frames(data: bytes) -> list[frames.Frame]:
    reader = FrameReader()
    list(reader.receive(GREETING))
    return list(reader.receive(data))


# Windows.


def test_the_fixed_manager_grants_in_halves() -> None:
    manager = FixedFlowControlManager(100)
    assert [manager.used(20) for _ in range(6)] == [0, 0, 60, 0, 0, 60]
    assert manager.waits() == 0


def test_the_tuning_manager_grows_and_spares_the_end() -> None:
    manager = AutoTuningFlowControlManager(100_000)
    manager.document_size = 160_000
    assert manager.used(40_000) == 0
    assert manager.used(20_000) == 60_000
    assert manager.used(60_000) == 0  # 40 000 are still to come, and may
    manager.tune(300_000)
    assert manager.waits() == 260_000
    manager.tune(10**9)
    assert manager.waits() == LARGEST_TUNED_WINDOW - 300_000
    manager.tune(5)
    assert manager.waits() == 0


def test_no_manager_can_grant_more_than_there_is() -> None:
    class Greedy(BaseFlowControlManager):
        def increase_window_size(self, frame_size: int) -> int:
            return 2**40

    assert Greedy(1000).used(10) == frames.LARGEST_WINDOW - 990


def test_the_estimator_grows_while_the_bandwidth_does() -> None:
    estimator = BandwidthDelayEstimator(100_000)
    now, products = 0.0, []
    while estimator.product < LARGEST_TUNED_WINDOW:
        assert not estimator.receive(10, now)
        assert estimator.receive(estimator.product // 4, now)
        assert not estimator.receive(estimator.product, now)
        now += 0.01
        estimator.acknowledge(now)
        products.append(estimator.product)
        now += 0.001
    assert products[0] > 200_000
    assert products == sorted(products)
    assert products[-1] == LARGEST_TUNED_WINDOW
    assert estimator.round_trip == pytest.approx(0.01)
    assert not estimator.acknowledge(now)


def test_the_estimator_asks_less_often_once_nothing_changes() -> None:
    estimator = BandwidthDelayEstimator(100_000)
    asked, now = 0, 0.0
    for _ in range(1000):
        now += 0.01
        if estimator.receive(20_000, now):
            asked += 1
            assert not estimator.acknowledge(now + 0.005)
    assert 3 < asked < 20


# The queue.


def queued(*sizes: int, window: int = 65535) -> tuple[Outgoing, list[Stream]]:
    """A queue with streams that have so much pending."""
    outgoing = Outgoing(lambda stream: setattr(stream, "is_local_closed", True))
    outgoing.window = window
    streams = []
    for number, size in enumerate(sizes):
        stream = Stream(2 * number + 1, DEFAULT_LIMITS, FixedFlowControlManager(10), send_window=65535)
        stream.pending, stream.ends_with_pending = memoryview(b"x" * size), True
        outgoing.refresh(stream)
        streams.append(stream)
    return outgoing, streams


def sent(outgoing: Outgoing) -> list[tuple[int, int, int]]:
    """What leaves: stream, size, flags."""
    return [(frame[2], len(frame[3]), frame[1]) for frame in all_frames(outgoing.take())]


def test_streams_take_turns_and_control_goes_first() -> None:
    outgoing, _ = queued(40_000, 20_000)
    outgoing.add(frames.frame(6, 0, 0, b"8 octets"))
    assert sent(outgoing) == [
        (0, 8, 0),
        (1, 16384, 0),
        (3, 16384, 0),
        (1, 16384, 0),
        (3, 3616, 1),
        (1, 7232, 1),
    ]
    assert not outgoing.take()


def test_an_end_needs_no_window() -> None:
    outgoing, (stuck, ending) = queued(100, 0, window=0)
    assert outgoing.may_send(ending)
    assert not outgoing.may_send(stuck)
    assert sent(outgoing) == [(3, 0, 1)]
    outgoing.open_window(60)
    assert sent(outgoing) == [(1, 60, 0)]
    assert sent(outgoing) == []
    outgoing.forget(stuck)
    outgoing.open_window(100)
    assert not outgoing.may_send(stuck)


def test_answers_that_nobody_reads_have_an_end() -> None:
    outgoing, _ = queued()
    with pytest.raises(ConnectionFault, match="wait for the server to read them"):
        for _ in range(100_000):
            outgoing.answer(frames.frame(6, 1, 0, b"8 octets"))


# Requests.


def test_fields_of_a_request() -> None:
    request = Request(
        "POST",
        "https://example.org/path?q=1",
        headers=[
            ("Host", "other.example"),
            ("Connection", "keep-alive"),
            ("Keep-Alive", "5"),
            ("Transfer-Encoding", "chunked"),
            ("TE", "gzip"),
            ("Cookie", "a=1; session=0123456789012345678901234567890"),
            ("X-Name", "Value"),
            ("Authorization", "Basic c2VjcmV0"),
        ],
        content=to_content(b"12345"),
    )
    assert build_head(request).fields == [
        (b":method", b"POST", False),
        (b":scheme", b"https", False),
        (b":authority", b"other.example", False),
        (b":path", b"/path?q=1", True),
        (b"cookie", b"a=1", True),
        (b"cookie", b"session=0123456789012345678901234567890", False),
        (b"x-name", b"Value", False),
        (b"authorization", b"Basic c2VjcmV0", True),
        (b"content-length", b"5", False),
    ]
    assert build_head(request).fields == build_head(request).fields


def test_websocket_schemes_are_http_to_a_server() -> None:
    request = Request("GET", "wss://example.org/", extensions={"upgrade": "websocket"})
    head = build_head(request)
    assert head.is_tunnel
    assert (b":scheme", b"https", False) in head.fields


def test_targets_of_ones_own() -> None:
    head = build_head(Request("OPTIONS", "https://example.org/", extensions={"target": b"*"}))
    assert (b":path", b"*", False) in head.fields
    head = build_head(Request("CONNECT", "https://[::1]:8080/"))
    assert head.fields[1] == (b":authority", b"[::1]:8080", False)
    with pytest.raises(InvalidRequest, match="visible ASCII"):
        build_head(Request("GET", "https://example.org/", extensions={"target": "/a b"}))


@pytest.mark.parametrize(
    ("method", "headers", "body"),
    [
        ("POST", [("Content-Length", "3"), ("Content-Length", "3")], b"abc"),
        ("POST", [("Content-Length", "x")], b"abc"),
        ("POST", [("Content-Length", "4")], b"abc"),
        ("GET", [("Host", "a.example"), ("Host", "a.example")], b""),
        ("GET", [("Host", "m\xfcller.example")], b""),
        ("GET", [("Host", "")], b""),
        ("GET", [("Host", "user@a.example")], b""),
        ("GET", [("Host", "a.example /")], b""),
        ("TRACE", [], b"abc"),
        ("CONNECT", [], b"abc"),
    ],
)
def test_requests_that_contradict_themselves(method: str, headers: list[tuple[str, str]], body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        build_head(Request(method, "https://example.org/", headers=headers, content=to_content(body)))


@pytest.mark.parametrize("line", [(b"x", b"a\r\nb"), (b"x", b"\0"), (b"\xff", b"x"), (b"a b", b"x"), (b"", b"x")])
def test_the_last_door_for_what_came_round_the_check_of_headers(line: tuple[bytes, bytes]) -> None:
    headers = Headers.from_raw([line])
    with pytest.raises(InvalidRequest):
        build_head(Request("GET", "https://example.org/", headers=headers))


def test_trailers_that_must_not_stand_there() -> None:
    with pytest.raises(InvalidRequest, match="content-length"):
        build_head(Request("POST", "https://e.org/", extensions={"trailers": {"Content-Length": "1"}}))


# Responses.


def test_fields_are_counted() -> None:
    with pytest.raises(StreamFault, match="field lines"):
        check_fields([(b"x", b"")] * 11, 10_000, 10, "response")
    with pytest.raises(StreamFault, match="octets"):
        check_fields([(b"x", b"y" * 1000)], 1000, 10, "response")
    with pytest.raises(StreamFault, match="control character"):
        check_fields([(b"x" * 70, b"a\nb")], 1000, 10, "response")
    check_fields([], 0, 0, "response")
    assert take_status([(b":status", b"204")]) == 204


def test_small_pieces_are_put_together() -> None:
    stream = Stream(1, DEFAULT_LIMITS, FixedFlowControlManager(10), send_window=0)
    stream.receive_headers([(b":status", b"200")], False)
    for _ in range(1000):
        stream.receive_data(b"x", False)
        stream.settle()
    assert len(stream._chunks) < 300
    assert stream.take() == b"x" * 1000
    stream.put_back(b"y")
    assert (stream.buffered, stream.take()) == (1, b"y")


# A connection's state.


def state() -> tuple[ConnectionState, Receiver]:
    """A connection that has met its server."""
    made = ConnectionState(load_codec("h2")(100_000), DEFAULT_LIMITS, 0.0)
    receiver = Receiver(made)
    receiver.receive(frames.settings({}), 0.0)
    made.outgoing.take()
    return made, receiver


def opened(connection: ConnectionState, data: bytes | None = b"") -> Stream:
    return connection.open(
        build_head(Request("POST", "https://example.org/", content=to_content(data or b""))),
        DEFAULT_LIMITS,
        is_head=False,
        data=data,
    )


def test_an_upload_makes_up_for_many_window_updates() -> None:
    connection, receiver = state()
    stream = opened(connection, b"x" * 100)
    for _ in range(3):
        receiver.receive(frames.window_update(stream.id, 1) * 900, 0.0)
        connection.send(stream, b"x", ends=False)
        connection.outgoing.take()
    assert connection.failure is None
    receiver.receive(frames.window_update(stream.id, 1) * 2100, 0.0)
    assert connection.failure is not None
    assert "bring no response forward" in connection.failure.message


def test_windows_that_settings_open_too_far() -> None:
    connection, receiver = state()
    stream = opened(connection, b"x" * 100)
    receiver.receive(frames.window_update(stream.id, 2**31 - 1 - 65535), 0.0)
    receiver.receive(frames.settings({4: 2**31 - 1}), 0.0)
    assert connection.failure is not None
    assert connection.failure.code == ErrorCodes.FLOW_CONTROL_ERROR


def test_the_connections_window_is_watched() -> None:
    connection, receiver = state()
    connection.receive_window = 10
    opened(connection)
    receiver.receive(frames.frame(frames.DATA, 0, 1, b"x" * 11), 0.0)
    assert connection.failure is not None
    assert "the connection's window" in connection.failure.message
    receiver.receive(b"anything", 0.0)  # is ignored from now on
    with pytest.raises(RemoteProtocolError) as caught:
        opened(connection)
    assert caught.value.unprocessed


def test_a_full_connection_says_so() -> None:
    connection, receiver = state()
    receiver.receive(frames.settings({3: 1}), 0.0)
    opened(connection)
    with pytest.raises(StreamReset, match="1 requests at once") as caught:
        opened(connection)
    assert caught.value.unprocessed


def test_goaway_keeps_the_first_reason_that_is_one() -> None:
    connection, receiver = state()
    for code, debug in ((0, b"first"), (2, b"second"), (3, b"third")):
        receiver.receive(frames.frame(frames.GOAWAY, 0, 0, b"\0\0\0\0" + code.to_bytes(4, "big") + debug), 0.0)
    assert connection.farewell is not None
    assert "INTERNAL_ERROR" in connection.farewell
    assert "second" in connection.farewell
    connection.break_off(ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "and then this"))
    assert connection.failure is not None
    assert "before that" in connection.failure.message
    with pytest.raises(RemoteProtocolError):
        opened(connection)


def test_a_draining_connection_says_why() -> None:
    connection, receiver = state()
    receiver.receive(frames.goaway(0, 0), 0.0)
    with pytest.raises(ServerDisconnected, match="GOAWAY NO_ERROR"):
        opened(connection)


def test_failures_make_errors_anew() -> None:
    failure = reset(ErrorCodes.REFUSED_STREAM)
    assert failure.error() is not failure.error()
    assert failure.error().unprocessed
    told = disconnected("gone").body_error(3, None)
    assert "after 3 octets: gone" in str(told)
    again = broken_by(WriteTimeout("slow", phase="write"))
    assert isinstance(again.error(), WriteTimeout)
    assert again.error().phase == "write"
    assert broken_by(KeyboardInterrupt()).kind is WriteError


def test_pings_know_their_answers() -> None:
    pings = Pings()
    told: list[float] = []
    probe, question = pings.make(1.0), pings.make(2.0, lambda sent, now: told.append(now - sent))
    assert pings.oldest_probe() == 1.0
    assert not pings.acknowledge(b"somebody", 3.0)
    assert pings.acknowledge(question, 3.5)
    assert told == [1.5]
    assert pings.acknowledge(probe, 4.0)
    assert pings.oldest_probe() is None


def test_a_priority_in_a_head_is_ignored() -> None:
    connection, receiver = state()
    stream = opened(connection)
    block = load_codec("h2")(1000).encode([(b":status", b"204", False)])
    flags = frames.END_HEADERS | frames.HAS_PRIORITY
    receiver.receive(frames.frame(frames.HEADERS, flags, stream.id, b"\0\0\0\0\x10" + block), 0.0)
    assert stream.status == 204


def test_a_break_behind_goaway_is_told_as_goaway() -> None:
    connection, receiver = state()
    stream = opened(connection)
    debug = frames.frame(frames.GOAWAY, 0, 0, b"\0\0\0\x01" + b"\0\0\0\x02" + b"out of memory")
    receiver.receive(debug, 0.0)
    connection.end()
    assert stream.failure is not None
    assert "GOAWAY INTERNAL_ERROR, saying 'out of memory'" in stream.failure.message


def test_s30_octets_that_trickle_are_a_sign_of_life() -> None:
    connection, receiver = state()
    stream = opened(connection)
    receiver.receive(frames.frame(frames.SETTINGS, frames.ACK, 0), 0.0)
    connection.outgoing.take()
    block = load_codec("h2")(1000).encode([(b":status", b"200", False)])
    receiver.receive(frames.frame(frames.HEADERS, frames.END_HEADERS, stream.id, block), 1.0)
    for second in range(1, 100, 10):
        receiver.receive(frames.frame(frames.DATA, 0, stream.id, b"drip"), float(second))
        connection.tick(second + 10.0)
        assert connection.due() == second + 30.0
    assert not connection.outgoing.has_control
    connection.tick(91 + 30.0)
    assert connection.outgoing.has_control


def test_complaints_add_up_and_are_remembered_by_origin() -> None:
    complaints = Complaints()
    origins = [URL.parse(f"https://a{number}.example/").origin for number in range(1100)]
    for _ in range(20):
        complaints.about(origins[0]).complain()
    assert complaints.about(origins[0]).pause == 256
    assert complaints.about(origins[1]).pause == 1
    for origin in origins:
        complaints.about(origin)
    assert complaints.about(origins[0]).pause == 1  # forgotten, for there were many others since


def test_the_next_sign_of_life_is_asked_for_later_after_a_complaint() -> None:
    connection, receiver = state()
    opened(connection)
    receiver.receive(frames.frame(frames.SETTINGS, frames.ACK, 0), 0.0)
    before = connection.due()
    assert before is not None
    receiver.receive(frames.goaway(1, ErrorCodes.ENHANCE_YOUR_CALM) + frames.frame(frames.PING, 1, 0, b"x" * 8), 0.0)
    assert connection.due() == before  # another reason
    debug = frames.frame(frames.GOAWAY, 0, 0, b"\0\0\0\x01" + b"\0\0\0\x0b" + b"too_many_pings")
    receiver.receive(debug, 0.0)
    assert connection.due() == 2 * before


@pytest.mark.parametrize("body", [b"", b"a body"])
def test_a_head_knows_its_size(body: bytes) -> None:
    head = build_head(Request("POST", "https://a.example/", headers={"ab": "cde"}, content=to_content(body)))
    assert head.size == sum(len(name) + len(value) + 32 for name, value, _ in head.fields)


def test_only_signs_of_life_are_counted_anew() -> None:
    pings, took = Pings(), []
    measured = pings.make(1.0, lambda sent, now: took.append(now - sent))
    probe = pings.make(1.0)
    pings.restart(5.0)
    assert pings.oldest_probe() == 5.0
    assert pings.acknowledge(measured, 6.0)
    assert took == [5.0]
    assert pings.acknowledge(probe, 6.0)
    assert pings.oldest_probe() is None
