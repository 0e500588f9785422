"""Engine: the conversation of one request, from hooks through flows, redirects and the pool to a response.

Read top to bottom it is the life of a request: ``send`` → ``_through_flows`` (retries, auth) → ``_exchange`` (cookies,
a connection, the transport) → ``_received``; then ``_follow``, if that was a redirect. Whatever is not configured is
not run: without flows no generator is made, without hooks nothing is called.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from reqivo_core.auth import Stamp
from reqivo_core.body import Body
from reqivo_core.codings import Codings, DecodedBudget
from reqivo_core.connection import LeasedStream, explained, may_send_again
from reqivo_core.dialing import eligible, may_share
from reqivo_core.errors import InvalidRequest, ReqivoError, RequestError
from reqivo_core.flows import ReadBody, Sleep, WaitFor
from reqivo_core.interfaces import Exchange, IncomingResponse, TraceEvent
from reqivo_core.messages import Request
from reqivo_core.plan import READ_NOTHING, Plan
from reqivo_core.pool import UNCOUNTED, session_closed
from reqivo_core.proxies import authorization
from reqivo_core.redirects import check_chain, is_redirect, next_request
from reqivo_core.timeouts import Deadline
from reqivo_core.tracing import send_traced

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from reqivo_core.cookies import CookieJar
    from reqivo_core.flows import Flow
    from reqivo_core.headers import Headers
    from reqivo_core.interfaces import Runtime, Trace
    from reqivo_core.plugins import PluginSet
    from reqivo_core.pool import Lease, Pool
    from reqivo_core.routes import ConnectionKey
    from reqivo_core.timeouts import Timeout
    from reqivo_core.urls import Origin

MISDIRECTED = 421
"""The status of a server that was asked what it does not answer for on this connection (RFC 9110 §15.5.20)."""


class ResponseLike(Protocol):
    """What the engine needs of a response object."""

    status_code: int
    headers: Headers
    history: list[Any]
    request: Request

    @property
    def is_error(self) -> bool:
        """Whether the status is an error's."""

    @property
    def body_reader(self) -> Body | None:
        """The body, if it is still to be read."""

    async def load(self) -> None:
        """Read the body whole."""

    async def drop(self) -> None:
        """Give the body up, saving the connection if the rest is short. Errors of the body's are nobody's concern."""

    def raise_for_status(self) -> Any:
        """Raise if the status is an error."""


R = TypeVar("R", bound=ResponseLike)


class Engine(Generic[R]):
    """Sends the requests of one session.

    Attributes:
        request_hooks: The user's own hooks, called with method, url and headers.
        response_hooks: The user's own hooks, called with the response.
        trace: Where events go; None where nobody observes.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        plugins: PluginSet,
        pool: Pool,
        codings: Codings,
        jar: CookieJar,
        make_response: Callable[[Request, IncomingResponse, Body | None, Exchange, float, bytes], R],
        adopt_response: Callable[[Any], R],
    ) -> None:
        self._runtime = runtime
        self._plugins = plugins
        self._pool = pool
        self._codings = codings
        self._jar = jar
        self._make_response = make_response
        self._adopt_response = adopt_response
        self._endless: Deadline | None = None
        self.trace: Trace | None = self._emit if plugins.trace else None
        self.request_hooks: list[Callable[..., Any]] = []
        self.response_hooks: list[Callable[..., Any]] = []

    def use_jar(self, jar: CookieJar) -> None:
        """Send and store the cookies of another jar from now on."""
        self._jar = jar

    async def send(self, request: Request, plan: Plan) -> R:
        """Send a request and see it through.

        Args:
            request: What to send; hooks may amend it.
            plan: How.

        Returns:
            The response, its body read as far as the plan says.

        Raises:
            RequestError: What went wrong; its ``request`` is set.
            SessionClosed: The session was closed.
        """
        runtime = self._runtime
        exchange = Exchange(runtime, self._deadline(plan.timeout), plan.limits, self.trace)
        started = runtime.now()
        try:
            if self._pool.is_closed:
                raise session_closed()
            if self._plugins.prepare_request or self.request_hooks:
                await self._prepare(request)
            send = self._through_flows if plan.flows or plan.auth is not None else self._exchange
            response = await send(request, plan, exchange, started)
            response.history = []
            if plan.follow_redirects and is_redirect(response.status_code, response.headers):
                response = await self._follow(response, request, plan, exchange, started)
            if response.body_reader is None and not self.response_hooks and not plan.raises_for_status:
                return response
            return await self._finish(response, plan)
        except ReqivoError as error:
            told = explained(error, request, exchange)
            for hook in self._plugins.request_failed:
                hook(request, told)
            if told is error:
                raise
            raise told from error

    def _deadline(self, timeout: Timeout) -> Deadline:
        """The deadline of a request that begins now; without a total it never comes, and one serves all requests."""
        endless = self._endless
        if endless is not None and endless.timeout is timeout:
            return endless
        deadline = Deadline(timeout, self._runtime.now)
        if timeout.total is None:
            self._endless = deadline
        return deadline

    async def _prepare(self, request: Request) -> None:
        """Let plugins and the user's hooks amend the request."""
        for hook in self._plugins.prepare_request:
            hook(request)
        for hook in tuple(self.request_hooks):
            changed = hook(request.method, str(request.url), request.headers)
            if inspect.isawaitable(changed):
                changed = await changed
            if changed is None:
                continue
            try:
                method, url, headers = changed
            except (TypeError, ValueError):
                raise InvalidRequest(f"request hook {hook!r}: return (method, url, headers) or None") from None
            amended = Request(method, url, headers=headers)
            request.method, request.url, request.headers = amended.method, amended.url, amended.headers

    async def _finish(self, response: R, plan: Plan) -> R:
        """Read the body as far as wanted, show the user's hooks, check the status if wanted."""
        try:
            body = response.body_reader
            if body is not None:
                if plan.reads(body.length, response.is_error):
                    await response.load()
                body.warns = plan.reading == READ_NOTHING
            for hook in tuple(self.response_hooks):
                changed = hook(response)
                if inspect.isawaitable(changed):
                    changed = await changed
                if changed is not None and changed is not response:
                    replaced, response = response, self._adopt_response(changed)
                    if response.body_reader is not replaced.body_reader:
                        await replaced.drop()
            if plan.raises_for_status:
                response.raise_for_status()
        except BaseException:
            await response.drop()
            raise
        return response

    async def _follow(self, response: R, request: Request, plan: Plan, exchange: Exchange, started: float) -> R:
        """Follow redirects."""
        history: list[R] = []
        while is_redirect(response.status_code, response.headers):
            try:
                following = next_request(request, response.status_code, response.headers)
                history.append(response)
                check_chain(request, following, history, plan.max_redirects)
            finally:
                await response.drop()
            if following.url.origin != request.url.origin:
                plan = plan.but(auth=None, has_crossed=True)
            request = following
            send = self._through_flows if plan.flows or plan.auth is not None else self._exchange
            try:
                response = await send(request, plan, exchange, started)
            except RequestError as error:
                if error.request is None:
                    error.request = request  # that of this hop
                raise
            response.history = list(history)
        return response

    async def _through_flows(self, request: Request, plan: Plan, exchange: Exchange, started: float) -> R:
        """Send through the flows, if there are any."""
        flows = plan.flows
        if plan.auth is not None:
            if isinstance(plan.auth, Stamp):
                request = request.copy()
                plan.auth.apply(request)
            else:
                flows = (*flows, plan.auth)
        if not flows:
            return await self._exchange(request, plan, exchange, started)
        return await self._run_flow(flows, 0, request, plan, exchange, started)

    async def _run_flow(
        self, flows: tuple[Flow, ...], depth: int, request: Request, plan: Plan, exchange: Exchange, started: float
    ) -> R:
        """Run one flow around those that are further in."""
        if depth == len(flows):
            return await self._exchange(request, plan, exchange, started)
        flow: Generator[Any, Any, Any] = flows[depth](request)
        if not inspect.isgenerator(flow) and not hasattr(flow, "send"):
            raise InvalidRequest(f"flow {flows[depth]!r} is no generator function: write 'response = yield request'")
        last: R | None = None
        result: Any = None
        failure: BaseException | None = None
        try:
            while True:
                try:
                    command = flow.send(result) if failure is None else flow.throw(failure)
                except StopIteration as stop:
                    returned = self._returned(stop.value, flows[depth])
                    if last is not None and returned is not last:
                        await last.drop()
                    last = None
                    return returned
                result, failure = None, None
                try:
                    if isinstance(command, Request):
                        if last is not None:
                            await last.drop()
                            last = None
                        result = last = await self._run_flow(flows, depth + 1, command, plan, exchange, started)
                    else:
                        result = await self._obey(command, exchange, flows[depth])
                except ReqivoError as error:
                    failure = explained(error, request, exchange)
        finally:
            flow.close()
            if last is not None:
                await last.drop()

    async def _obey(self, command: Any, exchange: Exchange, flow: Flow) -> Any:
        """Do what a flow yielded other than a request."""
        if isinstance(command, Sleep):
            left = exchange.deadline.left()
            if left is not None and left < command.seconds:
                raise exchange.deadline.expired()
            if command.dropping is not None:
                await command.dropping.drop()
            return await self._runtime.sleep(command.seconds)
        if isinstance(command, ReadBody):
            await command.response.load()
            return command.response
        if isinstance(command, WaitFor):
            return await command.make(self._runtime).wait(exchange.deadline.within(command.timeout))
        raise InvalidRequest(
            f"flow {flow!r} yielded {type(command).__name__}: yield a Request, Sleep, ReadBody or WaitFor"
        )

    def _returned(self, value: Any, flow: Flow) -> R:
        """What a flow returned, as a response of this session's kind."""
        if not hasattr(value, "status_code"):
            raise InvalidRequest(f"flow {flow!r} returned {type(value).__name__}: return the response")
        return self._adopt_response(value)

    async def _exchange(self, request: Request, plan: Plan, exchange: Exchange, started: float) -> R:
        """Send one request over one connection; again over another where nothing can have happened."""
        key = plan.router.key(request.url.origin, "upgrade" in request.extensions)
        if key.may_share is None:
            self._look_whether_shared(key)
        wire = request
        if key.route.proxy is not None or self._jar:
            wire = self._as_sent(request, plan, key)
        exchange.respond = self._promised
        attempts = 0
        is_misdirected = False
        while True:
            attempts += 1
            lease = await self._pool.acquire(key, exchange)
            try:
                if exchange.trace is None:
                    incoming = await lease.transport.send(wire, exchange)
                else:
                    incoming = await send_traced(lease.transport, wire, exchange, exchange.trace)
            except BaseException as error:
                lease.release()
                if not may_send_again(error, wire, is_reused=lease.is_reused, attempts=attempts):
                    raise
                if isinstance(error, RequestError) and error.requires_http11:
                    if key.route.http2 is True or not key.route.http1:
                        raise  # HTTP/2 is insisted on
                    key = plan.router.remember_http11(request.url.origin, "upgrade" in request.extensions)
                    key.may_share = False
                continue
            if incoming.status == MISDIRECTED and not is_misdirected and wire.content.is_replayable:
                # The server does not answer for this origin here; it may on a connection that is for it alone.
                is_misdirected = True
                key = key.alone()
                try:
                    await incoming.body.aclose()
                finally:
                    lease.release()
                continue
            try:
                return self._received(request, wire, incoming, lease, exchange, started, plan.reading)
            except BaseException:
                incoming.body.close()
                lease.release()
                raise

    def _promised(self, request: Request, incoming: IncomingResponse, exchange: Exchange) -> R:
        """Make a response of one that the server pushed; the connection is not held for it."""
        return self._received(request, request, incoming, UNCOUNTED, exchange, self._runtime.now(), READ_NOTHING)

    async def ping(self, origin: Origin, plan: Plan) -> float:
        """Ask an origin for a sign of life over a connection to it.

        Args:
            origin: Whom.
            plan: How connections are made, and the time limits.

        Returns:
            Seconds that it took.

        Raises:
            UnsupportedProtocol: The connection's protocol has no words for it.
            RequestError: What went wrong.
        """
        exchange = Exchange(self._runtime, Deadline(plan.timeout, self._runtime.now), plan.limits, self.trace)
        key = plan.router.key(origin)
        if key.may_share is None:
            self._look_whether_shared(key)
        lease = await self._pool.acquire(key, exchange)
        try:
            return await lease.transport.ping(exchange)
        finally:
            lease.release()

    def _look_whether_shared(self, key: ConnectionKey) -> None:
        """Find out whether a connection still to be opened might carry several requests."""
        specs = eligible(self._plugins.specs_for(key.origin.scheme), key.route)
        key.may_share = may_share(specs, key.origin, key.route)

    def _as_sent(self, request: Request, plan: Plan, key: ConnectionKey) -> Request:
        """The request with what belongs to this hop alone: the jar's cookies, credentials for a forward proxy."""
        given = cookies = None
        if self._jar:
            given = request.headers.get("cookie")
            own = [pair.partition("=")[0].strip() for pair in given.split(";")] if given else ()
            cookies = self._jar.header_for(request.url, not plan.has_crossed, without=own)
        lines = _for_proxy(key) if key.route.proxy is not None else ()
        if cookies is None and not lines:
            return request
        wire = request.copy()
        if cookies is not None:
            wire.headers["Cookie"] = f"{given}; {cookies}" if given else cookies
        for name, value in lines:
            if name not in wire.headers:
                wire.headers[name] = value
        return wire

    def _received(
        self,
        request: Request,
        wire: Request,
        incoming: IncomingResponse,
        lease: Lease,
        exchange: Exchange,
        started: float,
        reading: int,
    ) -> R:
        """Make a response of a head that has come."""
        elapsed = self._runtime.now() - started
        exchange.timings["first_byte"] = elapsed
        fields = incoming.headers.by_name
        if "set-cookie" in fields:
            self._jar.extract(request.url, incoming.headers.get_all("set-cookie"))
        body: Body | None = None
        content: bytes | None = None
        stream = incoming.extensions.get("network_stream")
        if stream is not None:
            incoming.extensions["network_stream"] = LeasedStream(stream, lease)
        else:
            if reading != READ_NOTHING and "content-encoding" not in fields and exchange.limits.max_body is None:
                content = self._take_whole(incoming, lease, exchange)
            if content is None:
                body = self._body(wire, incoming, lease, exchange)
        response = self._make_response(wire, incoming, body, exchange, elapsed, content or b"")
        try:
            for hook in self._plugins.response_received:
                hook(wire, response)
        except BaseException:
            if body is not None:
                body.close()
            raise
        return response

    def _take_whole(self, incoming: IncomingResponse, lease: Lease, exchange: Exchange) -> bytes | None:
        """Take a body that needs neither decoding nor counting, if it came whole with its head; else None."""
        content = incoming.body.take_whole()
        if content is not None:
            exchange.timings["body"] = 0.0
            lease.release()
        return content

    def _body(self, wire: Request, incoming: IncomingResponse, lease: Lease, exchange: Exchange) -> Body:
        """A body that is still to be read."""
        limits = exchange.limits
        coding = incoming.headers.get("content-encoding")
        decoder = budget = None
        if coding is not None and wire.method != "HEAD":
            decoder = self._codings.decoder_for(coding, limits.max_codings)
        if decoder is not None or limits.max_body is not None:
            budget = DecodedBudget(limits.max_body, limits.max_decoded_ratio, limits.decoded_ratio_floor)
        return Body(incoming.body, lease, exchange, wire, decoder, budget)

    def _emit(self, name: str, state: str, info: Mapping[str, Any]) -> None:
        """Tell the observers."""
        event = TraceEvent(name, state, self._runtime.now(), info)
        for hook in self._plugins.trace:
            hook(event)


def _for_proxy(key: ConnectionKey) -> Sequence[tuple[str, str]]:
    """The field lines that a proxy is told with each request that it forwards; a tunnel's are told when it is made."""
    proxy = key.route.proxy
    is_forwarded = key.origin.scheme == "http" and not key.route.is_tunnelled
    if proxy is None or not is_forwarded or proxy.url.scheme not in ("http", "https"):
        return ()
    secret = authorization(proxy)
    return proxy.headers if secret is None else (*proxy.headers, ("Proxy-Authorization", secret))
