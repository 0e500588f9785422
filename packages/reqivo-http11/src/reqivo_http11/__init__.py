"""HTTP/1.1 for reqivo, over h11 or, where it is installed, httptools."""

from reqivo_http11.plugin import Http11Plugin
from reqivo_http11.transport import Http11Transport

__all__ = ["Http11Plugin", "Http11Transport"]
