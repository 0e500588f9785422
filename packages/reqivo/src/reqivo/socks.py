"""SOCKS5 proxies (RFC 1928, RFC 1929): ``socks5://`` resolves names here, ``socks5h://`` leaves that to the proxy.

The conversation with the proxy is written once, for both worlds; ``socksio`` knows its octets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from socksio import ProtocolError, SOCKSError
from socksio.socks5 import (
    SOCKS5AuthMethod,
    SOCKS5AuthMethodsRequest,
    SOCKS5AuthReply,
    SOCKS5Command,
    SOCKS5CommandRequest,
    SOCKS5Connection,
    SOCKS5Reply,
    SOCKS5ReplyCode,
    SOCKS5UsernamePasswordReply,
    SOCKS5UsernamePasswordRequest,
)

from reqivo_core.errors import ProxyError, excerpt

if TYPE_CHECKING:
    from reqivo_core import NetworkStream, Origin, Proxy
    from reqivo_core.timeouts import Deadline

_MAX_LENGTH: Final = 255
"""Octets of a name, user name or password: their length is one octet."""
_ADDRESS_LENGTHS: Final = {b"\x01": 4, b"\x04": 16}


async def open_socks_tunnel(stream: NetworkStream, proxy: Proxy, origin: Origin, deadline: Deadline) -> NetworkStream:
    """Ask a SOCKS5 proxy for a connection.

    Args:
        stream: The connection to the proxy.
        proxy: The proxy; user name and password are offered if they were given.
        origin: Where to; a name is left to the proxy to resolve.
        deadline: When it must be done.

    Returns:
        The same stream, which now leads to the origin.

    Raises:
        ProxyError: The proxy refused, or does not speak SOCKS5.
    """
    conversation = _Conversation(stream, proxy, deadline)
    try:
        await conversation.authenticate()
        await conversation.connect(origin)
    except SOCKSError as error:
        raise conversation.failure(f"does not speak SOCKS5: {excerpt(str(error))}") from error
    if stream.is_readable():
        raise conversation.failure(f"sent octets into the tunnel to {origin}, or its end, before we did")
    return stream


class _Conversation:
    """What is said until the tunnel stands. Replies are read octet by octet, and none beyond their end."""

    def __init__(self, stream: NetworkStream, proxy: Proxy, deadline: Deadline) -> None:
        self._stream = stream
        self._proxy = proxy
        self._deadline = deadline
        self._socks = SOCKS5Connection()

    def failure(self, what: str) -> ProxyError:
        return ProxyError(f"proxy {self._proxy.url.redacted} {what}")

    async def authenticate(self) -> None:
        """Agree on a method, and show user name and password if that is it."""
        methods = [SOCKS5AuthMethod.NO_AUTH_REQUIRED]
        if self._proxy.username is not None:
            methods.append(SOCKS5AuthMethod.USERNAME_PASSWORD)
        self._socks.send(SOCKS5AuthMethodsRequest(methods))
        reply = self._socks.receive_data(await self._asked(2, b"\x05"))
        if not isinstance(reply, SOCKS5AuthReply) or reply.method not in methods:
            given = "takes none of the ways to authenticate that we offered"
            raise self.failure(f"{given}; give its user name and password in its URL" if len(methods) == 1 else given)
        if reply.method == SOCKS5AuthMethod.USERNAME_PASSWORD:
            await self._show_password()

    async def _show_password(self) -> None:
        parts = [part.encode() for part in (self._proxy.username or "", self._proxy.password or "")]
        if any(len(part) > _MAX_LENGTH for part in parts):
            raise self.failure(f"cannot be told a user name or password of more than {_MAX_LENGTH} octets")
        self._socks.send(SOCKS5UsernamePasswordRequest(*parts))
        reply = self._socks.receive_data(await self._asked(2, b"\x01"))
        if not isinstance(reply, SOCKS5UsernamePasswordReply) or not reply.success:
            raise self.failure("does not accept the user name and password that its URL has")

    async def connect(self, origin: Origin) -> None:
        """Ask for the connection."""
        host = origin.host.partition("%")[0]
        if len(host) > _MAX_LENGTH:
            raise self.failure(f"cannot be told a host name of more than {_MAX_LENGTH} octets")
        self._socks.send(SOCKS5CommandRequest.from_address(SOCKS5Command.CONNECT, (host, origin.port)))
        head = await self._asked(4, b"\x05")
        length = _ADDRESS_LENGTHS.get(head[3:4])
        rest = b""
        if length is None:
            if head[3:4] != b"\x03":
                raise ProtocolError("unknown kind of address")
            rest = await self._read(1)
            length = rest[0]
        rest += await self._read(length + 2)
        reply = self._socks.receive_data(head + rest)
        if not isinstance(reply, SOCKS5Reply) or reply.reply_code != SOCKS5ReplyCode.SUCCEEDED:
            code = reply.reply_code.name if isinstance(reply, SOCKS5Reply) else "no reply"
            raise self.failure(f"refused a connection to {origin}: {code.replace('_', ' ').lower()}")

    async def _asked(self, length: int, version: bytes) -> bytes:
        """Send what is to be sent, and read a reply's first octets."""
        await self._stream.write(self._socks.data_to_send(), self._deadline.left())
        reply = await self._read(1)
        if reply != version:
            raise ProtocolError(f"a reply begins with {reply!r}")
        return reply + await self._read(length - 1)

    async def _read(self, length: int) -> bytes:
        octets = b""
        while len(octets) < length:
            piece = await self._stream.read(length - len(octets), self._deadline.left())
            if not piece:
                raise self.failure("closed the connection instead of answering")
            octets += piece
        return octets
