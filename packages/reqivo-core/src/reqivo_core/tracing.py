"""Tracing of an exchange: what observers are told of a request and its response, where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reqivo_core.interfaces import IncomingResponse, ResponseBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reqivo_core.headers import Headers
    from reqivo_core.interfaces import Exchange, Trace, Transport
    from reqivo_core.messages import Request


async def send_traced(transport: Transport, request: Request, exchange: Exchange, trace: Trace) -> IncomingResponse:
    """Send a request, and tell: ``request`` until the head of the response has come, ``response`` from there on."""
    info = {"method": request.method, "url": request.url.redacted, "http_version": transport.http_version}
    trace("request", "started", info)
    try:
        incoming = await transport.send(request, exchange)
    except BaseException as error:
        trace("request", "failed", {**info, "error": repr(error)})
        raise
    try:
        trace("request", "complete", info)
        told = {**info, "status": incoming.status}
        trace("response", "started", told)
        incoming.body = _TracedBody(incoming.body, trace, told)
    except BaseException:
        incoming.body.close()
        raise
    return incoming


class _TracedBody(ResponseBody):
    """Tells when a body has come to its end, or broke.

    Of one that is given up nothing is told: that may happen in a finalizer, where no hook can be called.
    """

    def __init__(self, body: ResponseBody, trace: Trace, info: Mapping[str, Any]) -> None:
        self._body = body
        self._trace = trace
        self._info = info
        self._received = 0

    @property
    def length(self) -> int | None:  # type: ignore[override]  # read from the body below, which may learn it late
        """See ResponseBody."""
        return self._body.length

    @property
    def trailers(self) -> Headers | None:  # type: ignore[override]  # as above
        """See ResponseBody."""
        return self._body.trailers

    async def read_chunk(self) -> bytes:
        """See ResponseBody."""
        try:
            chunk = await self._body.read_chunk()
        except BaseException as error:
            self._tell("failed", error=repr(error))
            raise
        self._received += len(chunk)
        if not chunk:
            self._tell("complete")
        return chunk

    def _tell(self, state: str, **more: Any) -> None:
        self._trace("response", state, {**self._info, "received": self._received, **more})

    def close(self) -> None:
        """See ResponseBody."""
        self._body.close()

    async def aclose(self) -> None:
        """See ResponseBody."""
        await self._body.aclose()
