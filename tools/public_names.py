"""Print all names that users rely on; `python tools/public_names.py > tests/reqivo/public_names.txt` freezes them."""

import importlib
import inspect
import sys
from collections.abc import Iterator

MODULES = ["reqivo", "reqivo.exceptions", "reqivo_core", "reqivo_http11", "reqivo_http2", "reqivo_ws"]
CLASSES = [
    "Session",
    "AsyncSession",
    "Response",
    "AsyncResponse",
    "Reqivo",
    "AsyncReqivo",
    "WebSocket",
    "AsyncWebSocket",
]


def names() -> Iterator[str]:
    """Every exported name, and every public attribute of the classes that users hold."""
    for module in MODULES:
        yield from sorted(f"{module} {name}" for name in importlib.import_module(module).__all__)
    reqivo = importlib.import_module("reqivo")
    for name in CLASSES:
        cls = getattr(reqivo, name)
        yield from (
            f"{name}.{attribute}{_shape(cls, attribute)}" for attribute in sorted(dir(cls)) if attribute[0] != "_"
        )


def _shape(cls: type, name: str) -> str:
    """The names of a method's arguments; nothing for what is no method."""
    attribute = inspect.getattr_static(cls, name)
    if not inspect.isroutine(attribute):
        return ""
    parameters = list(inspect.signature(getattr(cls, name)).parameters.values())
    given = parameters[1:] if parameters and parameters[0].name == "self" else parameters
    return f"({', '.join(str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in given)})"


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}\n" for name in names())
