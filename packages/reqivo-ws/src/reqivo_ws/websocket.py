"""WebSocket: the blocking face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from reqivo_core.errors import ConnectionClosedOK
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.session import Session
from reqivo_ws.base_websocket import BaseWebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from reqivo_ws.base_websocket import Octets


class WebSocket(BaseWebSocket):
    """A WebSocket for threads: any number may send, and receive, at once.

    Example::

        with WebSocket("wss://example.com/feed") as ws:
            ws.send("subscribe")
            for message in ws:
                print(message)

    It needs no thread of its own. Pings are sent and answered while some thread waits in ``recv``, ``ping`` or
    ``close``, and in passing by ``send``; a program that does nothing of the sort for a long time may find that the
    server has given it up.
    """

    _session_class = Session

    def connect(self) -> Self:
        """Do the opening handshake; harmless if that was done.

        Raises:
            HandshakeError: The server would not, or not as it must; ``response`` holds what it said instead.
            RequestError: It could not be asked.
        """
        try:
            run_blocking(self._connect())
        except BaseException:
            self._close_session()
            raise
        return self

    def send(self, data: str | Octets | Iterable[str | Octets]) -> None:
        """Send a message: text if it is str, binary if it is bytes-like, in fragments if it is an iterable of those.

        Raises:
            ConnectionClosed: It is closed, or broke meanwhile; whether the message arrived is not known then.
            WriteTimeout: The server took nothing for too long; the connection is lost.
            TypeError: That cannot be sent.
        """
        run_blocking(self._send(data))

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Wait for a message.

        Several threads may wait; each message goes to one of them, in the order of asking.

        Args:
            timeout: Seconds; 0 takes only what has come; None waits for ever (but a dead server is noticed).

        Raises:
            ReadTimeout: None came in time; nothing is lost by that.
            MessageTooBig: It passes ``max_message_size``; the connection was closed for it.
            ConnectionClosed: It is closed, and all messages that had come were taken.
        """
        message: str | bytes = run_blocking(self._receive(timeout))
        return message

    receive = recv

    def recv_fragments(self, timeout: float | None = None) -> Iterator[str | bytes]:
        """Iterate over the fragments of the next message as they come; raises as ``recv`` does.

        After a ReadTimeout the same iterator goes on. If it is left early, the rest of the message is skipped.

        Args:
            timeout: Seconds for each.
        """
        return _Fragments(self._fragment_source(timeout))

    def __iter__(self) -> Iterator[str | bytes]:
        return self

    def __next__(self) -> str | bytes:
        """The next message; iteration ends with the closing handshake (1000, 1001 or no code).

        Raises:
            ConnectionClosedError: It ended in any other way.
        """
        try:
            return self.recv()
        except ConnectionClosedOK:
            raise StopIteration from None

    def ping(self, data: str | Octets | None = None, timeout: float | None = None) -> float:
        """Send a ping and wait for the pong.

        Args:
            data: At most 125 octets; some that are new by default.
            timeout: Seconds to wait; ``ping_timeout`` by default.

        Returns:
            Seconds that it took.

        Raises:
            ReadTimeout: No pong came in time.
            ConnectionClosed: It is closed.
            InvalidRequest: Those octets are too many, or those of a ping that is under way.
        """
        return run_blocking(self._ping(data, timeout))

    def pong(self, data: str | Octets = b"") -> None:
        """Send a pong that nobody asked for, as a sign of life."""
        run_blocking(self._pong(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Do the closing handshake, within ``close_timeout``; harmless if it is closed. From any thread.

        Raises:
            InvalidRequest: Code or reason cannot be sent.
        """
        try:
            run_blocking(self._close(code, reason))
        finally:
            self._close_session()

    def _close_session(self) -> None:
        if self._owns_session and self._session is not None:
            session: Any = self._session
            session.close()

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Fragments:
    """An iterator over the fragments of one message; no generator, which could not go on after a time-out."""

    def __init__(self, next_fragment: Callable[[], Any]) -> None:
        self._next_fragment = next_fragment

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str | bytes:
        data: str | bytes | None = run_blocking(self._next_fragment())
        if data is None:
            raise StopIteration
        return data
