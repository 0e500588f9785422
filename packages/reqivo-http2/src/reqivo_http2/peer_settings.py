"""PeerSettings: what the server has told us by SETTINGS (RFC 9113 §6.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from reqivo_http2.faults import ConnectionFault
from reqivo_http2.frames import DEFAULT_FRAME_SIZE, LARGEST_FRAME_SIZE, LARGEST_WINDOW, number

if TYPE_CHECKING:
    from collections.abc import Callable

ASSUMED_STREAMS = 100
"""Concurrent streams before the server has said how many it takes: what others assume (Go, hyper, browsers), too.

It is not remembered from one connection to the next. A request beyond a lower limit is refused, so it provably was not
processed, and is sent again once the limit is known; only a body that can be read but once is lost by that. A limit
that was remembered would outlive the server that set it: behind one address there may be many.
"""
UNSAID_STREAMS = 1000
"""Concurrent streams where the server does not limit them."""
NO_RFC7540_PRIORITIES = 0x9
"""RFC 9218 §2.1."""
_SETTING_SIZE = 6
_MOST_SETTINGS = 128


class PeerSettings:
    """The server's settings, as of now.

    Attributes:
        has_come: Whether the first SETTINGS has.
        max_concurrent_streams: Streams that we may have open.
        initial_window: Octets that we may send on a new stream.
        max_frame_size: The largest payload it takes.
        max_header_list: The largest header list it takes; None where it has not said.
        table_size: The header compression table it offers.
        least_table_size: The smallest that it has offered since ``receive`` was called last.
        connect_protocol: Whether it knows extended CONNECT (RFC 8441).
    """

    __slots__ = (
        "connect_protocol",
        "has_come",
        "initial_window",
        "least_table_size",
        "max_concurrent_streams",
        "max_frame_size",
        "max_header_list",
        "table_size",
    )

    def __init__(self) -> None:
        self.has_come = False
        self.max_concurrent_streams = ASSUMED_STREAMS
        self.initial_window = 65535
        self.max_frame_size = DEFAULT_FRAME_SIZE
        self.max_header_list: int | None = None
        self.table_size = self.least_table_size = 4096
        self.connect_protocol = False

    def receive(self, payload: bytes) -> None:
        """Take the payload of a SETTINGS frame.

        Raises:
            ConnectionFault: A value is not allowed, or there are absurdly many.
        """
        if len(payload) % _SETTING_SIZE:
            raise ConnectionFault(
                ErrorCodes.FRAME_SIZE_ERROR, f"the server sent SETTINGS of {len(payload)} octets, no multiple of 6"
            )
        if len(payload) > _MOST_SETTINGS * _SETTING_SIZE:
            raise ConnectionFault(
                ErrorCodes.ENHANCE_YOUR_CALM, f"the server sent {len(payload) // _SETTING_SIZE} settings in one frame"
            )
        if not self.has_come:
            self.has_come = True
            self.max_concurrent_streams = UNSAID_STREAMS
        self.least_table_size = self.table_size
        for start in range(0, len(payload), _SETTING_SIZE):
            code = payload[start] << 8 | payload[start + 1]
            take = _TAKERS.get(code)
            if take is not None:
                take(self, number(payload, start + 2))

    def _take_table_size(self, value: int) -> None:
        self.table_size = value
        self.least_table_size = min(self.least_table_size, value)

    def _take_enable_push(self, value: int) -> None:
        if value:
            raise _bad("ENABLE_PUSH", value)  # a server must not (RFC 9113 §6.5.2)

    def _take_streams(self, value: int) -> None:
        self.max_concurrent_streams = value

    def _take_window(self, value: int) -> None:
        if value > LARGEST_WINDOW:
            raise _bad("INITIAL_WINDOW_SIZE", value, ErrorCodes.FLOW_CONTROL_ERROR)
        self.initial_window = value

    def _take_frame_size(self, value: int) -> None:
        if not DEFAULT_FRAME_SIZE <= value <= LARGEST_FRAME_SIZE:
            raise _bad("MAX_FRAME_SIZE", value)
        self.max_frame_size = value

    def _take_header_list(self, value: int) -> None:
        self.max_header_list = value

    def _take_connect_protocol(self, value: int) -> None:
        if value > 1 or (self.connect_protocol and not value):
            raise _bad("ENABLE_CONNECT_PROTOCOL", value)
        self.connect_protocol = bool(value)


def _bad(name: str, value: int, code: int = ErrorCodes.PROTOCOL_ERROR) -> ConnectionFault:
    return ConnectionFault(code, f"the server sent SETTINGS with {name}={value}, which is not allowed")


_TAKERS: dict[int, Callable[[PeerSettings, int], None]] = {
    SettingCodes.HEADER_TABLE_SIZE: PeerSettings._take_table_size,
    SettingCodes.ENABLE_PUSH: PeerSettings._take_enable_push,
    SettingCodes.MAX_CONCURRENT_STREAMS: PeerSettings._take_streams,
    SettingCodes.INITIAL_WINDOW_SIZE: PeerSettings._take_window,
    SettingCodes.MAX_FRAME_SIZE: PeerSettings._take_frame_size,
    SettingCodes.MAX_HEADER_LIST_SIZE: PeerSettings._take_header_list,
    SettingCodes.ENABLE_CONNECT_PROTOCOL: PeerSettings._take_connect_protocol,
}
