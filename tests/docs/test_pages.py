"""The pages of the project: links lead somewhere, and the examples that users rely on have not changed."""

import re
from pathlib import Path

import pytest

from docs.pages import EXAMPLES, PAGES, ROOT, matches

LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
DIGESTS = Path(__file__).with_name("examples.sha256")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_examples_that_users_rely_on_are_word_for_word_what_they_were() -> None:
    lines = [line for line in DIGESTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pages = {line.split("  ")[1] for line in lines}
    found = [f"{example.digest}  {example.page}  {example.heading}" for example in EXAMPLES if example.page in pages]
    assert found == lines


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            left += [(page.parent / link).resolve() for link in LINK.findall(page.read_text(encoding="utf-8"))]
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize(
    ("printed", "promised", "is_kept"),
    [
        ("", "", True),
        ("one\n", "one", True),
        ("one\n", "two", False),
        ("one\ntwo\n", "one", False),
        ("took 0.2 s\n", "took … s", True),
        ("a\nb\nc\n", "a\n…\nc", True),
        ("a\nc\n", "a\n…\nc", True),
        ("a\nb\n", "a…", False),
    ],
)
def test_output_is_compared_whole_but_for_the_dots(printed: str, promised: str, is_kept: bool) -> None:
    assert matches(printed, promised) is is_kept
