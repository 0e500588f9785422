"""Server push: what is accepted, what is refused, how it is read (RFC 9113 §8.4); the scenarios 44 to 46."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hyperframe import frame as frames

from reqivo_core import Timeout, hookimpl
from reqivo_core.errors import (
    BodyTooLarge,
    IncompleteBody,
    InvalidRequest,
    ReadTimeout,
    RequestError,
    StreamClosed,
    StreamReset,
)
from reqivo_http2 import PushPolicy
from support import h2_peer
from support.h2_peer import H2Peer, serving

CLOSED = "END_STREAM"


def promised(server: H2Peer, path: str = "/style.css", **changes: str | None) -> list[tuple[str, str]]:
    """The fields of a promise."""
    authority = f"127.0.0.1:{server.peer.server.port}"
    fields = {"method": "GET", "scheme": "http", "authority": authority, "path": path} | changes
    return [(f":{name}", value) for name, value in fields.items() if value is not None]


def taken(line: Any, response: Any) -> list[Any]:
    """All pushes of a response."""
    pushes: list[Any] = line.client.world.collect(response.pushes)
    return pushes


def iter_pushes(line: Any, response: Any) -> Iterator[Any]:
    """The pushes of a response, one by one, as they come."""
    pushes, world = response.pushes, line.client.world
    if world.name == "blocking":
        yield from pushes
        return
    while True:
        yield world.run(anext(pushes))


def got(line: Any, push: Any) -> Any:
    """A push's response."""
    return line.client.world.run(push.get_response())


def test_nothing_is_pushed_unless_asked_for(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        assert server.expect_request()
        assert server.settings[frames.SettingsFrame.ENABLE_PUSH] == 0
        server.respond(1)
        server.expect_close()

    line = h2line(script)
    assert taken(line, line.get()) == []


def test_s45_a_promise_is_kept_in_any_order(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        assert server.settings[frames.SettingsFrame.ENABLE_PUSH] == 1
        assert server.settings[frames.SettingsFrame.MAX_CONCURRENT_STREAMS] == 100
        server.send_frame(
            server.promise(1, 2, [*promised(server), ("accept", "text/css")]),
            server.promise(1, 4, promised(server, "/app.js?v=1")),
            server.head(2, 200, [("content-type", "text/css")]),
            server.data(2, b"body {}", CLOSED),  # whole before its parent
        )
        server.respond(request, 200, b"<html>")
        server.send_frame(server.head(4, 103), server.head(4, 200), server.data(4, b"alert()", CLOSED))
        server.expect_close()

    line = h2line(script, push=True)
    response = line.get(stream=True)
    style, script_js = taken(line, response)
    assert (style.path, style.method, str(style.url)) == ("/style.css", "GET", line.url("/style.css"))
    assert style.request_headers["accept"] == style.getrequestheaders()["accept"] == "text/css"
    assert script_js.path == "/app.js?v=1"
    assert "/app.js" in repr(script_js)
    second = line.client.world.run(script_js.getresponse())
    assert line.client.read(second) == b"alert()"
    first = got(line, style)
    assert (first.status_code, first.headers["content-type"], first.http_version) == (200, "text/css", "HTTP/2")
    assert line.client.read(first) == b"body {}"
    assert line.client.read(response) == b"<html>"
    with pytest.raises(StreamClosed):
        got(line, style)


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({"authority": "other.example"}, []),
        ({"scheme": "https"}, []),
        ({"method": "POST"}, []),
        ({"method": "DELETE"}, []),
        ({"path": None}, []),
        ({"authority": "bad host"}, []),
        ({}, [("content-length", "5")]),
        ({}, [("X-Upper", "1")]),
        ({}, [(":path", "/again")]),
        ({"status": "200"}, []),
    ],
)
def test_s45_what_must_not_be_promised_is_refused(h2line: Callable, changes: Any, extra: Any) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.promise(1, 2, [*promised(server, **changes), *extra]))
        server.expect_reset(2, h2_peer.PROTOCOL_ERROR)
        server.respond(request, 200, b"parent")
        server.serve([b"next"])

    line = h2line(script, push=True)
    response = line.get()
    assert taken(line, response) == []
    assert line.client.read(response) == b"parent"
    assert line.body() == b"next"


def test_s45_another_origin_is_a_matter_of_policy(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.promise(1, 2, promised(server, authority="other.example")))
        server.respond(request)
        server.expect_close()

    line = h2line(script, push=PushPolicy(same_origin=False))
    (push,) = taken(line, line.get())
    assert push.url.host == "other.example"


def test_s45_the_application_may_refuse(h2line: Callable) -> None:
    line = h2line(_unwanted_and_wanted, push=PushPolicy(accept=lambda request: request.url.path == "/wanted"))
    assert [push.path for push in taken(line, line.get())] == ["/wanted"]


def test_a_judgement_that_raises_refuses_and_is_told_where_pushes_are_looked_at(h2line: Callable) -> None:
    def accept(request: Any) -> bool:
        if request.url.path != "/wanted":
            raise ZeroDivisionError("in the user's own code")
        return True

    line = h2line(_unwanted_and_wanted, push=PushPolicy(accept=accept))
    response = line.get()
    pushes = response.pushes
    with pytest.raises(ZeroDivisionError, match="own code"):
        _next(line, pushes)
    assert _next(line, pushes).path == "/wanted"  # and the connection goes on
    assert line.body() == b"next"


def test_a_judgement_that_is_interrupted_leaves_nobody_waiting(h2line: Callable) -> None:
    def accept(request: Any) -> bool:
        raise Interrupted

    line = h2line(_unwanted_and_wanted, serving, push=PushPolicy(accept=accept))
    if line.client.world.name == "trio":
        pytest.skip("an interruption ends a whole run of trio")
    with pytest.raises(Interrupted):
        line.get()
    assert line.session.pool.active == 0
    assert line.body("/again") == b"/again"


class Interrupted(BaseException):
    """What a signal's handler may raise."""


def _next(line: Any, pushes: Any) -> Any:
    """The next push."""
    return next(pushes) if hasattr(pushes, "__next__") else line.client.world.run(anext(pushes))


def _unwanted_and_wanted(server: H2Peer) -> None:
    """Promise two, of which the first will be refused."""
    server.greet()
    request = server.expect_request()
    server.send_frame(
        server.promise(1, 2, promised(server, "/unwanted")), server.promise(1, 4, promised(server, "/wanted"))
    )
    server.expect_reset(2, h2_peer.REFUSED_STREAM)
    server.send_frame(server.head(2, 200), server.data(2, b"too late", CLOSED))
    server.respond(request)
    server.serve([b"next"])


def test_s45_promises_are_limited_in_number(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(*[server.promise(1, 2 * n, promised(server, f"/{n}")) for n in range(1, 101)])
        last = server.expect(frames.RstStreamFrame, lambda frame: frame.stream_id == 200)
        assert last.error_code == h2_peer.REFUSED_STREAM
        assert len(server.seen(frames.RstStreamFrame)) == 97
        server.respond(request)
        server.expect_close()

    line = h2line(script, push=PushPolicy(max_streams=3))
    assert [push.path for push in taken(line, line.get())] == ["/1", "/2", "/3"]


def test_pushes_that_nobody_takes_are_limited_though_they_are_whole(h2line: Callable) -> None:
    """Else a server could fill the memory, one pushed response after the other."""
    told = threading.Event()

    def push(server: H2Peer, number: int) -> None:
        server.send_frame(
            server.promise(1, 2 * number, promised(server, f"/{number}")),
            server.head(2 * number, 200),
            server.data(2 * number, b"x", CLOSED),
        )

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        for number in range(1, 6):
            push(server, number)
        server.expect_reset(8, h2_peer.REFUSED_STREAM)
        server.expect_reset(10, h2_peer.REFUSED_STREAM)
        server.send_frame(server.head(request, 200), server.data(request, b"half"))
        server.peer.wait(told)
        push(server, 6)
        server.send_frame(server.data(request, b"half", CLOSED))
        server.expect_close()

    line = h2line(script, push=PushPolicy(max_streams=3))
    with line.client.stream("GET", line.url()) as response:
        pushes = iter_pushes(line, response)
        first, *_ = [next(pushes) for _ in range(3)]
        assert line.client.read(got(line, first)) == b"x"
        told.set()
        assert next(pushes).path == "/6"
        assert line.client.read(response) == b"halfhalf"


def test_pushed_bodies_are_limited_in_size(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.promise(1, 2, promised(server)), server.head(2, 200), server.data(2, b"x" * 101))
        server.expect_reset(2, h2_peer.CANCEL)
        server.respond(request)
        server.expect_close()

    line = h2line(script, push=PushPolicy(max_body=100))
    (push,) = taken(line, line.get())
    with pytest.raises(BodyTooLarge):
        line.client.read(got(line, push))


def test_s46_an_unread_push_holds_up_nobody_and_can_be_cancelled(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.promise(1, 2, promised(server)), server.head(2, 200))
        window = server.settings[frames.SettingsFrame.INITIAL_WINDOW_SIZE]
        for _ in range(window // 16384):
            server.send_frame(server.data(2, b"x" * 16384))
        server.respond(request, 200, b"parent")
        server.expect_reset(2, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script, push=True)
    response = line.get()
    assert line.client.read(response) == b"parent"
    (push,) = taken(line, response)
    line.client.world.run(push.cancel())
    with pytest.raises(StreamClosed):
        got(line, push)
    assert line.body() == b"next"


def test_s46_a_promise_that_comes_too_late_is_cancelled(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200, [], CLOSED), server.promise(1, 2, promised(server)))
        server.expect_reset(2, h2_peer.CANCEL)
        server.send_frame(server.head(2, 200), server.data(2, b"ignored", CLOSED))
        server.serve([b"next"])

    line = h2line(script, push=True)
    assert taken(line, line.get()) == []
    assert line.body() == b"next"
    assert line.server.connections == 1


def test_a_promise_that_is_dropped_is_cancelled(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.promise(1, 2, promised(server)))
        server.respond(request, 200, b"parent")
        server.expect_reset(2, h2_peer.CANCEL)
        server.serve([b"next"])

    line = h2line(script, push=True)
    assert line.body() == b"parent"  # and nobody looks at the pushes
    gc.collect()
    assert line.body() == b"next"


def test_a_push_that_nobody_has_taken_does_not_hide_the_end(h2line: Callable) -> None:
    """Its stream is open, but the connection idles, and is looked at before it is used again."""

    def first(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.promise(1, 2, promised(server)))
        server.respond(request)
        server.peer.fin()

    def second(server: H2Peer) -> None:
        server.greet()
        server.serve([b"second"])

    line = h2line(first, second, push=True)
    response = line.get()
    line.await_arrival()
    assert line.client.read(line.post(body=b"once")) == b"second"
    assert len(taken(line, response)) == 1


def test_a_promise_that_is_not_kept(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.promise(1, 2, promised(server, "/a")), server.promise(1, 4, promised(server, "/b")))
        server.respond(request)
        server.reset(2, h2_peer.INTERNAL_ERROR)
        server.expect_reset(4, h2_peer.CANCEL)
        server.expect_close()

    line = h2line(script, push=True)
    broken, late = taken(line, line.get())
    with pytest.raises(StreamReset):
        got(line, broken)
    hurry(late)
    with pytest.raises(ReadTimeout, match="promised response"):
        got(line, late)


def test_pushes_end_where_an_unread_body_stalls(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(server.head(request, 200), server.promise(1, 2, promised(server)))
        window = server.settings[frames.SettingsFrame.INITIAL_WINDOW_SIZE]
        for _ in range(window // 16384):
            server.send_frame(server.data(request, b"x" * 16384))
        server.expect(frames.WindowUpdateFrame, lambda frame: frame.stream_id == 1)
        server.send_frame(server.data(request, b"end", CLOSED), server.head(2, 204, [], CLOSED))
        server.expect_close()

    line = h2line(script, push=True)
    with line.client.stream("GET", line.url()) as response:
        (push,) = taken(line, response)
        assert len(line.client.read(response)) == 256 * 1024 + 3
        assert got(line, push).status_code == 204


def test_a_refusal_that_nobody_has_sent_leaves_before_promises_are_waited_for(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        slow = server.expect_request()
        server.send_frame(server.head(slow, 200))
        quick = server.expect_request()
        server.send_frame(server.promise(quick.stream_id, 2, promised(server)))
        server.respond(quick)
        server.expect_reset(2, h2_peer.CANCEL)
        server.send_frame(server.promise(1, 4, promised(server, "/next")), server.data(slow, b"", CLOSED))
        server.expect_close()

    line = h2line(script, push=True)
    with line.client.stream("GET", line.url()) as response:
        line.body("/quick")  # and nobody looks at its pushes
        gc.collect()
        assert [push.path for push in taken(line, response)] == ["/next"]


@pytest.mark.parametrize("world", ["blocking"], indirect=True)
def test_a_promise_that_another_thread_still_judges_is_waited_for(h2line: Callable) -> None:
    """Though the response that it belongs to has ended meanwhile."""
    is_judging, seen = threading.Event(), []

    def accept(request: Any) -> bool:
        is_judging.set()
        while not (seen or wire._reading._followers):  # the other found no pushes, or waits as it should
            time.sleep(0.001)
        return True

    def script(server: H2Peer) -> None:
        server.greet()
        judged = server.expect_request()
        server.send_frame(server.head(judged, 200))
        other = server.expect_request()
        server.send_frame(server.promise(judged.stream_id, 2, promised(server)), server.data(judged, b"", CLOSED))
        server.respond(other, 200, b"other")
        server.expect_close()

    def look() -> None:
        assert is_judging.wait(5)
        seen.append([push.path for push in taken(line, response)])

    line = h2line(script, push=PushPolicy(accept=accept))
    with line.client.stream("GET", line.url()) as response:
        wire = line.transport._wire
        looker = threading.Thread(target=look)
        looker.start()
        assert line.body("/other") == b"other"
        looker.join(10)
    assert seen == [["/style.css"]]


def test_pushes_of_a_response_that_says_nothing_time_out(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.send_frame(server.head(server.expect_request(), 200))
        server.expect_close()

    line = h2line(script, push=True)
    with line.client.stream("GET", line.url()) as response:
        hurry(response.pushes)
        with pytest.raises(ReadTimeout, match="neither promised"):
            taken(line, response)


def hurry(pushes: Any) -> None:
    """Have whoever waits from here on lose patience soon; what came before had all its time."""
    pushes._exchange.deadline.timeout = Timeout(read=0.1)


@pytest.mark.parametrize("bad", ["promised-odd", "promised-again", "on-even", "short"])
def test_promises_that_cannot_be_end_the_connection(h2line: Callable, bad: str) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        server.expect_request()
        first = server.promise(1, 2, promised(server, "/a"))
        again = server.promise(1, 2, promised(server, "/b")).serialize()
        even = server.promise(2, 4, promised(server, "/c")).serialize()
        odd = h2_peer.raw(5, 4, 1, b"\0\0\0\x03\x82")
        short = h2_peer.raw(5, 4, 1, b"\0\0")
        sent = {"promised-odd": odd, "promised-again": again, "on-even": even, "short": short}[bad]
        server.peer.send(first.serialize() + sent)
        server.expect_goaway(h2_peer.FRAME_SIZE_ERROR if bad == "short" else h2_peer.PROTOCOL_ERROR)
        server.expect_close()

    line = h2line(script, push=True)
    line.fails(RequestError)
    line.server.wait_for_closed(1)
    assert not line.server.errors


def test_a_long_promise_comes_in_pieces(h2line: Callable) -> None:
    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        block = server.promise(1, 2, [*promised(server), ("x-long", "y" * 900)]).data
        server.peer.send(h2_peer.raw(5, 0, 1, b"\0\0\0\x02" + block[:9]) + h2_peer.raw(9, 4, 1, block[9:]))
        server.respond(request)
        server.respond(2, 200, b"pushed")
        server.expect_close()

    line = h2line(script, push=True)
    (push,) = taken(line, line.get())
    assert push.request_headers["x-long"] == "y" * 900
    assert line.client.read(got(line, push)) == b"pushed"


def test_observers_learn_what_became_of_promises(h2line: Callable) -> None:
    events: list[tuple[str, str | None, int]] = []
    errors: list[str] = []

    class Observer:
        @hookimpl
        def reqivo_trace(self, event: Any) -> None:
            if event.name == "push":
                url = event.info["url"]
                events.append((event.state, url and url.rpartition("/")[2], event.info["stream"]))
                errors.append(event.info.get("error", ""))
                assert event.time > 0

    def script(server: H2Peer) -> None:
        server.greet()
        request = server.expect_request()
        server.send_frame(
            server.promise(1, 2, promised(server, "/kept")),
            server.promise(1, 4, promised(server, "/unwanted")),
            server.promise(1, 6, promised(server, "/foreign", authority="other.example")),
            server.promise(1, 8, promised(server, "/reset")),
            server.promise(1, 10, promised(server, "/too-many")),
            server.head(2, 200),
            server.data(2, b"whole", CLOSED),
        )
        server.expect(frames.RstStreamFrame, lambda frame: frame.stream_id == 4)  # which makes room
        server.send_frame(server.promise(1, 12, promised(server, "/cut-off")))
        server.reset(8, h2_peer.INTERNAL_ERROR)
        server.respond(request)
        server.send_frame(server.head(12, 200))
        server.peer.fin()

    policy = PushPolicy(max_streams=3, accept=lambda request: request.url.path != "/unwanted")
    line = h2line(script, push=policy, plugins=[Observer()])
    kept, reset, cut_off = taken(line, line.get())
    assert line.client.read(got(line, kept)) == b"whole"
    with pytest.raises(StreamReset):
        got(line, reset)
    with pytest.raises(IncompleteBody):
        line.client.read(got(line, cut_off))
    told = {number: [(state, path) for state, path, stream in events if stream == number] for *_, number in events}
    assert told == {
        2: [("started", "kept"), ("complete", "kept")],
        4: [("started", "unwanted"), ("failed", "unwanted")],
        6: [("failed", None)],
        8: [("started", "reset"), ("failed", "reset")],
        10: [("failed", "too-many")],
        12: [("started", "cut-off"), ("failed", "cut-off")],
    }
    assert any("another origin" in error for error in errors)
    assert any("the application refused" in error for error in errors)
    assert any("max_streams=3" in error for error in errors)
    assert any("INTERNAL_ERROR" in error for error in errors)


def test_a_policy_that_is_none() -> None:
    assert PushPolicy.of(False) is PushPolicy.of(None) is PushPolicy.of(PushPolicy(max_streams=0)) is None
    with pytest.raises(InvalidRequest, match="PushPolicy"):
        PushPolicy.of("yes")
