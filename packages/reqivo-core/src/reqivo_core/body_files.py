"""Files as bodies: where they stand, how long they are, and their troubles told as the request's."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from io import FileIO
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from reqivo_core.errors import InvalidRequest, ReqivoError

if TYPE_CHECKING:
    from collections.abc import Iterator


class BinaryFile(Protocol):
    """An object that gives octets on ``read(size)``, or an awaitable of them."""

    def read(self, size: int, /) -> Any:
        """Give up to ``size`` octets, none at the end."""


@contextmanager
def file_errors(what: str, verb: str) -> Iterator[None]:
    """Tell a file's trouble as the request's; the file's own error is the cause."""
    try:
        yield
    except ReqivoError:
        raise
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"body: {what} cannot {verb}: {error}") from error


def start_of(file: Any, what: str) -> int | None:
    """Where a file stands, if it can be wound back there; else None."""
    with file_errors(what, "be used"):
        if _is_device(getattr(file, "raw", file)):
            return None
        try:
            position = file.tell()
            file.seek(position)
        except (AttributeError, TypeError, OSError):
            return None  # it has no place that it could tell us and go back to
    return int(position)


def _is_device(file: object) -> bool:
    """Whether it is a pipe, terminal or device: some of these seek, and still do not give the same again.

    Only asked of what certainly is a file: ``fileno()`` makes a SpooledTemporaryFile move to the disk.
    """
    return isinstance(file, FileIO) and not stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def length_from(start: int, file: Any, what: str) -> int:
    """Octets from ``start`` to the end.

    By seeking, not by fstat: the descriptor of a file that decompresses tells the compressed size.
    """
    with file_errors(what, "be measured"):
        file.seek(0, os.SEEK_END)
        end = file.tell()
        file.seek(start)
    return max(0, int(end) - start)


def is_file(source: object) -> TypeGuard[BinaryFile]:
    """Whether an object reads.

    Asked of the object, not of its class: temporary files and other wrappers delegate, which is why isinstance with a
    runtime-checkable protocol (static look-up since Python 3.12) does not see them.
    """
    return callable(getattr(source, "read", None))
