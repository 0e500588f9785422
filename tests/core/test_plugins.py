"""The process's plugins: loaded once, left out where asked, and what is said where one is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.toys import URL, Toys, world
from reqivo_core import AsyncSession, Session, hookimpl
from reqivo_core.errors import UnsupportedProtocol
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
