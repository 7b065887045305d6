"""Order of the tests, and their end."""

import os
import sys

import pytest

EXIT_STATUS = pytest.StashKey[int]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything else fails in a puzzling way where Prefect's server cannot start."""
    items.sort(key=lambda item: item.path.name != "test_starts.py")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End at once: at a slow exit DuckDB's binding prints pages about "leaks" under the summary."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(EXIT_STATUS, 1))
