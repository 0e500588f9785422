"""The pages of the project: every Python example parses, every relative link leads somewhere."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("packages/*/README.md")])
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_readme_has_examples() -> None:
    assert len(EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))) >= 2


@pages
def test_examples_parse(page: Path) -> None:
    modules = [ast.parse(source) for source in EXAMPLE.findall(page.read_text(encoding="utf-8"))]
    assert all(module.body for module in modules)


@pages
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
