"""The errors of reqivo, each also in ``reqivo`` itself."""

from reqivo_core import errors as _errors
from reqivo_core.errors import *  # noqa: F403  # all of them, and core's list says which there are
from reqivo_core.errors import ConnectError

__all__ = ["AddressRefused"]
__all__ += _errors.__all__


class AddressRefused(ConnectError):
    """The session's AddressGuard does not let requests go there."""
