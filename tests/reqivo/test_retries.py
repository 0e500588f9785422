"""Retries: what is repeated, after how long, and what the caller gets when nothing more is to be done."""

from __future__ import annotations

import asyncio
import email.utils
from typing import Any

import pytest

from reqivo import (
    AsyncSession,
    CertificateError,
    ConnectError,
    ConnectTimeout,
    DNSError,
    IncompleteBody,
    InvalidRequest,
    PoolTimeout,
    ProxyError,
    ReadError,
    ReadTimeout,
    Request,
    Retry,
    ServerDisconnected,
    Session,
    StreamReset,
    TlsError,
    TotalTimeout,
    WriteTimeout,
)
from reqivo.address_guard import AddressRefused
from reqivo.retries import retry_after, retry_flow
from reqivo_core.content import to_content
from support.flows import Played, play, reply
from support.messages import response
from support.scenarios import until
from support.scripted import Peer, answers
from support.world import World

SWIFT = {"backoff": 0}
OVERLOADED = reply(503)
FINE = reply(200)


def request(method: str = "GET", body: Any = None) -> Request:
    return Request(method, "http://example.com/", content=to_content(body))


def tried(retry: Retry, sent: Request, *script: Any, patience: float = float("inf")) -> Played:
    flow = retry_flow(retry)
    assert flow is not None
    return play(flow, sent, *script, patience=patience)


def unprocessed(error: Any) -> Any:
    error.unprocessed = True
    return error


# -- the value


def test_defaults_are_those_of_the_documentation() -> None:
    retry = Retry()
    assert (retry.total, retry.connect, retry.statuses) == (3, None, {429, 502, 503, 504})
    assert retry.methods == {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"}
    assert (retry.backoff, retry.max_backoff, retry.jitter) == (0.5, 30, True)
    assert (retry.respect_retry_after, retry.max_retry_after) == (True, 60)


def test_values_compare_and_can_be_keys() -> None:
    assert Retry(2) == Retry(2, statuses=[504, 503, 502, 429])
    assert len({Retry(2), Retry(2), Retry(3)}) == 2


def test_methods_are_taken_in_any_case() -> None:
    assert Retry(methods=["post"]).methods == {"POST"}


@pytest.mark.parametrize(
    "options",
    [
        {"total": -1},
        {"total": 1.5},
        {"total": True},
        {"connect": -1},
        {"statuses": ["503"]},
        {"backoff": -0.1},
        {"max_backoff": float("nan")},
        {"max_retry_after": "60"},
    ],
)
def test_what_cannot_be_a_policy_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(options))):
        Retry(**options)


def test_a_single_method_is_no_collection() -> None:
    with pytest.raises(TypeError, match="collection"):
        Retry(methods="GET")


@pytest.mark.parametrize("value", ["3", 1.5, True, object(), -1])
def test_retries_of_another_kind_are_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="retries"):
        Retry.of(value)


def test_a_number_repeats_after_connection_failures_alone() -> None:
    assert Retry.of(2).statuses == frozenset()
    assert Retry.of(None).total == 0
    assert Retry.of(Retry(7)).total == 7


def test_a_policy_that_repeats_nothing_needs_no_flow() -> None:
    assert retry_flow(Retry(0)) is None


# -- statuses


def test_a_chosen_status_is_tried_again_until_it_succeeds() -> None:
    played = tried(Retry(**SWIFT), request(), OVERLOADED, reply(429), FINE)
    assert played.result.status_code == 200
    assert [sent.method for sent in played.sent] == ["GET"] * 3
    assert played.result.extensions["attempts"] == 3
    assert [dropped.status_code for dropped in played.dropped] == [503, 429]


def test_the_last_response_is_handed_over_as_it_came() -> None:
    played = tried(Retry(2, **SWIFT), request(), OVERLOADED, OVERLOADED, reply(504))
    assert (played.result.status_code, played.result.extensions["attempts"]) == (504, 3)


@pytest.mark.parametrize("status", [200, 301, 400, 404, 500, 501])
def test_another_status_is_not_tried_again(status: int) -> None:
    assert len(tried(Retry(**SWIFT), request(), reply(status)).sent) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_method_that_may_act_twice_is_not_repeated(method: str) -> None:
    assert tried(Retry(**SWIFT), request(method, b"x"), OVERLOADED).result.status_code == 503


def test_a_method_is_repeated_if_the_user_says_so() -> None:
    assert tried(Retry(methods=["POST"], **SWIFT), request("POST", b"x"), OVERLOADED, FINE).result.ok


def test_a_body_that_can_be_read_only_once_is_not_repeated() -> None:
    assert tried(Retry(**SWIFT), request("PUT", iter([b"x"])), OVERLOADED).result.status_code == 503


def test_each_attempt_begins_with_the_request_as_it_was() -> None:
    original = request()

    def stamped(sent: Request) -> Any:
        assert "x-stamp" not in sent.headers
        sent.headers["X-Stamp"] = "1"
        return OVERLOADED(sent)

    assert len(tried(Retry(1, **SWIFT), original, stamped, stamped).sent) == 2
    assert "x-stamp" not in original.headers


# -- failures

UNSENT = [
    ConnectError("refused"),
    DNSError("no address"),
    ConnectTimeout("slow"),
    ProxyError("gone"),
    ProxyError("bad gateway", status=502),
    TlsError("cut short", phase="tls"),
    unprocessed(StreamReset("refused stream")),
]
LOST = [ReadError("reset"), ServerDisconnected("closed"), ReadTimeout("silent"), WriteTimeout("stuck"), StreamReset("")]
FINAL = [
    CertificateError("expired", phase="tls"),
    AddressRefused("private"),
    ProxyError("who are you?", status=407),
    TlsError("bad record", phase="read"),
    PoolTimeout("busy"),
    IncompleteBody("short"),
    TotalTimeout("time is up"),
]


def named(error: Exception) -> str:
    return f"{type(error).__name__} {error}"


@pytest.mark.parametrize("error", UNSENT, ids=named)
@pytest.mark.parametrize("sent", [request(), request("POST", b"x")], ids=["GET", "POST"])
def test_what_never_reached_the_server_is_repeated_whatever_it_is(error: Exception, sent: Request) -> None:
    assert tried(Retry(1, **SWIFT), sent, error, FINE).result.extensions["attempts"] == 2


@pytest.mark.parametrize("error", LOST, ids=named)
def test_a_lost_answer_is_asked_for_again_only_where_that_does_no_harm(error: Exception) -> None:
    assert tried(Retry.of(1), request(), error, FINE).result.ok
    assert tried(Retry.of(1), request("POST", b"x"), error).result is error
    assert tried(Retry.of(1), request("PUT", iter([b"x"])), error).result is error


@pytest.mark.parametrize("error", FINAL, ids=named)
def test_what_another_attempt_would_not_mend_is_raised(error: Exception) -> None:
    assert tried(Retry(3, **SWIFT), request(), error).result is error


def test_the_last_failure_is_raised() -> None:
    errors = [ConnectError("first"), ReadError("second"), ReadTimeout("third")]
    assert tried(Retry(2, **SWIFT), request(), *errors).result is errors[-1]


def test_an_error_that_is_no_requests_passes() -> None:
    error = RuntimeError("a bug")
    assert tried(Retry(**SWIFT), request(), error).result is error


def test_connection_failures_can_have_a_bound_of_their_own() -> None:
    error = ConnectError("refused")
    played = tried(Retry(5, connect=1, **SWIFT), request(), OVERLOADED, ConnectError("refused"), OVERLOADED, error)
    assert (played.result, len(played.sent)) == (error, 4)
    assert tried(Retry(5, connect=0, **SWIFT), request(), error).result is error


# -- waiting


def test_waits_double_up_to_a_bound() -> None:
    retry = Retry(5, backoff=1, max_backoff=5, jitter=False)
    assert tried(retry, request(), *[OVERLOADED] * 6).sleeps == [1, 2, 4, 5, 5]
    assert retry.delay(5000) == 5


def test_jitter_takes_a_part_of_the_wait() -> None:
    delays = {Retry(backoff=1).delay(3) for _ in range(50)}
    assert len(delays) > 40
    assert all(delay is not None and 0 <= delay <= 4 for delay in delays)


def test_the_servers_wish_counts_instead() -> None:
    played = tried(Retry(1), request(), reply(503, {"Retry-After": "7"}), FINE)
    assert played.sleeps == [7]


def test_a_wish_beyond_the_bound_gives_the_response_to_the_caller() -> None:
    played = tried(Retry(), request(), reply(429, {"Retry-After": "61"}))
    assert (played.result.status_code, played.sleeps, played.dropped) == (429, [], [])


def test_the_wish_can_be_ignored() -> None:
    retry = Retry(1, backoff=2, jitter=False, respect_retry_after=False)
    assert tried(retry, request(), reply(503, {"Retry-After": "3600"}), FINE).sleeps == [2]


def test_no_time_left_gives_the_response_at_once() -> None:
    retry = Retry(3, backoff=1, jitter=False)
    played = tried(retry, request(), OVERLOADED, reply(502), patience=1.5)
    assert (played.result.status_code, played.sleeps) == (502, [1])
    assert [dropped.status_code for dropped in played.dropped] == [503]


def test_no_time_left_raises_the_failure_at_once() -> None:
    error = ConnectError("refused")
    assert tried(Retry(3, backoff=1, jitter=False), request(), error, patience=0.5).result is error


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("9" * 400, float("9" * 20)),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("Thursday, 01-Jan-70 00:01:40 GMT", 90.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=10.0) == seconds


def test_a_date_is_measured_against_the_clock() -> None:
    seconds = retry_after(email.utils.formatdate(2**32, usegmt=True))
    assert seconds is not None and seconds > 0


# -- sessions


def overloaded_first(peer: Peer) -> None:
    peer.expect_request()
    peer.respond(503, b"later", [("Retry-After", "0")])
    peer.expect_request()
    peer.respond(200, b"now")
    peer.expect_close()


def test_a_session_retries(world: World, serve: Any) -> None:
    server = serve(overloaded_first)
    with world.client(retries=Retry(2, **SWIFT)) as client:
        answer = client.get(server.url("/"))
        assert (client.read(answer), answer.extensions["attempts"]) == (b"now", 2)
    assert server.connections == 1  # the refusal was read away, so its connection served again


def test_a_request_may_retry_where_its_session_does_not(world: World, serve: Any) -> None:
    server = serve(overloaded_first)
    with world.client() as client:
        assert client.get(server.url("/"), retries=Retry(**SWIFT)).status_code == 200


def test_a_request_may_refuse_what_its_session_does(world: World, serve: Any) -> None:
    server = serve(overloaded_first)
    with world.client(retries=Retry(**SWIFT)) as client:
        assert client.get(server.url("/"), retries=0).status_code == 503
        assert client.get(server.url("/"), retries=None).status_code == 200


def test_a_number_retries_a_connection_that_broke(world: World, serve: Any) -> None:
    server = serve([lambda peer: peer.expect_request(), answers(response(200, b"back"))])
    with world.client(retries=1) as client:
        assert client.read(client.get(server.url("/"))) == b"back"


def test_a_post_that_was_lost_is_never_repeated(world: World, serve: Any) -> None:
    server = serve(lambda peer: peer.expect_request())
    with world.client(retries=3) as client, pytest.raises(ServerDisconnected):
        client.post(server.url("/"), body=b"once")
    assert len(server.requests) == 1


def test_the_deadline_bounds_retries(world: World, serve: Any) -> None:
    server = serve(answers(response(503, b"later", [("Retry-After", "30")])))
    with world.client(retries=Retry()) as client:
        answer = client.get(server.url("/"), timeout=5)
        assert (answer.status_code, client.read(answer)) == (503, b"later")


def test_every_hop_of_a_redirect_has_its_own_attempts(world: World, serve: Any) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.respond(503)
        peer.expect_request()
        peer.respond(302, headers=[("Location", "/there")])
        peer.expect_request()
        peer.respond(503)
        peer.expect_request()
        peer.respond(200, b"here")
        peer.expect_close()

    server = serve(script)
    with world.client(retries=Retry(1, **SWIFT)) as client:
        answer = client.get(server.url("/"))
        assert (client.read(answer), len(answer.history)) == (b"here", 1)
    assert [seen.target for seen in server.requests] == ["/", "/", "/there", "/there"]


def test_credentials_are_added_to_each_attempt(world: World, serve: Any) -> None:
    def auth(sent: Request) -> Any:
        assert "authorization" not in sent.headers
        sent.headers["Authorization"] = "Token t"
        return (yield sent)

    server = serve(overloaded_first)
    with world.client(retries=Retry(1, **SWIFT), auth=auth) as client:
        assert client.get(server.url("/")).status_code == 200
    assert [seen.all("authorization") for seen in server.requests] == [["Token t"], ["Token t"]]


def test_a_plugin_sees_each_attempt(world: World, serve: Any) -> None:
    from reqivo import hookimpl

    seen = []

    class Watcher:
        @hookimpl
        def reqivo_register_flows(self, session: Any) -> Any:
            return [self.flow]

        def flow(self, sent: Request) -> Any:
            answer = yield sent
            seen.append(answer.status_code)
            return answer

    server = serve(overloaded_first)
    with world.client(retries=Retry(1, **SWIFT), plugins=[Watcher]) as client:
        client.get(server.url("/"))
    assert seen == [503, 200]


# -- waits can be broken off


@pytest.mark.parametrize("fields", [[], [("Retry-After", "30")]], ids=["back-off", "Retry-After"])
def test_a_cancelled_wait_leaves_nothing(serve: Any, no_leaks: None, fields: Any) -> None:
    server = serve([answers(response(503, b"", fields)), answers(response())])

    async def main() -> None:
        async with AsyncSession(retries=Retry(3, backoff=30, jitter=False)) as session:
            task = asyncio.ensure_future(session.get(server.url("/")))
            await until(lambda: bool(server.requests) and session.pool.active == 0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert session.pool.counts[2] == 0
            assert (await session.get(server.url("/"), retries=0)).status_code == 200

    asyncio.run(main())
    assert len(server.requests) == 2


def test_an_interrupted_wait_leaves_nothing(serve: Any, no_leaks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve([answers(response(503)), answers(response())])

    def interrupted(self: Any, seconds: float) -> Any:
        raise KeyboardInterrupt

    with Session(retries=Retry(3, backoff=30)) as session:
        with monkeypatch.context() as patch:
            patch.setattr(type(session.runtime), "sleep", interrupted)
            with pytest.raises(KeyboardInterrupt):
                session.get(server.url("/"))
        assert session.pool.active == 0
        assert session.get(server.url("/")).status_code == 200
