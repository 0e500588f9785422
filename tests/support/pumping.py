"""Moving bytes both ways between two connections, as proxies do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from . import ownership
from .tls_end import TlsEnd

End = socket.socket | TlsEnd
"""One end of what is joined; the client's may speak TLS to a proxy."""

Pump = Callable[[End, End], None]


def pump(source: End, sink: End) -> None:
    """Move bytes until the source ends, then say so to the sink."""
    while data := source.recv(65536):
        sink.sendall(data)
    end_of(sink)


def join(client: End, origin: End, up: Pump = pump, down: Pump = pump) -> None:
    """Run ``up`` (client to origin) and ``down`` at once; return when both have ended.

    When one breaks, so does the other.
    """
    helper = threading.Thread(
        target=_guarded,
        args=(up, client, origin),
        name=f"{ownership.THREAD_PREFIX}pump",
        daemon=True,
    )
    helper.start()
    try:
        _guarded(down, origin, client)
    finally:
        helper.join()


def end_of(end: End) -> None:
    """Send the end of the stream, and go on reading."""
    if isinstance(end, TlsEnd):
        end.close_notify()
    shut(end, socket.SHUT_WR)


def shut(end: End, how: int) -> None:
    """Shut down a socket that may be gone already."""
    try:
        (end.sock if isinstance(end, TlsEnd) else end).shutdown(how)
    except OSError:
        pass


def _guarded(run: Pump, source: End, sink: End) -> None:
    try:
        run(source, sink)
    except OSError:  # one side broke: the other pump must not wait for it
        shut(source, socket.SHUT_RDWR)
        shut(sink, socket.SHUT_RDWR)
