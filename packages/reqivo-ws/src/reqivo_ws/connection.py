"""Connection: an open WebSocket over a stream of octets, in any world (RFC 6455 §5-§7).

There is no thread and no task of its own. Whoever waits for something (a message, a pong, the closing handshake) and
finds nobody reading, reads for all; the others wait until it has news or leaves, and one of them goes on. So pings are
answered, and sent when due, while somebody waits for something, and in passing by whoever sends. When nobody does,
nothing is read: TCP tells the peer to wait, and the time does not count against it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reqivo_core.errors import InvalidRequest, ReadTimeout, ReqivoError, TimeoutException, WriteError
from reqivo_ws.batons import Baton
from reqivo_ws.closing import ABNORMAL, INTERNAL_ERROR, NORMAL, Ending, Violation, ending_by
from reqivo_ws.codec import PING, PONG, load_codec
from reqivo_ws.deflate import Deflater, Inflater
from reqivo_ws.followers import Followers
from reqivo_ws.intake import READ_SIZE, Intake
from reqivo_ws.keepalive import KeepAlive, Ping, Pings, Verdict
from reqivo_ws.verdicts import cause_of, closed_error, received_error, too_late
from reqivo_ws.writing import Writer, WriterClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from reqivo_core.interfaces import NetworkStream, Runtime
    from reqivo_ws.codec import Codec
    from reqivo_ws.deflate import Agreement
    from reqivo_ws.messages import Data, Fragment
    from reqivo_ws.settings import Settings

LARGE_READ = 1024 * 1024
LINGER = 0.5
"""Seconds that the server is given to end the connection after the closing handshake, which is its part to do."""

GLANCE = 1.0
"""Seconds without reading after which whoever sends looks what has come."""

RETRY = 0.25
"""Seconds after which a pong or ping is tried again that could not be written, because the peer took nothing."""


class Connection:
    """An open WebSocket.

    Args:
        stream: Its octets, from the first one behind the handshake.
        runtime: The leaves.
        deflate: How messages are compressed; None if they are not.
        settings: How it behaves.
        codec: The frame codec; the chosen engine where none is given.

    Attributes:
        now: The runtime's clock.
        opened: When it was opened, on the runtime's clock.
    """

    def __init__(
        self,
        stream: NetworkStream,
        runtime: Runtime,
        deflate: Agreement | None,
        settings: Settings,
        codec: Codec | None = None,
    ) -> None:
        self._stream = stream
        self._runtime = runtime
        self.now = runtime.now
        self._settings = settings
        self._codec = load_codec()(deflate is not None) if codec is None else codec  # type: ignore[call-arg]  # engines take it
        inflater = None if deflate is None else Inflater(deflate)
        deflater = None if deflate is None else Deflater(deflate)
        self._writer = Writer(stream, runtime, self._codec, deflater, settings.write_timeout, self._broke)
        self._pings = Pings()
        self._intake = Intake(self._codec, settings, inflater, self._writer, self._pings, runtime.now)
        self._inbox = self._intake.inbox
        self._receiving = Baton(runtime)
        self._reading = Baton(runtime)
        self._followers = Followers(runtime)
        self.opened = self._read_at = runtime.now()
        self._has_keepalive = settings.ping_interval is not None
        self._keepalive = KeepAlive(settings.ping_interval, settings.ping_timeout, self.opened)
        self._sent_close: tuple[int, str] = (NORMAL, "")
        self._ending: Ending | None = None

    @property
    def ending(self) -> Ending | None:
        """How it ended; None as long as it has not."""
        return self._ending

    @property
    def latency(self) -> float | None:
        """Seconds of the last round trip that was measured; None before the first."""
        return self._intake.latency

    @property
    def received(self) -> int:
        """Messages and fragments so far."""
        return self._intake.received

    @property
    def is_open(self) -> bool:
        """Whether messages may be sent."""
        return self._ending is None and not self._writer.is_closed and self._intake.verdict is None

    # Receiving.

    async def receive(self, timeout: float | None = None) -> Data:
        """Wait for a message. Cancelled or timed out, it loses nothing.

        Raises:
            ReadTimeout: None came in time.
            MessageTooBig: The peer sent one that is too big; the connection was closed for it.
            ConnectionClosed: It is over, and all messages that had come were taken.
        """
        message: Data = await self._receive(self._inbox.take_message, timeout)
        return message

    async def receive_fragment(self, timeout: float | None = None, is_first: bool = False) -> Fragment:
        """Wait for a fragment of a message, or the whole where it was sent whole; raises as ``receive`` does.

        Returns:
            What it holds, and whether the message ends with it. Where it is to be the first, others are skipped.
        """
        inbox = self._inbox
        fragment: Fragment = await self._receive(
            inbox.take_first_fragment if is_first else inbox.take_fragment, timeout
        )
        return fragment

    async def _receive(self, take: Callable[[], Any], timeout: float | None) -> Any:
        until = None if timeout is None else self.now() + timeout
        if not (self._receiving.try_take() or await self._receiving.take(timeout)):
            raise too_late("no message", timeout)
        try:
            taken = take()
            while taken is None:
                if self._ending is not None:
                    if (taken := await self._salvage(take)) is not None:
                        break
                    raise received_error(self._ending, self._settings.max_message_size)
                taken = await self._progress(until, take)
                if taken is None and self._ending is None and self._has_passed(until):
                    raise too_late("no message", timeout)
            return taken
        finally:
            self._receiving.give_back()
            if self._followers.waiters:
                self._followers.wake()

    async def _salvage(self, take: Callable[[], Any]) -> Any:
        """What had come before the connection broke, and was not looked at yet."""
        await self._reading.take()  # whoever read leaves
        try:
            return self._intake.salvage(take)
        finally:
            self._ending = self._intake.verdict or self._ending
            self._reading.give_back()

    def _has_passed(self, until: float | None) -> bool:
        return until is not None and self.now() >= until

    # Reading for all.

    async def _progress(self, until: float | None, take: Callable[[], Any], is_receiver: bool = True) -> Any:
        """Read until there is what is wanted, or wait until whoever reads has news or leaves.

        Args:
            until: The instant at which to give up; None for never. What has come is looked at in any case.
            take: Gives what is wanted, None as long as it is not there.
            is_receiver: Whether that makes room in the inbox; who only passes by stops when it is full.

        Returns:
            What is wanted, if it is there.
        """
        if self._reading.try_take():
            return await self._lead(until, take, is_receiver)
        return await self._follow(until, take)

    async def _follow(self, until: float | None, take: Callable[[], Any]) -> Any:
        """Wait for news from whoever reads; what is wanted, if it is there."""
        taken: Any = None

        def is_needless() -> bool:
            nonlocal taken
            taken = take()
            return taken is not None or self._ending is not None or not self._reading.is_held

        await self._followers.wait(until, is_needless)
        return take() if taken is None else taken

    async def _lead(self, until: float | None, take: Callable[[], Any], is_receiver: bool) -> Any:
        """Read for all, holding the baton; see ``_progress``. What the peer does wrong becomes the ending."""
        try:
            has_tried = False
            while self._ending is None:
                try:
                    if not self._intake.digest():
                        if self._writer.owes_pong:
                            await self._flush()
                        if has_tried and self._has_passed(until):
                            return None
                        has_tried = True
                        await self._read(until)
                        continue
                except Violation as violation:
                    await self._fail(violation.code, violation.why)
                if self._intake.verdict is not None and self._ending is None:
                    await self._conclude(self._intake.verdict)
                if self._writer.owes_pong:
                    await self._flush()
                if (taken := take()) is not None:
                    return taken
                if self._followers.waiters:
                    self._followers.wake()
                if not is_receiver and self._inbox.is_full and not self._writer.is_closed:
                    return None
            return take()
        except BaseException as error:
            self._struck(error)
            raise
        finally:
            self._reading.give_back()
            if self._followers.waiters:
                self._followers.wake()

    async def _read(self, until: float | None) -> None:
        """Wait for octets, as long as the caller, the keep-alive and a pong that is owed allow."""
        now = self._read_at = self.now()
        keepalive = self._keepalive
        if keepalive.awaiting is not None:
            keepalive.resume(now)
        if self._has_keepalive and not self._writer.is_closed:
            until = await self._keep_alive(now, until)
            if self._ending is not None:
                return
        if self._writer.owes_pong:  # still
            until = now + RETRY if until is None else min(until, now + RETRY)
        left = self._codec.left
        size = READ_SIZE if left <= READ_SIZE else min(left, LARGE_READ)
        try:
            data = await self._stream.read(size, None if until is None else max(0.0, until - now))
        except ReadTimeout:
            return
        except ReqivoError as error:
            self._lost(error)
            return
        finally:
            if keepalive.awaiting is not None:
                keepalive.pause(self.now())
        if not data:
            self._lost(None)
            return
        keepalive.awaiting = None
        self._codec.feed(data)

    async def _flush(self) -> None:
        """Answer pings; if that breaks the connection, it has been told to ``_lost``."""
        with suppress(ReqivoError):
            await self._writer.flush(self._broke_leading)

    async def _keep_alive(self, now: float, until: float | None) -> float | None:
        """Do what is due; give the instant at which to look again, or to give up."""
        verdict = self._keepalive.verdict(now)
        if verdict is Verdict.DEAD and not self._stream.is_readable():  # something came as time was up
            why = f"keepalive ping timeout: nothing came for {self._settings.ping_timeout:g} s after a ping"
            await self._fail(INTERNAL_ERROR, why, linger=0.0)
        elif verdict is Verdict.PING:
            await self._send_keepalive(now)
        due = self._keepalive.due
        return due if until is None or (due is not None and due < until) else until

    async def _send_keepalive(self, now: float) -> None:
        payload = self._pings.new_payload()
        self._pings.add_unawaited(payload, Ping(now))
        with suppress(ReqivoError):
            if await self._writer.try_control(PING, payload, self._broke_leading):
                self._keepalive.pinged(self.now())
                return
        self._pings.forget(payload)
        self._keepalive.postpone(now, RETRY)
        if not self._writer.is_writing:  # else it is for the time-out of that
            self._keepalive.starved(now)

    # Sending.

    def is_ready(self) -> bool:
        """Whether something may be sent without a look before."""
        is_over = self._ending or self._intake.verdict or self._writer.is_closed
        return not is_over and self.now() - self._read_at <= GLANCE

    async def look(self) -> None:
        """Look, before something is sent, at what has come.

        So pings are answered, and a close frame is found before a message is wasted on it.

        Raises:
            ConnectionClosed: It is over; nothing was sent.
        """
        if self._stream.is_readable() and not self._inbox.is_full and self._reading.try_take():
            await self._lead(self.now(), lambda: True, False)
        if not self.is_open:
            raise self._verdict_on_sending(None)

    async def send(self, payload: bytes, is_text: bool) -> None:
        """Send a message whole.

        Raises:
            ConnectionClosed: It is over, or broke meanwhile.
            WriteTimeout: The peer took nothing for too long; the connection is lost.
        """
        try:
            await self._writer.message(payload, is_text)
        except (WriterClosed, ReqivoError) as error:
            raise self._verdict_on_sending(error) from cause_of(error)

    async def begin_fragments(self) -> None:
        """Wait until no other message is being sent; ``end_fragments`` must follow. Raises as ``send`` does."""
        try:
            await self._writer.begin_fragments()
        except WriterClosed as error:
            raise self._verdict_on_sending(error) from None

    async def send_fragment(self, payload: bytes, is_text: bool, is_first: bool, is_final: bool) -> None:
        """Send a fragment; raises as ``send`` does."""
        try:
            await self._writer.fragment(payload, is_text, is_first, is_final)
        except (WriterClosed, ReqivoError) as error:
            raise self._verdict_on_sending(error) from cause_of(error)

    def end_fragments(self) -> None:
        """Let other messages go out."""
        self._writer.end_fragments()

    async def give_up_fragments(self) -> None:
        """Fail the connection, unless it is being closed: a message was begun that will not be ended."""
        if not self._writer.is_closed:
            await self._fail(INTERNAL_ERROR, "message given up amid its fragments", linger=0.0)

    async def ping(self, payload: bytes | None, timeout: float | None) -> float:
        """Send a ping and wait for its pong.

        Args:
            payload: At most 125 octets; None for some that are new.
            timeout: Seconds to wait; None for ever.

        Returns:
            Seconds that it took.

        Raises:
            ReadTimeout: No pong came in time.
            ConnectionClosed: It is over.
            InvalidRequest: A ping with these octets is under way.
        """
        if payload is not None and payload in self._pings:
            raise InvalidRequest("a ping with these octets is under way, and could not be told from this one")
        now = self.now()
        until = None if timeout is None else now + timeout
        key = self._pings.new_payload() if payload is None else payload
        ping = Ping(now)
        self._pings.add(key, ping)
        try:
            if not await self._send_control(PING, key, timeout, lambda: ping.begin(self.now())):
                raise too_late("no pong", timeout, "; another message was being sent all the time")
            self._keepalive.pinged(self.now())
            self._keepalive.pause(self.now())
            while ping.latency is None:
                await self._await_pong(ping, until, timeout)
            return ping.latency
        finally:
            self._pings.forget(key)

    async def _await_pong(self, ping: Ping, until: float | None, timeout: float | None) -> None:
        if self._ending is not None:
            raise self._verdict_on_sending(None)
        if self._has_passed(until):
            hint = "; messages are waiting before it: receive them" if self._inbox.is_full else ""
            raise too_late("no pong", timeout, hint)
        if self._inbox.is_full:
            await self._followers.wait(until, lambda: self._ending is not None or not self._inbox.is_full)
        else:
            await self._progress(until, lambda: ping.latency, False)

    async def pong(self, payload: bytes) -> None:
        """Send a pong that nobody asked for: a sign of life that wants no answer (RFC 6455 §5.5.3)."""
        await self._send_control(PONG, payload)

    async def _send_control(
        self, opcode: int, payload: bytes, timeout: float | None = None, on_turn: Callable[[], None] | None = None
    ) -> bool:
        try:
            return await self._writer.control(opcode, payload, timeout, on_turn)
        except (WriterClosed, ReqivoError) as error:
            raise self._verdict_on_sending(error) from cause_of(error)

    # Ending.

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Do the closing handshake (RFC 6455 §7.1.2) and let go of the connection, within ``close_timeout``.

        Raises nothing on account of the peer: how it went is told by ``ending``.
        """
        timeout = self._settings.close_timeout
        until = None if timeout is None else self.now() + timeout
        try:
            if self._ending is None and self._intake.verdict is None and not self._writer.is_closed:
                self._sent_close = (code, reason)
                await self._writer.close_frame(code, reason, timeout)
            await self.await_end(until)
        except BaseException:
            self.abort()
            raise
        if self._ending is None:
            self._end(Ending(ABNORMAL, "", story=f"the server did not answer the close frame within {timeout:g} s"))

    async def await_end(self, until: float | None = None) -> Ending | None:
        """Wait for the end, which has begun; how it ended, if it has by an instant."""
        while self._ending is None and not self._has_passed(until):
            await self._progress(until, lambda: self._ending, False)
        return self._ending

    def abort(self) -> None:
        """Let go of the connection at once; never waits, from any thread."""
        self._end(Ending(ABNORMAL, "", story="the connection was given up without a closing handshake"))

    def _end(self, ending: Ending) -> None:
        """It is over: as was decided, if something was, else as given."""
        if self._ending is None:
            self._ending = self._intake.verdict or ending
        self._writer.shut()
        try:
            self._stream.close()
        finally:
            self._followers.wake()

    def _lost(self, error: BaseException | None) -> None:
        """The connection broke, or ended without a close frame."""
        self._end(ending_by(error))

    async def _broke(self, error: BaseException) -> None:
        """A write failed: nothing can follow what may be half a frame. What has come before is kept."""
        if not self._reading.try_take():
            self._lost(error)
            return
        try:
            await self._broke_leading(error)
        finally:
            self._reading.give_back()

    async def _broke_leading(self, error: BaseException) -> None:
        """Do the same where whoever reads was writing."""
        self._writer.shut()
        if isinstance(error, WriteError):
            await self._intake.drain(self._stream)
        self._lost(error)

    def _struck(self, error: BaseException) -> None:
        """End it if a signal struck whoever read: what was read may be lost, and the meaning of all that follows."""
        if not isinstance(error, (ReqivoError, *self._runtime.cancelled)):
            # A wait that was cancelled, on the other hand, has taken nothing.
            what = f"{type(error).__name__} was raised in the thread that was reading"
            self._end(Ending(ABNORMAL, "", story=f"{what}; octets may be lost, so the connection was closed"))
            self._intake.verdict = self._ending

    async def _fail(self, code: int, why: str, linger: float = LINGER) -> None:
        """Fail the connection (RFC 6455 §7.1.7)."""
        if self._intake.verdict is None:
            self._intake.verdict = Ending(code, why, is_ours=True)
        await self._conclude(self._intake.verdict, linger)

    async def _conclude(self, verdict: Ending, linger: float = LINGER) -> None:
        """Send the close frame, answering or telling why, unless it was sent before; then let go."""
        try:
            has_answered = await self._writer.close_frame(verdict.code, verdict.reason, LINGER)
            # One stream's end among others loses nothing that was sent: once answered, there is nothing to wait for.
            if has_answered or self._stream.get_info("stream_id") is None:
                await self._linger(linger)
        finally:
            self._end(verdict)

    async def _linger(self, seconds: float) -> None:
        """Wait for the server to end the connection: it keeps our last frame from being lost in a reset."""
        until = self.now() + min(seconds, self._settings.close_timeout or seconds)
        try:
            while (left := until - self.now()) > 0 and await self._stream.read(LARGE_READ, left):
                pass
        except ReqivoError:
            pass  # however it ends, it is over

    def _verdict_on_sending(self, error: BaseException | None) -> ReqivoError:
        if isinstance(error, TimeoutException):
            return error
        if self._ending is not None:
            return closed_error(self._ending)
        code, reason = self._sent_close if self._intake.verdict is None else self._intake.verdict[:2]
        return closed_error(Ending(code, reason, story="the closing handshake has begun: nothing can be sent any more"))
