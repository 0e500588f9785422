"""What examples promise that their pages do not show as output, and what surroundings they presuppose.

An example without an entry here has to end without an error and print what its page shows, if anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BIN = "https://httpbin.org"
API = "https://api.example.com"


@dataclass(frozen=True)
class Promise:
    """What an example does, and what it takes for granted.

    Attributes:
        prints: Its whole output, written as the pages' own output blocks are.
        sends: The requests that it makes, as ``GET https://httpbin.org/get``, in any order; None does not say.
        connections: The hosts that it connects to, each as often as a connection is made over HTTP/1.1; None does not
            say.
        files: Files that lie beside it, by name.
        is_known: Whether the certificate that ``clients.example.com`` asks for lies beside it: ``client.pem`` with its
            key ``client.key``, and ``both.pem``.
        writes: Files that it writes: name and size.
        before: A prelude: what a fragment leaves out; and why.
        after: What is done with what it defines; and why.
        warnings: Filters for what others' code warns of, each with the reason.
        ends_with: The error that ends it, for an example whose loop is left in no other way.
    """

    prints: str | None = None
    sends: tuple[str, ...] | None = None
    connections: tuple[str, ...] | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    is_known: bool = False
    writes: dict[str, int] = field(default_factory=dict)
    before: tuple[str, str] = ("", "")
    after: tuple[str, str] = ("", "")
    warnings: dict[str, str] = field(default_factory=dict)
    ends_with: str | None = None


_SERVE_THE_APPLICATION = """
import asyncio
import socket

import hypercorn.asyncio
import hypercorn.config


async def _drive():
    stop = asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/proxy/users/7"
    config = hypercorn.config.Config()
    config.bind, config.errorlog = [f"fd://{listener.detach()}"], None
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    async with reqivo.AsyncClient() as client:
        print((await client.get(url)).json())
    stop.set()
    await serving


asyncio.run(_drive())
"""

_ADVANCED: dict[str, Promise] = {
    "How Connection Pooling Works": Promise(
        prints="",
        sends=(f"GET {BIN}/get", f"GET {BIN}/uuid", f"GET {BIN}/headers"),
        connections=("httpbin.org",),
    ),
    "Pool Behavior": Promise(
        prints="",
        sends=(f"GET {BIN}/get", "GET https://www.example.com/", f"GET {BIN}/uuid"),
        connections=("httpbin.org", "www.example.com"),
    ),
    "Basic Streaming": Promise(prints="Received 1024 bytes\n" * 10),
    "Downloading Files": Promise(
        prints="Downloaded to downloaded_image.png",
        writes={"downloaded_image.png": 8090},
        sends=(f"GET {BIN}/image/png",),
    ),
    "Custom Headers": Promise(
        # httpbin never shows X-Request-Id, which it takes for its own infrastructure's.
        prints="{'headers': {'Accept': 'application/json', 'Accept-Encoding': '…', "
        "'Accept-Language': 'en-US,en;q=0.9', 'Host': 'httpbin.org', 'User-Agent': 'MyCustomClient/1.0', "
        "'X-Api-Version': 'v2'}}"
    ),
    "Query Parameters": Promise(
        prints="", sends=(f"GET {BIN}/get?foo=bar&baz=qux", f"GET {API}/search?search=python&page=1&limit=20")
    ),
    "Request Body Formats": Promise(prints="", sends=(f"POST {BIN}/post",) * 3, connections=("httpbin.org",)),
    "Streaming Uploads (Chunked Transfer Encoding)": Promise(
        prints="Upload status: 200",
        sends=("POST https://upload.example.com/files",),
        files={"large_file.bin": bytes(range(256)) * 4096},
    ),
    "Synchronous WebSocket": Promise(
        prints="Received: Hello, WebSocket!\nReceived binary: b'\\x00\\x01\\x02\\x03'",
        connections=("echo.websocket.org",),
    ),
    "Asynchronous WebSocket": Promise(prints="Received: Hello from async!", connections=("echo.websocket.org",)),
    "WebSocket with Custom Headers": Promise(
        prints='Update: {"update": 1}\nUpdate: {"update": 2}', ends_with="ConnectionClosedOK"
    ),
    "WebSocket with Auto-Reconnect": Promise(prints="Received: Hello with auto-reconnect!"),
    "Pre-Request Hook": Promise(
        prints=f"-> GET {BIN}/headers\n{{'headers': {{…'User-Agent': 'reqivo/…', 'X-Custom-Header': 'my-value'}}}}"
    ),
    "Post-Response Hook": Promise(prints="<- 200 (… bytes)", sends=(f"GET {BIN}/get",)),
    "Hooks with Session": Promise(prints="{'args': {}, 'headers': {…'X-Correlation-Id': '…-…-…-…-…'}, …}"),
    "Reuse Sessions": Promise(
        prints="",
        after=("good_approach()", "the example defines both ways and calls neither"),
        sends=(f"GET {BIN}/get",) * 100,
        connections=("httpbin.org",),
    ),
    "Concurrent Async Requests": Promise(prints="Completed 50 requests", sends=(f"GET {BIN}/uuid",) * 50),
    "Memory-Efficient Response Processing": Promise(
        prints="Processed 102400 bytes in 13 chunks",  # httpbin sends no more than 100 KiB, whatever is asked for
        sends=(f"GET {BIN}/stream-bytes/1048576",),
    ),
    "Using Type Hints": Promise(prints="User 123", sends=(f"GET {API}/users/123",)),
    "Simple User Agent": Promise(prints="{'user-agent': 'MyApp/1.0 (https://example.com)'}"),
    "Detailed User Agent": Promise(prints="{'user-agent': 'MyApp/2.0 (Python 3.…; …)'}"),
    "Granular Timeout Control": Promise(prints="", sends=(f"GET {BIN}/delay/2",) * 2, connections=("httpbin.org",)),
}

_PATTERNS: dict[str, Promise] = {
    "Basic Async Request": Promise(prints=f"{{'args': {{}}, 'headers': {{…}}, …, 'url': '{BIN}/get'}}"),
    "Concurrent Requests": Promise(
        prints=f"{BIN}/get: Status 200\n{BIN}/uuid: Status 200\n{BIN}/json: Status 200",
        sends=(f"GET {BIN}/get", f"GET {BIN}/uuid", f"GET {BIN}/json"),
    ),
    "Concurrent Requests with Error Handling": Promise(
        prints=f"{BIN}/get: Success - Status 200\n{BIN}/status/404: Success - Status 404\n{BIN}/delay/10: Error - …"
    ),
    "Async POST Requests": Promise(
        prints="Status: 200\nResponse: {…'json': {'email': 'alice@example.com', 'username': 'alice'}, …}"
    ),
    "Using asyncio.create_task() for Background Requests": Promise(
        prints="Doing other work...\nStill doing other work...\nBackground task completed: {'args': {}, …}"
    ),
    "Async Context Manager Pattern": Promise(prints="{'id': 123, 'name': 'User 123'}", sends=(f"GET {API}/users/123",)),
    "Rate Limiting with Semaphores": Promise(prints="Completed 20 requests", sends=(f"GET {BIN}/uuid",) * 20),
    "Streaming Responses": Promise(prints="Received chunk of 256 bytes\n" * 4),
    "Timeout Patterns": Promise(prints="Request timed out\nRequest timed out (asyncio)"),
}

_GUIDE: dict[str, Promise] = {
    "Basic Async Usage": Promise(prints="{'slideshow': {…}}", sends=(f"GET {BIN}/json",)),
    "AsyncClient Configuration": Promise(prints="", sends=(f"GET {API}/users",)),
    "Making Concurrent Requests": Promise(
        prints=f"{BIN}/json: {{'slideshow': …}}\n{BIN}/uuid: {{'uuid': '…'}}\n{BIN}/headers: {{'headers': …}}"
    ),
    "HTTP Methods": Promise(
        prints="",
        sends=tuple(
            f"{method} {BIN}/{path}"
            for method, path in [
                ("GET", "get"),
                ("POST", "post"),
                ("PUT", "put"),
                ("PATCH", "patch"),
                ("DELETE", "delete"),
                ("HEAD", "get"),
                ("OPTIONS", "get"),
            ]
        ),
        connections=("httpbin.org",),
    ),
    "Error Handling": Promise(prints="{'data': [1, 2, 3]}", sends=(f"GET {API}/data",)),
    "Streaming Responses": Promise(prints="", writes={"downloaded_file.bin": 102400}),  # see above: 100 KiB at most
    "Rate Limiting": Promise(prints="".join(f"Request {number}: 200\n" for number in range(20))),
    "Semaphore for Concurrency Control": Promise(
        prints="Fetched 100 URLs", sends=tuple(f"GET {BIN}/get?i={number}" for number in range(100))
    ),
    "Context Manager Usage": Promise(prints="", sends=(f"GET {BIN}/get",) * 2, connections=("httpbin.org",) * 2),
    "FastAPI Example": Promise(
        prints="{'path': 'users/7', 'from': 'api.external.com'}",
        after=(_SERVE_THE_APPLICATION, "the example is an application: a server has to run it and a client to ask it"),
        warnings={
            "ignore::DeprecationWarning:__main__": "FastAPI prefers lifespan handlers to the example's on_event",
            "ignore::DeprecationWarning:fastapi.applications": "the same once more, as on_event calls its router's",
        },
    ),
    "Best Practices": Promise(prints="", sends=tuple(f"GET {API}/item/{number}" for number in range(100))),
}

_OPTIONS: dict[str, Promise] = {"Trust, said at length": Promise(is_known=True)}
_RECIPES: dict[str, Promise] = {"A client's certificate": Promise(is_known=True)}
_README: dict[str, Promise] = {"A plug-in": Promise(sends=(f"GET {API}/item/7",))}

PROMISES: dict[tuple[str, str, int], Promise] = {
    (page, heading, 1): promise
    for page, promises in {
        "README.md": _README,
        "docs/advanced_usage.md": _ADVANCED,
        "docs/async_patterns.md": _PATTERNS,
        "docs/async_guide.md": _GUIDE,
        "docs/options.md": _OPTIONS,
        "docs/recipes.md": _RECIPES,
    }.items()
    for heading, promise in promises.items()
}
