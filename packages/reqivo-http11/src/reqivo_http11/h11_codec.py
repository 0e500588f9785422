"""The reference codec: h11."""

from __future__ import annotations

import h11

from reqivo_core.headers import Headers
from reqivo_http11.codec import Codec, Head
from reqivo_http11.framing import malformed

# h11 reads responses only to requests that it has sent. What was really asked matters to framing alone, which is
# decided above; an offer to upgrade lets every 101 pass to there as well.
_REQUEST = h11.Request(
    method=b"GET", target=b"/", headers=[(b"Host", b""), (b"Connection", b"upgrade"), (b"Upgrade", b"*")]
)
_END = h11.EndOfMessage()
_UNLIMITED = 2**62  # our own limits have held before


class H11Codec(Codec):
    """Parses with h11."""

    __slots__ = ("_engine",)

    def __init__(self) -> None:
        self._engine = h11.Connection(h11.CLIENT)

    def receive_head(self, section: bytes, head: Head) -> Head:
        """Take a head apart."""
        engine = self._engine = h11.Connection(h11.CLIENT, max_incomplete_event_size=_UNLIMITED)
        engine.send(_REQUEST)
        engine.send(_END)
        try:
            engine.receive_data(section)
            event = engine.next_event()
        except h11.ProtocolError as error:
            raise malformed(f"a head that h11 refuses ({error})", section) from error
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise malformed("what h11 does not take for a head", section)
        headers = Headers.from_raw(event.headers.raw_items())
        reason = event.reason.strip(b" \t").decode("latin-1")
        return Head(event.http_version.decode("ascii"), event.status_code, reason, headers)

    def start_chunked(self) -> None:
        """Expect a chunked body. h11 does already: of heads that passed, it reads this field as we do."""

    def receive_chunked(self, data: bytes) -> bytes:
        """Decode octets of a chunked body."""
        engine = self._engine
        content = []
        try:
            engine.receive_data(data)
            while isinstance(event := engine.next_event(), h11.Data):
                content.append(event.data)
        except h11.ProtocolError as error:
            raise malformed(f"a chunked body that h11 refuses ({error})", data) from error
        return b"".join(content)
