"""Order of the tests: first of all those that see whether the installation starts at all."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything else fails in a puzzling way where Prefect's server cannot start."""
    items.sort(key=lambda item: item.path.name != "test_starts.py")
