"""What users rely on: names, the likeness of the two faces, errors that travel, an import that costs little."""

import difflib
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import reqivo
import reqivo.exceptions
import reqivo_core
from reqivo_core import errors

ROOT = Path(__file__).resolve().parents[2]
NAMES = Path(__file__).with_name("public_names.txt")
FACES = ["Session", "Response", "Reqivo", "WebSocket"]
SPELT_WITH_A = {"read": "aread", "close": "aclose", "save": "asave"}
"""Methods that may be called by either name: the second is what users of other libraries type."""

ERRORS = sorted(
    {cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.ReqivoError)},
    key=lambda cls: cls.__name__,
)


def test_names_are_frozen() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "public_names.py")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    frozen = NAMES.read_text(encoding="utf-8")
    changes = [line for line in difflib.ndiff(frozen.splitlines(), ran.stdout.splitlines()) if line[0] in "+-"]
    assert changes == [], "wanted? then run: python tools/public_names.py > tests/reqivo/public_names.txt"


@pytest.mark.parametrize("module", [reqivo, reqivo.exceptions, reqivo_core])
def test_what_is_exported_is_there_and_sorted_out(module: Any) -> None:
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and name not in ("annotations", "TYPE_CHECKING", "Any")
    }
    assert public - set(module.__all__) == set()


@pytest.mark.parametrize("module", [reqivo, reqivo_core])
def test_other_names_are_missed_as_usual(module: Any) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Sesion'"):
        _ = module.Sesion


@pytest.mark.parametrize("face", FACES)
def test_faces_have_the_same_names(face: str) -> None:
    blocking, awaited = getattr(reqivo, face), getattr(reqivo, f"Async{face}")
    counterparts = {counterpart(name, awaited) for name in public(blocking)}
    assert public(awaited) - counterparts <= set(SPELT_WITH_A.values())
    assert counterparts - public(awaited) == set()


@pytest.mark.parametrize("face", FACES)
def test_faces_take_the_same_arguments(face: str) -> None:
    blocking, awaited = getattr(reqivo, face), getattr(reqivo, f"Async{face}")
    differing = {}
    for name in sorted(public(blocking)):
        first = inspect.getattr_static(blocking, name)
        second = inspect.getattr_static(awaited, counterpart(name, awaited))
        if inspect.isroutine(first):
            ours, theirs = shape(getattr(blocking, name)), shape(getattr(awaited, counterpart(name, awaited)))
            if ours != theirs:
                differing[name] = ours, theirs
        elif isinstance(first, property):
            assert isinstance(second, property) or not callable(second), f"{face}.{name} is a value in one world only"
    assert differing == {}


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def counterpart(name: str, awaited: type) -> str:
    """What an attribute of the blocking class is called in the other."""
    return f"a{name}" if name.startswith("iter_") or not hasattr(awaited, name) else name


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]


@pytest.mark.parametrize("error", ERRORS, ids=lambda cls: cls.__name__)
def test_errors_are_in_both_modules(error: type[errors.ReqivoError]) -> None:
    assert getattr(reqivo.exceptions, error.__name__) is error
    assert getattr(reqivo, error.__name__) is error
    assert error.__doc__


@pytest.mark.parametrize("error", ERRORS, ids=lambda cls: cls.__name__)
def test_errors_travel_with_all_they_know(error: type[errors.ReqivoError]) -> None:
    parameters = inspect.signature(error.__init__).parameters
    known: dict[str, Any] = {"code": 1002, "reason": "why", "received": 3, "expected": 10, "status": 407, "plugin": "x"}
    known |= {"history": [1, 2], "phase": "read", "request": None, "response": None}
    given = {name: known[name] for name in parameters if name in known}
    made = error("what happened", **given)
    made.add_note("a note")
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is error
    assert str(again) == "what happened"
    assert {name: getattr(again, name) for name in given} == given
    assert again.__notes__ == ["a note"]
    assert isinstance(again, reqivo.ReqivoError)


def test_errors_are_caught_by_their_usual_names() -> None:
    assert issubclass(reqivo.TimeoutException, TimeoutError)
    assert reqivo.TimeoutError is reqivo.TimeoutException
    assert issubclass(reqivo.InvalidURL, ValueError)
    assert issubclass(reqivo.InvalidRequest, ValueError)
    assert reqivo.InvalidResponseError is reqivo.RemoteProtocolError


UNWANTED = {
    "asyncio",
    "ssl",
    "trio",
    "argparse",
    "brotli",
    "socksio",
    "publicsuffixlist",
    "h11",
    "httptools",
    "h2",
    "jh2",
    "wsproto",
    "reqivo_http11",
    "reqivo_http2",
    "reqivo_ws",
    "reqivo_demo_echo",
    "reqivo_demo_extras",
    "reqivo_demo_frames",
    "reqivo_core.testing",
    "reqivo_core.async_session",
    "reqivo_core.runtime.asyncio",
    "reqivo_core.runtime.tls",
    "reqivo.cli",
    "reqivo.codings",
    "reqivo.socks",
    "reqivo.retries",
    "pluggy",
    "reqivo.session",
    "reqivo_core.session",
}
"""What no program pays for that only imports the library."""


def loaded_after(script: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a script."""
    script = f"{script}\nimport sys; print('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize("package", ["reqivo", "reqivo_core"])
def test_an_import_loads_what_it_needs(package: str) -> None:
    assert loaded_after(f"import {package}") & UNWANTED == set()


@pytest.mark.parametrize("package", ["reqivo", "reqivo_core"])
def test_the_class_of_a_session_loads_no_other_world_and_no_plugin(package: str) -> None:
    loaded = loaded_after(f"from {package} import Session")
    assert "reqivo_core.session" in loaded
    assert loaded & UNWANTED <= {"pluggy", "reqivo.session", "reqivo_core.session"}


@pytest.mark.parametrize("module", [reqivo, reqivo_core])
def test_names_are_listed_before_they_are_loaded(module: Any) -> None:
    code = f"import {module.__name__} as module; print(*dir(module))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(module.__all__) <= set(ran.stdout.split())
    assert set(module.__all__) <= set(dir(module))


def test_a_blocking_session_without_tls_needs_no_event_loop_and_no_tls() -> None:
    loaded = loaded_after("import reqivo\nwith reqivo.Session() as session: session.post('echo://x/', body='x')")
    assert "reqivo_http11" in loaded
    unwanted = {"asyncio", "ssl", "trio", "argparse", "brotli", "socksio", "reqivo_core.testing", "reqivo.socks"}
    assert loaded & unwanted == set()


def test_names_of_the_earlier_api_are_those_of_today() -> None:
    from reqivo.utils import timing

    assert timing.Timeout is reqivo.Timeout
