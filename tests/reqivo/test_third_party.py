"""Plugins that others publish: found by entry point, working in both worlds, kept out when asked, broken alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from reqivo_demo_extras import ExtrasPlugin, TracingExtras
from reqivo_demo_extras.rot13 import encode
from reqivo_demo_frames.serving import serve_frames

from reqivo import Session
from reqivo.exceptions import BodyTooLarge, ConnectError, DecodeError, PluginError, StreamClosed
from reqivo_core import hookimpl
from reqivo_core.plugins import installed_plugins
from reqivo_core.testing.transport_suite import TransportSuite
from support.servers import AsgiServer
from support.streamed import StreamServer
from support.world import World

TEXT = b"The quick brown fox. " * 10_000


class TestFrames(TransportSuite):
    """A stranger's transport, found by its entry point."""

    unreachable = "frames://127.0.0.1:1"

    @contextmanager
    def serve(self) -> Iterator[str]:
        with StreamServer(serve_frames) as server:
            yield f"frames://127.0.0.1:{server.port}"


def test_all_are_found() -> None:
    found = {name: (distribution, hooks) for name, distribution, hooks in installed_plugins()}
    assert found["demo-echo"] == ("reqivo-demo-echo", ["reqivo_register_transports"])
    assert found["demo-frames"][0] == "reqivo-demo-frames"
    assert "reqivo_register_codings" in found["demo-extras"][1]


def test_a_transport_that_dials_for_itself(world: World) -> None:
    with world.client() as client:
        response = client.post("echo://anybody/path?a=b", body=b"hello", headers={"Content-Type": "text/x"})
        assert (response.status_code, client.read(response)) == (200, b"hello")
        assert response.http_version == "echo"
        assert response.headers["x-target"] == "/path?a=b"
        assert response.headers["content-type"] == "text/x"
        assert client.text(client.put("echo://anybody/", body=iter([b"a", b"b"]))) == "ab"
        answers = client.together(
            [lambda session, n=n: session.post("echo://anybody/", body=str(n)) for n in range(20)]
        )
        assert [client.text(answer) for answer in answers] == [str(n) for n in range(20)]
        assert client.session.pool.active == 0
        (connection,) = client.session.pool.connections()
        assert connection["http_version"] == "echo"


def test_a_transport_that_refuses(world: World) -> None:
    with world.client() as client:
        with pytest.raises(BodyTooLarge, match="at most 1048576 octets"):
            client.post("echo://anybody/", body=b"x" * (2 * 1024 * 1024))
        response = client.post("echo://anybody/", body=b"hello", stream=True)
        client.close(response)
        with pytest.raises(StreamClosed):
            client.pieces(response)
        assert client.session.pool.active == 0


def test_a_flow_by_option(world: World) -> None:
    with world.client(demo_answers={"http://nowhere.example/": "known"}) as client:
        response = client.get("http://nowhere.example/")
        assert (client.text(response), response.headers["x-demo"]) == ("known", "remembered")
        answers = {"echo://anybody/": "from memory"}
        assert client.text(client.get("echo://anybody/", demo_answers=answers)) == "from memory"
        assert client.text(client.post("echo://anybody/", body="sent", demo_answers=answers)) == "sent"
        assert client.text(client.get("echo://anybody/")) == ""


def test_a_flow_of_some_sessions(world: World, plain_server: AsgiServer) -> None:
    with world.client(headers={"Demo-Sign": "yes"}) as client:
        sent = client.json(client.get(plain_server.url("/redirect/1")))["headers"]
        assert ["x-demo-signature", "GET /echo/redirected"] in sent  # each hop is signed for itself
    with world.client() as client:
        sent = client.json(client.get(plain_server.url("/echo/1")))["headers"]
        assert "x-demo-signature" not in dict(sent)


async def rot13_app(scope: Any, receive: Any, send: Any) -> None:
    """Send a text coded by rot13 to whoever accepts it; ``/cut`` forgets the end."""
    accepts = b"x-rot13" in dict(scope["headers"])[b"accept-encoding"]
    body = encode(TEXT) if accepts else TEXT
    if scope["path"] == "/cut":
        body = body[:-1]
    headers = [(b"content-encoding", b"x-rot13")] if accepts else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body[:1000], "more_body": True})
    await send({"type": "http.response.body", "body": body[1000:]})


def test_a_coding(world: World) -> None:
    with AsgiServer(rot13_app) as server, world.client() as client:
        response = client.get(server.url())
        assert response.headers["content-encoding"] == "x-rot13"
        assert client.read(response) == TEXT
        with client.stream("GET", server.url()) as response:
            assert b"".join(client.pieces(response)) == TEXT
        with client.stream("GET", server.url()) as response:
            assert b"".join(client.pieces(response, "raw")) == encode(TEXT)
        assert client.read(client.get(server.url(), headers={"Accept-Encoding": "gzip"})) == TEXT
        with pytest.raises(DecodeError, match="ended before its coding did"):
            client.read(client.get(server.url("/cut")))
        assert client.session.pool.active == 0


def test_hooks(world: World, plain_server: AsgiServer) -> None:
    plugin = TracingExtras()
    with world.client(plugins=[plugin]) as client:
        response = client.get(plain_server.url("/echo/1"), extensions={"demo": "marked"})
        assert ["x-demo", "marked"] in client.json(response)["headers"]
        client.get(plain_server.url("/echo/2"))
        with pytest.raises(ConnectError):
            client.get("http://127.0.0.1:1/", extensions={"demo": "x"})
    counts = plugin.counts
    assert (counts["prepared"], counts["status 200"], counts["ConnectError"]) == (2, 1, 1)
    assert (counts["connect complete"], counts["connect failed"]) == (1, 1)
    assert (counts["opened"], counts["closed"]) == (1, 1)


def test_plugins_of_one_session_are_of_that_session_alone(world: World) -> None:
    first, second = ExtrasPlugin(), ExtrasPlugin()
    with world.client(plugins=[first, second]), world.client(plugins=[ExtrasPlugin]), world.client():
        assert (first.counts["opened"], second.counts["opened"]) == (1, 1)
    assert first.counts["closed"] == 1


class Typo:
    @hookimpl
    def reqivo_prepare_requst(self, request: Any) -> None:
        raise AssertionError


class WrongArgument:
    @hookimpl
    def reqivo_prepare_request(self, req: Any) -> None:
        raise AssertionError


class NoTransport:
    @hookimpl
    def reqivo_register_transports(self) -> list[Any]:
        return ["http"]


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        (Typo, r"'Typo given to the session' cannot be used: .*reqivo_prepare_requst"),
        (WrongArgument, r"'WrongArgument given to the session' cannot be used: .*req"),
        (NoTransport, r"'NoTransport given to the session' cannot be used: .*give a TransportSpec"),
    ],
)
def test_a_broken_plugin_of_a_session_names_itself(plugin: type, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint) as caught:
        Session(plugins=[plugin])
    assert caught.value.plugin == f"{plugin.__name__} given to the session"


BROKEN = {
    "unimportable": "import there_is_no_such_module",
    "misspelt": (
        "from reqivo_core import hookimpl\n"
        "class Plugin:\n"
        "    @hookimpl\n"
        "    def reqivo_prepare_requst(self, request): pass\n"
    ),
    "unconstructible": "class Plugin:\n    def __init__(self): raise ZeroDivisionError('in the constructor')\n",
    "misregistering": (
        "from reqivo_core import hookimpl\n"
        "class Plugin:\n"
        "    @hookimpl\n"
        "    def reqivo_register_transports(self): return ['not a spec']\n"
    ),
}
CAUSES = {
    "unimportable": "ModuleNotFoundError: No module named 'there_is_no_such_module'",
    "misspelt": "reqivo_prepare_requst",
    "unconstructible": "ZeroDivisionError: in the constructor",
    "misregistering": "give a TransportSpec",
}
SCRIPT = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import reqivo
    from reqivo_core.plugins import installed_plugins
    with reqivo.Session() as session, reqivo.Session():
        try:
            echo = session.post("echo://x/", body="still here").text
        except reqivo.UnsupportedProtocol as error:
            echo = str(error)
        try:
            http = session.get("http://127.0.0.1:1/").status_code
        except reqivo.RequestError as error:
            http = type(error).__name__
names = [name for name, *_ in installed_plugins()]
print(json.dumps([names, [[str(w.message), w.category.__name__] for w in caught], echo, http]))
"""


def in_a_process(path: Path | None = None, disabled: str = "") -> tuple[list[str], list[list[str]], str, str]:
    """A session in a fresh interpreter: plugins in force, warnings, what ``echo://`` and ``http://`` gave."""
    environment = {**os.environ, "REQIVO_DISABLE_PLUGINS": disabled, "PYTHONPATH": str(path or "")}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=180, env=environment, check=True
    )
    assert ran.stderr == ""
    names, told, echo, http = json.loads(ran.stdout)
    return names, told, echo, http


def publish(folder: Path, name: str, source: str) -> None:
    """Put a distribution into a folder, as an installer would."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"reqivo_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: reqivo-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[reqivo]\n{name} = {name}:Plugin\n")


def test_disabling_keeps_out_those_named() -> None:
    names, told, echo, http = in_a_process(disabled="demo-echo, demo-extras")
    assert not {"demo-echo", "demo-extras"} & set(names)
    assert {"demo-frames", "http11", "reqivo"} <= set(names)
    assert told == []
    assert echo == (
        "POST echo://x/: no installed transport serves echo:// URLs; install a plugin whose transport serves echo://"
    )
    assert http == "ConnectError"


def test_disabling_all_keeps_out_strangers_only() -> None:
    names, told, _, http = in_a_process(disabled="all")
    assert not [name for name in names if name.startswith("demo-")]
    assert {"http11", "reqivo"} <= set(names)
    assert (told, http) == ([], "ConnectError")


def test_a_broken_plugin_can_be_disabled_by_its_name(tmp_path: Path) -> None:
    publish(tmp_path, "unimportable", BROKEN["unimportable"])
    names, told, echo, _ = in_a_process(tmp_path, disabled="unimportable")
    assert "unimportable" not in names
    assert (told, echo) == ([], "still here")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_names_itself_once_and_harms_nobody(tmp_path: Path, name: str) -> None:
    publish(tmp_path, name, BROKEN[name])
    names, told, echo, http = in_a_process(tmp_path)
    assert name not in names
    assert {"demo-echo", "demo-frames", "demo-extras", "http11", "reqivo"} <= set(names)
    assert (echo, http) == ("still here", "ConnectError")
    ((message, category),) = told
    assert category == "RuntimeWarning"
    assert f"plugin {name!r} of distribution 'reqivo-{name}' is broken and was left out" in message
    assert CAUSES[name] in message
    assert f"REQIVO_DISABLE_PLUGINS={name}" in message


def test_several_broken_plugins_each_name_themselves(tmp_path: Path) -> None:
    for name, source in BROKEN.items():
        publish(tmp_path, name, source)
    _, told, echo, _ = in_a_process(tmp_path)
    assert len(told) == len(BROKEN)
    assert echo == "still here"
