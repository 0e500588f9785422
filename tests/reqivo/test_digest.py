"""Digest authentication against a server that reckons for itself, the examples of the RFC, and httpbin."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest

from reqivo import DigestAuth, InvalidRequest, Request, Session
from reqivo.challenges import quoted, read_challenges
from reqivo.digest import _HASHES
from reqivo_core import URL
from reqivo_core.content import to_content
from support.flows import play, reply
from support.servers import HttpbinServer
from support.world import World

USER, PASSWORD = "Mufasa", "Circle of Life"
TARGET = "http://www.example.org/dir/index.html"


class Server:
    """Challenges, and checks the answers the long way."""

    def __init__(self, *, nonces: Any = ("n1", "n2", "n3", "n4"), next_nonce: str | None = None, **asked: str) -> None:
        self.asked = {"realm": "r", "opaque": "o", **asked}
        self.nonces = iter(nonces)
        self.nonce = next(self.nonces)
        self.next_nonce = next_nonce
        self.given: list[dict[str, str]] = []
        self.counts: set[tuple[str, str]] = set()
        self.stale = False

    def challenge(self) -> str:
        asked = {**self.asked, "nonce": self.nonce, **({"stale": "true"} if self.stale else {})}
        return "Digest " + ", ".join(f"{name}={quoted(value)}" for name, value in asked.items())

    def expire(self) -> None:
        self.nonce, self.stale = next(self.nonces), True

    def __call__(self, request: Request) -> Any:
        if not self.is_right(request):
            return reply(401, {"WWW-Authenticate": self.challenge()})(request)
        headers = {}
        if self.next_nonce:
            headers["Authentication-Info"] = f'nextnonce="{self.next_nonce}", qop=auth'
            self.nonce = self.next_nonce
        return reply(200, headers)(request)

    def is_right(self, request: Request) -> bool:
        line = request.headers.get("authorization")
        if line is None:
            return False
        scheme, given = read_challenges([line])[0]
        assert scheme == "digest"
        self.given.append(given)
        if given["nonce"] != self.nonce:
            return False
        name, _, session = given.get("algorithm", "MD5").partition("-sess")
        del session

        def digest(*parts: str) -> str:
            return hashlib.new(_HASHES[name.upper()], ":".join(parts).encode()).hexdigest()

        user = unquote(given["username*"][7:]) if "username*" in given else given["username"]
        if given.get("userhash") == "true":
            assert user == digest(USER, given["realm"])
            user = USER
        a1 = digest(user, self.asked["realm"], PASSWORD)
        if given.get("algorithm", "").endswith("-sess"):
            a1 = digest(a1, given["nonce"], given["cnonce"])
        a2 = [request.method, given["uri"]]
        if given.get("qop") == "auth-int":
            a2.append(hashlib.new(_HASHES[name.upper()], request.content.data or b"").hexdigest())
        if "qop" in given:
            use = (given["nonce"], given["nc"])
            assert use not in self.counts, "a count was used twice"
            self.counts.add(use)
            expected = digest(a1, given["nonce"], given["nc"], given["cnonce"], given["qop"], digest(*a2))
        else:
            expected = digest(a1, given["nonce"], digest(*a2))
        assert given["uri"] == request.url.target
        return given["response"] == expected


def get(body: Any = None, method: str = "GET", url: str = TARGET) -> Request:
    return Request(method, url, content=to_content(body))


# -- the examples of RFC 7616 §3.9.1


@pytest.mark.parametrize(
    ("algorithm", "answer"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc(algorithm: str, answer: str) -> None:
    auth = DigestAuth(USER, PASSWORD)
    challenge = (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    origin = URL(TARGET).origin
    space = auth._space(read_challenges([challenge])[0].parameters, get().content)
    assert space is not None
    auth._remember(origin, replace(space, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"))
    sent = play(auth, get(), reply(200)).sent[0].headers["authorization"]
    assert f'response="{answer}"' in sent
    assert "nc=00000001" in sent and "qop=auth," in sent and f"algorithm={algorithm}" in sent


def test_the_hash_of_a_user_name() -> None:
    # RFC 7616 §3.9.2; its other figures are known to be wrong.
    asked = {"realm": "api@example.org", "nonce": "n", "algorithm": "SHA-512-256", "userhash": "true"}
    space = DigestAuth("Jäsøn Doe", "Secret, or not?")._space(asked, get().content)
    assert space is not None
    assert space.username == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"


# -- the conversation


ALGORITHMS = [None, "MD5", "SHA-256", "SHA-512-256"]
SESSIONS = ["MD5-sess", "SHA-256-sess"]  # which need the cnonce that comes with qop
PROTECTIONS = ["auth", "auth-int", "auth,auth-int"]


@pytest.mark.parametrize(
    ("algorithm", "qop"),
    [*((name, qop) for name in ALGORITHMS + SESSIONS for qop in PROTECTIONS), *((name, None) for name in ALGORITHMS)],
)
def test_a_challenge_is_answered(algorithm: str | None, qop: str | None) -> None:
    asked = {name: value for name, value in (("algorithm", algorithm), ("qop", qop)) if value}
    server = Server(**asked)
    auth = DigestAuth(USER, PASSWORD)
    played = play(auth, get(b"body", "POST"), server, server)
    assert played.result.status_code == 200
    assert [("authorization" in sent.headers) for sent in played.sent] == [False, True]
    assert server.given[0].get("qop") == ({"auth,auth-int": "auth"}.get(qop, qop) if qop else None)
    again = play(auth, get(b"body", "POST"), server)
    assert again.result.status_code == 200  # answered at once
    if qop:
        assert [given["nc"] for given in server.given] == ["00000001", "00000002"]


def test_the_request_given_is_left_as_it_was() -> None:
    request = get()
    server = Server(qop="auth")
    assert play(DigestAuth(USER, PASSWORD), request, server, server).result.ok
    assert "authorization" not in request.headers


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256-sess"])
def test_a_user_name_is_hidden_where_the_server_wants_that(algorithm: str) -> None:
    server = Server(qop="auth", userhash="true", algorithm=algorithm)
    played = play(DigestAuth(USER, PASSWORD), get(), server, server)
    assert played.result.status_code == 200
    assert USER not in played.sent[1].headers["authorization"]


def test_a_wrong_password_is_tried_once() -> None:
    server = Server(qop="auth")
    played = play(DigestAuth(USER, "wrong"), get(), server, server)
    assert (played.result.status_code, len(played.sent)) == (401, 2)


def test_a_stale_nonce_is_replaced() -> None:
    server = Server(qop="auth")
    auth = DigestAuth(USER, PASSWORD)
    play(auth, get(), server, server)
    server.expire()
    played = play(auth, get(), server, server)
    assert (played.result.status_code, len(played.sent)) == (200, 2)


def test_a_nonce_that_goes_stale_at_once_is_replaced_once() -> None:
    server = Server(qop="auth")

    def hasty(request: Request) -> Any:
        server.expire()
        return server(request)

    played = play(DigestAuth(USER, PASSWORD), get(), server, hasty, hasty)
    assert (played.result.status_code, len(played.sent)) == (401, 3)


def test_a_new_challenge_in_answer_to_an_old_nonce_needs_no_flag() -> None:
    server = Server(qop="auth")
    auth = DigestAuth(USER, PASSWORD)
    play(auth, get(), server, server)
    server.nonce = "rotated"
    assert play(auth, get(), server, server).result.ok


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess"])
def test_the_next_nonce_is_taken_as_told(algorithm: str) -> None:
    server = Server(qop="auth", algorithm=algorithm, next_nonce="next")
    auth = DigestAuth(USER, PASSWORD)
    play(auth, get(), server, server)
    sent = play(auth, get(), reply(200)).sent[0].headers["authorization"]
    assert 'nonce="next"' in sent and "nc=00000001" in sent
    (space,) = auth._spaces.values()
    if algorithm == "MD5-sess":  # the session's secret is made once, with the first nonce (RFC 7616 §3.4.2)
        first = hashlib.md5(f"{USER}:r:{PASSWORD}".encode()).hexdigest()
        assert space.secret == hashlib.md5(f"{first}:n1:{space.cnonce}".encode()).hexdigest().encode()


def test_a_nonce_that_another_request_replaced_is_not_renewed() -> None:
    auth = DigestAuth(USER, PASSWORD)
    server = Server(qop="auth")
    play(auth, get(), server, server)

    def meanwhile(request: Request) -> Any:
        auth._remember(request.url.origin, replace(auth._spaces[request.url.origin], nonce="newer"))
        return reply(200, {"Authentication-Info": 'nextnonce="older"'})(request)

    play(auth, get(), meanwhile)
    assert [space.nonce for space in auth._spaces.values()] == ["newer"]


def test_challenges_are_remembered_by_origin() -> None:
    server = Server(qop="auth")
    auth = DigestAuth(USER, PASSWORD)
    play(auth, get(), server, server)
    elsewhere = play(auth, get(url="http://www.example.org:8080/"), reply(200))
    assert "authorization" not in elsewhere.sent[0].headers


def test_a_challenge_of_another_origin_is_not_answered() -> None:
    challenge = Server(qop="auth").challenge()
    other = get(url="http://evil.example/")
    played = play(DigestAuth(USER, PASSWORD), get(), lambda _: reply(401, {"WWW-Authenticate": challenge})(other))
    assert (played.result.status_code, len(played.sent)) == (401, 1)


def test_memory_of_origins_is_bounded() -> None:
    server = Server(qop="auth", nonces=["n"])
    auth = DigestAuth(USER, PASSWORD)
    for number in range(300):
        play(auth, get(url=f"http://host{number}/"), server, reply(200))
    assert len(auth._spaces) == 256
    assert repr(auth) == "<DigestAuth of 256 origins>"
    assert next(iter(auth._spaces)).host == "host44"


@pytest.mark.parametrize(
    "lines",
    [
        ['Basic realm="r"'],
        ['Digest realm="r", nonce="n", algorithm=SHA-1'],
        ['Digest realm="r", nonce="n", algorithm=MD5-sessions'],
        ['Digest realm="r", nonce="n", qop="confidential"'],
        ['Digest realm="r"'],
        ['Digest nonce="n"'],
        [],
    ],
)
def test_what_we_do_not_understand_is_left_to_the_caller(lines: list[str]) -> None:
    refusal = reply(401, [("WWW-Authenticate", line) for line in lines])
    assert len(play(DigestAuth(USER, PASSWORD), get(), refusal).sent) == 1


def test_the_first_challenge_that_we_understand_is_taken() -> None:
    offers = ["MAGIC-1", "SHA-256", "MD5"]
    lines = [f'Digest realm="r", nonce="{name}", qop="auth", algorithm={name}' for name in offers]
    refusal = reply(401, {"WWW-Authenticate": 'Basic realm="x", ' + ", ".join(lines)})
    sent = play(DigestAuth(USER, PASSWORD), get(), refusal, reply(200)).sent[1]
    assert 'nonce="SHA-256"' in sent.headers["authorization"]


def test_a_body_that_can_be_read_once_is_not_sent_twice() -> None:
    played = play(DigestAuth(USER, PASSWORD), get(iter([b"x"]), "POST"), Server(qop="auth"))
    assert (played.result.status_code, len(played.sent)) == (401, 1)


def test_a_body_that_cannot_be_hashed_goes_without_an_answer() -> None:
    server = Server(qop="auth-int")
    auth = DigestAuth(USER, PASSWORD)
    play(auth, get(), server, server)
    played = play(auth, get(iter([b"x"]), "POST"), server)
    assert "authorization" not in played.sent[0].headers


def test_credentials_of_the_request_count_more() -> None:
    request = Request("GET", TARGET, headers={"Authorization": "Bearer x"})
    played = play(DigestAuth(USER, PASSWORD), request, Server(qop="auth"))
    assert [sent.headers["authorization"] for sent in played.sent] == ["Bearer x"]


def test_a_user_name_beyond_ascii_is_sent_in_its_own_form() -> None:
    refusal = reply(401, {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
    sent = play(DigestAuth("Jäsøn", "p"), get(), refusal, reply(200)).sent[1].headers["authorization"]
    assert "username*=UTF-8''J%C3%A4s%C3%B8n," in sent


def test_quotes_in_names_are_escaped() -> None:
    refusal = reply(401, {"WWW-Authenticate": r'Digest realm="a \"b\" \\", nonce="n"'})
    sent = play(DigestAuth('m"e', "p"), get(), refusal, reply(200)).sent[1].headers["authorization"]
    assert r'username="m\"e", realm="a \"b\" \\"' in sent


@pytest.mark.parametrize(("user", "password"), [("a\nb", "c"), ("a", "b\0"), (b"a", "b"), ("a", "\x7f")])
def test_credentials_that_cannot_be_sent_are_refused(user: Any, password: Any) -> None:
    with pytest.raises(InvalidRequest, match="digest auth"):
        DigestAuth(user, password)


def test_neither_name_nor_password_are_shown() -> None:
    assert re.search("Mufasa|Circle", repr(DigestAuth(USER, PASSWORD))) is None


# -- challenges


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['Basic realm="a, b"'], [("basic", {"realm": "a, b"})]),
        (["Negotiate"], [("negotiate", {})]),
        (["Negotiate abc=="], [("negotiate", {})]),
        (["Negotiate abc==, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            ["Negotiate, Basic realm = x ,charset=utf-8"],
            [("negotiate", {}), ("basic", {"realm": "x", "charset": "utf-8"})],
        ),
        (["A x=1", "B y=2"], [("a", {"x": "1"}), ("b", {"y": "2"})]),
        (["A x=1, x=2"], [("a", {"x": "1"})]),
        ([", ,A y=1, x="], [("a", {"x": "", "y": "1"})]),
        (["A x=,y=1"], [("a", {"y": "1"})]),  # a token68 by the grammar
        (["x=1"], []),
        (["A x=1, \x80"], [("a", {"x": "1"})]),
        ([""], []),
    ],
)
def test_challenges_are_read_as_servers_write_them(lines: list[str], expected: list[Any]) -> None:
    assert [(scheme, parameters) for scheme, parameters in read_challenges(lines)] == expected


def test_reading_a_long_line_takes_linear_time() -> None:
    assert len(read_challenges(["A " + 'x="\\' * 50_000])) >= 1
    assert len(read_challenges(["A " + "x=1," * 50_000])) == 1


# -- a real server


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_httpbin_lets_us_in(world: World, httpbin_server: HttpbinServer, algorithm: str, qop: str) -> None:
    url = httpbin_server.url(f"/digest-auth/{qop}/me/secret/{algorithm}")
    with world.client(auth=DigestAuth("me", "secret")) as client:
        assert client.json(client.get(url)) == {"authenticated": True, "user": "me"}
        assert client.get(url).status_code == 200
        assert client.get(url, auth=DigestAuth("me", "wrong")).status_code == 401


def test_a_session_is_shared_by_threads(httpbin_server: HttpbinServer) -> None:
    from concurrent.futures import ThreadPoolExecutor

    url = httpbin_server.url("/digest-auth/auth/me/secret/MD5/never")
    with Session(auth=DigestAuth("me", "secret")) as session, ThreadPoolExecutor(4) as executor:
        assert {answer.status_code for answer in executor.map(lambda _: session.get(url), range(20))} == {200}
