"""What the meta-package itself plugs in, through the same hooks as a stranger's plugin."""

from __future__ import annotations


class ReqivoPlugin:
    """The features that live in ``reqivo`` rather than in core."""
