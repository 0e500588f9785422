"""Sockets as every runtime wants them: made, named and explained the same way."""

from __future__ import annotations

import os
import select
import socket
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from reqivo_core.errors import (
    ConnectError,
    ConnectTimeout,
    ReadError,
    ReadTimeout,
    WriteError,
    WriteTimeout,
)
from reqivo_core.forks import importing
from reqivo_core.interfaces import Address, NetworkStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reqivo_core.tls_config import TlsConfig

# glibc makes each block of 128 KiB or more a mapping of its own, with a page fault for every 4 KiB, until a larger one
# has been freed; then it keeps blocks of that size. Large reads that are cut to what came never count, since a mapping
# shrinks in place before it is freed: so one is freed here that is whole.
_large_block = bytes(1024 * 1024)
del _large_block

Failures: TypeAlias = "Sequence[tuple[Address, OSError]]"

_LARGE_READ = 256 * 1024

UNIX_RETRY = 0.01
"""Seconds between two attempts at a Unix socket whose backlog is full: no event tells when it has room."""


class SocketStream(NetworkStream):
    """A connected socket: what its streams do alike in every world."""

    __slots__ = ()

    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        """See :meth:`NetworkStream.start_tls`."""
        with importing:
            from reqivo_core.runtime.tls import start_tls  # here, since ssl is slow to import

        return await start_tls(self, config, server_hostname, alpn, timeout)


def explain(error: OSError) -> str:
    """Give the system's reason in its usual words, without number or Python's class name."""
    if isinstance(error, socket.gaierror) or error.errno is None or not error.strerror:
        text = error.strerror or str(error) or type(error).__name__
    else:
        text = os.strerror(error.errno)
    return uncapitalize(text)


def uncapitalize(text: str) -> str:
    """Make a sentence part of another; «IP address» keeps its capitals."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def show_address(address: Address) -> str:
    """Write an address as people do: ``127.0.0.1:80``, ``[::1]:80``."""
    return f"[{address.host}]:{address.port}" if address.is_ipv6 else f"{address.host}:{address.port}"


def open_socket(address: Address, local_address: str | None) -> tuple[socket.socket, tuple[Any, ...]]:
    """Make a non-blocking socket that is ready to be connected.

    Args:
        address: Where it is to be connected.
        local_address: The local IP address to connect from, or the name of a network interface.

    Returns:
        The socket and the system's form of the address.

    Raises:
        OSError: It could not be made or bound.
    """
    target = _system_address(address)
    sock = socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if local_address is not None:
            _bind(sock, local_address)
    except BaseException:
        sock.close()
        raise
    return sock, target


def _bind(sock: socket.socket, name: str) -> None:
    """Bind to a local address, which must be of the same family, or to an interface."""
    local = Address(name, 0)
    if not local.is_ipv6 and not _is_ipv4(name):
        return _bind_to_interface(sock, name)
    if local.is_ipv6 != (sock.family == socket.AF_INET6):
        raise OSError(f"cannot be reached from {local.host}, an address of the other IP version")
    try:
        sock.bind(_system_address(local))
    except OSError as error:
        raise OSError(f"cannot connect from {local.host}: {explain(error)}") from error


def _is_ipv4(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: it holds a NUL
        return False
    return True


def _bind_to_interface(sock: socket.socket, name: str) -> None:
    """Send through one interface, whatever the routes say."""
    try:
        if sys.platform == "linux":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(name))
        elif sys.platform == "darwin":
            is_ipv6 = sock.family == socket.AF_INET6
            level, option = (socket.IPPROTO_IPV6, 125) if is_ipv6 else (socket.IPPROTO_IP, 25)  # IP(V6)_BOUND_IF
            sock.setsockopt(level, option, socket.if_nametoindex(name))
        else:
            raise OSError("this platform binds to addresses, not to names of interfaces")
    except OSError as error:
        raise OSError(f"cannot connect from {name!a}: {explain(error)}") from error


def _system_address(address: Address) -> tuple[Any, ...]:
    """Turn a scope after ``%`` into the number that the system wants beside the address."""
    host, _, scope = address.host.partition("%")
    if not address.is_ipv6:
        return (host, address.port)
    if not scope:
        return (host, address.port, 0, 0)
    return (host, address.port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope))


def check_connected(sock: socket.socket) -> None:
    """Look how a connection attempt ended.

    Args:
        sock: The socket, which has become writable.

    Raises:
        OSError: It failed.
    """
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    check_not_self(sock)


def check_not_self(sock: socket.socket) -> None:
    """Refuse a connection that met itself.

    Where nobody listens at a local port that the system hands out to clients, a connection can be given that very port
    and, by TCP's simultaneous open, connect to itself.

    Args:
        sock: A connected socket.

    Raises:
        OSError: It is connected to itself, or to nobody any more.
    """
    if sock.getsockname() == sock.getpeername():
        raise ConnectionRefusedError("connection refused")


def connect_failure(failures: Failures) -> ConnectError:
    """Say what each address answered."""
    said = " and ".join(f"{show_address(address)} ({explain(error)})" for address, error in failures)
    return ConnectError(f"could not connect to {said}", phase="connect")


def connect_timeout(addresses: Sequence[Address], timeout: float | None) -> ConnectTimeout:
    """Say that no address answered in time."""
    tried = " or ".join(show_address(address) for address in addresses)
    return ConnectTimeout(f"could not connect to {tried} within {seconds(timeout)} s", phase="connect")


def open_unix_socket(path: str) -> socket.socket:
    """Make a non-blocking Unix domain socket.

    Raises:
        ConnectError: The platform has none, or no more.
    """
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise ConnectError(f"could not connect to {path} (this platform has no Unix sockets)", phase="connect")
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectError(f"could not connect to {path} ({explain(error)})", phase="connect") from error
    sock.setblocking(False)
    return sock


def try_unix(sock: socket.socket, path: str) -> bool:
    """Connect a Unix socket, which never takes time: either it is done, or the server's backlog is full.

    Args:
        sock: A non-blocking socket.
        path: Where the server listens.

    Returns:
        Whether it is connected; False: try again later.

    Raises:
        ConnectError: It cannot be reached.
    """
    try:
        sock.connect(path)
    except BlockingIOError:
        return False
    except (OSError, ValueError) as error:
        reason = explain(error) if isinstance(error, OSError) else str(error)
        raise ConnectError(f"could not connect to {path} ({reason})", phase="connect") from error
    return True


def unix_timeout(path: str, timeout: float | None) -> ConnectTimeout:
    """Say that a Unix socket's server took no connection in time."""
    return ConnectTimeout(f"could not connect to {path} within {seconds(timeout)} s", phase="connect")


def rest(sock: socket.socket) -> list[bytes]:
    """Receive what lies in the system's buffer of a connection that broke; nothing is waited for."""
    pieces = []
    try:
        while piece := sock.recv(_LARGE_READ):
            pieces.append(piece)
    except OSError:
        pass  # that was all
    return pieces


def look(sock: socket.socket, *, for_room: bool = False) -> Callable[[int], object]:
    """Make what tells whether something has arrived: poll's «no» costs half of a ``recv`` that finds nothing.

    Args:
        sock: Whose octets.
        for_room: Tell whether the system would take more, instead.

    Returns:
        To be called with the milliseconds to wait.
    """
    if not hasattr(select, "poll"):
        return lambda milliseconds: True  # recv or send will tell
    poll = select.poll()
    poll.register(sock, select.POLLOUT if for_room else select.POLLIN)
    return poll.poll


def read_timeout(peer: str, timeout: float | None) -> ReadTimeout:
    """Say that nothing came in time."""
    if timeout == 0:
        return ReadTimeout(f"nothing has arrived from {peer} yet", phase="read")
    return ReadTimeout(f"{peer} sent nothing for {seconds(timeout)} s", phase="read")


def write_timeout(peer: str, timeout: float | None) -> WriteTimeout:
    """Say that the peer did not take everything in time."""
    return WriteTimeout(f"{peer} did not take what was sent within {seconds(timeout)} s", phase="write")


def closed_here() -> OSError:
    """The reason for an operation on a connection that was closed on this side."""
    return OSError("it was closed on this side")


def socket_info(sock: socket.socket, name: str) -> Any:
    """Facts about a socket, as :meth:`NetworkStream.get_info` names them; None for others, and once it is closed."""
    try:
        match name:
            case "socket":
                return sock
            case "peername":
                return sock.getpeername()
            case "sockname":
                return sock.getsockname()
    except OSError:
        return None
    return None


def seconds(timeout: float | None) -> str:
    """Write a time limit; what is left of a deadline has digits that nobody wants to read."""
    return "unlimited" if timeout is None else f"{timeout:.3g}"


def read_error(peer: str, error: OSError) -> ReadError:
    """Say that reading broke."""
    return ReadError(f"the connection to {peer} broke while reading ({explain(error)})", phase="read")


def write_error(peer: str, error: OSError) -> WriteError:
    """Say that writing broke."""
    return WriteError(f"the connection to {peer} broke while writing ({explain(error)})", phase="write")
