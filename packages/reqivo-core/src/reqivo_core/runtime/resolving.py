"""Names to addresses, by the system's resolver."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import ConnectTimeout, DNSError
from reqivo_core.interfaces import Address
from reqivo_core.runtime import sockets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reqivo_core.interfaces import Waiter


def numeric_address(host: str, port: int) -> Address | None:
    """Take a host that is an IP address as it is.

    Args:
        host: A name or an address.
        port: The port.

    Returns:
        The address; None for a name.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host.partition("%")[0])
    except (OSError, ValueError):
        return None
    return Address(host, port)


def lookup(host: str, port: int) -> list[Address]:
    """Ask the system's resolver, which blocks the thread.

    Args:
        host: A host name.
        port: The port to put into the addresses.

    Returns:
        At least one address, each once.

    Raises:
        DNSError: There are none.
    """
    try:
        # Octets, since getaddrinfo would send text through its idna codec, which has limits and errors of its own.
        return _addresses_of(host, socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM))
    except (OSError, ValueError) as error:
        raise _no_address(host, error) from error


def _addresses_of(host: str, found: Iterable[tuple[Any, ...]]) -> list[Address]:
    """Take the addresses out of what getaddrinfo returned.

    Args:
        host: The host that was asked for.
        found: The result.

    Returns:
        At least one address, each once.

    Raises:
        DNSError: There are none.
    """
    families = (socket.AF_INET, socket.AF_INET6)
    addresses = [Address(entry[4][0], entry[4][1]) for entry in found if entry[0] in families]
    if not addresses:
        raise DNSError(f"could not resolve {host!r} (it has no IP address)", phase="dns")
    return list(dict.fromkeys(addresses))


def _no_address(host: str, error: Exception) -> DNSError:
    """Say that a host has no address."""
    reason = sockets.explain(error) if isinstance(error, OSError) else "not a valid host name"
    return DNSError(f"could not resolve {host!r} ({reason})", phase="dns")


async def lookup_in_thread(host: str, port: int, timeout: float | None, waiter: Waiter) -> list[Address]:
    """Look up a host in a thread of its own, since the system's resolver knows no time limit.

    The thread is a daemon, in every world: a resolver that hangs must keep neither the program from ending nor, as the
    workers of an event loop's executor would, the loop from closing.

    Args:
        host: A host name.
        port: The port to put into the addresses.
        timeout: Seconds; None for ever.
        waiter: What to wait with.

    Returns:
        At least one address, each once.

    Raises:
        DNSError: There are none.
        ConnectTimeout: It took too long.
    """
    outcome: list[list[Address] | BaseException] = []

    def look() -> None:
        try:
            outcome.append(lookup(host, port))
        except BaseException as error:
            outcome.append(error)
        finally:
            waiter.wake()

    threading.Thread(target=look, name=f"reqivo-resolve-{host}", daemon=True).start()
    if not await waiter.wait(timeout):
        raise ConnectTimeout(f"could not resolve {host!r} within {sockets.seconds(timeout)} s", phase="dns")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
