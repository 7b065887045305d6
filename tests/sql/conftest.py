"""A snapshot written from a few lines, without store or parser."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

_SCHEMAS: dict[str, dict[str, Any]] = {
    "prompt": {
        "prompt_id": pl.String,
        "family_id": pl.String,
        "split": pl.String,
        "messages": pl.String,
        "stratum": pl.String,
        "norm_sha256": pl.String,
    },
    "response": dict.fromkeys(["response_id", "prompt_id", "text", "generator"], pl.String),
    "ranking_set": {
        "set_id": pl.String,
        "prompt_id": pl.String,
        "k": pl.UInt8,
        "purpose": pl.String,
    },
    "ranking_set_item": dict.fromkeys(["set_id", "response_id"], pl.String),
    "ranking": {
        "ranking_id": pl.String,
        "set_id": pl.String,
        "annotator_id": pl.String,
        "revision": pl.UInt16,
        "outcome": pl.String,
        "coverage": pl.String,
        "skip_reason": pl.String,
    },
    "ranking_item": {
        "ranking_id": pl.String,
        "response_id": pl.String,
        "tier": pl.UInt8,
        "display_pos": pl.UInt8,
        "quality": pl.UInt8,
        "flags": pl.List(pl.String),
    },
}


@dataclass
class Snapshot:
    """Rows of a snapshot under construction."""

    path: Path
    tables: dict[str, list[tuple[Any, ...]]] = field(
        default_factory=lambda: {name: [] for name in _SCHEMAS}
    )

    def prompt(self, name: str, *, family: str = "", split: str = "train", norm: str = "") -> None:
        row = (name, family or f"f_{name}", split, "[]", "all", norm or f"norm_{name}")
        self.tables["prompt"].append(row)

    def set(self, name: str, prompt: str, responses: str, *, purpose: str = "main") -> None:
        """`responses` are ids separated by spaces."""
        self.tables["ranking_set"].append((name, prompt, len(responses.split()), purpose))
        known = {row[0] for row in self.tables["response"]}
        for one in responses.split():
            self.tables["ranking_set_item"].append((name, one))
            if one not in known:
                self.tables["response"].append((one, prompt, f"text {one}", "sft"))

    def rank(
        self,
        name: str,
        one_set: str,
        tiers: Mapping[str, int],
        *,
        annotator: str = "ann",
        revision: int = 1,
        outcome: str = "ranked",
        coverage: str | None = "full",
    ) -> None:
        coverage = coverage if outcome == "ranked" else None
        reason = "unclear" if outcome == "skipped" else None
        row = (name, one_set, annotator, revision, outcome, coverage, reason)
        self.tables["ranking"].append(row)
        ids = [response for owner, response in self.tables["ranking_set_item"] if owner == one_set]
        for position, one in enumerate(ids, start=1):
            self.tables["ranking_item"].append((name, one, tiers.get(one), position, None, []))

    def write(self) -> Path:
        self.path.mkdir(exist_ok=True)
        for name, rows in self.tables.items():
            frame = pl.DataFrame(rows, schema=_SCHEMAS[name], orient="row")
            frame.write_parquet(self.path / f"{name}.parquet")
        return self.path


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
