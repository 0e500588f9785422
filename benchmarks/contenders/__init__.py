"""Who takes part."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a contender is, for the table and the chart."""

    OURS = "reqivo"
    PYTHON = "Python"
    NATIVE = "native"
    LIMIT = "limit"


@dataclass(frozen=True)
class Contender:
    """One column of the table.

    Attributes:
        name: How it is called in tables and on the command line.
        module: The module of this package that makes its clients.
        kind: What it is.
        distribution: What must be installed; empty for what needs nothing.
        library: What ``import`` measures.
        environment: What to set in its processes.
        own_interpreter: Whether it must not share an environment with the others.
    """

    name: str
    module: str
    kind: Kind
    distribution: str = ""
    library: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    own_interpreter: bool = False


def _codecs(http11: str, http2: str, ws: str) -> dict[str, str]:
    return {"REQIVO_HTTP11_CODEC": http11, "REQIVO_HTTP2_CODEC": http2, "REQIVO_WS_CODEC": ws}


def _peer(name: str, kind: Kind, *, module: str | None = None, library: str | None = None) -> Contender:
    library = library or name.replace("-", "_")
    return Contender(name, module or library, kind, name, library, own_interpreter=name == "niquests")


FAST = "reqivo"
REFERENCE = "reqivo-ref"
BEFORE = "reqivo-before"
BARE = "bare loop"

CONTENDERS = [
    Contender(FAST, "reqivo", Kind.OURS, "reqivo", "reqivo", _codecs("httptools", "jh2", "fast")),
    Contender(REFERENCE, "reqivo", Kind.OURS, "reqivo", "reqivo", _codecs("h11", "h2", "wsproto")),
    Contender(BARE, "bare", Kind.LIMIT, "httptools"),
    _peer("primp", Kind.NATIVE),
    _peer("pyreqwest", Kind.NATIVE),
    _peer("pyqwest", Kind.NATIVE),
    _peer("pycurl", Kind.NATIVE),
    _peer("curl_cffi", Kind.NATIVE),
    _peer("picows", Kind.NATIVE),
    _peer("aiohttp", Kind.PYTHON),
    _peer("zapros", Kind.PYTHON),
    _peer("urllib3", Kind.PYTHON),
    _peer("httpcore", Kind.PYTHON),
    _peer("httpx2", Kind.PYTHON, module="httpx"),
    _peer("httpx", Kind.PYTHON),
    _peer("requests", Kind.PYTHON),
    _peer("niquests", Kind.PYTHON, module="requests"),
    _peer("websockets", Kind.PYTHON),
    _peer("websocket-client", Kind.PYTHON, module="websocket_client", library="websocket"),
]


def before() -> Contender:
    """Another tree of reqivo, measured in the same run."""
    return Contender(BEFORE, "reqivo", Kind.OURS, "", "reqivo", _codecs("httptools", "jh2", "fast"))
