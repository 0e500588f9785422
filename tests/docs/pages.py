"""The project's pages, and the examples in them.

An example is a fenced block marked ``python``. A fenced block marked ``text`` right after it is what it prints: ``…``
stands for anything within a line, a line of nothing but ``…`` for any number of lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("packages/*/README.md")])

_fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_heading = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        page: Where it stands, relative to the repository.
        heading: Under which heading.
        number: The how manieth it is there, from 1.
        source: The program.
        output: What the page says that it prints; None where it does not say.
    """

    page: str
    heading: str
    number: int
    source: str
    output: str | None

    @property
    def name(self) -> str:
        """What the example is called in reports: page, heading and, from the second on, number."""
        return f"{self.page}: {self.heading}" + (f" ({self.number})" if self.number > 1 else "")

    @property
    def digest(self) -> str:
        """The SHA-256 of the program."""
        return sha256(self.source.encode()).hexdigest()

    @property
    def needs(self) -> frozenset[str]:
        """The optional protocols that it uses, by name."""
        return frozenset(name for name, sign in _SIGNS.items() if sign.search(self.source))


_SIGNS = {
    "HTTP/2": re.compile(r"http2=True|window_manager=|push=|reqivo_http2"),
    "WebSocket": re.compile(r"WebSocket|\.websocket\(|wss?://"),
}


def examples_of(page: Path) -> list[Example]:
    """Read the examples of a page."""
    text = page.read_text(encoding="utf-8")
    # Comments of programs look like headings: blank the blocks out, each character of them, so that offsets stay.
    prose = _fence.sub(lambda block: "".join(char if char == "\n" else " " for char in block[0]), text)
    headings = [(found.start(), found[1]) for found in _heading.finditer(prose)]
    blocks = list(_fence.finditer(text))
    examples: list[Example] = []
    for block, following in zip_longest(blocks, blocks[1:]):
        if block[1] != "python":
            continue
        heading = next((name for start, name in reversed(headings) if start < block.start()), "")
        number = 1 + sum(example.heading == heading for example in examples)
        output = following[2] if following is not None and _is_output(text, block, following) else None
        examples.append(Example(page.relative_to(ROOT).as_posix(), heading, number, block[2], output))
    return examples


def _is_output(text: str, block: re.Match[str], following: re.Match[str]) -> bool:
    return following[1] == "text" and not text[block.end() : following.start()].strip()


def matches(printed: str, promised: str) -> bool:
    """Tell whether a program printed what was promised; see the module for what ``…`` means."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in promised.strip("\n").splitlines()
    ]
    shown = "".join(f"{line}\n" for line in printed.splitlines())
    return re.fullmatch("".join(lines), shown) is not None


EXAMPLES = [example for page in PAGES for example in examples_of(page)]
