"""HTTP/2 for reqivo: multiplexed streams, flow control with window managers of your own, server push."""

from __future__ import annotations

from reqivo_http2.flow_control import (
    AutoTuningFlowControlManager,
    BaseFlowControlManager,
    FixedFlowControlManager,
)
from reqivo_http2.plugin import Http2Plugin
from reqivo_http2.push import Push, PushPolicy
from reqivo_http2.transport import Http2Transport

__all__ = [
    "AutoTuningFlowControlManager",
    "BaseFlowControlManager",
    "FixedFlowControlManager",
    "Http2Plugin",
    "Http2Transport",
    "Push",
    "PushPolicy",
]
