"""NetrcAuth: user names and passwords from a ``.netrc`` file, by the host that is asked."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reqivo_core import BasicAuth
from reqivo_core.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Generator

    from reqivo_core import Request

VARIABLE = "NETRC"
NAMES = (".netrc", "_netrc")


class NetrcAuth:
    """Basic authentication with what a ``.netrc`` file has for the request's host.

    Only the host of the parsed URL is looked up; the ``default`` entry serves every other host that the user addresses.
    Like every ``auth=`` it does not follow redirects to other origins. The file is read once.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Read the file.

        Args:
            path: Which; None for the one that ``NETRC`` names, else ``~/.netrc`` or ``~/_netrc``, if there is any.

        Raises:
            InvalidRequest: The file was named here and cannot be read.
        """
        found = find_netrc() if path is None else Path(path)
        self._entries: dict[str, tuple[str, str]] = {}
        if found is not None:
            try:
                self._entries = _read(found)
            except (OSError, ValueError, netrc.NetrcParseError) as error:
                if path is not None:
                    # What the parser says may quote a line that holds a password.
                    raise InvalidRequest(f"netrc: {found} cannot be used: {type(error).__name__}") from None

    def __bool__(self) -> bool:
        return bool(self._entries)

    def apply(self, request: Request) -> None:
        """Set the header, unless the request already has one or the file has nothing for its host."""
        entry = self._entries.get(request.url.host) or self._entries.get("default")
        if entry is not None:
            BasicAuth(*entry).apply(request)

    def __call__(self, request: Request) -> Generator[Any, Any, Any]:
        """Set the header and send."""
        self.apply(request)
        return (yield request)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._entries)} hosts>"


def find_netrc() -> Path | None:
    """The file that the environment names, or that lies in the home directory; None where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    home = Path(os.path.expanduser("~"))
    return next((home / name for name in NAMES if (home / name).is_file()), None)


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """The entries by host in lower case; those without a password are left out."""
    entries = netrc.netrc(str(path)).hosts
    return {host.lower(): (login or account, secret) for host, (login, account, secret) in entries.items() if secret}
