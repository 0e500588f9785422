"""Plugins: find them, load them, and turn their hooks into plain tuples.

How to write one: mark methods with ``@hookimpl`` (names and arguments in ``hookspecs``) on any class, and publish it::

    [project.entry-points.reqivo]
    my-plugin = "my_package:MyPlugin"

A class is instantiated without arguments; a module or an object is taken as it is. Entry points are loaded at the
first session, once per process; ``REQIVO_DISABLE_PLUGINS`` (names, comma separated, or ``all``) keeps third parties
out. A session's own ``plugins=[…]`` join those for this session alone.

A plugin that cannot be loaded or registered is left out with one warning that names its distribution. What a plugin's
hook raises later, on behalf of a request, reaches the caller as it is.

Nothing but this module touches pluggy's manager. Hooks are resolved into tuples when a session is built, because a
pluggy dispatch costs over a microsecond and a tuple a tenth of one; a hook that nobody implements costs nothing.
"""

from __future__ import annotations

import inspect
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pluggy

from reqivo_core import hookspecs
from reqivo_core.errors import PluginError, UnsupportedProtocol
from reqivo_core.interfaces import TransportSpec
from reqivo_core.urls import HTTP_EQUIVALENTS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from reqivo_core.codings import Codings
    from reqivo_core.flows import Flow
    from reqivo_core.interfaces import Tunnel

GROUP = "reqivo"
DISABLE_VARIABLE = "REQIVO_DISABLE_PLUGINS"
OWN_DISTRIBUTIONS = frozenset({"reqivo", "reqivo-core", "reqivo-http11", "reqivo-http2", "reqivo-ws"})
"""Whose plugins ``REQIVO_DISABLE_PLUGINS=all`` spares, for without transports there is no client."""

_SERVED_BY = {"http": "reqivo-http11", "https": "reqivo-http11"}

_HOOKS = tuple(name for name, value in vars(hookspecs).items() if name.startswith("reqivo_") and callable(value))

Hook = Callable[..., Any]
OptionFlow: TypeAlias = "Callable[[Any, Any], Flow | None]"


class PluginSet:
    """The hooks in force for a session, resolved.

    Attributes:
        specs: The transports, preferred ones first.
        codings: Factories of decoders by content-coding.
        tunnels: Ways through proxies by scheme.
        websockets: What gives the class of a WebSocket by kind: ``blocking`` and ``async``.
        options: What makes a flow of an option's value, by the option's name.
        prepare_request: Hooks, in calling order; so too the attributes that follow.
        response_received: See above.
        request_failed: See above.
        trace: See above.
        session_opened: See above.
        session_closed: See above.
    """

    def __init__(self, plugins: Sequence[tuple[str, Any]]) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.plugins: list[tuple[str, Any]] = []
        self.specs: list[TransportSpec] = []
        self.codings: dict[str, Callable[[], Any]] = {}
        self.tunnels: dict[str, Tunnel] = {}
        self.websockets: dict[str, Callable[[], type]] = {}
        self.options: dict[str, OptionFlow] = {}
        for name, plugin in plugins:
            self._add(name, plugin)
        self.specs.sort(key=lambda spec: -spec.priority)
        self.prepare_request = self._resolve("reqivo_prepare_request", "request")
        self.response_received = self._resolve("reqivo_response_received", "request", "response")
        self.request_failed = self._resolve("reqivo_request_failed", "request", "error")
        self.trace = self._resolve("reqivo_trace", "event")
        self.session_opened = self._resolve("reqivo_session_opened", "session")
        self.session_closed = self._resolve("reqivo_session_closed", "session")
        self._register_flows = [
            (impl.plugin_name, _by_position(impl.function, impl.argnames, ("session",)))
            for impl in sorted(self._implementations("reqivo_register_flows"), key=lambda i: i.trylast - i.tryfirst)
        ]

    def _add(self, name: str, plugin: Any) -> None:
        """Register one plugin with all it brings, or none of it."""
        if self._manager.is_registered(plugin):
            return
        try:
            _check_marks(self._manager, plugin)
            self._manager.register(plugin, name)
            self._manager.check_pending()
            specs = _specs_of(plugin)
            codings, tunnels, websockets, options = (
                dict(getattr(plugin, f"reqivo_register_{kind}", dict)())
                for kind in ("codings", "tunnels", "websockets", "options")
            )
        except Exception as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise PluginError(
                f"plugin {name!r} cannot be used: {type(error).__name__}: {error}", plugin=name
            ) from error
        self.plugins.append((name, plugin))
        self.specs.extend(specs)
        self.codings.update(codings)
        self.tunnels.update(tunnels)
        self.websockets.update(websockets)
        self.options.update(options)

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        found: list[pluggy.HookImpl] = getattr(self._manager.hook, hook).get_hookimpls()
        return found

    def _resolve(self, hook: str, *arguments: str) -> tuple[Hook, ...]:
        """The implementations of a hook as functions that take all its arguments by position.

        Pluggy calls the one registered last first.
        """
        ordered = reversed(self._implementations(hook))
        return tuple(_by_position(impl.function, impl.argnames, arguments) for impl in ordered)

    def flows(self, session: Any) -> tuple[Flow, ...]:
        """The flows that plugins give to a session, outermost first: those of the first plugin around all others'.

        Raises:
            PluginError: A plugin that was given to the session gives none. An installed one is left out.
        """
        found: list[Flow] = []
        for name, register in self._register_flows:
            try:
                found += _checked_flows(register(session))
            except Exception as error:
                if name not in _registry.distributions:
                    raise PluginError(
                        f"plugin {name!r}: reqivo_register_flows failed: {type(error).__name__}: {error}", plugin=name
                    ) from error
                _warn_of(name, _registry.distributions[name], error)
        return tuple(found)

    @property
    def schemes(self) -> set[str]:
        """The schemes that are spoken."""
        return {scheme for spec in self.specs for scheme in spec.schemes}

    def specs_for(self, scheme: str) -> list[TransportSpec]:
        """The transports that serve a URL scheme, the preferred one first.

        Raises:
            UnsupportedProtocol: There is none; the message names the distribution to install.
        """
        specs = [spec for spec in self.specs if scheme in spec.schemes]
        if not specs:
            if scheme in HTTP_EQUIVALENTS and self.websockets:
                raise UnsupportedProtocol(
                    f"{scheme}:// is no scheme for requests: open a WebSocket with session.websocket(url)"
                )
            distribution = "reqivo-ws" if scheme in HTTP_EQUIVALENTS else _SERVED_BY.get(scheme)
            remedy = (
                f"install it: pip install {distribution}"
                if distribution
                else f"install a plugin whose transport serves {scheme}://"
            )
            raise UnsupportedProtocol(f"no installed transport serves {scheme}:// URLs; {remedy}")
        return specs

    def websocket(self, kind: str) -> type:
        """The class of a WebSocket.

        Args:
            kind: ``blocking`` or ``async``.

        Raises:
            UnsupportedProtocol: There is none; the message names the distribution to install.
        """
        if kind not in self.websockets:
            raise UnsupportedProtocol("no installed plugin speaks WebSocket; install one: pip install reqivo-ws")
        return self.websockets[kind]()

    def list_hooks(self, plugin: Any) -> list[str]:
        """The names of the hooks that a plugin implements."""
        callers = self._manager.get_hookcallers(plugin) or []
        return sorted(caller.name for caller in callers)


def _check_marks(manager: pluggy.PluginManager, plugin: Any) -> None:
    """Refuse hooks that would never be called, and those that would be called but not awaited.

    Raises:
        TypeError: One of them is such a hook.
    """
    for name in _HOOKS:
        method = getattr(plugin, name, None)
        if method is None:
            continue
        if manager.parse_hookimpl_opts(plugin, name) is None:
            raise TypeError(f"{name} is not marked as a hook: write @hookimpl above it")
        if inspect.iscoroutinefunction(method):
            raise TypeError(f"{name} is async, but hooks are called and not awaited: what has to wait is a flow")


def _checked_flows(flows: Any) -> list[Flow]:
    """The flows that a hook gave.

    Raises:
        TypeError: They are no flows.
    """
    given = list(flows) if isinstance(flows, Iterable) else None
    if given is None or not all(callable(flow) for flow in given):
        raise TypeError(f"it gave {flows!r}: give a list of generator functions")
    return given


def _specs_of(plugin: Any) -> list[TransportSpec]:
    """The transports that a plugin registers, checked.

    Raises:
        TypeError: One of them is no usable TransportSpec.
    """
    if not hasattr(plugin, "reqivo_register_transports"):
        return []
    specs = list(plugin.reqivo_register_transports())
    for spec in specs:
        if not isinstance(spec, TransportSpec) or not (spec.open or spec.dial):
            raise TypeError(f"reqivo_register_transports gave {spec!r}: give a TransportSpec with open= or dial=")
    return specs


def _by_position(function: Hook, accepted: Sequence[str], arguments: tuple[str, ...]) -> Hook:
    """Adapt a hook that takes only some of the arguments."""
    if tuple(accepted) == arguments:
        return function
    places = [arguments.index(name) for name in accepted]
    return lambda *values: function(*[values[place] for place in places])


class _Registry:
    """The plugins of the process: entry points, loaded once, and the set they make."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loaded: PluginSet | None = None
        self.distributions: dict[str, str] = {}

    def load(self) -> PluginSet:
        """Load entry points, unless that was done."""
        if self.loaded is None:
            with self.lock:
                self.loaded = self.loaded or self._load()
        return self.loaded

    def _load(self) -> PluginSet:
        from importlib.metadata import entry_points  # here, since it is slow to import

        found: list[tuple[str, Any]] = []
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            distribution = point.dist.name if point.dist else "unknown"
            if _is_disabled(point.name, distribution):
                continue
            try:
                plugin = _instantiate(point)
                PluginSet([(point.name, plugin)])
            except Exception as error:
                _warn_of(point.name, distribution, error)
                continue
            self.distributions[point.name] = distribution
            found.append((point.name, plugin))
        return PluginSet(found)


def _instantiate(point: EntryPoint) -> Any:
    plugin = point.load()
    return plugin() if inspect.isclass(plugin) else plugin


def _is_disabled(name: str, distribution: str) -> bool:
    disabled = {part.strip() for part in os.environ.get(DISABLE_VARIABLE, "").split(",")}
    return name in disabled or ("all" in disabled and distribution.lower() not in OWN_DISTRIBUTIONS)


def _warn_of(name: str, distribution: str, error: Exception) -> None:
    cause = error.__cause__ if isinstance(error, PluginError) and error.__cause__ else error
    warnings.warn(
        f"reqivo: plugin {name!r} of distribution {distribution!r} is broken and was left out "
        f"({type(cause).__name__}: {cause}); update or uninstall it, or set {DISABLE_VARIABLE}={name}",
        RuntimeWarning,
        stacklevel=5,
    )


_registry = _Registry()


def plugin_set(own: Iterable[Any] = ()) -> PluginSet:
    """The plugins of the process and, behind them, a session's own.

    Args:
        own: Plugin objects, or classes to instantiate.

    Returns:
        The process's set itself where a session has none of its own.

    Raises:
        PluginError: One of the session's own cannot be used.
    """
    if not isinstance(own, Iterable):
        raise PluginError(f"plugins={own!r}: give a list of plugins")
    loaded = _registry.load()
    extra = [plugin() if inspect.isclass(plugin) else plugin for plugin in own]
    if not extra:
        return loaded
    named = [(f"{type(plugin).__name__} given to the session", plugin) for plugin in extra]
    unique = [(name if n == 0 else f"{name} ({n + 1})", plugin) for n, (name, plugin) in enumerate(named)]
    plugins = PluginSet([*loaded.plugins, *unique])
    for name, plugin in unique:
        if not plugins.list_hooks(plugin):
            raise PluginError(
                f"plugin {name!r} has no hooks: give an object with methods that are marked @hookimpl", plugin=name
            )
    return plugins


def installed_plugins() -> list[tuple[str, str, list[str]]]:
    """What is installed: name, distribution and hooks of each plugin in force."""
    loaded = _registry.load()
    return [(name, _registry.distributions[name], loaded.list_hooks(plugin)) for name, plugin in loaded.plugins]


def reload_plugins() -> None:
    """Forget the entry points, so that the next session loads them again (for tests and interactive use)."""
    _registry.loaded = None
    _registry.distributions.clear()


def codings_of(plugins: PluginSet) -> Codings:
    """The content-codings of core and of the plugins."""
    from reqivo_core.codings import BUILTIN_CODINGS, Codings  # here, to keep zlib out of the listing of plugins

    return Codings(BUILTIN_CODINGS, plugins.codings)
