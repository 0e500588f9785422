"""What every test suite shares."""

pytest_plugins = ("support.fixtures",)
