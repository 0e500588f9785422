"""The process's plugins: loaded once, left out where asked, and what is said where one is missing."""

from __future__ import annotations

import importlib.metadata
import inspect
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from core.toys import URL, Toys, world
from reqivo_core import AsyncSession, Session, hookimpl
from reqivo_core.errors import PluginError, UnsupportedProtocol
from reqivo_core.plugins import installed_plugins, plugin_set, reload_plugins


def test_plugins_are_loaded_again_when_asked() -> None:
    before = plugin_set()
    names = [name for name, *_ in installed_plugins()]
    assert plugin_set() is before
    reload_plugins()
    assert plugin_set() is not before
    assert [name for name, *_ in installed_plugins()] == names


def test_threads_that_need_them_first_get_the_same() -> None:
    reload_plugins()
    with ThreadPoolExecutor(4) as executor:
        assert len({id(future.result(30)) for future in [executor.submit(plugin_set) for _ in range(4)]}) == 1


def test_a_plugin_given_twice_is_there_once() -> None:
    class Counting:
        calls = 0

        @hookimpl
        def reqivo_prepare_request(self, request: Any) -> None:
            self.calls += 1

    plugin = Counting()
    with world() as runtime, Session(runtime=runtime, plugins=[Toys(), plugin, plugin], trust_env=False) as session:
        session.get(f"{URL}/a")
    assert plugin.calls == 1


@pytest.mark.usefixtures("no_plugins")
def test_what_is_missing_is_named() -> None:
    assert installed_plugins() == []
    for session in (Session(trust_env=False), AsyncSession(trust_env=False)):
        with pytest.raises(UnsupportedProtocol, match="WebSocket; install one: pip install reqivo-ws"):
            session.websocket("ws://example.org/")
    with Session(trust_env=False) as session, pytest.raises(UnsupportedProtocol, match="pip install reqivo-http11"):
        session.get("http://example.org/")
    with pytest.raises(TypeError, match="no option 'retries' without a plugin .* pip install reqivo$"):
        Session(retries=3)


class Unmarked:
    def reqivo_prepare_request(self, request: Any) -> None:
        raise AssertionError("never called")


class Async:
    @hookimpl
    async def reqivo_response_received(self, request: Any, response: Any) -> None:
        raise AssertionError("never awaited")


class Hookless:
    def flow(self, request: Any) -> Any:
        return (yield request)


class FlowGiver:
    def __init__(self, flows: Any) -> None:
        self.flows = flows

    @hookimpl
    def reqivo_register_flows(self, session: Any) -> Any:
        return self.flows() if inspect.isfunction(self.flows) else self.flows


def fail() -> None:
    raise LookupError("no flows today")


MISTAKES = [
    (Unmarked(), "reqivo_prepare_request is not marked as a hook: write @hookimpl above it"),
    (Async(), "reqivo_response_received is async, but hooks are called and not awaited"),
    (Hookless(), "'Hookless given to the session' has no hooks: give an object with methods that are marked"),
    (Hookless().flow, "has no hooks"),
    (
        FlowGiver(Hookless().flow),
        "reqivo_register_flows failed: TypeError: .*flow.*: give a list of generator",
    ),
    (FlowGiver([None]), "give a list of generator functions"),
    (FlowGiver(fail), "reqivo_register_flows failed: LookupError: no flows today"),
]


@pytest.mark.parametrize(("plugin", "words"), MISTAKES)
def test_a_plugin_that_would_do_nothing_says_why(plugin: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words) as caught:
        Session(plugins=[plugin])
    assert caught.value.plugin == f"{type(plugin).__name__} given to the session"


@pytest.mark.usefixtures("no_plugins")
@pytest.mark.parametrize(
    ("plugin", "words"), [(Unmarked, "write @hookimpl above it"), (lambda: FlowGiver(fail), "LookupError: no flows")]
)
def test_an_installed_plugin_with_such_a_mistake_is_left_out(
    monkeypatch: pytest.MonkeyPatch, plugin: Any, words: str
) -> None:
    point = EntryPoint("oops", "unused:unused", "reqivo")
    monkeypatch.setattr(EntryPoint, "load", lambda self: plugin if inspect.isclass(plugin) else plugin())
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    monkeypatch.delenv("REQIVO_DISABLE_PLUGINS", raising=False)
    reload_plugins()
    with pytest.warns(
        RuntimeWarning, match=f"plugin 'oops' of distribution 'unknown' is broken and was left out.*{words}"
    ):
        session = Session(plugins=[Toys()])
    assert session.get is not None
    reload_plugins()
