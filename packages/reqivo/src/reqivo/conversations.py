"""What conversations of several requests have in common; each is written once for both worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core.options import BUILDING_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reqivo_core import URL


async def send(session: Any, method: str, url: str | URL, options: Mapping[str, Any]) -> Any:
    """Send a request as ``session.request`` would, its body left to be read.

    In a blocking session nothing suspends in here: see ``reqivo_core.runtime.driving.run_blocking``.

    Raises:
        TypeError: An option is not known, or two bodies are given.
        RequestError: What went wrong; the classes tell.
        SessionClosed: The session was closed.
    """
    request = session.build_request(method, url, **{k: v for k, v in options.items() if k in BUILDING_OPTIONS})
    sending = {name: value for name, value in options.items() if name not in BUILDING_OPTIONS}
    return await session.converse(request, **{**sending, "stream": True})
