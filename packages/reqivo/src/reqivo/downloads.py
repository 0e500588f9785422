"""Downloads to files: resumed where they broke off, checked, and never half there under their own name.

Octets go to ``<path>.part``; beside it ``<path>.part.json`` remembers what the server calls this version of the file.
Only with that can the rest be asked for safely (RFC 9110 §13.1.5, §14.2): a server whose file has changed sends the
whole new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from reqivo.conversations import send
from reqivo_core.errors import (
    DecodeError,
    IncompleteBody,
    InvalidRequest,
    NetworkError,
    ReadTimeout,
    RemoteProtocolError,
    StreamReset,
)
from reqivo_core.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reqivo_core import URL

    Progress = Callable[[int, int | None], None]

MAX_FRUITLESS: Final = 3
"""Attempts in a row that may break off without having brought a single octet."""
_CHUNK: Final = 1024 * 1024
_content_range = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", re.IGNORECASE).fullmatch
_BROKEN: Final = (IncompleteBody, NetworkError, ReadTimeout, StreamReset)


class Download:
    """One download, a conversation of one request or several; written once for both worlds."""

    def __init__(
        self,
        session: Any,
        url: str | URL,
        path: str | os.PathLike[str],
        *,
        resume: bool,
        progress: Progress | None,
        digest: str | None,
        options: Mapping[str, Any],
    ) -> None:
        """Prepare it; see ``Session.download``.

        Raises:
            InvalidRequest: ``digest`` is none.
        """
        self._session = session
        self._url = url
        self._path = Path(path)
        self._part = Path(f"{os.fspath(path)}.part")
        self._note = Path(f"{os.fspath(path)}.part.json")
        self._may_resume = resume
        self._progress = progress
        self._digest = None if digest is None else _read_digest(digest)
        self._options = dict(options)

    async def run(self) -> int:
        """Fetch the file.

        Returns:
            Its size in octets.

        Raises:
            HTTPStatusError: The server refused.
            DecodeError: The file is not the one that ``digest`` describes.
            RequestError: It broke off, and could not be resumed; what came is kept for the next call.
            OSError: The file cannot be written.
        """
        if not self._may_resume:
            self._forget()
        fruitless = 0
        try:
            while True:
                before = self._size()
                try:
                    await self._fetch(before)
                    break
                except _BROKEN:
                    fruitless = 0 if self._size() > before else fruitless + 1
                    if not self._may_resume or not self._validator() or fruitless >= MAX_FRUITLESS:
                        raise
            self._check()
        except BaseException:
            if not self._may_resume:
                self._forget()
            raise
        size = self._size()
        os.replace(self._part, self._path)
        self._note.unlink(missing_ok=True)
        return size

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _validator(self) -> str | None:
        """What the server calls the version that the part belongs to; None where the part cannot be resumed."""
        try:
            note = json.loads(self._note.read_bytes())
            return str(note["validator"]) if note["url"] == str(self._url) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    async def _fetch(self, size: int) -> None:
        """Send one request, for the rest or for all, and write what comes."""
        headers = Headers([("Accept-Encoding", "identity")])  # a range of an encoded file would be of no use
        headers.merge(self._options.get("headers"))
        validator = self._validator() if size else None
        if validator is not None:
            headers["Range"] = f"bytes={size}-"
            headers["If-Range"] = validator
        response = await send(self._session, "GET", self._url, {**self._options, "headers": headers})
        try:
            if response.status_code == 416 and validator is not None:
                await self._settle_unsatisfiable(response, size)
            else:
                response.raise_for_status()
                start = self._start(response, size if validator is not None else 0)
                self._remember(response)
                await self._write(response, start)
        finally:
            await response.drop()

    async def _settle_unsatisfiable(self, response: Any, size: int) -> None:
        """The server has nothing beyond what we have: all of it, or too much of something else."""
        found = _content_range(response.headers.get("content-range", ""))
        if found is None or found[3] != str(size):
            await response.drop()
            self._forget()
            await self._fetch(0)

    def _start(self, response: Any, asked: int) -> int:
        """Where the body of a response belongs.

        Raises:
            RemoteProtocolError: It is not the part that was asked for.
        """
        if response.status_code != 206:
            return 0
        found = _content_range(response.headers.get("content-range", ""))
        if found is None or found[1] is None or int(found[1]) != asked or asked == 0:
            raise RemoteProtocolError(
                f"the server answered with another part than the one from octet {asked} on",
                request=response.request,
                phase="body",
            )
        return asked

    def _remember(self, response: Any) -> None:
        """Note the version that comes, if the server names it well enough to resume it."""
        if response.status_code == 206:
            return
        headers = response.headers
        validator = headers.get("etag") or headers.get("last-modified")
        if validator is None or validator.startswith("W/") or "content-encoding" in headers:
            self._note.unlink(missing_ok=True)
        else:
            self._note.write_text(json.dumps({"url": str(self._url), "validator": validator}), "utf-8")

    async def _write(self, response: Any, start: int) -> None:
        body = response.body_reader
        total = None
        if body is not None and body.length is not None and "content-encoding" not in response.headers:
            total = start + body.length
        with self._opened(start) as file:
            written = start
            if body is None:  # it was made without a connection
                written += file.write(response.content)
            while body is not None and (chunk := await body.read_chunk()):
                file.write(chunk)
                written += len(chunk)
                if self._progress is not None:
                    self._progress(written, total)

    def _opened(self, start: int) -> IO[bytes]:
        """The part, to be written from ``start`` on."""
        file = open(self._part, "r+b" if start else "wb")
        file.seek(start)
        return file

    def _check(self) -> None:
        """Compare the digest.

        Raises:
            DecodeError: It is another one; the file is removed, for resuming it would not mend it.
        """
        if self._digest is None:
            return
        name, expected = self._digest
        with open(self._part, "rb") as file:
            found = _hash(name, file)
        if found != expected:
            self._forget()
            raise DecodeError(f"the {name} of the file is {found}, not {expected} as digest= says", phase="body")


def _read_digest(digest: str) -> tuple[str, str]:
    """Take ``sha256:…`` apart.

    Raises:
        InvalidRequest: It is no digest of an algorithm that is known.
    """
    name, _, value = digest.partition(":")
    name = name.lower().replace("-", "")
    if name not in hashlib.algorithms_available or not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", value):
        raise InvalidRequest(f"digest={digest!r}: give algorithm and hexadecimal digits, such as 'sha256:9f86…'")
    return name, value.lower()


def _hash(name: str, file: IO[bytes]) -> str:
    total = hashlib.new(name, usedforsecurity=False)
    while chunk := file.read(_CHUNK):
        total.update(chunk)
    return total.hexdigest()
