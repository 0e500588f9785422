"""What a response is in every world: its values, and how its body is taken in. How one waits for it is not here."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from reqivo_core.cookies import CookieJar
from reqivo_core.errors import DecodeError, HTTPStatusError, InvalidRequest, StreamConsumed, excerpt
from reqivo_core.headers import Headers, HeaderTypes, conceal
from reqivo_core.redirects import is_redirect, next_request
from reqivo_core.splitting import known_encoding

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from reqivo_core.body import Body
    from reqivo_core.interfaces import Exchange, IncomingResponse
    from reqivo_core.messages import Request
    from reqivo_core.urls import URL

DEFAULT_ENCODING = "utf-8"
_LEGIBLE = 4096
"""How many octets of a body are looked through for what a message shows of it."""
_link = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)')
_link_parameter = re.compile(r';\s*([\w!#$&+.^`|~*-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


class BaseResponse:
    """A response, without its ways of waiting.

    Attributes:
        status_code: The status code (also ``status``).
        reason: The reason phrase; empty over HTTP/2.
        http_version: ``"HTTP/1.1"``, ``"HTTP/2"`` …
        headers: The header section.
        request: The request as it was sent.
        history: The redirects that led here, in order.
        extensions: What the transport hands out beyond HTTP's common ground, such as ``network_stream`` after a 101.
    """

    __slots__ = (
        "__weakref__",
        "_body",
        "_content",
        "_default_encoding",
        "_elapsed",
        "_encoding",
        "_exchange",
        "_has_streamed",
        "_is_used_up",
        "_json_decoder",
        "_leftover",
        "_offset",
        "_raw_offset",
        "extensions",
        "headers",
        "history",
        "http_version",
        "reason",
        "request",
        "status_code",
    )

    _read_first: ClassVar[str] = "read it first"

    status_code: int
    reason: str
    http_version: str
    headers: Headers
    request: Request
    history: list[Any]
    extensions: dict[str, Any]

    def __init__(
        self,
        request: Request,
        incoming: IncomingResponse,
        body: Body | None,
        exchange: Exchange | None,
        elapsed: float,
        content: bytes = b"",
    ) -> None:
        """Take over a response whose head has come; sessions do this.

        Args:
            request: The request as it was sent.
            incoming: The head.
            body: The body; None where there is none to read.
            exchange: Its circumstances.
            elapsed: Seconds from the call to the head.
            content: The body's octets, where all of them are there already.
        """
        self.request = request
        self.status_code = incoming.status
        self.reason = incoming.reason
        self.http_version = incoming.http_version
        self.headers = incoming.headers
        self.extensions = incoming.extensions
        self.history = []
        self._body = body
        self._content: bytes | None = None if body is not None else content
        self._leftover = b""
        self._offset = self._raw_offset = 0
        self._has_streamed = False
        self._is_used_up = False
        self._encoding: str | None = None
        self._exchange = exchange
        self._elapsed = elapsed
        self._default_encoding = DEFAULT_ENCODING
        self._json_decoder: Callable[[bytes], Any] | None = None

    @classmethod
    def build(
        cls,
        status_code: int = 200,
        *,
        headers: HeaderTypes = None,
        body: bytes | str = b"",
        request: Request,
        reason: str = "",
        http_version: str = "HTTP/1.1",
    ) -> Self:
        """Make a response without a server: what caches and mocks return from a flow.

        Args:
            status_code: The status code.
            headers: Field lines.
            body: The whole body, decoded.
            request: What it answers.
            reason: The reason phrase.
            http_version: As responses name it.

        Raises:
            InvalidRequest: A header cannot be one.
        """
        self = cls.__new__(cls)
        self.request = request
        self.status_code = status_code
        self.reason = reason
        self.http_version = http_version
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.extensions = {}
        self._take_content(body.encode() if isinstance(body, str) else body)
        return self

    def _take_content(self, content: bytes) -> None:
        """Set up all that a response without a connection has."""
        self.history = []
        self._body = None
        self._content = content
        self._leftover = b""
        self._offset = self._raw_offset = 0
        self._has_streamed = False
        self._is_used_up = False
        self._encoding = None
        self._exchange = None
        self._elapsed = 0.0
        self._default_encoding = DEFAULT_ENCODING
        self._json_decoder = None

    @classmethod
    def adopt(cls, other: BaseResponse) -> Self:
        """The same response as one of this class (a flow may return one that was made for the other world)."""
        if isinstance(other, cls):
            return other
        if not isinstance(other, BaseResponse):
            raise InvalidRequest(f"a response hook returned {type(other).__name__}: return a response, or None")
        self = cls.__new__(cls)
        for name in BaseResponse.__slots__:
            if name != "__weakref__":
                setattr(self, name, getattr(other, name))
        return self

    # The head.

    @property
    def status(self) -> int:
        """The status code."""
        return self.status_code

    @property
    def url(self) -> URL:
        """Where the response came from, after redirects."""
        return self.request.url

    @property
    def is_informational(self) -> bool:
        """Whether the status is 1xx (a 101)."""
        return self.status_code < 200

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300

    @property
    def is_redirect(self) -> bool:
        """Whether it points elsewhere (RFC 9110 §15.4)."""
        return is_redirect(self.status_code, self.headers)

    @property
    def is_client_error(self) -> bool:
        """Whether the status is 4xx."""
        return 400 <= self.status_code < 500

    @property
    def is_server_error(self) -> bool:
        """Whether the status is 5xx."""
        return 500 <= self.status_code < 600

    @property
    def is_error(self) -> bool:
        """Whether the status is 4xx or 5xx."""
        return 400 <= self.status_code < 600

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def next_request(self) -> Request | None:
        """The request that a redirect asks for; None where this is no redirect.

        Raises:
            UnsafeRedirect: It must not be followed.
            InvalidRequest: Its body cannot be sent again.
        """
        return next_request(self.request, self.status_code, self.headers) if self.is_redirect else None

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link fields (RFC 8288) by relation, by each that they name, or by URL where they name none."""
        found: dict[str, dict[str, str]] = {}
        for line in self.headers.get_all("link"):
            for target, parameters in _link.findall(line):
                link = {"url": target}
                for name, quoted, plain in _link_parameter.findall(parameters):
                    link.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain)
                for relation in link.get("rel", "").split() or [target]:
                    found.setdefault(relation, link)
        return found

    @property
    def cookies(self) -> CookieJar:
        """The cookies that this response set."""
        jar = CookieJar()
        jar.extract(self.url, self.headers.get_all("set-cookie"))
        return jar

    @property
    def elapsed(self) -> timedelta:
        """The time from the call to the head of this response."""
        return timedelta(seconds=self._elapsed)

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds by phase, as far as they occurred: dns, connect, proxy, tls, wait, first_byte, body."""
        return {} if self._exchange is None else dict(self._exchange.timings)

    @property
    def trailers(self) -> Headers:
        """The trailer section (RFC 9110 §6.5), once the body was read to its end."""
        trailers = self._body.trailers if self._body is not None else None
        return trailers if trailers is not None else Headers()

    def raise_for_status(self) -> Self:
        """Raise if the status is 4xx or 5xx.

        Returns:
            The response itself.

        Raises:
            HTTPStatusError: It is.
        """
        if not self.is_error:
            return self
        kind = "client error" if self.status_code < 500 else "server error"
        reason = f" {self._excerpt(self.reason)[1:-1]}" if self.reason else ""
        shown = f"; the body begins {self._excerpt(self._content)}" if self._content else ""
        raise HTTPStatusError(
            f"{kind} {self.status_code}{reason}{shown}",
            request=self.request,
            response=self,
        )

    # The body, as far as it has been read.

    @property
    def body_reader(self) -> Body | None:
        """The body, if it is still to be read."""
        return self._body if self._content is None else None

    @property
    def is_closed(self) -> bool:
        """Whether the connection has been given back."""
        return self._body is None or self._body.is_finished

    @property
    def is_stream_consumed(self) -> bool:
        """Whether the body was read as a stream, and so is gone."""
        return self._has_streamed

    @property
    def encoding(self) -> str:
        """The character encoding: as set here, as Content-Type says, or the session's default."""
        if self._encoding is None:
            charset = self._charset()
            self._encoding = (charset and known_encoding(charset)) or self._default_encoding
        return self._encoding

    @encoding.setter
    def encoding(self, encoding: str) -> None:
        if not isinstance(encoding, str) or known_encoding(encoding) is None:
            raise InvalidRequest(f"encoding {encoding!r}: Python has no such text encoding")
        self._encoding = encoding

    def _charset(self) -> str | None:
        content_type = self.headers.get("content-type")
        if content_type is None or "charset" not in content_type.lower():
            return None
        from email.message import Message  # here, since it is slow to import

        message = Message()
        message["content-type"] = content_type
        charset = message.get_param("charset")
        return charset if isinstance(charset, str) else None

    def _loaded(self) -> bytes:
        """The body, which must have been read."""
        if self._content is not None:
            return self._content
        if self._has_streamed:
            raise StreamConsumed("the body was read as a stream and is gone: read it once, or keep what was read")
        raise StreamConsumed(f"the body has not been read: {self._read_first}")

    def _text(self) -> str:
        return self._loaded().decode(self.encoding, "replace")

    def _json(self, **options: Any) -> Any:
        """Parse the body; UTF-8, -16 and -32 are told apart (RFC 8259 §8.1)."""
        content = self._loaded()
        try:
            if self._json_decoder is not None and not options:
                return self._json_decoder(content)
            return json.loads(content, **options)
        except (ValueError, RecursionError) as error:
            told = f"not JSON: {error}; it begins {self._excerpt(content)}" if content else "empty, which is no JSON"
            raise DecodeError(
                f"the body (of a {self.status_code}) is {told}",
                request=self.request,
                phase="body",
            ) from error

    def _excerpt(self, said: bytes | str) -> str:
        """The beginning of what the server said, without the credentials that it repeats."""
        text = said[:_LEGIBLE].decode("latin-1") if isinstance(said, bytes) else said
        return excerpt(conceal(text, self.request.headers))

    def _announced(self) -> int | None:
        """How many octets of the decoded body are to come, where that is known before they are read.

        Raises:
            StreamConsumed: None can come: the body is gone.
            ReqivoError: None can come: the body was closed, or broke.
        """
        if self._content is not None:
            return len(self._content) - self._offset
        if self._is_used_up:
            self._loaded()
        assert self._body is not None, "a response without a body has its content, or is used up"
        self._body.raise_failure()
        return None if "content-encoding" in self.headers else self._body.length

    # Taking the body in.

    async def load(self) -> None:
        """Read the body whole and keep it."""
        if self._content is None:
            if self._has_streamed or self._body is None:
                self._loaded()
            assert self._body is not None, "a response without content has a body"
            self._content = await self._body.read_all()

    async def drop(self) -> None:
        """Give up the body, or the connection that was handed out.

        Waits a moment for the rest of a short body, to save the connection.
        """
        if self._body is not None and not self._body.is_finished:
            await self._body.drain()
        stream = self.extensions.get("network_stream")
        if stream is not None:
            stream.close()

    def _in_memory(self, decode: bool = True) -> bytes | None:
        """What is left to iterate over if the body has been read whole; None where it is still to be streamed.

        Raises:
            StreamConsumed: The body is gone, or only its decoded form was kept.
        """
        if self._content is None:
            if self._is_used_up:
                self._loaded()
            self._has_streamed = True
            return None
        if not self._is_apart(decode):
            return self._content[self._offset :]
        kept = self._body.kept_raw if self._body is not None else None
        if kept is None:
            raise StreamConsumed("the body was decoded as it was read and its raw form is gone: use stream=True")
        return kept[self._raw_offset :]

    def _is_apart(self, decode: bool) -> bool:
        """Whether the raw form is asked for, of a body whose decoded one is another."""
        return not decode and "content-encoding" in self.headers

    async def _next_chunk(self, decode: bool) -> bytes:
        """What comes next of a body that is iterated over; at its end it is gone, and asking again is an error."""
        chunk = await self._pull(decode)
        self._is_used_up = not chunk
        return chunk

    def _pull(self, decode: bool) -> Coroutine[Any, Any, bytes]:
        """What comes next of a body that is streamed; nothing at its end, as often as one asks."""
        if self._leftover:
            return self._take_leftover()
        body = self._body
        assert body is not None, "a response without a body has its content, or is used up"
        return body.read_chunk() if decode and not body.is_plain else body.read_raw()

    async def _take_leftover(self) -> bytes:
        """What was read, and was more than was asked for."""
        chunk, self._leftover = self._leftover, b""
        return chunk

    async def _read(self, amount: int | None, decode: bool) -> bytes:
        """Read some octets, or all that are left; at the end there are none, as with a file."""
        if amount is not None and amount < 0:
            amount = None
        if amount is None and decode and not self._has_streamed:
            await self.load()
        data = self._in_memory(decode)
        if data is not None:
            taken = data[:amount]
            if self._is_apart(decode):
                self._raw_offset = 0 if amount is None else self._raw_offset + len(taken)
            else:
                self._offset = 0 if amount is None else self._offset + len(taken)
            return taken
        chunks: list[bytes] = []
        missing = float("inf") if amount is None else amount
        while missing > 0 and (chunk := await self._pull(decode)):
            chunks.append(chunk)
            missing -= len(chunk)
        data = b"".join(chunks)
        if amount is not None and len(data) > amount:
            data, self._leftover = data[:amount], data[amount:]
        return data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status_code} {self.request.method} {self.url.redacted}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the connection: a body that was not read stays behind; so do pushes, timings and decoders."""
        kept = "request", "status_code", "reason", "http_version", "headers", "history", "_elapsed", "_default_encoding"
        return _unpickled, (type(self), self._content, {name: getattr(self, name) for name in kept}, self._encoding)


def _unpickled(kind: type[BaseResponse], content: bytes | None, kept: dict[str, Any], encoding: str | None) -> Any:
    response = kind.__new__(kind)
    response.extensions = {}
    response._take_content(content or b"")
    if content is None:
        response._content, response._has_streamed, response._is_used_up = None, True, True
    for name, value in kept.items():
        setattr(response, name, value)
    response._encoding = encoding
    return response
