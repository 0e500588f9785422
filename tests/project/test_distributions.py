"""What holds for the five distributions together, read from their sources: versions, pins, metadata, house rules."""

import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = (ROOT / "VERSION").read_text(encoding="utf-8").strip()
IMPORT_NAMES = {
    "reqivo": "reqivo",
    "reqivo-core": "reqivo_core",
    "reqivo-http11": "reqivo_http11",
    "reqivo-http2": "reqivo_http2",
    "reqivo-ws": "reqivo_ws",
}
DEPENDENCIES = {
    "reqivo": {
        "reqivo-core",
        "reqivo-http11[speed]",
        "reqivo-http2[speed]",
        "reqivo-ws[speed]",
        "backports-zstd",
        "brotli",
        "publicsuffixlist",
        "socksio",
    },
    "reqivo-core": {"pluggy", "certifi", "idna"},
    "reqivo-http11": {"reqivo-core", "h11"},
    "reqivo-http2": {"reqivo-core", "h2"},
    "reqivo-ws": {"reqivo-core", "wsproto"},
}
EXTRAS = {
    "reqivo": {"system": {"truststore"}},
    "reqivo-core": {"system": {"truststore"}, "trio": {"trio"}},
    "reqivo-http11": {"speed": {"httptools"}},
    "reqivo-http2": {"speed": {"jh2"}},
    "reqivo-ws": {"speed": {"websockets"}},
}
ENTRY_POINTS = {
    "reqivo": {"reqivo": "reqivo.plugin:ReqivoPlugin"},
    "reqivo-core": {},
    "reqivo-http11": {"http11": "reqivo_http11:Http11Plugin"},
    "reqivo-http2": {"http2": "reqivo_http2:Http2Plugin"},
    "reqivo-ws": {"ws": "reqivo_ws:WebSocketPlugin"},
}
MAX_LINES = 500
WAIVER = re.compile(r"#\s*(?:type:\s*ignore|noqa|pragma:\s*no\s*cover)\b")
WAIVED_RULE = r"(?:type:\s*ignore\[[\w, -]+\]|noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|pragma:\s*no\s*cover)"
REASONED_WAIVER = re.compile(rf"#\s*{WAIVED_RULE}\s*(?:#|-|:|;|—)\s*\w")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
SOMEBODYS_DIRECTORY = re.compile(r"(?<![\w.*}])/(?:home|root|work|opt|Users)/\w")
distributions = pytest.mark.parametrize("name", sorted(IMPORT_NAMES))


def project(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(name: str) -> list[str]:
    """Every requirement that the distribution declares, extras included."""
    declared = project(name)
    return [
        *declared["dependencies"],
        *(r for extra in declared.get("optional-dependencies", {}).values() for r in extra),
    ]


def split(requirement: str) -> tuple[str, str]:
    """`a[x]>=1` -> (`a[x]`, `>=1`)."""
    found = re.fullmatch(r"([\w-]+(?:\[[\w,]+\])?)\s*([^;\s]*)(?:;[^;]*)?", requirement)
    assert found, f"not a plain requirement: {requirement}"
    return found[1], found[2]


def sources() -> list[Path]:
    return sorted(ROOT.glob("packages/*/src/**/*.py"))


def own_pages() -> Iterator[Path]:
    """What the project says about itself: sources, documents, settings."""
    yield from sources()
    for pattern in ("*.md", "*.toml", "tox.ini", ".ci/run", "packages/*/*.md", "packages/*/*.toml", "tools/**/*.py"):
        yield from ROOT.glob(pattern)


def offences(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in own_pages()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_five_distributions_are_all_there_is() -> None:
    assert {path.parent.name for path in ROOT.glob("packages/*/pyproject.toml")} == set(IMPORT_NAMES)


@distributions
def test_version_is_in_lockstep(name: str) -> None:
    assert project(name)["version"] == VERSION


@distributions
def test_siblings_are_pinned_to_the_same_version(name: str) -> None:
    pins = [split(requirement) for requirement in requirements(name) if requirement.startswith("reqivo")]
    assert [bound for _, bound in pins] == [f"=={VERSION}"] * len(pins)
    assert bool(pins) == (name != "reqivo-core")


@distributions
def test_dependencies_are_those_of_the_design(name: str) -> None:
    declared = project(name)
    extras = declared.get("optional-dependencies", {})
    assert {split(requirement)[0] for requirement in declared["dependencies"]} == DEPENDENCIES[name]
    found = {extra: {split(requirement)[0] for requirement in listed} for extra, listed in extras.items()}
    assert found == EXTRAS.get(name, {})


@distributions
def test_metadata_is_complete(name: str) -> None:
    declared = project(name)
    home = ROOT / "packages" / name
    assert declared["name"] == name
    assert declared["requires-python"] == ">=3.11"
    assert (declared["license"], declared["license-files"]) == ("MIT", ["LICENSE"])
    assert declared["authors"] == [{"name": "The reqivo authors"}]
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} < set(declared["classifiers"])
    assert "Typing :: Typed" in declared["classifiers"]
    assert len(declared["description"]) > 20
    assert (home / declared["readme"]).read_text(encoding="utf-8").startswith(f"# {name}\n")
    assert (home / "LICENSE").read_text(encoding="utf-8") == (ROOT / "LICENSE").read_text(encoding="utf-8")


@distributions
def test_entry_points_are_those_that_the_core_looks_for(name: str) -> None:
    assert project(name).get("entry-points", {}).get("reqivo", {}) == ENTRY_POINTS[name]


@distributions
def test_package_is_typed_and_in_the_src_layout(name: str) -> None:
    source = ROOT / "packages" / name / "src"
    assert [path.name for path in source.iterdir() if path.suffix != ".egg-info"] == [IMPORT_NAMES[name]]
    assert (source / IMPORT_NAMES[name] / "py.typed").is_file()
    assert (source / IMPORT_NAMES[name] / "__init__.py").is_file()


def test_lowest_page_agrees_with_the_lower_bounds() -> None:
    bounds = {
        split(requirement)
        for name in IMPORT_NAMES
        for requirement in requirements(name)
        if not requirement.startswith("reqivo")
    }
    page = (ROOT / "tests" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    lowest = {split(line) for line in page if line and not line.startswith("#")}
    assert {(name, bound.replace(">=", "==")) for name, bound in bounds} == lowest
    assert all(bound.startswith(">=") and "," not in bound for _, bound in bounds)


def test_set_version_carries_a_version_everywhere(tmp_path: Path) -> None:
    for path in [ROOT / "tools" / "set_version.py", ROOT / "VERSION", *ROOT.glob("packages/*/pyproject.toml")]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    tool = [sys.executable, str(tmp_path / "tools" / "set_version.py")]

    subprocess.run([*tool, "--check"], check=True, capture_output=True)
    subprocess.run([*tool, "7.8.9"], check=True, capture_output=True)

    pages = [path.read_text(encoding="utf-8") for path in tmp_path.glob("packages/*/pyproject.toml")]
    assert (tmp_path / "VERSION").read_text(encoding="utf-8") == "7.8.9\n"
    assert all('version = "7.8.9"' in page and f"=={VERSION}" not in page for page in pages)
    assert sum(page.count("==7.8.9") for page in pages) == 7
    (tmp_path / "VERSION").write_text("9.9.9\n", encoding="utf-8")
    assert subprocess.run([*tool, "--check"], check=False, capture_output=True).returncode == 1


def test_no_source_file_is_longer_than_a_reader_likes() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > MAX_LINES] == []
    assert len(lengths) >= len(IMPORT_NAMES)


def test_every_waiver_names_its_rule_and_its_reason() -> None:
    bare = []
    for path in sources():
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(io.StringIO(file.read()).readline):
                waives = token.type == tokenize.COMMENT and WAIVER.search(token.string)
                if waives and not REASONED_WAIVER.search(token.string):
                    bare.append(f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}")
    assert bare == []


@pytest.mark.parametrize("pattern", [UNFINISHED, SOMEBODYS_DIRECTORY], ids=["unfinished", "somebodys-directory"])
def test_no_page_holds_wording_that_does_not_belong(pattern: re.Pattern[str]) -> None:
    assert offences(pattern) == []


def test_test_directories_do_not_hide_the_distributions() -> None:
    # `tests` is on the path: with an __init__.py, tests/reqivo would be imported in place of reqivo.
    assert {path.parent.name for path in ROOT.glob("tests/*/__init__.py")} <= {"support"}
