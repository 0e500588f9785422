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
        listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [sock.getsockname()[1] for sock in listening]
        self.plain, self.secure = f"http://127.0.0.1:{ports[0]}", f"https://localhost:{ports[1]}"
        insecure, secure = (f"fd://{sock.detach()}" for sock in listening)
        self._config = hypercorn.config.Config.from_mapping(
            bind=[secure], insecure_bind=[insecure], certfile=str(chain), keyfile=str(key), errorlog=None
        )
        self._thread = threading.Thread(target=self._serve, name="demo server")
        self._is_ready = threading.Event()

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_report)
        self._stop = asyncio.Event()
        self._is_ready.set()  # the sockets listen already: who comes early waits in their queue
        await hypercorn.asyncio.serve(app, self._config, shutdown_trigger=self._stop.wait)

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._folder.cleanup()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what goes wrong in the server, but for connections that end while both sides are saying farewell."""
    error = context.get("exception")
    if not isinstance(error, ssl.SSLError | ConnectionError):
        loop.default_exception_handler(context)
