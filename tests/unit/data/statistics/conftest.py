"""A snapshot written from a few lines."""

from pathlib import Path

import pytest

from tests.snapshots import Snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return Snapshot(tmp_path / "snap [1]*")
