"""Every example of every page is run as it stands, each in an interpreter of its own, warnings being errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import reqivo
from docs.hosts import Internet
from docs.pages import EXAMPLES, Example, matches
from docs.promises import PROMISES, Promise
from reqivo_core.plugins import plugin_set

PATIENCE = 120.0
NOTHING = Promise()


def is_served(protocol: str) -> bool:
    """Tell whether an installed distribution serves an optional protocol."""
    if protocol == "HTTP/2":
        return any(spec.alpn == "h2" for spec in plugin_set().specs)
    return hasattr(reqivo, "WebSocket")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_does_what_it_promises(example: Example, internet: Internet, tmp_path: Path) -> None:
    missing = sorted(protocol for protocol in example.needs if not is_served(protocol))
    if missing:
        pytest.skip(f"not run: {example.name} needs {' and '.join(missing)}, which nothing installed serves")
    promise = PROMISES.get((example.page, example.heading, example.number), NOTHING)
    logged, connected = len(internet.log), len(internet.tunnels)
    for name, content in (promise.files | (internet.certificate if promise.is_known else {})).items():
        (tmp_path / name).write_bytes(content)

    ended = run(example, promise, internet, tmp_path)

    check_end(ended, promise)
    promised = promise.prints if promise.prints is not None else example.output
    assert promised is None or matches(ended.stdout, promised), f"printed:\n{ended.stdout}\npromised:\n{promised}"
    if promise.sends is not None:
        assert Counter(internet.log[logged:]) == Counter(promise.sends)
    if promise.connections is not None:
        assert Counter(internet.tunnels[connected:]) == Counter(promise.connections)
    assert {name: (tmp_path / name).stat().st_size for name in promise.writes} == promise.writes


def run(example: Example, promise: Promise, internet: Internet, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the example in a directory of its own, as a user who saved it as a file."""
    program = directory / "example.py"
    program.write_text("".join([promise.before[0], example.source, promise.after[0]]), encoding="utf-8")
    warnings = [f"-W{option}" for option in ("error", *promise.warnings)]
    return subprocess.run(
        [sys.executable, *warnings, program.name],
        cwd=directory,
        env={**os.environ, **internet.environ, "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def check_end(ended: subprocess.CompletedProcess[str], promise: Promise) -> None:
    """Check that a program ended well, and left nothing open that its interpreter would have complained about."""
    if promise.ends_with is None:
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    else:
        last = ended.stderr.strip().splitlines()[-1]
        assert ended.returncode == 1
        assert promise.ends_with in last.partition(":")[0], ended.stderr
        assert "Exception ignored" not in ended.stderr


def test_every_promise_belongs_to_an_example() -> None:
    assert PROMISES.keys() - {(example.page, example.heading, example.number) for example in EXAMPLES} == set()


def test_every_surrounding_says_why() -> None:
    assert all(promise.before[1] or not promise.before[0] for promise in PROMISES.values())
    assert all(promise.after[1] or not promise.after[0] for promise in PROMISES.values())
    assert all(reason for promise in PROMISES.values() for reason in promise.warnings.values())
