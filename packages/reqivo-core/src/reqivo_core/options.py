"""Options: the keywords of sessions and requests, their types for editors, their aliases, the check of their names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypedDict

from reqivo_core.errors import InvalidRequest
from reqivo_core.splitting import known_encoding

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable
    from collections.abc import Set as AbstractSet

    from reqivo_core.auth import AuthTypes
    from reqivo_core.dialing import AddressCheck
    from reqivo_core.headers import HeaderTypes
    from reqivo_core.interfaces import Runtime
    from reqivo_core.limits import Limits
    from reqivo_core.proxies import ProxyTypes
    from reqivo_core.timeouts import Timeout
    from reqivo_core.tls_config import Cert, Verify

BodyTypes: TypeAlias = (
    "str | bytes | bytearray | memoryview | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes] | None"
)
ParamTypes: TypeAlias = "Mapping[str, Any] | Iterable[tuple[str, Any]] | str | None"
DataTypes: TypeAlias = "Mapping[str, Any] | Iterable[tuple[str, Any]] | BodyTypes"
FileTypes: TypeAlias = "Mapping[str, Any] | Iterable[tuple[str, Any]] | None"
TimeoutTypes: TypeAlias = "Timeout | float | tuple[float | None, float | None] | None"
LimitTypes: TypeAlias = "Limits | Mapping[str, Any] | None"


class RequestOptions(TypedDict, total=False):
    """The keywords of a request. What is left out is the session's.

    See the table of options in the documentation for defaults.
    """

    params: ParamTypes
    headers: HeaderTypes
    cookies: Mapping[str, str] | None
    body: BodyTypes
    content: BodyTypes
    json: Any
    data: DataTypes
    files: FileTypes
    auth: AuthTypes
    timeout: TimeoutTypes
    follow_redirects: bool
    allow_redirects: bool
    max_redirects: int
    retries: Any
    compress: str | None
    proxy: ProxyTypes
    proxies: Mapping[str, ProxyTypes]
    verify: Verify
    cert: Cert
    http2: bool | None
    limits: LimitTypes
    stream: bool
    priority: str
    extensions: Mapping[str, Any] | None


class SessionOptions(TypedDict, total=False):
    """The keywords of a session.

    See the table of options in the documentation for defaults.
    """

    base_url: str | None
    params: ParamTypes
    headers: HeaderTypes
    cookies: Mapping[str, str] | None
    auth: AuthTypes
    timeout: TimeoutTypes
    limits: LimitTypes
    verify: Verify
    cert: Cert
    http1: bool
    http2: bool | None
    push: Any
    window_manager: Any
    proxy: ProxyTypes
    proxies: Mapping[str, ProxyTypes] | None
    trust_env: bool
    follow_redirects: bool
    allow_redirects: bool
    max_redirects: int
    retries: Any
    compress: str | None
    raise_for_status: bool
    plugins: Iterable[Any]
    runtime: Runtime | None
    default_encoding: str
    json_encoder: Callable[[Any], str | bytes] | None
    json_decoder: Callable[[bytes], Any] | None
    resolve: Any
    local_address: str | None
    socket_path: str | os.PathLike[str] | None
    address_guard: AddressCheck | None


FROM_PLUGINS = {"compress": "reqivo", "retries": "reqivo"}
"""Options that are named here for editors alone: a plugin brings them, and this distribution holds it."""

ALIASES = {"content": "body", "allow_redirects": "follow_redirects"}
"""Names of other libraries that are accepted and stay so."""

_HOOKS = "hooks are added by add_pre_request_hook() and add_post_response_hook(), or by plugins="
_TRANSPORTS = "plugins= takes transports, and flows that answer without a server"
_ELSEWHERE = {
    "app": _TRANSPORTS,
    "connector": "limits=, verify=, resolve= and local_address= say what a connector does",
    "event_hooks": _HOOKS,
    "hooks": _HOOKS,
    "mounts": "proxies= chooses proxies, plugins= takes transports",
    "ssl": "verify= and cert= say it",
    "transport": _TRANSPORTS,
}
"""Names of other libraries that stand for something else here."""

REQUEST_OPTIONS = frozenset(RequestOptions.__annotations__) - FROM_PLUGINS.keys()
BUILDING_OPTIONS = frozenset(
    {"params", "headers", "cookies", "body", "content", "json", "data", "files", "priority", "extensions"}
)
"""Those that say what a request is; the others say how it is sent."""
SENDING_OPTIONS = REQUEST_OPTIONS - BUILDING_OPTIONS
SESSION_OPTIONS = frozenset(SessionOptions.__annotations__) - FROM_PLUGINS.keys()

_FLAG = (lambda value: isinstance(value, bool), "True or False")
_FUNCTION = (callable, "a function")
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "stream": _FLAG,
    "trust_env": _FLAG,
    "raise_for_status": _FLAG,
    "follow_redirects": _FLAG,
    "max_redirects": (lambda value: type(value) is int and value >= 0, "a whole number of at least 0"),
    "http1": _FLAG,
    "http2": (_FLAG[0], "True, False or None"),
    "proxies": (lambda value: isinstance(value, Mapping), "a mapping from scheme or scheme://host to a proxy"),
    "default_encoding": (
        lambda value: isinstance(value, str) and known_encoding(value) is not None,
        "the name of an encoding",
    ),
    "json_encoder": _FUNCTION,
    "json_decoder": _FUNCTION,
    "resolve": (lambda value: isinstance(value, Mapping) or callable(value), "a mapping from hosts, or a function"),
    "local_address": (lambda value: isinstance(value, str) and value != "", "an IP address or an interface's name"),
    "socket_path": (lambda value: isinstance(value, str | os.PathLike), "a path"),
    "address_guard": (lambda value: hasattr(value, "check") and hasattr(value, "check_proxied"), "an AddressGuard()"),
}
"""Options whose values nothing else looks at before they are used; None always stands for what is not given."""


def checked(options: Mapping[str, Any], known: AbstractSet[str], where: str) -> dict[str, Any]:
    """Refuse unknown keywords and values of the wrong kind, and translate aliases.

    Args:
        options: The keywords.
        known: Those that are known.
        where: What they were given to, for the message.

    Raises:
        TypeError: A keyword is not known (the message suggests the nearest), or is given under two names.
        InvalidRequest: A value is not of its kind.
    """
    result: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            from difflib import get_close_matches  # here, since it is slow to import

            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            if name in _ELSEWHERE:
                hint = f"; {_ELSEWHERE[name]}"
            if name in FROM_PLUGINS:
                hint = f" without a plugin that is not installed; pip install {FROM_PLUGINS[name]}"
            raise TypeError(f"{where}: there is no option {name!r}{hint}")
        target = ALIASES.get(name, name)
        if target in result:
            raise TypeError(f"{where}: give {target!r} only once; {name!r} is another name of it")
        if value is not None and target in _KINDS:
            is_right, wanted = _KINDS[target]
            if not is_right(value):
                raise InvalidRequest(f"{target}={value!r}: give {wanted}")
        result[target] = value
    return result
