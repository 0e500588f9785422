"""DigestAuth: challenge and response (RFC 7616), as a flow.

The password is never sent, and never to anybody but the origin that asked: a challenge is answered at the origin it
came from, and remembered for that origin alone.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from reqivo.challenges import quoted, read_challenges, read_parameters
from reqivo_core.errors import InvalidRequest
from reqivo_core.forks import ForkSafe
from reqivo_core.runtime.driving import run_blocking

if TYPE_CHECKING:
    from collections.abc import Generator

    from reqivo_core import Origin, Request
    from reqivo_core.content import Content

_HASHES: Final = {
    name: known
    for name, known in {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}.items()
    if known in hashlib.algorithms_available
}
"""The algorithms of RFC 7616, by their names in hashlib; OpenSSL decides whether the last one is there."""
_MAX_ATTEMPTS: Final = 3
"""Without an answer, with one, and with another because the nonce had gone stale."""
_MAX_ORIGINS: Final = 256
"""Origins whose challenges are remembered; a client that meets more answers the oldest one's anew."""


@dataclass(slots=True)
class _Space:
    """What an origin asked for last, and how often it was answered.

    Attributes:
        realm: As the server wrote it; its octets as latin-1.
        nonce: What answers are computed with.
        opaque: To be sent back.
        algorithm: As the server wrote it, to be sent back; None where it did not.
        hash: Its name in hashlib.
        qop: ``auth``, ``auth-int``, or None for what RFC 2069 had.
        username: The user name, or its hash where the server wants that.
        is_hashed: Whether it is the hash.
        connects: Whether an upgrade is a CONNECT there, as it is from HTTP/2 on (RFC 8441 §4).
        cnonce: Our own nonce.
        secret: The hash of A1 (RFC 7616 §3.4.2).
        count: How often the nonce has been used.
    """

    realm: str
    nonce: str
    opaque: str | None
    algorithm: str | None
    hash: str
    qop: str | None
    username: str
    is_hashed: bool
    connects: bool = False
    cnonce: str = ""
    secret: bytes = b""
    count: int = 0

    def digest(self, *parts: bytes) -> bytes:
        """Hash parts, joined by colons, to hexadecimal digits."""
        return hashlib.new(self.hash, b":".join(parts), usedforsecurity=False).hexdigest().encode()


class DigestAuth(ForkSafe):
    """User name and password, proven without being sent (RFC 7616).

    The first request to an origin is sent without; its 401 brings the challenge, and the request is sent again with
    the answer, if its body can be. What follows is answered at once. May be shared by sessions, threads and tasks.

    MD5, SHA-256 and SHA-512-256 are understood, their ``-sess`` forms too; of several challenges the first one that we
    understand is taken, as the server prefers it (RFC 7616 §3.7). There is never a fall back to Basic.
    """

    def __init__(self, username: str, password: str) -> None:
        """Make the flow.

        Args:
            username: The user name.
            password: Any text.

        Raises:
            InvalidRequest: One of them has control characters, or is no text.
        """
        for name, text in (("user name", username), ("password", password)):
            if not isinstance(text, str) or any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
                raise InvalidRequest(f"digest auth: the {name} must be a str without control characters")
        super().__init__()
        self._username = username
        self._password = password
        self._spaces: dict[Origin, _Space] = {}

    def __call__(self, request: Request) -> Generator[Any, Any, Any]:
        """Send, and where the server challenges, answer; once more if only the nonce had gone stale."""
        if "authorization" in request.headers:
            return (yield request)
        origin = request.url.origin
        space = self._spaces.get(origin)
        is_fresh = False
        for _ in range(_MAX_ATTEMPTS):
            response = yield self._answered(request, space)
            self._renew(origin, space, response)
            space, is_stale = self._challenged(request, response)
            if space is None or (is_fresh and not is_stale):
                break
            self._remember(origin, space)
            is_fresh = True
        return response

    def _challenged(self, request: Request, response: Any) -> tuple[_Space | None, bool]:
        """What a response asks for that we can give, and whether it says that only the nonce had gone stale."""
        if response.status_code != 401 or not request.content.is_replayable:
            return None, False
        if response.request.url.origin != request.url.origin:
            return None, False
        for scheme, parameters in read_challenges(response.headers.get_all("www-authenticate")):
            space = self._space(parameters, request.content) if scheme == "digest" else None
            if space is not None:
                space.connects = not response.http_version.startswith("HTTP/1")
                return space, parameters.get("stale", "").lower() == "true"
        return None, False

    def _space(self, asked: dict[str, str], content: Content) -> _Space | None:
        """Take up a challenge; None where we do not understand it."""
        name, _, session = asked.get("algorithm", "MD5").upper().partition("-SESS")
        offered = [word.strip().lower() for word in asked["qop"].split(",")] if "qop" in asked else []
        qop = _chosen(offered, content)
        if name not in _HASHES or session or "nonce" not in asked or "realm" not in asked or (offered and not qop):
            return None
        realm = asked["realm"]
        is_hashed = asked.get("userhash", "").lower() == "true"
        space = _Space(
            realm, asked["nonce"], asked.get("opaque"), asked.get("algorithm"), _HASHES[name], qop, "", is_hashed
        )
        user, place, password = self._username.encode(), realm.encode("latin-1"), self._password.encode()
        space.username = space.digest(user, place).decode() if is_hashed else self._username
        space.cnonce = os.urandom(16).hex()
        space.secret = space.digest(user, place, password)
        if asked.get("algorithm", "").upper().endswith("-SESS"):
            space.secret = space.digest(space.secret, space.nonce.encode("latin-1"), space.cnonce.encode())
        return space

    def _remember(self, origin: Origin, space: _Space) -> None:
        with self._lock:
            if len(self._spaces) >= _MAX_ORIGINS and origin not in self._spaces:
                del self._spaces[next(iter(self._spaces))]
            self._spaces[origin] = space

    def _renew(self, origin: Origin, space: _Space | None, response: Any) -> None:
        """Take the nonce that the server wants to see next (RFC 7616 §3.5)."""
        info = response.headers.get("authentication-info")
        nonce = read_parameters(info).get("nextnonce") if info and space is not None else None
        if nonce:
            with self._lock:
                if space is not None and self._spaces.get(origin) is space:
                    self._spaces[origin] = replace(space, nonce=nonce, count=0)

    def _answered(self, request: Request, space: _Space | None) -> Request:
        """A copy of the request, with the answer to what its origin asked for last, if anything."""
        answered = request.copy()
        content = request.content
        if space is None or (space.qop == "auth-int" and not _can_hash(content)):
            return answered
        with self._lock:
            space.count += 1
            count = b"%08x" % space.count
        target = str(request.extensions.get("target") or request.url.target)
        a2 = [_method(request, space).encode(), target.encode("latin-1")]
        if space.qop == "auth-int":
            a2.append(run_blocking(_content_hash(space.hash, content)))
        nonce = space.nonce.encode("latin-1")
        proof = (nonce,) if space.qop is None else (nonce, count, space.cnonce.encode(), space.qop.encode())
        answer = space.digest(space.secret, *proof, space.digest(*a2))
        answered.headers["Authorization"] = _credentials(space, target, answer.decode(), count.decode())
        return answered

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._spaces)} origins>"


def _chosen(offered: list[str], content: Content) -> str | None:
    """The quality of protection to use: the body is hashed only where the server insists on it."""
    if "auth" in offered:
        return "auth"
    return "auth-int" if "auth-int" in offered and _can_hash(content) else None


def _method(request: Request, space: _Space) -> str:
    """The method as the server sees it, which is what it hashes (RFC 7616 §3.4.3)."""
    return "CONNECT" if space.connects and "upgrade" in request.extensions else request.method


def _can_hash(content: Content) -> bool:
    return content.is_replayable and not content.is_async


async def _content_hash(name: str, content: Content) -> bytes:
    """Hash a body, read for this purpose."""
    total = hashlib.new(name, usedforsecurity=False)
    reader = content.open()
    try:
        while chunk := await reader.read_chunk():
            total.update(chunk)
    finally:
        reader.close()
    return total.hexdigest().encode()


def _credentials(space: _Space, target: str, answer: str, count: str) -> str:
    """Write the Authorization field (RFC 7616 §3.4)."""
    if space.username.isascii():
        parts = [f"username={quoted(space.username)}"]
    else:
        parts = [f"username*=UTF-8''{quote(space.username, safe='')}"]
    parts += [f"realm={quoted(space.realm)}", f"nonce={quoted(space.nonce)}", f"uri={quoted(target)}"]
    parts.append(f'response="{answer}"')
    if space.algorithm is not None:
        parts.append(f"algorithm={space.algorithm}")
    if space.opaque is not None:
        parts.append(f"opaque={quoted(space.opaque)}")
    if space.qop is not None:
        parts += [f"qop={space.qop}", f"nc={count}", f'cnonce="{space.cnonce}"']
    if space.is_hashed:
        parts.append("userhash=true")
    return "Digest " + ", ".join(parts)
