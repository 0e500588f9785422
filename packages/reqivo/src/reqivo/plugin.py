"""What the meta-package itself plugs in, through the same hooks as a stranger's plugin.

Modules are imported when what they hold is first used: a session that retries nothing pays nothing for retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reqivo_core import Flow, NetworkStream, Origin, Proxy
    from reqivo_core.interfaces import Tunnel
    from reqivo_core.timeouts import Deadline


class ReqivoPlugin:
    """The features that live in ``reqivo`` rather than in core."""

    @hookimpl
    def reqivo_register_options(self) -> Mapping[str, Callable[[Any, Any], Flow | None]]:
        """Bring the options that are flows, outermost first."""
        return {"compress": _compress, "retries": _retries}

    @hookimpl
    def reqivo_register_codings(self) -> Mapping[str, Callable[[], Any]]:
        """Bring ``br`` and ``zstd``."""
        from reqivo.codings import installed_codings

        return installed_codings()

    @hookimpl
    def reqivo_register_tunnels(self) -> Mapping[str, Tunnel]:
        """Bring the way through SOCKS5 proxies."""
        return {"socks5": _resolved_socks, "socks5h": _socks}

    @hookimpl
    def reqivo_session_opened(self, session: Any) -> None:
        """Let its cookie jar know public suffixes, and, if it trusts the environment, give it what ``.netrc`` has."""
        from reqivo.public_suffixes import is_public_suffix

        session.cookies.is_public_suffix = is_public_suffix
        if session.trust_env and session.auth is None:
            from reqivo.netrc_auth import NetrcAuth

            session.auth = NetrcAuth() or None


async def _socks(stream: NetworkStream, proxy: Proxy, origin: Origin, deadline: Deadline) -> NetworkStream:
    """Reach an origin through a SOCKS5 proxy, which resolves its name."""
    from reqivo.socks import open_socks_tunnel

    return await open_socks_tunnel(stream, proxy, origin, deadline)


async def _resolved_socks(stream: NetworkStream, proxy: Proxy, origin: Origin, deadline: Deadline) -> NetworkStream:
    """Reach an origin through a SOCKS5 proxy, its name having been resolved here."""
    return await _socks(stream, proxy, origin, deadline)


_resolved_socks.wants_address = True  # type: ignore[attr-defined]  # how a tunnel tells core, which then resolves


def _compress(value: Any, session: Any) -> Flow | None:
    """Make the flow of ``compress=``."""
    from reqivo.codings import compress_flow

    return compress_flow(value)


def _retries(value: Any, session: Any) -> Flow | None:
    """Make the flow of ``retries=``."""
    if value is None or (value == 0 and value is not False):
        return None
    from reqivo.retries import Retry, retry_flow

    return retry_flow(Retry.of(value))
