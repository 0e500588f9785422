"""A flow, a content-coding and hooks. None of them does anything unless asked, for they are in every session."""

from __future__ import annotations

from reqivo_demo_extras.plugin import ExtrasPlugin, TracingExtras

plugin = ExtrasPlugin()

__all__ = ["ExtrasPlugin", "TracingExtras", "plugin"]
