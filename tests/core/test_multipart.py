"""Multipart bodies, read back by two independent parsers."""

from __future__ import annotations

import asyncio
import io
import os
import pathlib
import re
import tracemalloc
from email.parser import BytesParser
from email.policy import HTTP
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.formparser import parse_form_data

from reqivo_core.content import multipart_content
from reqivo_core.errors import InvalidRequest
from support.contents import chunks_of, finish, sent, sent_chunks

BIG = os.urandom(200_000)


class Part(NamedTuple):
    name: str | None
    filename: str | None
    content_type: str | None
    body: bytes


def parts_of(content):
    """The parts as Python's mail parser reads them, which is strict about the framing."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: %b\r\n\r\n" % content.content_type.encode() + sent(content)
    )
    assert message.is_multipart() and not message.defects
    return [
        Part(
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part["content-type"],
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def heads_of(content):
    """The header sections, as they are on the wire."""
    boundary = content.content_type.partition("boundary=")[2].encode()
    return [part.partition(b"\r\n\r\n")[0].lstrip(b"\r\n") for part in sent(content).split(b"--" + boundary)[1:-1]]


def only_head(data=None, files=None):
    [head] = heads_of(multipart_content(data, files))
    return head


class TestBody:
    def test_is_as_rfc_7578_has_it(self):
        content = multipart_content({"a": "1"}, {"f": ("x.txt", b"two")})
        boundary = re.fullmatch(r"multipart/form-data; boundary=([0-9a-f]{32})", content.content_type)[1]
        assert sent(content).decode() == (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="a"\r\n\r\n'
            "1\r\n"
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="f"; filename="x.txt"\r\n'
            "Content-Type: text/plain\r\n\r\n"
            "two\r\n"
            f"--{boundary}--\r\n"
        )

    def test_has_a_boundary_of_its_own(self):
        assert multipart_content({"a": 1}).content_type != multipart_content({"a": 1}).content_type

    def test_of_nothing_is_a_closing_boundary(self):
        content = multipart_content()
        assert sent(content) == b"--%b--\r\n" % content.content_type.partition("=")[2].encode()

    def test_of_small_parts_lies_in_memory_and_leaves_in_one_write(self):
        content = multipart_content({"a": "1"}, [("f", b"x"), ("f", "y")])
        assert content.length == len(content.data) and content.is_replayable
        assert len(sent_chunks(content)) == 1

    def test_of_large_octets_does_not_copy_them(self):
        content = multipart_content({"a": "1"}, {"f": BIG, "g": b"x"})
        assert content.data is None and content.length == len(sent(content)) and content.is_replayable
        assert [part.body for part in parts_of(content)] == [b"1", BIG, b"x"]
        assert parts_of(content) == parts_of(content)

    def test_holds_fields_as_forms_do(self):
        content = multipart_content([("a", ["1", None, 2]), ("b", True), ("c", b"\xff")])
        assert [(part.name, part.body) for part in parts_of(content)] == [
            ("a", b"1"),
            ("a", b"2"),
            ("b", b"true"),
            ("c", b"\xff"),
        ]

    @given(
        fields=st.lists(st.tuples(st.text("ab<ü", min_size=1), st.binary(max_size=50))),
        files=st.lists(st.tuples(st.text("ab ü;", min_size=1), st.binary(max_size=300_000))),
    )
    def test_reads_back_as_what_it_was(self, fields, files):
        content = multipart_content(fields, [(name, (f"{name}.bin", io.BytesIO(data))) for name, data in files])
        body = sent(content)
        assert content.length == len(body)
        environ = {
            "wsgi.input": io.BytesIO(body),
            "CONTENT_TYPE": content.content_type,
            "CONTENT_LENGTH": str(content.length),
            "REQUEST_METHOD": "POST",
        }
        _, form, received = parse_form_data(environ, stream_factory=lambda *args, **kwargs: io.BytesIO())
        wanted = {}
        for name, data in fields:
            wanted.setdefault(name, []).append(data.decode("utf-8", "replace"))
        assert form.to_dict(flat=False) == wanted
        for name, parts in received.lists():
            assert [part.read() for part in parts] == [data for other, data in files if other == name]
            assert {part.filename for part in parts} == {f"{name}.bin"}
        assert sum(len(parts) for _, parts in received.lists()) == len(files)


class TestFiles:
    def test_by_path_are_opened_in_turn_and_closed_by_us(self, tmp_path):
        paths = [tmp_path / name for name in ("a.txt", "b.bin")]
        for path in paths:
            path.write_bytes(path.name.encode())
        content = multipart_content(files=[("f", path) for path in paths])
        assert content.is_replayable and content.length == len(sent(content))
        before = len(os.listdir("/proc/self/fd"))
        reader = content.open()
        seen = b""
        while chunk := finish(reader.read_chunk()):
            seen += bytes(chunk)
            assert len(os.listdir("/proc/self/fd")) <= before + 1
        assert len(os.listdir("/proc/self/fd")) == before
        assert [part[1:] for part in parts_of(content)] == [
            ("a.txt", "text/plain", b"a.txt"),
            ("b.bin", "application/octet-stream", b"b.bin"),
        ]

    @pytest.mark.parametrize("is_async", [False, True])
    def test_of_ours_are_closed_when_the_body_is_given_up(self, tmp_path, is_async):
        path = tmp_path / "a.bin"
        path.write_bytes(BIG)
        before = len(os.listdir("/proc/self/fd"))
        reader = multipart_content(files={"f": path, "g": path}).open()
        finish(reader.read_chunk())
        finish(reader.read_chunk())
        assert len(os.listdir("/proc/self/fd")) == before + 1
        for _ in range(2):
            finish(reader.aclose()) if is_async else reader.close()
        assert len(os.listdir("/proc/self/fd")) == before
        assert finish(reader.read_chunk()) == b""

    def test_of_the_user_are_named_after_themselves_and_left_open(self, tmp_path):
        path = tmp_path / "photo.png"
        path.write_bytes(b"abc")
        with open(path, "rb") as file:
            content = multipart_content(files={"f": file})
            assert parts_of(content) == [("f", "photo.png", "image/png", b"abc")]
            assert parts_of(content) == [("f", "photo.png", "image/png", b"abc")]
            assert not file.closed

    def test_of_a_name_in_bytes_are_named_too(self, tmp_path):
        path = os.fsencode(tmp_path / "photo.png")
        pathlib.Path(os.fsdecode(path)).write_bytes(b"abc")
        with open(path, "rb") as file:
            assert b'filename="photo.png"' in only_head(files={"f": file})

    @pytest.mark.parametrize("name", [7, "<stdin>", "folder/", None])
    def test_without_a_name_are_named_after_the_field(self, name):
        file = io.BytesIO(b"abc")
        file.name = name
        assert b'name="f"; filename="f"' in only_head(files={"f": file})

    def test_that_can_be_read_once_make_the_body_so(self):
        def upload():
            yield b"abc"

        content = multipart_content(files={"f": ("x", upload())})
        assert (content.length, content.is_replayable, content.is_async) == (None, False, False)
        assert b"\r\n\r\nabc\r\n--" in sent(content)
        with pytest.raises(InvalidRequest, match="multipart body with generator .*upload can be read only once"):
            content.open()

    def test_that_are_asynchronous_make_the_body_so(self):
        async def upload():
            await asyncio.sleep(0)
            yield b"abc"

        content = multipart_content(files={"f": ("x", upload())})
        assert content.is_async
        assert b"abc" in asyncio.run(chunks_of(content))

    def test_are_never_held_whole(self, tmp_path):
        path = tmp_path / "large"
        with open(path, "wb") as file:
            file.truncate(32 * 1024 * 1024)
        reader = multipart_content(files={"f": path}).open()
        tracemalloc.start()
        try:
            while finish(reader.read_chunk()):
                pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1024 * 1024

    @pytest.mark.parametrize(
        ("value", "filename", "content_type"),
        [
            (("a.json", b"{}"), "a.json", "application/json"),
            (("a.tar.gz", b"{}"), "a.tar.gz", "application/octet-stream"),
            (("a", b"{}"), "a", "application/octet-stream"),
            ((b"a.json", b"{}"), "a.json", "application/json"),
            (("a.json", b"{}", "x/y"), "a.json", "x/y"),
            (("a.json", b"{}", None, {"content-type": "x/y"}), "a.json", "x/y"),
            ((None, b"{}"), None, None),
            ((None, "{}", "application/json"), None, "application/json"),
            (b"{}", "f", "application/octet-stream"),
            ("{}", "f", "application/octet-stream"),
        ],
    )
    def test_have_the_name_and_type_given_or_guessed(self, value, filename, content_type):
        head = only_head(files={"f": value}).decode()
        assert ('filename="' in head) == (filename is not None)
        assert filename is None or f'filename="{filename}"' in head
        assert re.findall(r"(?i)^content-type: (.*)\r?$", head, re.M) == (
            [] if content_type is None else [content_type]
        )

    def test_may_have_headers_of_their_own(self):
        extra = [("X-One", "1"), ("X-Many", "a"), ("X-Many", "ü"), ("X-Raw", b"\xff")]
        lines = only_head(files={"f": ("a.txt", b"", None, extra)}).split(b"\r\n")
        assert lines[1:] == [
            b"X-One: 1",
            b"X-Many: a",
            "X-Many: ü".encode(),
            b"X-Raw: \xff",
            b"Content-Type: text/plain",
        ]

    def test_of_an_empty_tuple_of_headers_are_fine(self):
        assert only_head(files={"f": ("a.txt", b"", None, ())}).endswith(b"text/plain")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "wire"),
        [
            ('a"b', b"a%22b"),
            ("a\r\nb", b"a%0D%0Ab"),
            ("a\\b", b"a\\b"),
            ("a%b", b"a%b"),
            ("ü", "ü".encode()),
            ('x"; filename="evil', b"x%22; filename=%22evil"),
        ],
    )
    def test_are_escaped_as_browsers_do(self, name, wire):
        assert only_head({name: "1"}) == b'Content-Disposition: form-data; name="%b"' % wire
        assert b'; name="%b"; filename="%b"\r\n' % (wire, wire) in only_head(files={name: (name, b"")})

    def test_in_bytes_keep_their_octets(self):
        assert b'name="\xff%22"' in only_head(files={b'\xff"': b""})

    @pytest.mark.parametrize(
        ("data", "files"),
        [({"a\0": "1"}, None), (None, {"a\0": b""}), (None, {"a": ("b\0", b"")}), (None, {b"\0": b""})],
    )
    def test_with_nul_are_refused(self, data, files):
        with pytest.raises(InvalidRequest, match="holds NUL"):
            multipart_content(data, files)


class TestRefusals:
    @pytest.mark.parametrize(
        ("files", "problem"),
        [
            ({"f": ("x",)}, r"files\['f'\]: a tuple has \(filename, file.*not 1 items"),
            ({"f": tuple("abcde")}, "not 5 items"),
            ({"f": (7, b"")}, "a filename is str, or None for a plain field, not int"),
            ({"f": [b"a"]}, "several files of one name go into files= as a list of pairs"),
            ({"f": None}, "not NoneType"),
            ({"f": {"a": 1}}, "dict has no octets"),
            ({7: b""}, "a name is str, not int"),
            ({7: ("x", b"")}, "a name is str, not int"),
            ({"f": ("\ud800", b"")}, "a filename is not encodable as UTF-8"),
            ("f", "give a mapping or a list of pairs"),
            ([("f", b"", b"")], "give a mapping or a list of pairs"),
            ({"f": ("x", b"", "a/b\r\nX: y")}, "header Content-Type: give str without control characters"),
            ({"f": ("x", b"", 7)}, "header Content-Type: give str"),
            ({"f": ("x", b"", None, {"X": "a\0"})}, "header X: give str without control characters"),
            ({"f": ("x", b"", None, {"X": b"a\n"})}, "header X: give str without control characters"),
            ({"f": ("x", b"", None, {"X y": "a"})}, "header name 'X y' is no token"),
            ({"f": ("x", b"", None, {7: "a"})}, "is no token"),
            ({"f": ("x", b"", None, {"content-disposition": "a"})}, "Content-Disposition is made from name"),
        ],
    )
    def test_name_the_part(self, files, problem):
        with pytest.raises(InvalidRequest, match=problem):
            multipart_content(None, files)

    def test_of_missing_files_come_before_anything_is_sent(self, tmp_path):
        with pytest.raises(InvalidRequest, match="No such file"):
            multipart_content(files={"f": tmp_path / "none"})
