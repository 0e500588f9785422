"""Which sockets and threads of this process belong to the test servers.

Servers run inside the process of the tests, so a leak check has to tell their
sockets from those of the client under test. Servers say what is theirs here.
"""

from __future__ import annotations

import os
import socket
import threading

THREAD_PREFIX = "support:"
"""Every thread of a test server has a name that begins so."""

_lock = threading.Lock()
_inodes: set[int] = set()
_ports: set[int] = set()


def own_fd(fd: int) -> None:
    """Mark a socket as a server's; a kernel's socket inodes do not come back soon."""
    inode = os.fstat(fd).st_ino
    with _lock:
        _inodes.add(inode)


def own(sock: socket.socket) -> None:
    """Mark an open socket as a server's."""
    if (fd := sock.fileno()) >= 0:
        own_fd(fd)


def own_port(port: int) -> None:
    """Mark every socket bound to this local port as a server's (accepted ones share it)."""
    with _lock:
        _ports.add(port)


def disown_port(port: int) -> None:
    """Forget a port when its server has stopped: the system may hand it to a client next."""
    with _lock:
        _ports.discard(port)


def is_owned_inode(inode: int) -> bool:
    """Tell whether the socket with this inode was marked."""
    with _lock:
        return inode in _inodes


def is_owned_port(port: int) -> bool:
    """Tell whether a running test server listens on this local port."""
    with _lock:
        return port in _ports
