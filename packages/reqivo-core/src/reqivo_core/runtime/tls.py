"""TLS over any stream, written once for every world.

OpenSSL never sees a socket: it reads and writes memory, and this module carries the octets between there and the stream
below. Where that stream is encrypted itself, the result is TLS inside TLS.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import (
    CertificateError,
    ConnectTimeout,
    InvalidRequest,
    NetworkError,
    ReadError,
    ReadTimeout,
    ReqivoError,
    TimeoutException,
    TlsError,
    WriteError,
)
from reqivo_core.forks import ForkSafe, Section
from reqivo_core.interfaces import NetworkStream
from reqivo_core.runtime.certificates import describe_names
from reqivo_core.runtime.driving import run_blocking
from reqivo_core.runtime.sockets import seconds, uncapitalize
from reqivo_core.runtime.tls_contexts import context_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reqivo_core.tls_config import TlsConfig

__all__ = ["TlsStream", "context_for", "start_tls"]

READ_SIZE = 64 * 1024
"""Octets asked of the stream below at once, at least."""

LARGE_READ_SIZE = 128 * 1024
"""Octets asked of the stream below at once by those who read large bodies.

Encrypted, in OpenSSL's memory, as records and joined they exist four times over. With twice as many, malloc gives the
memory back to the system and gets it anew again and again: thousands of page faults in 100 MB.
"""

WRITE_SIZE = 256 * 1024
"""Octets encrypted at once: both forms of them are in memory."""

RECORD_SIZE = 16 * 1024
"""Octets in one record (RFC 8446 §5.1): what OpenSSL gives at most in one call."""

SESSIONS_SIZE = 256
"""How many servers' sessions are kept for resumption."""

LOOKS = 8
"""How often ``is_readable`` looks at what has arrived: who sends so many records without data is up to no good."""

CONTENT_TYPES = range(20, 25)
"""What the first octet of a TLS record can be."""


async def start_tls(
    inner: NetworkStream, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
) -> TlsStream:
    """Start TLS on a stream; see :meth:`NetworkStream.start_tls`.

    Args:
        inner: The stream below, which is closed when this fails.
        config: What is wanted of TLS; its ``server_hostname`` comes before the other.
        server_hostname: The name or address to verify.
        alpn: Protocols to offer, the preferred one first.
        timeout: Seconds for the whole handshake; None for ever.

    Returns:
        The encrypted stream.

    Raises:
        CertificateError: The server's certificate was not accepted.
        TlsError: The handshake failed in another way.
        ConnectTimeout: It took too long.
        InvalidRequest: The configuration cannot be used.
    """
    try:
        stream = TlsStream(inner, config, config.server_hostname or server_hostname, alpn)
        await stream.handshake(timeout)
    except BaseException:
        inner.close()
        raise
    return stream


class _Sessions:
    """Sessions to be resumed, by context and server name.

    A context belongs to one configuration, so that no session crosses from one trust decision to another (a resumed
    handshake shows no certificate). Sessions of a context that the user made are not kept: it may change.
    """

    def __init__(self) -> None:
        # Without a lock, which a finalizer that closes a stream could find held by its own thread: single operations.
        self._sessions: OrderedDict[tuple[ssl.SSLContext, str], ssl.SSLSession] = OrderedDict()

    def take(self, context: ssl.SSLContext, name: str) -> ssl.SSLSession | None:
        """Take the session out: a ticket is good for one connection (RFC 8446 §C.4)."""
        return self._sessions.pop((context, name), None)

    def put(self, context: ssl.SSLContext, name: str, session: ssl.SSLSession) -> None:
        """Keep a session instead of an older one."""
        self._sessions[context, name] = session
        while len(self._sessions) > SESSIONS_SIZE:
            with contextlib.suppress(KeyError):
                self._sessions.popitem(last=False)


_sessions = _Sessions()

_making = Section()
"""Held from setting ALPN on a context until a connection has copied it: the context may be the user's, and shared."""


class TlsStream(ForkSafe, NetworkStream):
    """An encrypted stream.

    OpenSSL's state is guarded by a lock. It is held around its calls and while nothing waits, so that a reader and a
    writer may be in two threads, and no fork strikes while OpenSSL holds a lock of its own. Records must leave in the
    order in which they were made, whoever made them: what a reader has to answer (to a request for our certificate, for
    instance) leaves at once where nobody is writing, and otherwise with what is being written.

    Where nothing may wait, the stream below is asked with a time limit of 0, with which no stream suspends.

    Args:
        inner: The stream below.
        config: What is wanted of TLS.
        server_hostname: The name or address to verify.
        alpn: Protocols to offer.

    Raises:
        TlsError: The name cannot be verified.
        InvalidRequest: The configuration cannot be used.
    """

    def __init__(self, inner: NetworkStream, config: TlsConfig, server_hostname: str, alpn: Sequence[str]) -> None:
        super().__init__()
        self._inner = inner
        self._name = server_hostname
        self._pid = os.getpid()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._keeps_session = not isinstance(config.verify, ssl.SSLContext)
        self._ssl = self._wrap(config, alpn)
        self._decrypted = b""
        self._failure = ""
        self._is_open = False
        self._is_reading = False
        self._is_writing = False
        self._is_broken = False
        self._has_ended = False
        self._is_closed = False
        self.keeps_writes = inner.keeps_writes

    def _wrap(self, config: TlsConfig, alpn: Sequence[str]) -> ssl.SSLObject:
        """Make OpenSSL's side of the connection."""
        try:
            # Octets, since text would go through the idna codec, which has limits and errors of its own.
            name = self._name.partition("%")[0].rstrip(".").encode("ascii")
            with _making:
                context = context_for(config, alpn)
                session = _sessions.take(context, self._name) if self._keeps_session else None
                return context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)
        except InvalidRequest:
            raise
        except (TypeError, ValueError, ssl.SSLError) as error:
            # A NUL is a TypeError, a name beyond 255 octets an SSLError.
            raise TlsError(f"{self._name!r} is no name that a certificate could hold", phase="tls") from error

    # the handshake

    async def handshake(self, timeout: float | None) -> None:
        """Shake hands.

        Args:
            timeout: Seconds; None for ever.

        Raises:
            CertificateError: The server's certificate was not accepted.
            TlsError: It failed in another way.
            ConnectTimeout: It took too long.
        """
        try:
            await self._shake_hands(None if timeout is None else time.monotonic() + timeout)
        except TimeoutException as error:
            message = f"the TLS handshake with {self._name} was not over within {seconds(timeout)} s"
            raise ConnectTimeout(message, phase="tls") from error
        except TlsError:
            raise
        except NetworkError as error:
            raise TlsError(f"the TLS handshake with {self._name} failed: {error}", phase="tls") from error
        self._is_open = True

    async def _shake_hands(self, end: float | None) -> None:
        """Carry octets both ways until OpenSSL is content."""
        first = b""
        is_over = False
        while not is_over:
            try:
                with self._lock:
                    self._ssl.do_handshake()
                is_over = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self._send_now()  # tells the server why, if that takes no time
                raise self._handshake_error(error, first) from error
            if self._outgoing.pending:
                await self._inner.write(self._outgoing.read(), _left(end))
            if not is_over:
                octets = await self._inner.read(READ_SIZE, _left(end))
                first = first or octets
                if not octets:
                    raise self._handshake_error(None, first)
                self._incoming.write(octets)

    def _handshake_error(self, error: ssl.SSLError | None, first: bytes) -> TlsError:
        """Say why a handshake failed; without an error, because the server went away."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._certificate_error(error)
        if first and first[0] not in CONTENT_TYPES:
            what = " (it answered in plain HTTP)" if first.startswith(b"HTTP/") else ""
            return TlsError(f"{self._name}: the server does not speak TLS on this port{what}", phase="tls")
        if error is None:
            return TlsError(f"{self._name} closed the connection during the TLS handshake", phase="tls")
        return TlsError(f"the TLS handshake with {self._name} failed ({_reason(error)})", phase="tls")

    def _certificate_error(self, error: ssl.SSLCertVerificationError) -> CertificateError:
        """Say why a certificate was not accepted, and for whom it is where that was the reason."""
        reason = uncapitalize(str(error.verify_message).rstrip("."))
        names = describe_names(self._ssl) if "mismatch" in reason else ""
        message = f"the certificate of {self._name} was not accepted ({reason}{names})"
        return CertificateError(message, phase="tls")

    # reading

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """See :meth:`NetworkStream.read`."""
        with self._lock:
            if self._is_reading:
                raise RuntimeError("somebody is reading from this connection already")
            data = self._pull(max_bytes)
            if data is not None:
                return data
            self._is_reading = True
        try:
            end = None if timeout is None else time.monotonic() + timeout
            left = timeout
            while True:
                octets = await self._inner.read(LARGE_READ_SIZE if max_bytes > READ_SIZE else READ_SIZE, left)
                with self._lock:
                    data = self._feed(octets, max_bytes)
                if data is not None:
                    return data
                left = 0 if timeout == 0 else _left(end)
        finally:
            self._is_reading = False

    def _feed(self, octets: bytes, max_bytes: int) -> bytes | None:
        """Decrypt what has come from below; None when more is needed. The lock is held."""
        if not octets:
            # RFC 8446 §6.1: without close_notify anybody on the way may have cut the connection.
            message = f"{self._name} ended the connection without TLS's close_notify: what came may have been truncated"
            raise ReadError(message, phase="read")
        self._incoming.write(octets)
        data = self._pull(max_bytes)
        if self._outgoing.pending:
            self._send_now()
        return data

    def _pull(self, max_bytes: int) -> bytes | None:
        """Decrypt what is there; None when more is needed. The lock is held."""
        if self._is_closed:
            raise ReadError(f"the connection to {self._name} was closed on this side", phase="read")
        if not self._decrypted and self._incoming.pending and not (self._failure or self._has_ended):
            self._decrypted = self._decrypt(max_bytes)
        data = self._decrypted
        if data:
            self._decrypted = b"" if len(data) <= max_bytes else data[max_bytes:]
            return data if len(data) <= max_bytes else data[:max_bytes]
        if self._failure:
            raise TlsError(self._failure, phase="read")
        return b"" if self._has_ended else None

    def _decrypt(self, enough: int) -> bytes:
        """Decrypt whole records until there are no more, or it is enough; so nothing stays inside OpenSSL."""
        parts: list[bytes] = []
        # Asked before OpenSSL is: its «no» is an exception, and comes with every small response.
        while enough > 0 and self._incoming.pending:
            try:
                part = self._ssl.read(RECORD_SIZE)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._failure = f"TLS failed on the connection to {self._name} ({_reason(error)})"
                break
            if not part:
                self._has_ended = True
                break
            parts.append(part)
            enough -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _send_now(self) -> None:
        """Send what OpenSSL has to say by itself, without waiting; a writer takes it along. The lock is held."""
        if self._is_writing or not self._outgoing.pending:
            return
        try:
            run_blocking(self._inner.write(self._outgoing.read(), 0))
        except ReqivoError:
            self._is_broken = True

    # writing

    async def write(self, data: bytes | bytearray | memoryview, timeout: float | None) -> None:
        """See :meth:`NetworkStream.write`."""
        with self._lock:
            self._begin_writing()
        rest = memoryview(data)
        end = None if timeout is None else time.monotonic() + timeout
        left = timeout
        try:
            while True:
                with self._lock:
                    if rest:
                        rest = rest[self._encrypt(rest[:WRITE_SIZE]) :]
                    octets = self._outgoing.read()
                    if not octets:
                        self._is_writing = False
                        return
                await self._inner.write(octets, left)
                left = _left(end)
        except BaseException as error:
            # What was encrypted has been handed over whole.
            is_torn = isinstance(error, WriteError | KeyboardInterrupt | SystemExit)
            is_kept = self.keeps_writes and not (rest or is_torn)
            self._is_broken |= not is_kept
            self._is_writing = False
            raise

    def _begin_writing(self) -> None:
        """Take the writer's place. The lock is held."""
        if self._is_writing:
            raise RuntimeError("somebody is writing to this connection already")
        if self._is_closed or self._is_broken:
            reason = "was closed on this side" if self._is_closed else "is unusable since a write failed"
            raise WriteError(f"the connection to {self._name} {reason}", phase="write")
        self._is_writing = True

    def _encrypt(self, data: memoryview) -> int:
        """Encrypt octets into the outgoing memory; tells how many. The lock is held."""
        try:
            return self._ssl.write(data)
        except ssl.SSLError as error:
            message = f"TLS failed on the connection to {self._name} ({_reason(error)})"
            raise TlsError(message, phase="write") from error

    async def start_tls(
        self, config: TlsConfig, server_hostname: str, alpn: Sequence[str], timeout: float | None
    ) -> NetworkStream:
        """See :meth:`NetworkStream.start_tls`: TLS inside TLS."""
        return await start_tls(self, config, server_hostname, alpn, timeout)

    # the end

    def close(self) -> None:
        """See :meth:`NetworkStream.close`. The server is told so, if that takes no time."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._say_goodbye()
        finally:
            self._inner.close()

    def _say_goodbye(self) -> None:
        """Keep the session and send close_notify, unless the connection is unusable."""
        # After a fork the connection is the parent's, who goes on with it. The lock may be held by this very thread, if
        # a finalizer closes the stream.
        if os.getpid() != self._pid or not self._is_open or not self._lock.acquire(blocking=False):
            return
        try:
            if not (self._is_broken or self._is_writing or self._failure):
                self._shut_down()
        finally:
            self._lock.release()

    def _shut_down(self) -> None:
        """Have OpenSSL end its side. The lock is held."""
        session = self._ssl.session
        if self._keeps_session and session is not None and session.has_ticket:
            _sessions.put(self._ssl.context, self._name, session)
        with contextlib.suppress(ssl.SSLError):
            self._ssl.unwrap()
        self._send_now()

    def is_readable(self) -> bool:
        """See :meth:`NetworkStream.is_readable`.

        Octets below need not mean octets here: servers send session tickets of their own accord (RFC 8446 §4.6.1). They
        are decrypted, as far as they have arrived, to find out. While somebody is reading the answer is no: it is the
        reader who gets what comes.
        """
        with self._lock:
            if self._is_closed or self._decrypted:
                return True
            if self._is_reading:
                return False
            try:
                return self._look()
            except ReadTimeout:
                return False
            except ReqivoError:
                return True

    def is_writable(self) -> bool:
        """See :meth:`NetworkStream.is_writable`."""
        return self._inner.is_writable()

    def _look(self) -> bool:
        """Decrypt what has arrived until there is something to be read. The lock is held."""
        data = self._pull(RECORD_SIZE)
        for _ in range(LOOKS):
            if data is not None:
                self._decrypted = data + self._decrypted
                return True
            if not self._inner.is_readable():
                return False
            data = self._feed(run_blocking(self._inner.read(READ_SIZE, 0)), RECORD_SIZE)
        return True

    def get_info(self, name: str) -> Any:
        """See :meth:`NetworkStream.get_info`."""
        if name == "ssl_object":
            return self._ssl
        if name == "alpn_protocol":
            return self._ssl.selected_alpn_protocol()
        return self._inner.get_info(name)


def _left(end: float | None) -> float | None:
    """How many seconds are left, at least 0."""
    return None if end is None else max(0.0, end - time.monotonic())


def _reason(error: ssl.SSLError) -> str:
    """Put OpenSSL's reason into words: ``TLSV1_ALERT_PROTOCOL_VERSION`` is «tlsv1 alert protocol version»."""
    return error.reason.replace("_", " ").lower() if error.reason else "unknown reason"
