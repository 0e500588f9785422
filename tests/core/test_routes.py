"""The identity of connections, and the memory of routes."""

from __future__ import annotations

from reqivo_core.proxies import to_proxy
from reqivo_core.routes import ConnectionKey, Route, Router
from reqivo_core.tls_config import TlsConfig
from reqivo_core.urls import URL, Origin

ORIGIN = URL("https://example.org/").origin
PROXY = to_proxy("http://user:s3cr3t@proxy.example:8080", TlsConfig())


def test_keys_are_equal_if_all_that_makes_the_connection_is() -> None:
    key = ConnectionKey(ORIGIN, Route())
    same = ConnectionKey(URL("HTTPS://EXAMPLE.org:443/other").origin, Route())
    assert (key == same, hash(key) == hash(same), key == key.alone(), key == "key") == (True, True, False, False)
    others = [Route(proxy=PROXY), Route(http2=False), Route(local_address="10.0.0.1"), Route(tls=TlsConfig(False))]
    assert len({key, same, *(ConnectionKey(ORIGIN, route) for route in others)}) == 5


def test_a_key_shows_no_credentials() -> None:
    assert repr(ConnectionKey(ORIGIN, Route(proxy=PROXY))) == "<ConnectionKey https://example.org>"


def test_the_memory_of_routes_is_bounded() -> None:
    router = Router(Route(), lambda origin: PROXY if origin.host == "h7" else None)
    assert router.key(ORIGIN) is router.key(ORIGIN)
    for number in range(3 * Router.CACHE_SIZE):
        router.key(Origin("http", f"h{number}", 80))
    assert len(router._keys) <= Router.CACHE_SIZE
    assert router.key(ORIGIN) == ConnectionKey(ORIGIN, Route())
    assert router.key(Origin("http", "h7", 80)).route.proxy == PROXY
