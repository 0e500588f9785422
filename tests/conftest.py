"""What every test suite shares."""

pytest_plugins = ("support.fixtures", "reqivo_core.testing.pytest_plugin")
