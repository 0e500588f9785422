"""Downloads: whole or resumed, checked, and never half there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from reqivo import DecodeError, HTTPStatusError, IncompleteBody, InvalidRequest, RemoteProtocolError, Response
from support.messages import response
from support.scripted import Peer, answers
from support.world import World

DATA = bytes(range(256)) * 40
SUM = hashlib.sha256(DATA).hexdigest()
TAG = ("ETag", '"v1"')


def fetch(world: World, url: str, path: Path, **options: Any) -> int:
    with world.client(world.find("Session", "reqivo")()) as client:
        size = client.call(lambda session: session.download(url, path, **options))
        assert client.session.pool.active == 0
        return int(size)


def whole(*headers: tuple[str, str]) -> Any:
    return answers(response(200, DATA, headers))


def broken(sent: int, *headers: tuple[str, str]) -> Any:
    """Send a part of all, and break off."""

    def script(peer: Peer) -> None:
        peer.expect_request()
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n{lines}\r\n".encode() + DATA[:sent])

    return script


def rest(start: int, *, end: int = len(DATA), sent: int | None = None) -> Any:
    """Send a range, perhaps less of it than promised."""

    def script(peer: Peer) -> None:
        peer.expect_request()
        span = f"Content-Length: {end - start}\r\nContent-Range: bytes {start}-{end - 1}/{len(DATA)}"
        head = f"HTTP/1.1 206 Partial\r\n{span}"
        peer.send(head.encode() + b"\r\n\r\n" + DATA[start : end if sent is None else start + sent])

    return script


def left_over(path: Path, size: int, url: str, validator: str = '"v1"') -> None:
    path.with_name(path.name + ".part").write_bytes(DATA[:size])
    path.with_name(path.name + ".part.json").write_text(json.dumps({"url": url, "validator": validator}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.bin"


def is_alone(path: Path) -> bool:
    return [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_is_fetched(world: World, serve: Any, path: Path) -> None:
    path.write_bytes(b"an older one")
    server = serve(whole(TAG))
    seen: list[tuple[int, int | None]] = []
    size = fetch(world, server.url("/"), path, digest=f"SHA-256:{SUM.upper()}", progress=lambda *at: seen.append(at))
    assert (size, path.read_bytes(), is_alone(path)) == (len(DATA), DATA, True)
    assert seen[-1] == (len(DATA), len(DATA))
    assert server.requests[0].header("accept-encoding") == "identity"


def test_what_breaks_off_is_resumed_at_once(world: World, serve: Any, path: Path) -> None:
    server = serve([broken(3000, TAG), rest(3000, sent=1000), rest(4000)])
    assert fetch(world, server.url("/"), path, digest=f"sha256:{SUM}") == len(DATA)
    assert (path.read_bytes(), is_alone(path)) == (DATA, True)
    assert [request.header("range") for request in server.requests] == ["", "bytes=3000-", "bytes=4000-"]
    assert [request.header("if-range") for request in server.requests] == ["", '"v1"', '"v1"']


def test_what_broke_off_earlier_is_resumed(world: World, serve: Any, path: Path) -> None:
    server = serve(rest(5000))
    left_over(path, 5000, server.url("/"))
    assert fetch(world, server.url("/"), path) == len(DATA)
    assert (path.read_bytes(), is_alone(path)) == (DATA, True)


def test_a_file_that_changed_is_fetched_anew(world: World, serve: Any, path: Path) -> None:
    server = serve(whole(("ETag", '"v2"')))
    left_over(path, 5000, server.url("/"), '"v1"')
    assert fetch(world, server.url("/"), path) == len(DATA)
    assert (path.read_bytes(), server.requests[0].header("if-range")) == (DATA, '"v1"')


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b'{"url": "http://other/", "validator": "x"}'])
def test_a_part_of_who_knows_what_is_not_resumed(world: World, serve: Any, path: Path, note: bytes) -> None:
    server = serve(whole())
    left_over(path, 5000, server.url("/"))
    path.with_name("file.bin.part.json").write_bytes(note)
    assert fetch(world, server.url("/"), path) == len(DATA)
    assert (path.read_bytes(), server.requests[0].header("range")) == (DATA, "")


@pytest.mark.parametrize("headers", [[], [("ETag", 'W/"weak"')], [TAG, ("Content-Encoding", "unknown")]])
def test_a_version_without_a_name_cannot_be_resumed(world: World, serve: Any, path: Path, headers: Any) -> None:
    server = serve(broken(3000, *headers))
    with pytest.raises(IncompleteBody):
        fetch(world, server.url("/"), path)
    assert (len(server.requests), path.exists()) == (1, False)


def test_a_date_names_a_version_too(world: World, serve: Any, path: Path) -> None:
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    server = serve([broken(3000, ("Last-Modified", date)), rest(3000)])
    assert fetch(world, server.url("/"), path) == len(DATA)
    assert server.requests[1].header("if-range") == date


def test_attempts_that_bring_nothing_come_to_an_end(world: World, serve: Any, path: Path) -> None:
    server = serve([broken(3000, TAG), rest(3000, sent=0)])
    with pytest.raises(IncompleteBody):
        fetch(world, server.url("/"), path)
    assert len(server.requests) == 4
    assert path.with_name("file.bin.part").read_bytes() == DATA[:3000]  # for the next call


def test_without_resuming_nothing_is_left(world: World, serve: Any, path: Path) -> None:
    server = serve([broken(3000, TAG), whole()])
    left_over(path, 5000, server.url("/"))
    with pytest.raises(IncompleteBody):
        fetch(world, server.url("/"), path, resume=False)
    assert server.requests[0].header("range") == ""
    assert fetch(world, server.url("/"), path, resume=False) == len(DATA)
    assert is_alone(path)


@pytest.mark.parametrize("total", [len(DATA), len(DATA) + 1])
def test_a_part_that_is_whole_already(world: World, serve: Any, path: Path, total: int) -> None:
    server = serve([answers(response(416, b"", [("Content-Range", f"bytes */{total}")])), whole()])
    left_over(path, len(DATA), server.url("/"))
    assert fetch(world, server.url("/"), path, digest=f"sha256:{SUM}") == len(DATA)
    assert len(server.requests) == (1 if total == len(DATA) else 2)


def test_another_part_than_was_asked_for_is_an_error(world: World, serve: Any, path: Path) -> None:
    server = serve(rest(4000))
    left_over(path, 5000, server.url("/"))
    with pytest.raises(RemoteProtocolError, match="5000"):
        fetch(world, server.url("/"), path)


def test_a_refusal_is_not_saved(world: World, serve: Any, path: Path) -> None:
    server = serve(answers(response(404, b"not here")))
    with pytest.raises(HTTPStatusError):
        fetch(world, server.url("/"), path)
    assert list(path.parent.iterdir()) == []


def test_a_file_that_is_not_the_expected_one_is_removed(world: World, serve: Any, path: Path) -> None:
    server = serve(whole(TAG))
    with pytest.raises(DecodeError, match=f"{SUM}, not {'00' * 32}"):
        fetch(world, server.url("/"), path, digest="sha256:" + "00" * 32)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("digest", ["sha256", "sha256:", "sha256:xyz", "nothing:00", "00"])
def test_what_is_no_digest_is_refused(world: World, path: Path, digest: str) -> None:
    with pytest.raises(InvalidRequest, match="digest"):
        fetch(world, "http://127.0.0.1:1/", path, digest=digest)


def test_options_are_those_of_a_request(world: World, serve: Any, path: Path) -> None:
    server = serve(whole())
    fetch(world, server.url("/"), path, headers={"X-A": "b"}, params={"c": "d"}, auth=("e", "f"))
    seen = server.requests[0]
    assert (seen.header("x-a"), seen.target, seen.header("authorization")) == ("b", "/?c=d", "Basic ZTpm")


def test_a_flow_may_make_the_file(world: World, path: Path) -> None:
    def mock(request: Any) -> Any:
        return Response.build(200, body=b"made", request=request)
        yield

    assert fetch(world, "http://nowhere.example/", path, auth=mock) == 4
    assert path.read_bytes() == b"made"
