"""A signal's handler raises at the n-th instant of a request, for every n: the books of the pool stay true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from reqivo import Limits, Session
from support.certs import Authority
from support.fixtures import Serve
from support.messages import response
from support.scripted import Peer
from support.servers import AsgiServer
from support.strikes import Strike, Striker

Work = Callable[[Session, str], Any]
BODY = b"Hello, world!"
MOST = 5000
PATIENCE = 30.0


def script(peer: Peer) -> None:
    while True:
        peer.expect_request()
        peer.send(response(200, BODY))


def get(session: Session, url: str) -> None:
    session.get(url).raise_for_status()


def post(session: Session, url: str) -> None:
    session.post(url, body=[b"some", b"thing"]).raise_for_status()


def stream(session: Session, url: str) -> None:
    with session.stream("GET", url) as got:
        for _ in got.iter_bytes():
            pass


def close_unread(session: Session, url: str) -> None:
    with session.stream("GET", url):
        pass


def fail_status(session: Session, url: str) -> None:
    with session.stream("GET", url) as got:
        got.raise_for_status()
        raise Strike


def check_books(session: Session, place: str | None) -> None:
    """Nothing is taken, and what is counted is there."""
    assert session.pool.active == session.pool.waiting == 0, place
    assert session.pool.idle == len(session.pool.connections()), place


def strike_everywhere(session: Session, url: str, work: Work, version: str) -> int:
    """Strike at each instant of a piece of work; before each, the session must work. Tell how many there are."""
    for instant in range(MOST):
        assert session.get(url).http_version == version
        striker = Striker(instant)
        striker.during(lambda: work(session, url))
        check_books(session, striker.place)
        if striker.place is None:
            return instant
    raise AssertionError(f"{MOST} instants, and no end")


@pytest.mark.parametrize("work", [get, post, stream, close_unread, fail_status])
def test_on_an_open_connection(serve: Serve, work: Work) -> None:
    url = serve(script).url("/")
    with Session(limits=Limits(max_connections=1), timeout=PATIENCE) as session:
        assert session.get(url).content == BODY
        assert strike_everywhere(session, url, work, "HTTP/1.1") > 100
        assert session.get(url).content == BODY


@pytest.mark.parametrize("work", [get, close_unread])
def test_while_dialing(serve: Serve, work: Work) -> None:
    url = serve(script).url("/")
    for instant in range(MOST):
        with Session(limits=Limits(max_connections=1), timeout=PATIENCE) as session:
            striker = Striker(instant)
            striker.during(lambda: work(session, url))  # called here and now
            check_books(session, striker.place)
            assert session.get(url).content == BODY, striker.place
        if striker.place is None:
            break
    assert 200 < instant < MOST - 1


def test_while_another_waits(serve: Serve) -> None:
    """Whoever waits for the connection that is given back is served, wherever the signal strikes."""
    url = serve(script).url("/")
    with Session(limits=Limits(max_connections=1), timeout=PATIENCE) as session:
        for instant in range(MOST):
            answers: list[bytes] = []
            held = session.stream("GET", url)
            other = threading.Thread(target=lambda: answers.append(session.get(url).content))  # noqa: B023  # joined here
            other.start()
            while not session.pool.waiting:
                time.sleep(0)
            striker = Striker(instant)
            striker.during(held.close)
            held.close()
            other.join(PATIENCE)
            assert answers == [BODY], striker.place
            check_books(session, striker.place)
            if striker.place is None:
                break
    assert 20 < instant < MOST - 1


@pytest.mark.parametrize("work", [get, post, stream, close_unread])
def test_over_http2(h2_server: AsgiServer, authority: Authority, work: Work) -> None:
    """The connection may be lost, whose state is half changed; nothing hangs, and the next request has another."""
    url = h2_server.url("/echo")
    with Session(http2=True, verify=str(authority.path), timeout=PATIENCE) as session:
        assert strike_everywhere(session, url, work, "HTTP/2") > 200
