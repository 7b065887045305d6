"""A snapshot written from a few lines, without store or parser, and the pairs that it gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.snapshots import Snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return Snapshot(tmp_path / "snap [1]*")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out [2]*"
    path.mkdir()
    return path


@pytest.fixture
def read_pairs(snapshot: Snapshot, out: Path) -> Callable[..., list[dict[str, Any]]]:
    """Build pairs from the snapshot and return their rows."""
    from data.pairs import PairsConfig, build_pairs

    def read(**config: Any) -> list[dict[str, Any]]:
        build_pairs(snapshot.write(), out, PairsConfig(**config))
        return pl.read_parquet(out / "pairs.parquet", glob=False).to_dicts()

    return read
