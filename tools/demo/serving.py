"""The demo's server: hypercorn in a thread, plain and over TLS with a certificate that is made for this run."""

import asyncio
import socket
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

import hypercorn.asyncio
import hypercorn.config
import trustme
from app import app

GRACE = 0.2
"""Seconds that connections in use are given when the server goes."""


class Server:
    """Serves ``app`` on two ports of 127.0.0.1.

    Attributes:
        plain: The URL without TLS.
        secure: The URL with TLS.
        authority: The PEM file of the authority that signed the certificate.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="reqivo-demo-")
        folder = Path(self._folder.name)
        self.authority = str(folder / "authority.pem")
        authority = trustme.CA(organization_name="reqivo demo")
        authority.cert_pem.write_to_path(self.authority)
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        chain, key = folder / "certificate.pem", folder / "key.pem"
        chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(str(key))
        self._tls = {"certfile": str(chain), "keyfile": str(key)}
        self._ports = [0, 0]
        self._start()
        self.plain, self.secure = f"http://127.0.0.1:{self._ports[0]}", f"https://localhost:{self._ports[1]}"

    def _start(self) -> None:
        listening = [socket.create_server(("127.0.0.1", port)) for port in self._ports]
        self._ports = [sock.getsockname()[1] for sock in listening]
        insecure, secure = (f"fd://{sock.detach()}" for sock in listening)
        self._config = hypercorn.config.Config.from_mapping(
            bind=[secure], insecure_bind=[insecure], errorlog=None, graceful_timeout=GRACE, **self._tls
        )
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="demo server")
        self._thread.start()
        self._is_ready.wait()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()

    def restart(self) -> None:
        """Go away with all connections, and come back where it was."""
        self._stop()
        self._start()

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_report)
        self._is_over = asyncio.Event()
        self._is_ready.set()  # the sockets listen already: who comes early waits in their queue
        await hypercorn.asyncio.serve(self._app, self._config, shutdown_trigger=self._is_over.wait)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "leaving": self._is_over}, receive, send)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()
        self._folder.cleanup()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what goes wrong in the server, but for connections that end amid farewells, or are cut when it goes."""
    error = context.get("exception")
    if not isinstance(error, ssl.SSLError | ConnectionError | asyncio.CancelledError):
        loop.default_exception_handler(context)
