import os
import subprocess
import sys

import pytest

from http11.memory import CODECS
from reqivo_core.errors import PluginError, RemoteProtocolError
from reqivo_core.limits import Limits
from reqivo_http11 import codec as codec_module
from reqivo_http11.codec import VARIABLE, Codec, Head, load_codec
from reqivo_http11.framing import parse_head

HEAD = b"HTTP/1.1 200 Fine  \r\nX-A:  b \t\r\nEmpty:\r\nX-a: \xe9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def received(engine: Codec, section: bytes) -> Head:
    return engine.receive_head(section, parse_head(section, Limits()))


def test_head(codec: str) -> None:
    head = received(load_codec(codec)(), HEAD)
    fields = [("X-A", "b"), ("Empty", ""), ("X-a", "\xe9")]
    assert (head.version, head.status, head.reason) == ("1.1", 200, "Fine")
    assert head.headers.multi_items() == fields


@pytest.mark.parametrize(
    ("section", "status", "reason", "fields"),
    [
        (b"HTTP/1.1 404\r\n\r\n", 404, "", []),
        (b"HTTP/1.1 100 Continue\r\n\r\n", 100, "Continue", []),
        (b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", 101, "Go", [("Upgrade", "x")]),
        (
            b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            101,
            "Go",
            [("Upgrade", "x"), ("Connection", "upgrade")],
        ),
        (b"HTTP/1.1 999 \xe9\r\n\r\n", 999, "\xe9", []),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n", 200, "OK", [("Content-Length", "3")]),
    ],
)
def test_heads_one_after_the_other(
    codec: str, section: bytes, status: int, reason: str, fields: list[tuple[str, str]]
) -> None:
    engine = load_codec(codec)()
    received(engine, CHUNKED)
    engine.start_chunked()
    for _ in range(2):
        head = received(engine, section)
        assert (head.version, head.status, head.reason) == ("1.1", status, reason)
        assert head.headers.multi_items() == fields


def test_the_version_of_a_head(codec: str) -> None:
    assert received(load_codec(codec)(), b"HTTP/1.0 200 OK\r\n\r\n").version == "1.0"


@pytest.mark.parametrize(
    "section",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_the_reference_refuses_is_a_protocol_error(section: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="h11 refuses"):
        received(load_codec("h11")(), section)


def test_an_incomplete_head_is_none() -> None:
    with pytest.raises(RemoteProtocolError, match="does not take for a head"):
        load_codec("h11")().receive_head(b"HTTP/1.1 200 OK\r\n", parse_head(CHUNKED, Limits()))


def test_chunks_are_joined(codec: str) -> None:
    engine = load_codec(codec)()
    received(engine, CHUNKED)
    engine.start_chunked()
    assert engine.receive_chunked(b"1\r\na\r\n2\r\nbc\r\n") == b"abc"
    assert engine.receive_chunked(b"5\r\nde") == b"de"
    assert engine.receive_chunked(b"fgh\r\n0\r\n\r\n") == b"fgh"
    received(engine, CHUNKED)
    engine.start_chunked()
    assert type(engine.receive_chunked(b"1\r\na")) is bytes


def test_chunks_that_an_engine_refuses(codec: str) -> None:
    engine = load_codec(codec)()
    received(engine, CHUNKED)
    engine.start_chunked()
    with pytest.raises(RemoteProtocolError, match="refuses"):
        engine.receive_chunked(b"1\r\na\r\nxyz\r\n")
    received(engine, CHUNKED)
    engine.start_chunked()
    assert engine.receive_chunked(b"1\r\nb\r\n") == b"b"


def test_the_fastest_installed_codec_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_codec().__name__ == {"h11": "H11Codec", "httptools": "HttptoolsCodec"}[CODECS[-1]]
    monkeypatch.setattr(codec_module, "find_spec", lambda name: None)
    assert load_codec("").__name__ == "H11Codec"


def test_an_unknown_codec() -> None:
    with pytest.raises(PluginError, match="REQIVO_HTTP11_CODEC='llhttp': give one of h11, httptools") as caught:
        load_codec("llhttp")
    assert caught.value.plugin == "http11"


def test_a_codec_whose_engine_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    monkeypatch.delitem(sys.modules, "reqivo_http11.httptools_codec", raising=False)
    with pytest.raises(PluginError, match=r"pip install 'reqivo-http11\[speed\]'"):
        load_codec("httptools")


def test_the_environment_forces_a_codec(codec: str) -> None:
    command = "from reqivo_http11.transport import CODEC; print(CODEC.__name__)"
    environment = {**os.environ, VARIABLE: codec}
    result = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip().lower() == f"{codec}codec"
