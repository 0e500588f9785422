"""What a stream need not say: the answers for those that do not know better."""

from __future__ import annotations

from typing import Any

from reqivo_core.interfaces import NetworkStream


class Bare(NetworkStream):
    """A stream with what it must have."""

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        return b""

    async def write(self, data: Any, timeout: float | None) -> None:
        pass

    async def start_tls(self, *arguments: Any) -> NetworkStream:
        return self

    def close(self) -> None:
        pass

    def is_readable(self) -> bool:
        return False


def test_a_stream_that_knows_no_better_takes_octets_and_tells_no_facts() -> None:
    stream = Bare()
    assert stream.is_writable() is True
    assert [stream.get_info(name) for name in ("peername", "alpn_protocol", "stream_id", "?")] == [None] * 4
