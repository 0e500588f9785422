from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("reqivo_core", {"asyncio", "ssl", "certifi", "trio"}),
        ("reqivo_core.runtime.blocking", {"asyncio", "ssl", "certifi", "trio"}),
        ("reqivo_core.runtime.asyncio", {"certifi", "reqivo_core.runtime.tls"}),
    ],
)
def test_nobody_pays_for_what_is_not_used(module, unwanted):
    """Importing is a part of every short program's time."""
    code = f"import sys, {module}; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert module in output.split()
    assert not unwanted & set(output.split())
