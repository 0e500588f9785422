"""Every hook has a test here, and a description with its exact arguments in the page for authors of plugins."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from core.toys import URL, Toys, world
from reqivo_core import AsyncSession, ReadBody, Response, Session, hookimpl, hookspecs
from reqivo_core.errors import DNSError, IncompleteBody, ServerDisconnected, UnsupportedProtocol
from reqivo_core.testing.streams import MemoryStream

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"
SPECS = {
    name: list(inspect.signature(spec).parameters)
    for name, spec in inspect.getmembers(hookspecs, inspect.isfunction)
    if name.startswith("reqivo_")
}


def make_session(*plugins: Any, **options: Any) -> Session:
    return Session(runtime=world(), plugins=[Toys(), *plugins], trust_env=False, **options)


def test_every_hook_is_documented_with_its_exact_arguments() -> None:
    headings = re.findall(r"^### `(reqivo_\w+)\(([^)]*)\)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: [part.strip() for part in given.split(",") if part] for name, given in headings} == SPECS
    assert [name for name, _ in headings] == [name for name in vars(hookspecs) if name in SPECS]  # and in this order


def test_every_hook_has_a_test() -> None:
    tests = {name.removeprefix("test_hook_") for name in globals() if name.startswith("test_hook_")}
    assert {name.removeprefix("reqivo_") for name in SPECS} == tests


def test_every_hook_has_a_docstring() -> None:
    assert [name for name in SPECS if not inspect.getdoc(getattr(hookspecs, name))] == []


def test_hook_register_transports() -> None:
    with make_session() as session:
        assert session.get(f"{URL}/a").text == "GET /a"
        assert session.get(f"{URL}/a").http_version == "toy"
    with Session(trust_env=False) as session, pytest.raises(UnsupportedProtocol, match="serves toy://"):
        session.get(f"{URL}/a")


def test_hook_register_codings() -> None:
    class Shouting:
        pending = False

        def decode(self, data: bytes, max_length: int) -> bytes:
            return data.lower()

        def flush(self) -> bytes:
            return b"!"

    class Plugin:
        @hookimpl
        def reqivo_register_codings(self) -> dict[str, Any]:
            return {"x-shout": Shouting}

    with make_session(Plugin()) as session:
        assert session.headers["Accept-Encoding"].endswith(", x-shout")
        assert session.get(f"{URL}/coding/x-shout").text == "get /coding/x-shout!"


def test_hook_register_tunnels() -> None:
    asked: list[str] = []

    class Plugin:
        @hookimpl
        def reqivo_register_tunnels(self) -> dict[str, Any]:
            return {"mole": self.tunnel}

        async def tunnel(self, stream: Any, proxy: Any, origin: Any, deadline: Any) -> Any:
            asked.append(f"{proxy.url.scheme} to {origin.host}:{origin.port}, {deadline.left():.0f} s left")
            await stream.write(b"DIG\n", deadline.left())
            assert await stream.read(4, deadline.left()) == b"DUG\n"
            return stream

    async def serve_moles(stream: MemoryStream) -> None:
        assert await stream.read(4, None) == b"DIG\n"
        await stream.write(b"DUG\n", None)
        while line := await stream.read(100, None):
            await stream.write(line.replace(b"GET", b"DUG FOR"), None)

    runtime = world()
    runtime.listen("moles.example", 9000, serve_moles)
    with Session(runtime=runtime, plugins=[Toys(), Plugin()], proxy="mole://moles.example:9000") as session:
        assert session.get(f"{URL}/worms").text == "DUG FOR /worms"
    assert asked == ["mole to example.org:7000, 10 s left"]
    runtime.close()


def test_hook_register_websockets() -> None:
    class Socket:
        def __init__(self, url: str, session: Any, **options: Any) -> None:
            self.given = (url, session, options)

    class Plugin:
        @hookimpl
        def reqivo_register_websockets(self) -> dict[str, Any]:
            return {"blocking": lambda: Socket, "async": lambda: Socket}

    with make_session(Plugin()) as session:
        socket: Any = session.websocket("toys://x", color="blue")
        assert socket.given == ("toys://x", session, {"color": "blue"})
    other: Any = AsyncSession(runtime=world(), plugins=[Plugin()]).websocket("toys://y")
    assert other.given[0] == "toys://y"


def test_hook_register_options() -> None:
    made: list[Any] = []

    class Plugin:
        @hookimpl
        def reqivo_register_options(self) -> dict[str, Any]:
            return {"paint": self.paint}

        def paint(self, color: Any, session: Any) -> Any:
            made.append((color, session))
            if color is None:
                return None

            def flow(request: Any) -> Any:
                response = yield request
                yield ReadBody(response)
                return Response.build(body=f"{color} {response.text}", request=request)

            return flow

    with make_session(Plugin(), paint="red") as session:
        assert session.get(f"{URL}/a").text == "red GET /a"
        assert session.get(f"{URL}/a", paint="blue").text == "blue GET /a"
        assert session.get(f"{URL}/a", paint=None).text == "GET /a"
        assert made == [("red", session), ("blue", session), (None, session)]
        with pytest.raises(TypeError, match="there is no option 'paimt'; did you mean 'paint'"):
            session.get(f"{URL}/a", paimt="blue")  # type: ignore[call-arg]  # as somebody without a type checker would


def test_hook_register_flows() -> None:
    order: list[str] = []

    class Plugin:
        @hookimpl
        def reqivo_register_flows(self, session: Any) -> list[Any]:
            return [self.outer, self.inner] if session.headers.get("x-flow") else []

        def outer(self, request: Any) -> Any:
            order.append("outer")
            response = yield request
            order.append("outer again")
            return response

        def inner(self, request: Any) -> Any:
            order.append("inner")
            try:
                return (yield request)
            except ServerDisconnected:
                return Response.build(body="saved", request=request)

    with make_session(Plugin(), headers={"X-Flow": "yes"}) as session:
        assert session.get(f"{URL}/a").text == "GET /a"
        assert order == ["outer", "inner", "outer again"]
        assert session.get(f"{URL}/leave").text == "saved"
    order.clear()
    with make_session(Plugin()) as session:
        session.get(f"{URL}/a")
    assert order == []


def layer(name: str, order: list[str], **position: bool) -> Any:
    """A plugin whose one flow writes down when it is entered."""

    class Plugin:
        @hookimpl(**position)
        def reqivo_register_flows(self, session: Any) -> list[Any]:
            return [self.flow]

        def flow(self, request: Any) -> Any:
            order.append(name)
            return (yield request)

    return Plugin()


def test_flows_nest_in_the_order_in_which_their_plugins_were_given() -> None:
    order: list[str] = []
    plugins = [
        layer("1", order),
        layer("2", order),
        layer("outermost", order, tryfirst=True),
        layer("innermost", order, trylast=True),
        layer("3", order),
    ]
    with make_session(*plugins) as session:
        session.get(f"{URL}/a")
    assert order == ["outermost", "1", "2", "3", "innermost"]


def test_hook_prepare_request() -> None:
    class Plugin:
        @hookimpl
        def reqivo_prepare_request(self, request: Any) -> None:
            if request.url.path == "/no":
                raise PermissionError("the plugin forbids it")
            request.method = "QUERY"

    with make_session(Plugin()) as session:
        assert session.get(f"{URL}/a").text == "QUERY /a"
        with pytest.raises(PermissionError, match="forbids"):
            session.get(f"{URL}/no")
        assert session.pool.counts == (0, 1, 0)


def test_hook_response_received() -> None:
    seen: list[Any] = []

    class Plugin:
        @hookimpl
        def reqivo_response_received(self, response: Any, request: Any) -> None:  # in whatever order
            seen.append((request.url.path, response.status_code))
            if request.url.path == "/no":
                raise PermissionError("the plugin minds")

    with make_session(Plugin()) as session:
        session.get(f"{URL}/status/404")
        assert seen == [("/status/404", 404)]
        with pytest.raises(PermissionError):
            session.get(f"{URL}/no")
        assert session.pool.active == 0


def test_hook_request_failed() -> None:
    seen: list[Any] = []

    class Plugin:
        @hookimpl
        def reqivo_request_failed(self, error: Any) -> None:  # the other argument is not wanted
            seen.append(error)

    with make_session(Plugin()) as session:
        with pytest.raises(DNSError) as caught:
            session.get("toy://nowhere.example:7000/")
        assert seen == [caught.value]
        session.get(f"{URL}/status/500")
        assert len(seen) == 1


def test_hook_trace() -> None:
    events: list[Any] = []

    class Plugin:
        @hookimpl
        def reqivo_trace(self, event: Any) -> None:
            events.append(event)

    with make_session(Plugin()) as session:
        session.get(URL.replace("//", "//user:secret@") + "/a").read()
        names = [(event.name, event.state) for event in events]
        assert names == [
            ("dns", "started"),
            ("dns", "complete"),
            ("connect", "started"),
            ("connect", "complete"),
            ("request", "started"),
            ("request", "complete"),
            ("response", "started"),
            ("response", "complete"),
        ]
        assert events[-1].info == {
            "method": "GET",
            "url": f"{URL}/a",
            "http_version": "toy",
            "status": 200,
            "received": len("GET /a"),
        }
        events.clear()
        with pytest.raises(ServerDisconnected):
            session.post(f"{URL}/leave")
        with pytest.raises(IncompleteBody):
            session.get(f"{URL}/cut").read()
    failed = [(event.name, event.info["error"]) for event in events if event.state == "failed"]
    assert failed == [
        ("request", "ServerDisconnected('the toy was taken away')"),
        ("response", "IncompleteBody('the line has no end')"),
    ]
    assert "secret" not in repr(events)


def test_hook_session_opened() -> None:
    class Plugin:
        @hookimpl
        def reqivo_session_opened(self, session: Any) -> None:
            session.headers["X-Opened"] = "by a plugin"

    with make_session(Plugin()) as session:
        assert session.get(f"{URL}/a").request.headers["x-opened"] == "by a plugin"


def test_hook_session_closed() -> None:
    closed: list[Any] = []

    class Plugin:
        @hookimpl
        def reqivo_session_closed(self, session: Any) -> None:
            closed.append(session)

    session = make_session(Plugin())
    session.close()
    session.close()
    assert closed == [session]


def test_a_hook_of_a_trace_that_fails_loses_no_connection() -> None:
    class Plugin:
        fails_at = ("response", "started")

        @hookimpl
        def reqivo_trace(self, event: Any) -> None:
            if (event.name, event.state) == self.fails_at:
                raise LookupError("in the plugin")

    plugin = Plugin()
    with make_session(plugin, limits={"max_connections": 1}) as session:
        for plugin.fails_at in (("request", "started"), ("response", "started"), ("response", "complete")):
            with pytest.raises(LookupError):
                session.get(f"{URL}/a").read()
            assert session.pool.active == 0
        plugin.fails_at = ("", "")
        assert session.get(f"{URL}/a").text == "GET /a"


def test_a_traced_response_that_is_left_gives_its_connection_back() -> None:
    class Plugin:
        @hookimpl
        def reqivo_trace(self, event: Any) -> None:
            pass

    async def leave() -> None:
        async with AsyncSession(runtime=runtime, plugins=[Toys(), Plugin()], trust_env=False) as session:
            async with session.stream("GET", f"{URL}/a") as response:
                assert response.trailers == {}
            assert session.pool.active == 0
            left = await session.get(f"{URL}/a", stream=True)
            left._body.close()
            assert session.pool.active == 0

    runtime = world()
    runtime.run(leave())
