"""The errors of reqivo, each also in ``reqivo`` itself."""

from reqivo.address_guard import AddressRefused
from reqivo_core import errors as _errors
from reqivo_core.errors import *  # noqa: F403  # all of them, and core's list says which there are

__all__ = ["AddressRefused"]
__all__ += _errors.__all__
