"""What only HTTP/2 can do works on the server too: push, trailers, 103, WebSocket streams."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from support.certs import Authority
from support.servers import AsgiServer, HttpbinServer

Headers = list[tuple[bytes, bytes]]


class H2:
    """A small HTTP/2 client: collects events until a stream has ended."""

    def __init__(self, authority: Authority, server: AsgiServer) -> None:
        raw = socket.create_connection(server.address, 5)
        context = authority.client_context(alpn=["h2"])
        self.sock = context.wrap_socket(raw, server_hostname="localhost")
        assert self.sock.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()

    def get(self, path: str, *extra: tuple[str, str]) -> list[h2.events.Event]:
        """Send a GET and return all events up to the end of its stream."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", path)]
        self.h2.send_headers(stream, [*fields, *extra], end_stream=True)
        return self.until(h2.events.StreamEnded, stream)

    def until(self, kind: type[h2.events.Event], stream: int) -> list[h2.events.Event]:
        """Return all events up to one of this kind on this stream."""
        seen: list[h2.events.Event] = []
        while not any(isinstance(e, kind) and getattr(e, "stream_id", 0) == stream for e in seen):
            self.sock.sendall(self.h2.data_to_send())
            data = self.sock.recv(65536)
            assert data, f"closed after {seen}"
            seen += self.h2.receive_data(data)
        self.sock.sendall(self.h2.data_to_send())
        return seen


def one(events: list[h2.events.Event], kind: type[h2.events.Event]) -> Headers:
    """Return the headers of the one event of this kind."""
    (event,) = (event for event in events if isinstance(event, kind))
    return [(bytes(name), bytes(value)) for name, value in getattr(event, "headers", ())]


@pytest.fixture
def client(authority: Authority, h2_server: AsgiServer) -> Iterator[H2]:
    made = H2(authority, h2_server)
    yield made
    made.sock.close()


def test_responses_are_multiplexed_on_one_connection(client: H2) -> None:
    for number in range(3):
        events = client.get(f"/echo/{number}")
        headers = one(events, h2.events.ResponseReceived)
        assert (b":status", b"200") in headers
        assert (b"x-nonce", str(number).encode()) in headers


def test_push_trailers_and_early_hints(client: H2) -> None:
    pushed = client.get("/push?path=/bytes/5")
    assert any(isinstance(event, h2.events.PushedStreamReceived) for event in pushed)
    trailers = one(client.get("/trailers", ("te", "trailers")), h2.events.TrailersReceived)
    assert trailers[0][0] == b"x-digest"
    hints = one(client.get("/early-hints"), h2.events.InformationalResponseReceived)
    assert (b":status", b"103") in hints


def test_a_websocket_opens_on_a_stream(client: H2) -> None:
    client.get("/echo/first")  # so that the server's settings have come
    assert client.h2.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
    stream = client.h2.get_next_available_stream_id()
    fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "x"),
        (":path", "/ws/echo"),
        ("sec-websocket-version", "13"),
    ]
    client.h2.send_headers(stream, fields)
    events = client.until(h2.events.ResponseReceived, stream)
    assert (b":status", b"200") in one(events, h2.events.ResponseReceived)
    client.h2.send_data(stream, b"\x81\x82\0\0\0\0hi")  # a masked text frame
    events = client.until(h2.events.DataReceived, stream)
    assert b"\x81\x02hi" in [getattr(event, "data", b"") for event in events]


def test_httpbin_speaks_it_too(authority: Authority, httpbin_tls_server: HttpbinServer) -> None:
    client = H2(authority, httpbin_tls_server)
    events = client.get("/stream-bytes/3000?chunk_size=1000")
    data = b"".join(getattr(event, "data", b"") for event in events)
    client.sock.close()
    assert len(data) == 3000
