"""What every test suite shares."""

import gc
from collections import Counter

import pytest
from hypothesis import settings

from support.measuring import hold_across_forks, tracers_lock

# No test asserts a time: a property that takes longer on a busy machine is as true as on an idle one. The examples are
# the same in each run, so that a change is judged by what it changes; `--hypothesis-profile explore` looks further.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("steady")

# Before what is measured is imported: what it does itself before a fork is traced, and needs the lock.
if (lock := tracers_lock()) is not None:
    hold_across_forks(lock)

pytest_plugins = ("support.fixtures", "reqivo_core.testing.pytest_plugin")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share",
        default="1/1",
        metavar="K/N",
        help="of a test's many cases run the first and, from the K-th, every N-th: interpreters share them out",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share, _, shares = config.getoption("--share").partition("/")
    if int(shares) == 1:
        return
    seen: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        name = item.nodeid.partition("[")[0]
        is_ours = not seen[name] or seen[name] % int(shares) == int(share) - 1
        (kept if is_ours else left_out).append(item)
        seen[name] += 1
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_collection_finish() -> None:
    """Keep the collector from going through thousands of collected tests each time that one of them calls it."""
    gc.collect()
    gc.freeze()
