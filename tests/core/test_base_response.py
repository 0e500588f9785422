"""What a response tells, in both forms: its status, its fields, its text, and the body as far as it was taken in."""

from __future__ import annotations

import gzip
import pickle
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from core.toys import URL, ToyTransport, world
from reqivo_core import AsyncResponse, AsyncSession, Headers, Response, Session, TransportSpec, hookimpl
from reqivo_core.errors import DecodeError, HTTPStatusError, InvalidRequest, StreamClosed, StreamConsumed
from reqivo_core.interfaces import IncomingResponse, ResponseBody
from reqivo_core.messages import Request
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.testing.streams import MemoryStream

KINDS: list[Any] = [Response, AsyncResponse]
HERE = "http://example.org/a/b"


def built(kind: Any = Response, status: int = 200, *headers: tuple[str, str], body: bytes = b"") -> Any:
    return kind.build(status, headers=list(headers), body=body, request=Request("GET", HERE))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (101, {"is_informational", "ok"}),
        (200, {"is_success", "ok"}),
        (304, {"ok"}),
        (404, {"is_client_error", "is_error"}),
        (503, {"is_server_error", "is_error"}),
        (600, set()),
    ],
)
def test_a_status_is_of_one_class(kind: Any, status: int, said: set[str]) -> None:
    response = built(kind, status)
    asked = {"is_informational", "is_success", "is_redirect", "is_client_error", "is_server_error", "is_error", "ok"}
    assert {name for name in asked if getattr(response, name)} == said
    assert response.status == status


@pytest.mark.parametrize(
    ("lines", "links"),
    [
        ([], {}),
        (['<https://a/?page=2>; rel="next"'], {"next": {"url": "https://a/?page=2", "rel": "next"}}),
        (
            ["</1>; rel=first, </9>; rel=last", "</2>;REL=next;title=two"],
            {
                "first": {"url": "/1", "rel": "first"},
                "last": {"url": "/9", "rel": "last"},
                "next": {"url": "/2", "rel": "next", "title": "two"},
            },
        ),
        (
            ['</2>; rel="next last"; title="a, \\"b\\"; <c>"'],
            dict.fromkeys(("next", "last"), {"url": "/2", "rel": "next last", "title": 'a, "b"; <c>'}),
        ),
        (["</1>; rel=next, </2>; rel=next"], {"next": {"url": "/1", "rel": "next"}}),
        (["</1>; rel=next; rel=last; url=/evil"], {"next": {"url": "/1", "rel": "next"}}),
        (["</bare>", '</empty>; rel=""'], {"/bare": {"url": "/bare"}, "/empty": {"url": "/empty", "rel": ""}}),
        (["no link", "<never ends; rel=next"], {}),
    ],
)
def test_links_are_found_by_relation(lines: list[str], links: dict[str, dict[str, str]]) -> None:
    found = built(Response, 200, *(("Link", line) for line in lines)).links
    assert {relation: {"url": link["url"]} | link for relation, link in found.items()} == found
    assert {relation: {name: link[name] for name in links[relation]} for relation, link in found.items()} == links


@pytest.mark.parametrize("line", ["<" * 100_000, "<a>" + ";b" * 30_000, "<a>" + " " * 60_000, '<a>;b="' * 20_000])
def test_links_that_are_none_cost_little(line: str) -> None:
    started = time.process_time()
    _ = built(Response, 200, ("Link", line)).links
    assert time.process_time() - started < 2, "it takes some milliseconds; what is quadratic takes much longer"


def test_cookies_are_those_that_this_response_set() -> None:
    response = built(Response, 200, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Domain=evil.example"))
    assert dict(response.cookies) == {"a": "1"}


# -- text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "charset", ["x-nobody-knows", "hex", "idna", "punycode", "unicode_escape", "undefined", '""', "utf-8; charset=hex"]
)
def test_a_charset_that_is_none_is_not_believed(kind: Any, charset: str) -> None:
    body = "grün \\d".encode() + b"\xff"
    response = built(kind, 200, ("Content-Type", f"text/plain; charset={charset}"), body=body)
    assert (response.encoding, response.text) == ("utf-8", "grün \\d\ufffd")


def test_the_encoding_can_be_set_to_one_that_exists() -> None:
    response = built(body="ä".encode("latin-1"))
    response.encoding = "latin-1"
    assert response.text == "ä"
    for encoding in ("rot13", None):
        with pytest.raises(InvalidRequest, match="no such text encoding"):
            response.encoding = encoding
    assert response.encoding == "latin-1"


def test_a_session_has_a_default_encoding_that_exists() -> None:
    with pytest.raises(InvalidRequest, match="default_encoding='latin-99'"):
        Session(default_encoding="latin-99")


# -- the body, as far as it was taken in


class Pieces(ResponseBody):
    """A body that comes in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)

    async def read_chunk(self) -> bytes:
        return self.left.pop(0) if self.left else b""

    def close(self) -> None:
        self.left.clear()


def sends(*pieces: bytes, coding: str | None = None) -> Any:
    """A plugin whose transport answers with a body in these pieces."""

    class InPieces(ToyTransport):
        async def send(self, request: Any, exchange: Any) -> IncomingResponse:
            headers = Headers({"Content-Encoding": coding} if coding else {})
            return IncomingResponse(200, "", "toy", headers, Pieces(*pieces))

    class Plugin:
        @hookimpl
        def reqivo_register_transports(self) -> list[TransportSpec]:
            return [TransportSpec(name="pieces", schemes=("toy",), open=InPieces)]

    return Plugin()


def with_response(
    plugin: Any,
    blocking: Callable[[Response], object],
    awaited: Callable[[AsyncResponse], Coroutine[Any, Any, object]],
    **options: Any,
) -> None:
    """Get a response and look at it, in both worlds."""
    with world() as runtime:
        with Session(runtime=runtime, plugins=[plugin], trust_env=False) as session:
            blocking(session.get(f"{URL}/a", **options))

        async def main() -> None:
            async with AsyncSession(runtime=runtime, plugins=[plugin], trust_env=False) as session:
                await awaited(await session.get(f"{URL}/a", **options))

        runtime.run(main())


def test_a_body_in_memory_is_read_piece_by_piece_too() -> None:
    def check(response: Response) -> None:
        assert [response.read(4) for _ in range(4)] == [
            b"0123",
            b"4567",
            b"89",
            b"",
        ]
        assert (response.read(), response.read(), response.content) == (b"", b"0123456789", b"0123456789")
        assert (response.read(3), b"".join(response), response.read(-1)) == (b"012", b"3456789", b"3456789")

    async def acheck(response: AsyncResponse) -> None:
        assert [await response.aread(4) for _ in range(4)] == [b"0123", b"4567", b"89", b""]
        assert (await response.aread(), await response.aread(), response.content) == (b"", b"0123456789", b"0123456789")
        assert await response.aread(3) == b"012"
        assert b"".join([chunk async for chunk in response]) == b"3456789"
        assert await response.aread(-1) == b"3456789"

    with_response(sends(b"01234", b"56789"), lambda response: (response.content, check(response)), acheck)


def test_a_raw_body_in_memory_is_read_piece_by_piece_too() -> None:
    """What was read of the one form does not move the place in the other."""
    raw = gzip.compress(b"0123456789")

    def check(response: Response) -> None:
        assert response.content == b"0123456789"
        assert response.read(4) == b"0123"
        pieces = [response.read(7, decode_content=False) for _ in range(2 + len(raw) // 7)]
        assert (b"".join(pieces), pieces[-1]) == (raw, b"")
        assert response.read() == b"456789"

    async def acheck(response: AsyncResponse) -> None:
        pieces = [await response.aread(7, decode_content=False) for _ in range(2 + len(raw) // 7)]
        assert (b"".join(pieces), pieces[-1]) == (raw, b"")
        assert await response.aread(decode_content=False) == b""
        assert await response.aread(decode_content=False) == raw

    with_response(sends(raw, coding="gzip"), check, acheck)


def test_the_raw_form_of_a_large_body_is_not_kept() -> None:
    data = random.Random(1).randbytes(1_100_000)
    raw = gzip.compress(data, 0)

    def check(response: Response) -> None:
        assert response.content == data
        with pytest.raises(StreamConsumed, match="raw form is gone"):
            response.read(decode_content=False)

    async def acheck(response: AsyncResponse) -> None:
        assert response.content == data
        with pytest.raises(StreamConsumed, match="raw form is gone"):
            await response.aread(decode_content=False)

    with_response(sends(raw[:999_999], raw[999_999:], coding="gzip"), check, acheck)


def test_json_is_read_first() -> None:
    def check(response: Response) -> None:
        assert response.json() == [1]

    async def acheck(response: AsyncResponse) -> None:
        assert response.json() == [1]

    with_response(sends(b"[1", b"]"), check, acheck)


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_saving_tells_its_progress(tmp_path: Path, coding: str | None) -> None:
    data = b"0123456789"
    raw = gzip.compress(data) if coding else data
    told: list[tuple[int, int | None]] = []
    path = tmp_path / "saved"

    def progress(written: int, total: int | None) -> None:
        told.append((written, total))

    def check(response: Response) -> None:
        assert response.save(path, progress) == 10

    async def acheck(response: AsyncResponse) -> None:
        assert path.read_bytes() == data
        path.unlink()
        assert await response.asave(path, progress) == 10
        assert path.read_bytes() == data

    with_response(sends(raw, coding=coding), check, acheck)
    assert told == [(10, None), (10, 10)], "of what is in memory the length is known"


def test_saving_what_is_gone_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "saved"

    def check(response: Response) -> None:
        assert response.save(path) == 4
        with pytest.raises(StreamConsumed):
            response.save(path)
        assert path.read_bytes() == b"0123"

    def check_closed(response: Response) -> None:
        response.close()
        with pytest.raises(StreamClosed):
            response.save(path)
        assert path.read_bytes() == b"0123"

    async def acheck(response: AsyncResponse) -> None:
        path.unlink()
        assert await response.asave(path) == 4
        with pytest.raises(StreamConsumed):
            await response.asave(path)
        assert path.read_bytes() == b"0123"

    async def acheck_closed(response: AsyncResponse) -> None:
        await response.aclose()
        with pytest.raises(StreamClosed):
            await response.asave(path)
        assert path.read_bytes() == b"0123"

    with_response(sends(b"01", b"23"), check, acheck, stream=True)
    with_response(sends(b"45", b"67"), check_closed, acheck_closed, stream=True)


def test_a_response_whose_body_stayed_behind_does_not_pass_for_empty() -> None:
    def check(response: Response) -> None:
        again = pickle.loads(pickle.dumps(response))
        for reading in (again.read, lambda: again.read(1), lambda: list(again), lambda: again.content):
            with pytest.raises(StreamConsumed):
                reading()
        assert (again.is_closed, again.is_stream_consumed) == (True, True)
        response.close()

    async def acheck(response: AsyncResponse) -> None:
        again = pickle.loads(pickle.dumps(response))
        with pytest.raises(StreamConsumed):
            await again.aread(1)
        with pytest.raises(StreamConsumed):
            await anext(again.aiter_content())
        await response.aclose()

    with_response(sends(b"x"), check, acheck, stream=True)


def test_iterating_over_a_streamed_response_consumes_it() -> None:
    def check(response: Response) -> None:
        assert not response.is_stream_consumed
        assert (list(response), response.is_stream_consumed) == ([b"01", b"23"], True)

    async def acheck(response: AsyncResponse) -> None:
        async with response:
            assert [chunk async for chunk in response] == [b"01", b"23"]
        assert (response.is_stream_consumed, response.is_closed) == (True, True)

    with_response(sends(b"01", b"23"), check, acheck, stream=True)


def test_leaving_a_streamed_response_closes_it() -> None:
    def check(response: Response) -> None:
        with response as entered:
            assert entered is response
            assert not response.is_closed
        assert response.is_closed

    async def acheck(response: AsyncResponse) -> None:
        async with response as entered:
            assert entered is response
            assert not response.is_closed
        assert response.is_closed

    with_response(sends(b"01", b"23"), check, acheck, stream=True)


def test_giving_a_response_up_gives_up_the_connection_that_it_handed_out() -> None:
    stream = MemoryStream(world())
    response = built(Response, 101)
    response.extensions["network_stream"] = stream
    run_blocking(response.drop())
    assert stream.is_closed


def test_an_empty_body_is_no_json_and_says_so() -> None:
    with pytest.raises(DecodeError, match=r"the body \(of a 204\) is empty, which is no JSON$") as caught:
        built(Response, 204).json()
    assert isinstance(caught.value, ValueError)  # what users of other libraries catch


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("Basic YWRhOmxvdmVsYWNl", "no ada with the password ***"),
        ("Basic YWRhOmxvdmVsYWNl", "*** is wrong: ada:lovelace"),
        ("basic lovelace~", "no base64"),
        ("Digest YWRhOmxvdmVsYWNl", "another scheme"),
    ],
)
def test_a_password_that_the_server_says_back_is_masked(field: str, said: str) -> None:
    request = Request("GET", HERE, headers={"Authorization": field})
    body = "no ada with the password lovelace" if "password" in said else said.replace("***", field)
    with pytest.raises(HTTPStatusError) as caught:
        Response.build(401, body=body, request=request).raise_for_status()
    assert f"the body begins '{said.replace('ada:lovelace', '***')}'" in str(caught.value)
