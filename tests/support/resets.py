"""Connections that end by a reset."""

from __future__ import annotations

import socket
import struct


def reset_at_close(sock: socket.socket) -> None:
    """Have the other side get a reset when this socket is closed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset(sock: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    reset_at_close(sock)
    sock.close()
