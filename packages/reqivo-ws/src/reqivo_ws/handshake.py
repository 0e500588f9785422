"""The opening handshake (RFC 6455 §4, RFC 8441 §5) without its I/O: what is asked, and whether the answer will do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from wsproto.utilities import generate_accept_token, generate_nonce

from reqivo_core.errors import InvalidRequest, InvalidURL, excerpt
from reqivo_core.urls import HTTP_EQUIVALENTS
from reqivo_ws.deflate import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reqivo_core.headers import Headers
    from reqivo_core.urls import URL
    from reqivo_ws.deflate import Agreement, Deflate

VERSION = "13"
SWITCHING_PROTOCOLS = 101

OWN_FIELDS = (
    "host",
    "upgrade",
    "connection",
    "content-length",
    "transfer-encoding",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "sec-websocket-accept",
)
"""What the handshake says itself; of these, ``Host`` alone may be given as a header."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 §5.6.2
_IS_TOKEN = re.compile(_TOKEN)
_EXTENSION = re.compile(rf"\s*({_TOKEN})((?:\s*;\s*{_TOKEN}(?:\s*=\s*(?:{_TOKEN}|\"{_TOKEN}\"))?)*)\s*(?:,|$)")
_PARAMETER = re.compile(rf";\s*({_TOKEN})(?:\s*=\s*\"?({_TOKEN})\"?)?")


class Refused(Exception):
    """The server's answer will not do; it never leaves the distribution.

    Attributes:
        why: What is wrong with it.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Negotiated(NamedTuple):
    """What came of the handshake.

    Attributes:
        subprotocol: The one that the server chose; None if it chose none.
        deflate: How messages are compressed; None if they are not.
    """

    subprotocol: str | None
    deflate: Agreement | None


def http_url(url: URL) -> URL:
    """The URL in which the handshake is sent (RFC 6455 §4.1).

    Raises:
        InvalidURL: The scheme is not a WebSocket's (or HTTP's), or there is a fragment (RFC 6455 §3).
    """
    if url.scheme not in ("ws", "wss", "http", "https"):
        raise InvalidURL(f"{url.redacted}: a WebSocket's URL begins with ws:// or wss://")
    if url.fragment is not None:
        raise InvalidURL(f"{url.redacted}: a WebSocket's URL has no fragment (RFC 6455 §3); encode '#' as %23")
    return url.with_scheme(HTTP_EQUIVALENTS[url.scheme]) if url.scheme in HTTP_EQUIVALENTS else url


def checked_subprotocols(subprotocols: Sequence[str] | None) -> tuple[str, ...]:
    """Names that may be offered.

    Raises:
        InvalidRequest: One is no token, or comes twice.
    """
    if isinstance(subprotocols, str):
        raise InvalidRequest(f"subprotocols: give a list, as [{subprotocols!r}]")
    names = tuple(subprotocols or ())
    for name in names:
        if not isinstance(name, str) or not _IS_TOKEN.fullmatch(name):
            raise InvalidRequest(f"subprotocol {excerpt(str(name))} is no token (RFC 6455 §4.1)")
    if len(set(names)) < len(names):
        raise InvalidRequest("subprotocols: one is named twice (RFC 6455 §4.1)")
    return names


def new_key() -> str:
    """A nonce for Sec-WebSocket-Key."""
    return generate_nonce().decode("ascii")


def request_fields(key: str, subprotocols: Sequence[str], offers: Sequence[Deflate]) -> list[tuple[str, str]]:
    """The handshake's own field lines. A transport for HTTP/2 leaves out those that RFC 8441 §5 has no use for."""
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", VERSION),
    ]
    if subprotocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if offers:
        fields.append(("Sec-WebSocket-Extensions", ", ".join(offer.offer() for offer in offers)))
    return fields


def is_accepted(status: int, http_version: str) -> bool:
    """Whether a status code opens the WebSocket: 101 in HTTP/1.1, any 2xx in later versions (RFC 8441 §5)."""
    if http_version.startswith("HTTP/1"):
        return status == SWITCHING_PROTOCOLS
    return 200 <= status < 300


def check_response(
    http_version: str, headers: Headers, key: str, subprotocols: Sequence[str], offers: Sequence[Deflate]
) -> Negotiated:
    """Check the answer of a server that accepts.

    Args:
        http_version: As responses name it.
        headers: The response's.
        key: What Sec-WebSocket-Key was.
        subprotocols: What was offered.
        offers: What compression was offered.

    Raises:
        Refused: It is not what RFC 6455 §4.1 demands.
    """
    if http_version == "HTTP/1.1":
        _check_upgrade(headers, key)
    elif http_version.startswith("HTTP/1"):
        raise Refused(f"the server answered in {http_version}, which knows no upgrade")
    return Negotiated(_chosen_subprotocol(headers, subprotocols), _chosen_deflate(headers, offers))


def _check_upgrade(headers: Headers, key: str) -> None:
    upgrade = headers.get_all("upgrade")
    if len(upgrade) != 1 or upgrade[0].strip().lower() != "websocket":
        raise Refused(f"its Upgrade is {_shown(upgrade)}, not websocket")
    options = [option.strip().lower() for line in headers.get_all("connection") for option in line.split(",")]
    if "upgrade" not in options:
        raise Refused(f"its Connection is {_shown(headers.get_all('connection'))}, not Upgrade")
    accept = headers.get_all("sec-websocket-accept")
    if len(accept) != 1 or accept[0].strip() != generate_accept_token(key.encode("ascii")).decode("ascii"):
        raise Refused(f"its Sec-WebSocket-Accept {_shown(accept)} does not answer our Sec-WebSocket-Key")


def _chosen_subprotocol(headers: Headers, offered: Sequence[str]) -> str | None:
    chosen = headers.get_all("sec-websocket-protocol")
    if not chosen:
        return None
    if len(chosen) > 1 or "," in chosen[0]:
        raise Refused(f"it chose several subprotocols: {_shown(chosen)}")
    if chosen[0].strip() not in offered:
        raise Refused(f"it chose the subprotocol {excerpt(chosen[0])}, which was not offered")
    return chosen[0].strip()


def _chosen_deflate(headers: Headers, offers: Sequence[Deflate]) -> Agreement | None:
    agreement: Agreement | None = None
    for name, parameters in _extensions(headers):
        if name != NAME or not offers:
            raise Refused(f"it chose the extension {excerpt(name)}, which was not offered")
        if agreement is not None:
            raise Refused(f"it chose {NAME} twice")
        agreement = _agreed(parameters, offers)
    return agreement


def _agreed(parameters: list[tuple[str, str | None]], offers: Sequence[Deflate]) -> Agreement:
    """What the server's answer makes of the first offer that it answers."""
    why = ""
    for offer in offers:
        try:
            return offer.accept(parameters)
        except ValueError as error:
            why = why or str(error)
    raise Refused(f"it chose {excerpt(why)}")


def _extensions(headers: Headers) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """The extensions that a server chose, with their parameters (RFC 6455 §9.1)."""
    text = ", ".join(headers.get_all("sec-websocket-extensions")).strip()
    at = 0
    while at < len(text):
        found = _EXTENSION.match(text, at)
        if found is None:
            raise Refused(f"its Sec-WebSocket-Extensions cannot be read: {excerpt(text)}")
        at = found.end()
        yield found[1].lower(), [(part[1].lower(), part[2]) for part in _PARAMETER.finditer(found[2])]


def _shown(values: list[str]) -> str:
    return excerpt(", ".join(values)) if values else "missing"
