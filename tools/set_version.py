"""Carry the version of the file VERSION into the five distributions and the pins between them.

`set_version.py 0.2.0` sets a new one; without an argument the one in VERSION is carried again; `--check` only looks.
The result is plain static metadata, so that a checkout, an sdist and an editable install all build without this tool.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN_VERSION = re.compile(r'^(version = ")[^"]*(")$', re.MULTILINE)
IN_CODE = re.compile(r'^(__version__ = ")[^"]*(")$', re.MULTILINE)
SIBLING_PIN = re.compile(r'("reqivo(?:-\w+)?(?:\[\w+\])?==)[^"]*(")')


def stamped(text: str, version: str) -> str:
    """The text of a file with its version, and the pins of its siblings, set."""
    for pattern in (OWN_VERSION, SIBLING_PIN, IN_CODE):
        text = pattern.sub(rf"\g<1>{version}\g<2>", text)
    return text


def main(*arguments: str) -> int:
    check = "--check" in arguments
    wanted = [argument for argument in arguments if argument != "--check"]
    if wanted:
        (ROOT / "VERSION").write_text(f"{wanted[0]}\n", encoding="utf-8")
    version = (ROOT / "VERSION").read_text(encoding="utf-8").strip()
    behind = []
    for path in sorted([*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("packages/*/src/*/version.py")]):
        before = path.read_text(encoding="utf-8")
        after = stamped(before, version)
        if after != before:
            behind.append(str(path.relative_to(ROOT / "packages")))
            if not check:
                path.write_text(after, encoding="utf-8")
    print(f"{version}: {', '.join(behind) or 'nothing'} {'is behind' if check else 'changed'}")
    return int(check and bool(behind))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
