"""The server's side of a WebSocket, frame by frame, for scripted peers."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from .messages import Request
from .scripted import Peer

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEFLATE = ("Sec-WebSocket-Extensions", "permessage-deflate")


class Frame(NamedTuple):
    """A frame as it came off the wire, unmasked."""

    opcode: int
    payload: bytes
    is_final: bool
    rsv: int
    key: bytes


def accept_key(key: str) -> str:
    """The answer to a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()


def accepting(request: Request, extra: Sequence[tuple[str, str]] = (), **changed: str | None) -> bytes:
    """A 101 that answers a handshake; ``upgrade=None`` and the like leave a field out or change it."""
    fields: dict[str, str | None] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(request.header("sec-websocket-key")),
    }
    names = {"upgrade": "Upgrade", "connection": "Connection", "accept": "Sec-WebSocket-Accept"}
    fields.update({names[name]: value for name, value in changed.items()})
    lines = [(name, value) for name, value in fields.items() if value is not None]
    return _head("101 Switching Protocols", [*lines, *extra])


def _head(status: str, fields: Sequence[tuple[str, str]]) -> bytes:
    return "".join([f"HTTP/1.1 {status}\r\n", *(f"{n}: {v}\r\n" for n, v in fields), "\r\n"]).encode("latin-1")


def accept(peer: Peer, tail: bytes = b"", deflate: bool | str = False, **changed: str | None) -> Request:
    """Do the opening handshake, with what follows it in the same segment."""
    request = peer.expect_request()
    extra = [_DEFLATE] if deflate is True else [(_DEFLATE[0], deflate)] if deflate else []
    peer.send(accepting(request, extra, **changed) + tail)
    return request


def frame(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0, masked: bool = False) -> bytes:
    """A frame as servers send it."""
    first = opcode | (FIN if fin else 0) | rsv
    mask_bit = 0x80 if masked else 0
    length = len(payload)
    if length < 126:
        head = bytes([first, mask_bit | length])
    elif length < 65536:
        head = bytes([first, mask_bit | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, mask_bit | 127]) + length.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(octet ^ key[n % 4] for n, octet in enumerate(payload))


def text(message: str, **options: bool) -> bytes:
    """A text frame."""
    return frame(TEXT, message.encode(), **options)


def close_frame(code: int | None = 1000, reason: str = "") -> bytes:
    """A close frame; None sends no code."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


def expect_frame(peer: Peer) -> Frame:
    """Read one frame of the client's, which must be masked."""
    first, second = peer.expect(2)
    length = second & 0x7F
    if length > 125:
        length = int.from_bytes(peer.expect(2 if length == 126 else 8), "big")
    assert second & 0x80, "a client's frame must be masked (RFC 6455 §5.1)"
    key = peer.expect(4)
    masked = peer.expect(length)
    pattern = (key * (length // 4 + 1))[:length]
    payload = (int.from_bytes(masked, "big") ^ int.from_bytes(pattern, "big")).to_bytes(length, "big")
    return Frame(first & 0x0F, payload, bool(first & FIN), first & 0x70, key)


def expect_close(peer: Peer) -> tuple[int | None, str]:
    """Read frames up to the client's close frame; its code and reason."""
    while (got := expect_frame(peer)).opcode != CLOSE:
        pass
    if not got.payload:
        return None, ""
    return int.from_bytes(got.payload[:2], "big"), got.payload[2:].decode()


def answer_close(peer: Peer) -> tuple[int | None, str]:
    """Complete the closing handshake that the client begins."""
    code, reason = expect_close(peer)
    peer.send(close_frame(code))
    return code, reason
