"""What a session is in every world: its settings, and how options become a request and a plan. It sends nothing."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar, Unpack

from reqivo_core import plugins as plugin_loading
from reqivo_core.auth import BasicAuth, BearerAuth, to_flow
from reqivo_core.content import UNSET, build_content
from reqivo_core.cookies import CookieJar, header_of
from reqivo_core.dialing import Dialer
from reqivo_core.engine import Engine
from reqivo_core.errors import InvalidRequest
from reqivo_core.headers import Headers
from reqivo_core.limits import Limits
from reqivo_core.messages import Request
from reqivo_core.options import (
    FROM_PLUGINS,
    REQUEST_OPTIONS,
    SENDING_OPTIONS,
    SESSION_OPTIONS,
    RequestOptions,
    SessionOptions,
    checked,
)
from reqivo_core.plan import READ_NOTHING, Plan
from reqivo_core.pool import Pool
from reqivo_core.proxies import ProxyMap, to_proxy
from reqivo_core.routes import Route, Router
from reqivo_core.timeouts import Timeout
from reqivo_core.tls_config import TlsConfig
from reqivo_core.urls import URL, merge_base, parse_url
from reqivo_core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from reqivo_core.base_response import BaseResponse
    from reqivo_core.flows import Flow
    from reqivo_core.interfaces import Runtime, Trace
    from reqivo_core.options import TimeoutTypes
    from reqivo_core.urls import Origin

DEFAULT_TIMEOUT = Timeout()
ResponseT = TypeVar("ResponseT", bound="BaseResponse")
_MISSING: Any = object()


class BaseSession(ABC, Generic[ResponseT]):
    """The settings of a session, and all that does not wait.

    Attributes:
        headers: Sent with every request unless the request says otherwise; may be changed at any time.
        cookies: The cookie jar, a mapping of names.
        pool: The connections: ``active``, ``idle``, ``waiting``, ``connections()``.
        transport_options: The session's options for transports (``push``, ``window_manager`` …).
    """

    _kind: ClassVar[str]
    _request_class: ClassVar[type[Request]] = Request
    _response_class: ClassVar[type[Any]]
    _reading: ClassVar[int]

    def __init__(self, **options: Unpack[SessionOptions]) -> None:
        """Make a session; see SessionOptions for the keywords.

        Raises:
            TypeError: A keyword is not known.
            InvalidRequest: A header, cookie or credential cannot be sent, or an option, limit or timeout cannot be one.
            InvalidURL: ``base_url`` or a proxy's URL cannot be used.
            PluginError: A plugin given here cannot be used.
        """
        self._plugins = plugin_loading.plugin_set(options.get("plugins", ()))
        given = checked(options, SESSION_OPTIONS | self._plugins.options.keys(), type(self).__name__)
        take = given.get
        self._runtime: Runtime = take("runtime") or self._default_runtime()
        self._limits = Limits.of(take("limits"))
        self._trust_env: bool = take("trust_env", True)
        self._encoder: Callable[[Any], str | bytes] | None = take("json_encoder")
        self._decoder: Callable[[bytes], Any] = take("json_decoder") or json.loads
        self._default_encoding: str = take("default_encoding", "utf-8")
        self._base_url: URL | None = None
        self.base_url = take("base_url")
        self._params = take("params")
        codings = plugin_loading.codings_of(self._plugins)
        self.headers = Headers(
            [("User-Agent", f"reqivo/{__version__}"), ("Accept", "*/*"), ("Accept-Encoding", codings.accept_encoding)]
        )
        self.headers.merge(take("headers"))
        cookies = take("cookies")
        self.cookies = cookies.copy() if isinstance(cookies, CookieJar) else CookieJar(cookies)
        self._tls = TlsConfig.of(take("verify", True), take("cert"), trust_env=self._trust_env)
        # Origins and proxies are trusted, and shown certificates, each for itself.
        self._proxy_tls = TlsConfig(trust_env=self._trust_env)
        self.transport_options: dict[str, Any] = {"push": take("push"), "window_manager": take("window_manager")}
        self._plan = self._default_plan(given)
        dialer = Dialer(
            self._runtime,
            self._plugins,
            self._limits,
            self.transport_options,
            take("resolve"),
            take("address_guard"),
        )
        self.pool = Pool(self._runtime, self._limits, dialer.dial)
        self._engine: Engine[Any] = Engine(
            runtime=self._runtime,
            plugins=self._plugins,
            pool=self.pool,
            codings=codings,
            jar=self.cookies,
            make_response=self._make_response,
            adopt_response=self._response_class.adopt,
        )
        self._option_flows: dict[str, Flow | None] = {}
        self._option_flows = self._flows_by_option(given)
        self._plugin_flows = self._plugins.flows(self)
        self._plan.flows = self._flows(self._option_flows)
        for hook in self._plugins.session_opened:
            hook(self)

    @staticmethod
    @abstractmethod
    def _default_runtime() -> Runtime:
        """The leaves to use where none were given."""

    def _default_plan(self, given: Mapping[str, Any]) -> Plan:
        """How requests are sent that say nothing else."""
        self._route = Route(
            tls=self._tls,
            local_address=given.get("local_address"),
            socket_path=None if given.get("socket_path") is None else os.fspath(given["socket_path"]),
            http1=given.get("http1", True),
            http2=given.get("http2"),
        )
        timeout = given.get("timeout", _MISSING)
        return Plan(
            timeout=DEFAULT_TIMEOUT if timeout is _MISSING else Timeout.of(timeout),
            limits=self._limits,
            router=self._router(self._route, given),
            flows=(),
            auth=to_flow(given.get("auth")),
            follow_redirects=given.get("follow_redirects", True),
            max_redirects=given.get("max_redirects", 20),
            reading=self._reading,
            raises_for_status=given.get("raise_for_status", False),
            has_crossed=False,
        )

    def _router(self, route: Route, given: Mapping[str, Any]) -> Router:
        """The way to origins, through the proxies that were given or that the environment names."""
        if given.get("proxy") is not None:
            proxy = to_proxy(given["proxy"], self._proxy_tls)
            return Router(route, lambda origin: proxy)
        if given.get("proxies") is not None:
            return Router(route, ProxyMap.of(given["proxies"], self._proxy_tls, self._plugins.schemes).select)
        if self._trust_env and "proxy" not in given:
            chosen = ProxyMap.from_environment(self._proxy_tls)
            return Router(route, chosen.select if chosen else None)
        return Router(route)

    def _flows_by_option(self, given: Mapping[str, Any]) -> dict[str, Flow | None]:
        """The flows of the options that plugins brought: those of a call, and the session's where it gives none."""
        return {
            name: make(given[name], self) if name in given else self._option_flows.get(name)
            for name, make in self._plugins.options.items()
        }

    def _flows(self, by_option: Mapping[str, Flow | None]) -> tuple[Flow, ...]:
        """All flows, outermost first."""
        return (*(flow for flow in by_option.values() if flow is not None), *self._plugin_flows)

    @property
    def auth(self) -> Flow | None:
        """The flow that authenticates this session's requests; may be set to anything that ``auth=`` takes."""
        return self._plan.auth

    @auth.setter
    def auth(self, auth: Any) -> None:
        self._plan.auth = to_flow(auth)

    @property
    def base_url(self) -> URL | None:
        """What relative URLs are appended to."""
        return self._base_url

    @base_url.setter
    def base_url(self, base_url: str | URL | None) -> None:
        self._base_url = None if base_url is None else URL.parse(base_url)

    @property
    def timeout(self) -> Timeout:
        """The time limits of requests that give none."""
        return self._plan.timeout

    @timeout.setter
    def timeout(self, timeout: Any) -> None:
        self._plan.timeout = Timeout.of(timeout)

    @property
    def runtime(self) -> Runtime:
        """The leaves in which this session's conversations wait."""
        return self._runtime

    @property
    def trust_env(self) -> bool:
        """Whether the environment may say what the caller did not: proxies, authorities, credentials."""
        return self._trust_env

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self.pool.is_closed

    def set_basic_auth(self, username: str, password: str) -> None:
        """Authenticate this session's requests with user name and password (RFC 7617).

        Raises:
            InvalidRequest: They cannot be sent.
        """
        self.auth = BasicAuth(username, password)

    def set_bearer_token(self, token: str) -> None:
        """Authenticate this session's requests with a token (RFC 6750).

        Raises:
            InvalidRequest: It cannot be sent.
        """
        self.auth = BearerAuth(token)

    def add_pre_request_hook(self, hook: Callable[..., Any]) -> None:
        """Call ``hook(method, url, headers)`` before each request; it returns the three, changed or not, or None.

        Hooks are called in the order in which they were added; an exception of theirs reaches the caller.
        """
        self._engine.request_hooks.append(_checked_hook(hook))

    def add_post_response_hook(self, hook: Callable[..., Any]) -> None:
        """Call ``hook(response)`` with each final response; it returns a response, or None to keep that one."""
        self._engine.response_hooks.append(_checked_hook(hook))

    def websocket(self, url: str | URL, **options: Any) -> Any:
        """Make a WebSocket whose opening handshake goes through this session; it is opened by ``connect`` or ``with``.

        Args:
            url: Absolute (``ws://``, ``wss://``), or appended to ``base_url``.
            options: Those of the installed WebSocket, such as ``subprotocols`` and ``auto_reconnect``.

        Raises:
            UnsupportedProtocol: No WebSocket is installed; the message names the distribution to install.
        """
        return self._plugins.websocket(self._kind)(url, session=self, **options)

    @property
    def trace(self) -> Trace | None:
        """Where plugins send their own events; None where nobody observes."""
        return self._engine.trace

    def build_request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Request:
        """Make the request that ``request`` would send, for ``send``.

        Raises:
            TypeError: A keyword is not known, or two bodies are given.
            InvalidURL: The URL cannot be used.
            InvalidRequest: Method, headers or body cannot be sent.
        """
        return self._build(method, url, checked(options, self._known(REQUEST_OPTIONS), "build_request"))

    async def converse(self, request: Request, **options: Unpack[RequestOptions]) -> ResponseT:
        """Send a request, as ``send`` does, from inside a conversation that is written once for every world.

        In a blocking session nothing suspends in here (see ``runtime.driving.run_blocking``).

        Raises:
            TypeError: A keyword is not known, or would change the request itself.
            RequestError: What went wrong; the classes tell.
            SessionClosed: The session was closed.
        """
        response: ResponseT = await self._engine.send(*self._prepare_to_send(request, options))
        return response

    def _known(self, options: frozenset[str]) -> AbstractSet[str]:
        """The names of options, with those that plugins brought."""
        return options | self._plugins.options.keys()

    def _prepare(self, method: str, url: str | URL, options: Mapping[str, Any]) -> tuple[Request, Plan]:
        """Turn a call into a request and the plan to send it by."""
        given: Mapping[str, Any] = options
        plan = self._plan
        if options:
            given = checked(options, self._known(REQUEST_OPTIONS), "request")
            plan = self._plan_for(given)
        request = self._build(method, url, given)
        return (request, plan) if request.url.username is None else self._with_userinfo(request, plan, given)

    def _prepare_to_send(self, request: Request, options: Mapping[str, Any]) -> tuple[Request, Plan]:
        """Find the plan for a request that is already made.

        Raises:
            TypeError: An option would change the request itself.
        """
        given = checked(options, self._known(SENDING_OPTIONS), "send")
        if not isinstance(request, Request):
            raise InvalidRequest(
                f"send: give a Request, such as build_request(method, url) makes, not {type(request).__name__}"
            )
        return self._with_userinfo(request, self._plan_for(given), given)

    def _prepare_ping(self, url: str | URL, timeout: TimeoutTypes) -> tuple[Origin, Plan]:
        """Turn a call of ``ping`` into whom to ask, and how."""
        target = merge_base(self._base_url, url) if isinstance(url, str) else url
        return target.origin, self._plan.but(timeout=Timeout.of(timeout))

    def _build(self, method: str, url: str | URL, given: Mapping[str, Any]) -> Request:
        """Make a request of a call's options and the session's defaults."""
        target = parse_url(url) if self._base_url is None else merge_base(self._base_url, url)
        if self._params:
            target = target.with_query(self._params)
        headers = self.headers.copy()
        if not given:
            return self._request_class(method, target, headers=headers)
        if given.get("params"):
            target = target.with_query(given["params"])
        content = build_content(
            body=given.get("body"),
            data=given.get("data"),
            json=given.get("json", UNSET),
            files=given.get("files"),
            encoder=self._encoder,
        )
        if content.content_type is not None:
            headers["Content-Type"] = content.content_type
        if given.get("headers") is not None:
            headers.merge(given["headers"])
            if given.get("files") and "boundary=" not in (headers.get("content-type") or ""):
                raise InvalidRequest(
                    "header Content-Type: files= brings its own, with the boundary that the server needs; leave it out"
                )
        if given.get("cookies"):
            cookies = header_of(given["cookies"], target)
            if cookies is not None:
                headers["Cookie"] = cookies
        if given.get("priority") is not None:
            headers["Priority"] = given["priority"]
        return self._request_class(method, target, headers=headers, content=content, extensions=given.get("extensions"))

    def _with_userinfo(self, request: Request, plan: Plan, given: Mapping[str, Any]) -> tuple[Request, Plan]:
        """Turn a URL's user name and password into Basic authentication, and keep them out of everything else."""
        url = request.url
        if url.username is not None:
            request = request.copy()  # one that was built before may be sent again, and then needs them again
            request.url = url.without_userinfo()
            if "auth" not in given:
                plan = plan.but(auth=BasicAuth(url.username, url.password or ""))
        return request, plan

    def _plan_for(self, given: Mapping[str, Any]) -> Plan:
        """The session's plan with what a call changes."""
        changes: dict[str, Any] = {}
        if "timeout" in given:
            changes["timeout"] = Timeout.of(given["timeout"])
        if given.get("limits") is not None:
            changes["limits"] = Limits.of(given["limits"])
        if "auth" in given:
            changes["auth"] = to_flow(given["auth"])
        for name in ("follow_redirects", "max_redirects"):
            if given.get(name) is not None:
                changes[name] = given[name]
        if given.get("stream"):
            changes["reading"] = READ_NOTHING
        if not self._plugins.options.keys().isdisjoint(given):
            changes["flows"] = self._flows(self._flows_by_option(given))
        if not _ROUTING.isdisjoint(given):
            changes["router"] = self._router_for(given)
        return self._plan.but(**changes) if changes else self._plan

    def _router_for(self, given: Mapping[str, Any]) -> Router:
        """The way to origins for a call with settings of its own."""
        route = self._route
        tls = route.tls
        if "verify" in given or "cert" in given:
            tls = TlsConfig.of(given.get("verify", tls), given.get("cert", tls.cert), trust_env=self._trust_env)
            if given.get("cert", tls) is None:
                tls = replace(tls, cert=None)
        http2 = given.get("http2", route.http2)
        route = Route(tls, route.proxy, route.local_address, route.socket_path, route.http1, http2)
        if "proxy" in given or "proxies" in given:
            return self._router(route, given)
        return Router(route, self._plan.router.select_proxy)

    def __setattr__(self, name: str, value: Any) -> None:
        """Take headers and cookies as the constructor does; refuse to take an option that would change nothing.

        Raises:
            AttributeError: The session was made with this option, and works by what was said then.
        """
        if name == "headers":
            value = value if isinstance(value, Headers) else Headers(value)
        elif name == "cookies" and name in self.__dict__:
            jar = self.cookies.copy()
            jar.clear()
            jar.update(value or {})
            self._engine.use_jar(jar)
            value = jar
        elif name in _FIXED:
            ways = [f"{type(self).__name__}({name}=…)"] if name != "stream" else []
            ways += [f"get(url, {name}=…)"] if name in REQUEST_OPTIONS | FROM_PLUGINS.keys() else []
            raise AttributeError(f"setting {name} would change nothing: write {' or '.join(ways)}")
        super().__setattr__(name, value)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied.

        Raises:
            TypeError: It holds connections.
        """
        raise TypeError(
            f"a {type(self).__name__} holds connections and cannot be pickled or copied: make another one, and give it "
            "cookies=session.cookies, which can"
        )

    def _make_response(self, *parts: Any) -> Any:
        response = self._response_class(*parts)
        response._default_encoding = self._default_encoding
        response._json_decoder = self._decoder
        return response

    def _tell_closed(self) -> None:
        for hook in self._plugins.session_closed:
            hook(self)

    def __repr__(self) -> str:
        base = f" {self._base_url.redacted}" if self._base_url is not None else ""
        return f"<{type(self).__name__}{base}: {self.pool!r}>"


def _checked_hook(hook: Any) -> Any:
    if not callable(hook):
        raise InvalidRequest(f"hook {hook!r}: give a function")
    return hook


_FIXED = (SESSION_OPTIONS | FROM_PLUGINS.keys() | {"stream"}) - {"headers", "cookies", "auth", "base_url", "timeout"}
"""Options that are attributes elsewhere, and none here: setting them would do nothing at all."""
_ROUTING = frozenset({"verify", "cert", "proxy", "proxies", "http2"})
