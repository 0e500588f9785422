"""Credentials from .netrc files (D11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reqivo import InvalidRequest, NetrcAuth, Request
from reqivo_core import BasicAuth
from support.flows import play, reply
from support.messages import response
from support.scenarios import Stage
from support.scripted import answers

ENTRIES = """
machine api.example.com login ada password engine
machine LOCALHOST login me password here
machine nopassword.example.com login x
default login anybody password guest
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path


@pytest.fixture
def file(home: Path) -> Path:
    path = home / ".netrc"
    path.write_text(ENTRIES)
    path.chmod(0o600)
    return path


def basic(user: str, password: str) -> str:
    request = Request("GET", "http://x/")
    BasicAuth(user, password).apply(request)
    return request.headers["authorization"]


def given(auth: NetrcAuth, url: str) -> str | None:
    return play(auth, Request("GET", url), reply(200)).sent[0].headers.get("authorization")


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("http://api.example.com/", ("ada", "engine")),
        ("https://API.EXAMPLE.COM:8443/x?machine=localhost", ("ada", "engine")),
        ("http://localhost/", ("me", "here")),
        ("http://example.com/", ("anybody", "guest")),
        ("http://sub.api.example.com/", ("anybody", "guest")),
        ("http://example.com/@api.example.com", ("anybody", "guest")),
        ("http://nopassword.example.com/", ("anybody", "guest")),
    ],
)
def test_the_host_of_the_url_decides(file: Path, url: str, credentials: tuple[str, str]) -> None:
    assert given(NetrcAuth(file), url) == basic(*credentials)


def test_a_host_without_entry_gets_nothing(file: Path) -> None:
    file.write_text("machine a login b password c")
    assert given(NetrcAuth(file), "http://example.com/") is None


def test_credentials_of_the_request_count_more(file: Path) -> None:
    request = Request("GET", "http://localhost/", headers={"Authorization": "Bearer x"})
    assert play(NetrcAuth(file), request, reply(200)).sent[0].headers["authorization"] == "Bearer x"


def test_the_file_is_found_where_it_usually_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(NetrcAuth()._entries) == 3
    windows = file.rename(file.with_name("_netrc"))
    assert NetrcAuth()
    elsewhere = windows.rename(file.with_name("mine"))
    assert not NetrcAuth()
    monkeypatch.setenv("NETRC", str(elsewhere))
    assert NetrcAuth()


def test_a_file_that_cannot_be_used_is_no_trouble_unless_it_was_named(file: Path) -> None:
    for content in (b"machine", b"\xff\xfe\xfa\0", b"machine a login s3cr3t secret"):
        file.write_bytes(content)
        assert not NetrcAuth()
        with pytest.raises(InvalidRequest, match="cannot be used") as caught:
            NetrcAuth(file)
        assert "s3cr3t" not in str(caught.value) and caught.value.__cause__ is None
    file.unlink()
    file.mkdir()
    assert not NetrcAuth()
    with pytest.raises(InvalidRequest):
        NetrcAuth(file.with_name("absent"))


def test_nothing_of_it_is_shown(file: Path) -> None:
    assert repr(NetrcAuth(file)) == "<NetrcAuth of 3 hosts>"


# -- sessions


def test_a_session_that_trusts_the_environment_uses_it(stage: Stage, file: Path) -> None:
    server = stage.server(answers(*[response()] * 6))
    with stage.client() as client:
        client.get(server.url("/", host="localhost"))
        client.get(server.url("/", host="localhost"), auth=None)
        client.get(server.url("/", host="localhost"), auth=("other", "one"))
        client.get(server.url("/", host="ada@localhost"))
        client.get(server.url("/", host="localhost"), headers={"Authorization": "Bearer x"})
    expected = [basic("me", "here"), "", basic("other", "one"), basic("ada", ""), "Bearer x"]
    assert [seen.header("authorization") for seen in server.requests] == expected


@pytest.mark.parametrize("options", [{"trust_env": False}, {"auth": lambda request: (yield request)}])
def test_a_session_that_does_not_or_has_its_own_leaves_it(stage: Stage, file: Path, options: dict[str, Any]) -> None:
    server = stage.server(answers(response()))
    with stage.client(**options) as client:
        client.get(server.url("/", host="localhost"))
    assert server.requests[0].all("authorization") == []


def test_a_broken_file_disturbs_no_session(stage: Stage, file: Path) -> None:
    file.write_text("machine")
    server = stage.server(answers(response()))
    with stage.client() as client:
        assert client.get(server.url("/", host="localhost")).status_code == 200
        assert client.session.auth is None


def test_a_redirect_to_another_origin_gets_nothing(stage: Stage, file: Path) -> None:
    inner = stage.server(answers(response()))
    outer = stage.server(answers(response(302, headers=[("Location", inner.url("/"))])))
    with stage.client() as client:
        client.get(outer.url("/", host="localhost"))
    assert outer.requests[0].header("authorization") == basic("me", "here")
    assert inner.requests[0].all("authorization") == []
