"""What a server has to answer that a TransportSuite is run against, whatever protocol it speaks.

A server for the suite turns a request of its protocol into a call of ``answer`` and the Answer back into its protocol::

    /hello             200, ``hello``
    /echo              any method: the request's body, its Content-Type and its X-Note
    /bytes/<n>         ``n`` octets of ``pattern``, in pieces
    /status/<code>     that status
    /stall/<n>         announces twice ``n`` octets, sends ``n``, then nothing more until the client leaves
    /cut/<n>           announces twice ``n`` octets, sends ``n``, then ends the connection
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PIECE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is to be sent.

    Attributes:
        status: The status code.
        headers: Field lines, names in lower case, without any about the body's length.
        body: The octets to send.
        length: The octets to announce; more than there are in ``body`` where it is not to be sent to its end.
        ending: ``complete``; ``stall``: send nothing after the body, and wait for the client to leave; ``cut``: end
            the connection after the body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int = 0
    ending: str = "complete"

    @property
    def pieces(self) -> Iterator[bytes]:
        """The body in pieces that can be told apart on the wire."""
        return (self.body[place : place + PIECE] for place in range(0, len(self.body), PIECE))


def pattern(length: int) -> bytes:
    """Octets that show where they belong: the numbers from 0 on, four octets each."""
    count = -(-length // 4)
    return b"".join(number.to_bytes(4, "big") for number in range(count))[:length]


def answer(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Answer a request of the suite.

    Args:
        method: Its method.
        path: Its target, without scheme and authority.
        headers: Its field lines, names in lower case.
        body: Its whole body.
    """
    _, _, rest = path.partition("/")
    name, _, argument = rest.partition("/")
    if name == "hello":
        return _whole(200, b"hello", {"content-type": "text/plain"})
    if name == "echo":
        told = {key: headers[key] for key in ("content-type", "x-note") if key in headers}
        return _whole(200, body, {**told, "x-method": method})
    if name == "bytes":
        return _whole(200, pattern(int(argument)), {"content-type": "application/octet-stream"})
    if name == "status":
        return _whole(int(argument), f"status {argument}".encode(), {"content-type": "text/plain"})
    if name in ("stall", "cut"):
        length = int(argument)
        return Answer(200, {"content-type": "application/octet-stream"}, pattern(length), 2 * length, name)
    return _whole(404, f"the suite has no {path}".encode(), {"content-type": "text/plain"})


def _whole(status: int, body: bytes, headers: Mapping[str, str]) -> Answer:
    return Answer(status, headers, body, len(body))
