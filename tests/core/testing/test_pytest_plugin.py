"""The fixtures, in a project of their own; and that nothing else of the kit needs a test runner."""

import subprocess
import sys
from pathlib import Path

PROJECT = """
pytest_plugins = ["reqivo_core.testing.pytest_plugin"]

def test_fixtures(memory_runtime, recorder, segmentation):
    assert memory_runtime.now() == 0.0
    assert recorder.calls == []
    assert segmentation in ("whole", "single", "random")

def test_a_server_that_fails(memory_runtime):
    async def broken(stream):
        raise ZeroDivisionError
    memory_runtime.listen("10.0.0.1", 1, broken)
    memory_runtime.run(connected(memory_runtime))

async def connected(runtime):
    await runtime.connect_tcp(await runtime.resolve("10.0.0.1", 1, None), None)
    await runtime.sleep(1.0)
"""


def test_fixtures_in_a_project_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "4 passed, 1 error" in ran.stdout, ran.stdout + ran.stderr
    assert "ZeroDivisionError" in ran.stdout


def test_the_rest_of_the_kit_needs_no_test_runner() -> None:
    script = (
        "import pkgutil, importlib, sys, reqivo_core.testing as kit\n"
        "names = [m.name for m in pkgutil.iter_modules(kit.__path__) if m.name != 'pytest_plugin']\n"
        "for name in names: importlib.import_module(f'reqivo_core.testing.{name}')\n"
        "print(len(names), sorted({'pytest', '_pytest', 'unittest'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    count, _, modules = ran.stdout.strip().partition(" ")
    assert int(count) >= 7
    assert modules == "[]"
