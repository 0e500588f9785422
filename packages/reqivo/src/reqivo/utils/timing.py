"""``Timeout``, under the name of reqivo's earlier API."""

from reqivo_core.timeouts import Timeout

__all__ = ["Timeout"]
