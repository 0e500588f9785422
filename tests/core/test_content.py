"""What a request body may be: every kind, its length, its passes and its refusals."""

from __future__ import annotations

import array
import asyncio
import decimal
import gzip
import io
import json
import math
import os
import pathlib
import pickle
import tempfile
import threading
import uuid
from collections import deque
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqivo_core.content import (
    NO_CONTENT,
    UNSET,
    AsyncIterableContent,
    BytesContent,
    FileContent,
    build_content,
    data_content,
    form_content,
    json_content,
    to_content,
)
from reqivo_core.content_kinds import CHUNK_SIZE, HUGE_CHUNK
from reqivo_core.errors import InvalidRequest, ReadTimeout
from reqivo_core.forms import form_fields
from support.contents import chunks_of, finish, sent, sent_chunks

MANY = bytes(range(256)) * 1024  # 256 KiB


class TestBytes:
    @pytest.mark.parametrize("body", [b"abc", bytearray(b"abc"), memoryview(b"abc"), array.array("B", b"abc")])
    def test_are_taken_in_every_form(self, body):
        content = to_content(body)
        assert (content.data, content.length, content.content_type) == (b"abc", 3, None)
        assert content.is_replayable and not content.is_async
        assert sent(content) == sent(content) == b"abc"

    def test_of_a_strided_memoryview_are_what_it_shows(self):
        assert to_content(memoryview(b"abcdef")[::2]).data == b"ace"

    def test_do_not_follow_a_bytearray_that_changes(self):
        buffer = bytearray(b"before")
        content = to_content(buffer)
        buffer[:] = b"after!"
        assert sent(content) == b"before"

    def test_are_cut_into_views_without_a_copy(self):
        reader = to_content(MANY).open()
        chunk = finish(reader.read_chunk())
        assert isinstance(chunk, memoryview) and chunk.obj is MANY and len(chunk) == CHUNK_SIZE

    def test_that_fit_one_chunk_are_handed_on_themselves(self):
        data = b"x" * CHUNK_SIZE
        assert finish(to_content(data).open().read_chunk()) is data

    @given(st.binary(max_size=10), st.integers(0, 3))
    def test_arrive_whole_whatever_their_size(self, tail, whole_chunks):
        data = MANY[: whole_chunks * CHUNK_SIZE] + tail
        chunks = sent_chunks(to_content(data))
        assert b"".join(chunks) == data
        assert all(0 < len(chunk) <= CHUNK_SIZE for chunk in chunks)

    @pytest.mark.parametrize("body", [None, b"", "", bytearray(), memoryview(b"")])
    def test_that_are_none_are_no_content(self, body):
        assert to_content(body) is NO_CONTENT
        assert (NO_CONTENT.length, NO_CONTENT.data, NO_CONTENT.content_type) == (0, b"", None)
        assert sent(NO_CONTENT) == b""

    def test_no_content_stays_itself_when_pickled(self):
        assert pickle.loads(pickle.dumps(NO_CONTENT)) is NO_CONTENT

    def test_survive_pickling(self):
        copy = pickle.loads(pickle.dumps(BytesContent(b"abc", "a/b")))
        assert (copy.data, copy.content_type) == (b"abc", "a/b")

    def test_are_not_shown_by_repr(self):
        assert repr(to_content(b"secret")) == "<BytesContent length=6>"

    def test_content_is_taken_as_it_is(self):
        content = BytesContent(b"abc")
        assert to_content(content) is content


class TestText:
    def test_is_utf_8_and_says_so(self):
        content = to_content("grüß")
        assert (content.data, content.content_type) == ("grüß".encode(), "text/plain; charset=utf-8")

    def test_with_half_a_surrogate_pair_is_refused(self):
        with pytest.raises(InvalidRequest, match="UTF-8.*index 1"):
            to_content("x\ud800")


class TestFiles:
    def test_have_the_length_that_is_left_of_them(self):
        file = io.BytesIO(b"0123456789")
        file.seek(4)
        content = to_content(file)
        assert (content.length, content.data, content.is_replayable) == (6, None, True)
        assert sent(content) == b"456789"

    def test_are_wound_back_to_where_they_stood(self):
        file = io.BytesIO(b"0123456789")
        file.seek(4)
        content = to_content(file)
        assert sent(content) == sent(content) == b"456789"
        assert not file.closed

    def test_are_wound_back_when_somebody_moved_them_before_the_first_pass(self):
        file = io.BytesIO(b"0123456789")
        content = to_content(file)
        file.read()
        assert sent(content) == b"0123456789"

    def test_that_stand_beyond_their_end_are_empty(self):
        file = io.BytesIO(b"123")
        file.seek(10)
        assert to_content(file).length == 0

    @pytest.mark.parametrize("buffering", [-1, 0])
    def test_of_the_system_are_read_in_chunks(self, tmp_path, buffering):
        path = tmp_path / "many"
        path.write_bytes(MANY)
        with open(path, "rb", buffering=buffering) as file:
            content = to_content(file)
            assert content.length == len(MANY)
            chunks = sent_chunks(content)
            assert b"".join(chunks) == MANY and max(map(len, chunks)) <= CHUNK_SIZE
            assert not file.closed

    def test_that_decompress_have_their_decompressed_length(self, tmp_path):
        path = tmp_path / "x.gz"
        path.write_bytes(gzip.compress(MANY))
        with gzip.open(path) as file:
            content = to_content(file)
            assert content.length == len(MANY)
            assert sent(content) == MANY

    def test_that_are_spooled_stay_in_memory(self):
        with tempfile.SpooledTemporaryFile(max_size=100) as file:
            file.write(b"abc")
            file.seek(0)
            content = to_content(file)
            assert (content.length, sent(content)) == (3, b"abc")
            assert isinstance(file._file, io.BytesIO)

    def test_may_be_wrapped_by_something_that_delegates(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(MANY)
            file.seek(1)
            content = to_content(file)
            assert (content.length, content.is_replayable) == (len(MANY) - 1, True)
            assert sent(content) == sent(content) == MANY[1:]

    def test_that_are_pipes_are_of_unknown_length_and_read_once(self):
        out, into = os.pipe()
        with open(out, "rb") as file:
            with open(into, "wb") as other:
                other.write(b"abc")
            content = to_content(file)
            assert (content.length, content.is_replayable) == (None, False)
            assert sent(content) == b"abc"
            with pytest.raises(InvalidRequest, match=r"can be read only once.*seekable file"):
                content.open()

    def test_that_are_devices_are_not_taken_to_be_empty(self):
        with open("/dev/zero", "rb") as file:
            content = to_content(file)
            assert (content.length, content.is_replayable) == (None, False)

    def test_may_be_anything_that_reads(self):
        class Source:
            left = [b"ab", bytearray(b"cd"), b""]

            def read(self, size):
                return self.left.pop(0)

        content = to_content(Source())
        assert (content.length, content.is_replayable) == (None, False)
        reader = content.open()
        assert [finish(reader.read_chunk()) for _ in range(3)] == [b"ab", b"cd", b""]

    def test_with_a_tell_that_makes_no_sense_are_read_once(self):
        class Source(io.BytesIO):
            def tell(self):
                return None

        assert FileContent(Source(b"abc")).length is None

    def test_that_ignore_the_size_asked_for_are_cut(self):
        class Eager(io.BytesIO):
            def read(self, size=-1):
                return super().read()

        chunks = sent_chunks(to_content(Eager(MANY * 8)))
        assert b"".join(chunks) == MANY * 8 and max(map(len, chunks)) == CHUNK_SIZE

    @pytest.mark.parametrize("make", [io.StringIO, lambda: tempfile.NamedTemporaryFile("w+")])
    def test_in_text_mode_are_refused_at_once(self, make):
        with make() as file, pytest.raises(InvalidRequest, match="text mode; open it in binary mode"):
            to_content(file)

    def test_that_turn_out_to_give_text_are_refused(self):
        class Text:
            def read(self, size):
                return "abc"

        with pytest.raises(InvalidRequest, match="Text object gave str where bytes are needed"):
            sent(to_content(Text()))

    def test_that_have_nothing_yet_are_refused(self):
        class NotReady:
            def read(self, size):
                return None

        with pytest.raises(InvalidRequest, match="NotReady object gave NoneType"):
            sent(to_content(NotReady()))

    def test_that_are_closed_are_refused(self):
        file = io.BytesIO(b"abc")
        file.close()
        with pytest.raises(InvalidRequest, match="BytesIO object cannot be used: .*closed"):
            to_content(file)

    def test_that_were_closed_meanwhile_are_named(self, tmp_path):
        path = tmp_path / "named.bin"
        path.write_bytes(b"abc")
        with open(path, "rb") as file:
            content = to_content(file)
        with pytest.raises(InvalidRequest, match=r"file '.*named.bin' cannot be wound back: .*closed"):
            content.open()

    def test_whose_disk_fails_tell_it_as_the_request_s_error(self):
        class Bad(io.BytesIO):
            def read(self, size=-1):
                raise OSError(5, "Input/output error")

        with pytest.raises(InvalidRequest, match="cannot be read: .*Input/output error") as caught:
            sent(to_content(Bad(b"abc")))
        assert isinstance(caught.value.__cause__, OSError)

    def test_that_are_themselves_responses_keep_their_errors(self):
        class Download:
            def read(self, size):
                raise ReadTimeout("nothing came for 3 s")

        with pytest.raises(ReadTimeout):
            sent(to_content(Download()))


class AsyncFile:
    """A file whose reads suspend, as those of aiofiles do."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    async def read(self, size):
        await asyncio.sleep(0)
        return self._file.read(size)


class TestAsyncFiles:
    def test_are_read_by_asynchronous_sessions(self):
        content = to_content(AsyncFile(MANY))
        assert content.is_async and content.length is None and not content.is_replayable
        assert b"".join(asyncio.run(chunks_of(content))) == MANY

    def test_are_known_by_their_iteration_too(self):
        class Wrapped:
            def __init__(self):
                self._file = AsyncFile(b"abc")

            def read(self, size):
                return self._file.read(size)

            async def __aiter__(self):
                yield b"lines"

        content = to_content(Wrapped())
        assert content.is_async
        assert asyncio.run(chunks_of(content)) == [b"abc"]


class TestPaths:
    def test_are_opened_when_sent_and_closed_after(self, tmp_path):
        path = tmp_path / "many"
        path.write_bytes(MANY)
        content = to_content(path)
        assert (content.length, content.is_replayable) == (len(MANY), True)
        assert sent(content) == sent(content) == MANY

    def test_are_closed_when_given_up(self, tmp_path):
        path = tmp_path / "many"
        path.write_bytes(MANY)
        reader = to_content(path).open()
        finish(reader.read_chunk())
        reader.close()
        reader.close()
        with pytest.raises(InvalidRequest, match="closed file"):
            finish(reader.read_chunk())

    @pytest.mark.parametrize(("name", "problem"), [("", "is a directory"), ("none", "No such file"), ("\0", "null")])
    def test_that_lead_nowhere_are_refused(self, tmp_path, name, problem):
        with pytest.raises(InvalidRequest, match=problem):
            to_content(tmp_path / name)

    def test_that_vanish_are_reported_when_opened(self, tmp_path):
        path = tmp_path / "gone"
        path.write_bytes(b"x")
        content = to_content(path)
        path.unlink()
        with pytest.raises(InvalidRequest, match="cannot be opened: .*No such file"):
            content.open()

    def test_of_fifos_are_read_once(self, tmp_path):
        path = tmp_path / "fifo"
        os.mkfifo(path)
        content = to_content(path)
        assert (content.length, content.is_replayable) == (None, False)
        writer = threading.Thread(target=path.write_bytes, args=(b"abc",))
        writer.start()
        assert sent(content) == b"abc"
        writer.join()
        with pytest.raises(InvalidRequest, match="fifo"):
            content.open()


def upload(*chunks):
    yield from chunks


class TestIterables:
    @pytest.mark.parametrize("make", [list, tuple])
    def test_of_known_items_have_a_length_and_can_be_sent_again(self, make):
        content = to_content(make([b"ab", bytearray(b"c"), b""]))
        assert (content.length, content.data, content.is_replayable) == (3, None, True)
        assert sent_chunks(content) == sent_chunks(content) == [b"ab", b"c"]

    def test_of_known_items_do_not_follow_a_list_that_changes(self):
        chunks = [b"ab"]
        content = to_content(chunks)
        chunks.append(b"cd")
        assert sent(content) == b"ab"

    def test_of_known_items_are_checked_at_once(self):
        with pytest.raises(InvalidRequest, match="item 1 of the list gave int"):
            to_content([b"a", 1])

    @pytest.mark.parametrize("make", [upload, lambda *chunks: iter(chunks), lambda *chunks: deque(chunks)])
    def test_of_other_kinds_are_read_once(self, make):
        content = to_content(make(b"a", b"", b"bc"))
        assert (content.length, content.data, content.is_replayable) == (None, None, False)
        assert sent_chunks(content) == [b"a", b"bc"]
        with pytest.raises(
            InvalidRequest, match="can be read only once and was used by an earlier sending; give bytes"
        ):
            content.open()

    def test_name_the_generator_that_was_used_up(self):
        content = to_content(upload(b"a"))
        content.open()
        with pytest.raises(InvalidRequest, match="generator upload can be read only once"):
            content.open()

    def test_that_ran_to_their_end_elsewhere_are_not_sent_as_empty(self):
        generator = upload(b"a")
        assert sent(to_content(generator)) == b"a"
        with pytest.raises(InvalidRequest, match="generator upload can be read only once"):
            to_content(generator).open()

    def test_hand_on_chunks_as_they_are(self):
        chunk = b"x" * HUGE_CHUNK
        reader = to_content(upload(chunk)).open()
        assert finish(reader.read_chunk()) is chunk

    def test_have_huge_chunks_cut(self):
        chunks = sent_chunks(to_content(upload(b"a", b"x" * (HUGE_CHUNK + 1), b"b")))
        assert b"".join(chunks) == b"a" + b"x" * (HUGE_CHUNK + 1) + b"b"
        assert max(map(len, chunks)) == CHUNK_SIZE and (chunks[0], chunks[-1]) == (b"a", b"b")

    def test_may_use_their_buffer_again(self):
        def reusing():
            buffer = bytearray(2)
            for text in (b"ab", b"cd"):
                buffer[:] = text
                yield buffer

        assert sent_chunks(to_content(reusing())) == [b"ab", b"cd"]

    @pytest.mark.parametrize(("chunk", "name"), [("text", "str"), (1, "int"), (None, "NoneType")])
    def test_of_something_else_name_its_type(self, chunk, name):
        with pytest.raises(InvalidRequest, match=f"generator upload gave {name} where bytes are needed"):
            sent(to_content(upload(b"a", chunk)))

    def test_pass_on_their_own_exceptions(self):
        def failing():
            yield b"a"
            raise OSError("mine")

        with pytest.raises(OSError, match="^mine$"):
            sent(to_content(failing()))

    def test_have_their_generator_closed_when_given_up(self):
        closed = []

        def watched():
            try:
                yield b"a"
            finally:
                closed.append(True)

        reader = to_content(watched()).open()
        finish(reader.read_chunk())
        reader.close()
        reader.close()
        assert closed == [True]

    def test_have_nothing_else_closed(self):
        class Closeable:
            def __iter__(self):
                return self

            def __next__(self):
                return b"a"

            def close(self):
                raise AssertionError("not ours to close")

        reader = to_content(Closeable()).open()
        reader.close()
        assert finish(reader.read_chunk()) == b"a"


async def async_upload(*chunks):
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


class TestAsyncIterables:
    def test_are_read_once_and_only_asynchronously(self):
        content = to_content(async_upload(b"a", b"", b"bc"))
        assert isinstance(content, AsyncIterableContent) and content.is_async
        assert (content.length, content.data, content.is_replayable) == (None, None, False)
        assert asyncio.run(chunks_of(content)) == [b"a", b"bc"]
        with pytest.raises(InvalidRequest, match="generator async_upload can be read only once"):
            content.open()

    def test_that_ran_to_their_end_elsewhere_are_not_sent_as_empty(self):
        generator = async_upload(b"a")
        assert asyncio.run(chunks_of(to_content(generator))) == [b"a"]
        with pytest.raises(InvalidRequest, match="can be read only once"):
            to_content(generator).open()

    def test_may_be_of_any_make(self):
        class Source:
            def __init__(self):
                self.left = [b"ab", b"c"]

            def __aiter__(self):
                return self

            async def __anext__(self):
                if not self.left:
                    raise StopAsyncIteration
                return self.left.pop(0)

        assert asyncio.run(chunks_of(to_content(Source()))) == [b"ab", b"c"]

    def test_have_their_generator_closed_with_all_it_awaits(self):
        closed = []

        async def watched():
            try:
                yield b"a"
            finally:
                await asyncio.sleep(0)
                closed.append(True)

        async def give_up():
            reader = to_content(watched()).open()
            await reader.read_chunk()
            reader.close()
            assert closed == []
            await reader.aclose()

        asyncio.run(give_up())
        assert closed == [True]

    @pytest.mark.parametrize("chunk", ["text", None])
    def test_of_something_else_are_refused(self, chunk):
        with pytest.raises(InvalidRequest, match="where bytes are needed"):
            asyncio.run(chunks_of(to_content(async_upload(chunk))))


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "hint"),
        [
            ({"a": 1}, "dict has no octets; use json= or data="),
            (7, "int cannot be sent; give str, bytes"),
            (object(), "object cannot be sent"),
            (io.BytesIO.__class__, "type cannot be sent"),
        ],
    )
    def test_say_what_to_give_instead(self, body, hint):
        with pytest.raises(InvalidRequest, match=hint):
            to_content(body)

    def test_of_coroutines_say_to_await(self):
        async def produce():
            return b""

        coroutine = produce()
        with pytest.raises(InvalidRequest, match="coroutine cannot be sent; await it first"):
            to_content(coroutine)
        coroutine.close()


class TestJson:
    def test_is_compact_utf_8(self):
        content = json_content({"a": [1, "ü", None]})
        assert content.data == '{"a":[1,"ü",null]}'.encode()
        assert content.content_type == "application/json" and content.is_replayable

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    def test_has_no_nan(self, number):
        with pytest.raises(InvalidRequest, match=r"JSON has no NaN and no infinity.*null or a string"):
            json_content([number])

    def test_refuses_what_it_lacks(self):
        with pytest.raises(InvalidRequest, match="dict cannot be encoded: Object of type set is not JSON"):
            json_content({"a": {1}})

    def test_refuses_circles_and_depths(self):
        circle = []
        circle.append(circle)
        deep = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(InvalidRequest, match="Circular"):
            json_content(circle)
        with pytest.raises(InvalidRequest, match="recursion"):
            json_content(deep)
        while deep:  # taken apart by hand: some interpreters free deep lists recursively
            deep = deep[0]

    def test_refuses_half_a_surrogate_pair(self):
        with pytest.raises(InvalidRequest, match="json is not encodable as UTF-8"):
            json_content("\ud800")

    @pytest.mark.parametrize("encoder", [lambda value: "[1]", lambda value: b"[1]"])
    def test_may_be_encoded_by_another(self, encoder):
        assert json_content([1], encoder).data == b"[1]"

    def test_of_another_encoder_must_be_text(self):
        with pytest.raises(InvalidRequest, match="the encoder gave list; it must give str or bytes"):
            json_content([1], lambda value: value)

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")), st.lists))
    def test_reads_back_as_what_it_was(self, value):
        assert json.loads(json_content(value).data) == value


class TestForms:
    def test_repeat_lists_and_leave_out_none(self):
        content = form_content({"a": ["1", None, "2"], "b": None, "c": "x y&ü", "d": ()})
        assert content.data == b"a=1&a=2&c=x+y%26%C3%BC"
        assert content.content_type == "application/x-www-form-urlencoded"

    @pytest.mark.parametrize(
        ("value", "encoded"),
        [
            (True, b"true"),
            (False, b"false"),
            (1, b"1"),
            (1.5, b"1.5"),
            (decimal.Decimal("1.50"), b"1.50"),
            (uuid.UUID(int=0), b"00000000-0000-0000-0000-000000000000"),
            (b"\xff", b"\xff"),
            ("", b""),
        ],
    )
    def test_take_what_is_one_value(self, value, encoded):
        assert form_fields({"a": value}) == [(b"a", encoded)]

    def test_keep_the_order_of_pairs(self):
        assert form_content([("b", 1), ("a", 2), ["b", 3]]).data == b"b=1&a=2&b=3"

    def test_take_mappings_of_any_make(self):
        class MultiDict:
            def items(self):
                return [("a", 1), ("a", 2)]

        assert data_content(MultiDict()).data == b"a=1&a=2"

    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            ({"f": io.BytesIO()}, r"data\['f'\] is a file; send files with files="),
            ({"f": {"x": 1}}, r"data\['f'\]: a form cannot carry dict; use json="),
            ({"f": [[1]]}, "cannot carry list"),
            ({"f": iter("a")}, "cannot carry str_"),
            ({"f": async_upload()}, "cannot carry async_generator"),
            ({None: "x"}, "a name: a form cannot carry NoneType"),
            ({"f": "\ud800"}, r"data\['f'\] is not encodable"),
            ([("a", 1, 2)], "mapping or a list of pairs"),
            ("a=1", "mapping or a list of pairs, not str"),
        ],
    )
    def test_refuse_what_they_cannot_carry(self, data, problem):
        with pytest.raises(InvalidRequest, match=problem):
            form_content(data)

    @given(
        st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"))))
    )
    def test_read_back_as_what_they_were(self, pairs):
        assert parse_qsl(form_content(pairs).data.decode(), keep_blank_values=True) == pairs


class TestData:
    @pytest.mark.parametrize(("data", "octets"), [("a=1", b"a=1"), (b"a=1", b"a=1"), (io.BytesIO(b"a=1"), b"a=1")])
    def test_that_is_no_form_is_sent_as_it_is_without_a_type(self, data, octets):
        content = data_content(data)
        assert (sent(content), content.content_type) == (octets, None)

    def test_of_chunks_is_streamed(self):
        assert sent_chunks(data_content([b"a", b"b"])) == [b"a", b"b"]
        assert sent_chunks(data_content(upload(b"a", b"b"))) == [b"a", b"b"]

    def test_of_no_text_is_no_content(self):
        assert data_content("") is NO_CONTENT


class TestOptions:
    def test_may_all_be_absent(self):
        assert build_content() is NO_CONTENT
        assert build_content(data={}, files=[]) is NO_CONTENT
        assert build_content(json=UNSET) is NO_CONTENT

    @pytest.mark.parametrize(
        ("options", "octets"),
        [
            ({"body": "a"}, b"a"),
            ({"content": b"a"}, b"a"),
            ({"data": {"a": 1}}, b"a=1"),
            ({"data": {"a": 1}, "files": {}}, b"a=1"),
            ({"json": None}, b"null"),
            ({"json": {}, "data": {}}, b"{}"),
            ({"json": 1, "encoder": lambda value: b"one"}, b"one"),
            ({"body": pathlib.Path(__file__)}, pathlib.Path(__file__).read_bytes()),
        ],
    )
    def test_make_the_body(self, options, octets):
        assert sent(build_content(**options)) == octets

    @pytest.mark.parametrize("data", [None, {"a": "1"}])
    def test_files_make_it_multipart(self, data):
        content = build_content(data=data, files={"f": b"x"})
        assert content.content_type.startswith("multipart/form-data; boundary=")
        assert (b'name="a"' in content.data) == (data is not None)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"body": b"a", "content": b"b"}, "body= and content= were given; a request has one body"),
            ({"data": "a", "json": None}, "data= and json="),
            ({"files": {"f": b"x"}, "json": 1}, "files= and json="),
            ({"data": {"a": 1}, "files": {"f": b"x"}, "body": b""}, "body= and data= and files="),
        ],
    )
    def test_of_two_bodies_are_both_named(self, options, named):
        with pytest.raises(TypeError, match=named):
            build_content(**options)

    def test_of_text_with_files_are_refused(self):
        with pytest.raises(InvalidRequest, match="data: give a mapping or a list of pairs, not str"):
            build_content(data="a=1", files={"f": b"x"})
