"""Read request contents in tests as a sender would, without a network."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from reqivo_core.content import Content

T = TypeVar("T")


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that must not suspend, as a blocking session does."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("the coroutine suspended")


async def chunks_of(content: Content) -> list[bytes]:
    """All chunks of one pass, and no empty one among them; the end must stay the end."""
    reader = content.open()
    chunks = []
    try:
        while chunk := await reader.read_chunk():
            chunks.append(bytes(chunk))
        assert await reader.read_chunk() == b""
    finally:
        await reader.aclose()
    return chunks


def sent_chunks(content: Content) -> list[bytes]:
    """The chunks of one blocking pass."""
    return finish(chunks_of(content))


def sent(content: Content) -> bytes:
    """The octets of one blocking pass."""
    return b"".join(sent_chunks(content))
