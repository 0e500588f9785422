"""HTTP/2 for reqivo: the distribution and its entry point; the transport itself is still to come."""

from __future__ import annotations


class Http2Plugin:
    """What the entry point ``http2`` names; it registers nothing yet, so no session offers ``h2``."""


__all__ = ["Http2Plugin"]
