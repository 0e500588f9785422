"""What reqivo adds to requests and responses: NDJSON, curl, progress of uploads."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest

import reqivo
from reqivo import DecodeError, Request, with_progress
from reqivo_core.content import to_content
from reqivo_core.runtime.driving import run_blocking
from support.messages import response
from support.scripted import answers
from support.world import World

LINES = '{"a": 1}\n\n[2]\r\n"grü\u2028ße"\n3'.encode()


def session_of(world: World, **options: Any) -> Any:
    return world.find("Session", "reqivo")(**options)


def test_values_come_line_by_line(world: World, serve: Any) -> None:
    server = serve(answers(response(200, LINES), response(200, LINES)))
    with world.client(session_of(world)) as client:
        with client.stream("GET", server.url("/")) as answer:
            assert ndjson(world, answer) == [{"a": 1}, [2], "grü\u2028ße", 3]
        whole = client.get(server.url("/"))
        client.read(whole)
        assert ndjson(world, whole) == [{"a": 1}, [2], "grü\u2028ße", 3]


def ndjson(world: World, answer: Any) -> list[Any]:
    return world.collect(answer.aiter_ndjson() if world.name == "async" else answer.iter_ndjson())


def test_a_line_that_is_not_json_is_named(world: World, serve: Any) -> None:
    server = serve(answers(response(200, b'{}\n{"a": \n')))
    with world.client(session_of(world)) as client, client.stream("GET", server.url("/")) as answer:
        with pytest.raises(DecodeError, match="line 2 .*not JSON"):
            ndjson(world, answer)


def test_lines_are_parsed_as_the_session_does(world: World, serve: Any) -> None:
    server = serve(answers(response(200, b"1\n2\n")))
    with world.client(session_of(world, json_decoder=lambda data: b"<" + data + b">")) as client:
        with client.stream("GET", server.url("/")) as answer:
            assert ndjson(world, answer) == [b"<1>", b"<2>"]


# -- curl


def command(method: str = "GET", url: str = "http://example.com/", body: Any = None, **headers: str) -> str:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, url, headers=fields, content=to_content(body)).curl()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "curl http://example.com/"),
        ({"method": "HEAD"}, "curl --head http://example.com/"),
        ({"method": "DELETE"}, "curl --request DELETE http://example.com/"),
        ({"method": "POST"}, "curl --request POST http://example.com/"),
        ({"method": "POST", "body": b"a b"}, "curl --data-binary 'a b' http://example.com/"),
        ({"method": "GET", "body": b"x"}, "curl --request GET --data-binary x http://example.com/"),
        ({"method": "PUT", "body": iter([b"x"])}, "curl --request PUT --data-binary @- http://example.com/"),
        ({"method": "POST", "body": b"@file"}, "curl --data-binary $'@file' http://example.com/"),
        ({"method": "POST", "body": b"\xff'\\\n"}, "curl --data-binary $'\\xff\\'\\\\\\x0a' http://example.com/"),
        ({"X_A": "it's"}, "curl --header 'X-A: it'\"'\"'s' http://example.com/"),
        ({"X_A": ""}, "curl --header 'X-A;' http://example.com/"),
        ({"Accept_Encoding": "gzip, br"}, "curl --compressed http://example.com/"),
        ({"Host": "other", "Content_Length": "0"}, "curl http://example.com/"),
        ({"url": "http://a/?b=c&d={e}"}, "curl --globoff 'http://a/?b=c&d={e}'"),
    ],
)
def test_the_command_is_what_a_shell_needs(given: dict[str, Any], expected: str) -> None:
    assert command(**given) == expected


@pytest.mark.parametrize("name", ["Authorization", "PROXY_AUTHORIZATION", "cookie", "X_Api_Key"])
def test_credentials_are_masked(name: str) -> None:
    shown = command(**{name: "Bearer s3cr3t"})
    assert "***" in shown and "s3cr3t" not in shown


def test_the_userinfo_of_a_url_is_masked() -> None:
    assert "s3cr3t" not in command(url="http://me:s3cr3t@example.com/")


@pytest.mark.parametrize(
    "body", [b"plain", b'it\'s "quoted" $HOME `id`', b"\x01\xff\n'\\", "grüße\n\t".encode(), b"@a"]
)
def test_a_shell_reads_the_body_as_it_was(body: bytes) -> None:
    words = command("POST", body=body)
    argument = words.removeprefix("curl --data-binary ").removesuffix(" http://example.com/")
    done = subprocess.run(["bash", "-c", f"printf %s {argument}"], capture_output=True, check=True)
    assert done.stdout == body


def test_responses_know_their_command(world: World, serve: Any) -> None:
    server = serve(answers(response(200)))
    with world.client(session_of(world)) as client:
        answer = client.get(server.url("/x"), auth=("a", "s3cr3t"))
        assert answer.curl().startswith("curl ") and answer.curl().endswith("/x")
        assert "s3cr3t" not in answer.curl() and "Authorization: ***" in answer.curl()
        assert answer.request.curl() == answer.curl()


def test_requests_stay_of_their_kind(world: World) -> None:
    with world.client(session_of(world)) as client:
        built = client.session.build_request("POST", "http://a/", json=1)
        for request in (
            built,
            built.copy(),
            pickle.loads(pickle.dumps(built)),
            client.session.build_request("GET", "http://a"),
        ):
            assert type(request) is Request


def test_one_shot_calls_give_the_same_responses(serve: Any) -> None:
    server = serve(answers(response(200, b"1\n2")))
    answer = reqivo.get(server.url("/"))
    assert type(answer) is reqivo.Response
    assert list(answer.iter_ndjson()) == [1, 2]


# -- uploads


def test_uploads_tell_how_far_they_are(world: World, serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(bytes(200_000))
    server = serve(answers(*[response(200)] * 3, response(307, headers=[("Location", "/")]), response(200)))
    seen: list[tuple[int, int | None]] = []
    with world.client(session_of(world)) as client:
        for body, size, total in [
            (b"abc", 3, 3),
            (iter([b"ab", b"", b"c"]), 3, None),
            (path, 200_000, 200_000),
            (b"twice", 5, 5),
        ]:
            seen.clear()
            client.post(server.url("/"), body=with_progress(body, lambda *at: seen.append(at)))
            assert seen[-1] == (size, total)
    assert seen == [(5, 5), (5, 5)]
    assert [len(request.body) for request in server.requests] == [3, 3, 200_000, 5, 5]


def test_an_async_upload_tells_too(serve: Any) -> None:
    from support import world as worlds

    async def body() -> Any:
        yield b"ab"
        yield b"c"

    server = serve(answers(response(200)))
    seen: list[int] = []
    with worlds.make("async") as world, world.client(session_of(world)) as client:
        client.post(server.url("/"), body=with_progress(body(), lambda done, total: seen.append(done)))
    assert seen == [2, 3]


@pytest.mark.parametrize("close", ["close", "aclose"])
def test_what_is_sent_with_progress_is_closed_when_it_is_given_up(close: str) -> None:
    def body() -> Any:
        try:
            yield b"ab"
            yield b"c"
        finally:
            seen.append("closed")

    seen: list[Any] = []
    reader = with_progress(body(), lambda *at: seen.append(at)).open()
    assert run_blocking(reader.read_chunk()) == b"ab"
    if close == "close":
        reader.close()
    else:
        run_blocking(reader.aclose())
    assert seen == [(2, None), "closed"]
