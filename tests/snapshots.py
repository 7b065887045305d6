"""Snapshots for tests: rows added one by one, then written as Parquet files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

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
        "retest_of": pl.String,
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
        "active_ms": pl.UInt32,
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

    def set(
        self,
        name: str,
        prompt: str,
        responses: str,
        *,
        purpose: str = "main",
        retest_of: str | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        """`responses` are ids separated by spaces; one that begins with "damaged" is damaged."""
        texts = texts or {}
        row = (name, prompt, len(responses.split()), purpose, retest_of)
        self.tables["ranking_set"].append(row)
        known = {row[0] for row in self.tables["response"]}
        for one in responses.split():
            self.tables["ranking_set_item"].append((name, one))
            if one not in known:
                generator = "damaged" if one.startswith("damaged") else "sft"
                self.tables["response"].append(
                    (one, prompt, texts.get(one, f"text {one}"), generator)
                )

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
        shown: str = "",
        active_ms: int = 60_000,
    ) -> None:
        """`shown` are all ids in the order of the page; that of the set if empty."""
        coverage = coverage if outcome == "ranked" else None
        reason = "unclear" if outcome == "skipped" else None
        row = (name, one_set, annotator, revision, outcome, coverage, reason, active_ms)
        self.tables["ranking"].append(row)
        ids = [response for owner, response in self.tables["ranking_set_item"] if owner == one_set]
        for position, one in enumerate(shown.split() or ids, start=1):
            self.tables["ranking_item"].append((name, one, tiers.get(one), position, None, []))

    def write(self) -> Path:
        self.path.mkdir(exist_ok=True)
        for name, rows in self.tables.items():
            frame = pl.DataFrame(rows, schema=_SCHEMAS[name], orient="row")
            frame.write_parquet(self.path / f"{name}.parquet")
        return self.path
