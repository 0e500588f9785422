"""The commands that the README promises, and that continuous integration runs the same one."""

import configparser
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox"
DEMO_COMMAND = f"{TEST_COMMAND} -e demo"


def tox_ini() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini", encoding="utf-8")
    return parser


def test_readme_has_the_two_commands_each_on_a_line_of_its_own() -> None:
    lines = README.splitlines()
    assert TEST_COMMAND in lines
    assert DEMO_COMMAND in lines
    assert f"{DEMO_COMMAND} -- https://example.org/" in lines


def test_continuous_integration_ends_with_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.splitlines()[-1] == TEST_COMMAND
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_readme_installs_all_five_distributions_in_one_command() -> None:
    names = [path.parent.name for path in ROOT.glob("packages/*/pyproject.toml")]
    commands = [line for line in README.splitlines() if line.startswith("pip install ./packages/")]
    assert sorted(re.findall(r"\./packages/([\w-]+)", commands[0])) == sorted(names)


def test_default_run_holds_every_check() -> None:
    default = set(tox_ini()["tox"]["env_list"].replace(",", " ").split())
    isolated = {f"isolated-{part}" for part in ("core", "http11", "http2", "ws")}
    assert default == {
        "py311",
        "py312",
        "py313",
        "thorough",
        "lint",
        "types",
        "layers",
        "lowest",
        "demo",
        "docs-examples",
        *isolated,
    }


def test_coverage_gate_is_on() -> None:
    report = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]["report"]
    assert report["fail_under"] >= 95
