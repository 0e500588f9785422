"""What the meta-package itself plugs in, through the same hooks as a stranger's plugin.

Modules are imported when what they hold is first used: a session that retries nothing pays nothing for retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reqivo_core import Flow


class ReqivoPlugin:
    """The features that live in ``reqivo`` rather than in core."""

    @hookimpl
    def reqivo_register_options(self) -> Mapping[str, Callable[[Any, Any], Flow | None]]:
        """Bring the options that are flows, outermost first."""
        return {"retries": _retries}

    @hookimpl
    def reqivo_session_opened(self, session: Any) -> None:
        """Give a session that trusts the environment the credentials of ``.netrc``, unless it has some of its own."""
        if session.trust_env and session.auth is None:
            from reqivo.netrc_auth import NetrcAuth

            session.auth = NetrcAuth() or None


def _retries(value: Any, session: Any) -> Flow | None:
    """Make the flow of ``retries=``."""
    if value is None or (value == 0 and value is not False):
        return None
    from reqivo.retries import Retry, retry_flow

    return retry_flow(Retry.of(value))
