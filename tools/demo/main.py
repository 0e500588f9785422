"""The main job: reqivo at work, blocking and async, against a server of its own or a URL of yours.

`python tools/demo/main.py` starts a local server, does what a client is for in both worlds, prints what happened, and
exits with 1 if anything is not as it should be. `python tools/demo/main.py https://example.org/` does the same against
that URL, as far as a stranger's server allows.
"""

import argparse
import sys
from typing import Any

import table
import visit
from serving import Server
from steps import Section
from table import Row

import http11
from reqivo_core.plugins import plugin_set


def tour() -> list[Row]:
    """Everything, against a server of our own."""
    with Server() as server:
        secure: dict[str, Any] = {"base_url": server.secure, "verify": server.authority, "trust_env": False}
        plain = Section("HTTP/1.1", http11.STEPS, {"base_url": server.plain, "trust_env": False})
        tls = Section("HTTP/1.1 over TLS", http11.SECURE_STEPS, {**secure, "http2": False})
        rows = plain.run() + tls.run()
        if any(spec.alpn == "h2" for spec in plugin_set().specs):
            import http2

            rows += Section("HTTP/2 over TLS", http2.STEPS, {**secure, **http2.OPTIONS}).run()
            table.notes(["", "the window manager, in the last step:", *http2.TRACE[:4], "…"])
        if plugin_set().websockets:
            import sockets

            rows += Section("WebSocket over TLS", sockets.STEPS, {**secure, "http2": False}).run()
            steps = [sockets.reconnecting(server)]
            rows += Section("WebSocket to a server that is restarted", steps, {"base_url": server.plain}).run()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser("demo", description="Show reqivo at work, blocking and async.")
    parser.add_argument("url", nargs="?", help="a URL to visit; without, the demo starts a server of its own")
    url = parser.parse_args().url
    table.say("reqivo at work: each step is done twice, by a blocking session and by an asynchronous one")
    return table.summary(tour() if url is None else visit.run(url))


if __name__ == "__main__":
    sys.exit(main())
