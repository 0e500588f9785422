"""What every test suite shares."""

from hypothesis import settings

# No test asserts a time: a property that takes longer on a busy machine is as true as on an idle one.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

pytest_plugins = ("support.fixtures", "reqivo_core.testing.pytest_plugin")
