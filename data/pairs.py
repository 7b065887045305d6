"""Pairs: from the rankings of a snapshot to the (chosen, rejected) pairs that train a reward model.

All strict pairs of a ranking enter, each with weight 1 / C(K, 2) / rankings of its prompt, so that
a prompt weighs at most one however many pairs it has [1]. The work is done in SQL, see
data/sql/staging and data/sql/marts.

Omitted on purpose: batches; all pairs of a prompt form one, made where they are trained on.

References:
    [1] Ouyang et al. 2022, Training language models to follow instructions with human feedback,
        arXiv:2203.02155, section 3.5.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from data.checks import run_checks
from data.errors import InputError
from data.hardening import harden
from data.queries import load
from data.snapshot import copy_query
from data.views import create_views


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsConfig:
    """Which pairs are built.

    Attributes:
        mode: "raw", each annotator's strict pairs; or "consensus", the pairs on which several
            rankings of a prompt agree.
        min_votes: Consensus: rankings that must compare a pair, >= 1.
        min_lean: Consensus: least distance from 0.5 of the share of votes, in (0, 0.5].
    """

    mode: Literal["raw", "consensus"] = "raw"
    min_votes: int = 2
    min_lean: float = 0.2

    def __post_init__(self) -> None:
        """Refuse values that would keep every pair or none."""
        if self.mode not in ("raw", "consensus"):
            raise ValueError(f"mode is {self.mode!r}; use raw or consensus")
        if self.min_votes < 1:
            raise ValueError(f"min_votes is {self.min_votes}; it must be at least 1")
        if not 0.0 < self.min_lean <= 0.5:
            raise ValueError(f"min_lean is {self.min_lean}; it must be above 0 and at most 0.5")


def build_pairs(snapshot: Path, out: Path, config: PairsConfig) -> dict[str, int]:
    """Write pairs.parquet, prompts.parquet and responses.parquet.

    Args:
        snapshot: Directory with the tables of data.snapshot.
        out: An existing directory.
        config: Which pairs are built.

    Returns:
        Counts of rankings, tied pairs, pairs and prompts.

    Raises:
        InputError: If no ranking prefers one response to another.
    """
    with duckdb.connect(":memory:", config={"threads": 2}) as con:
        harden(con, [snapshot, out])
        create_tables(con, snapshot, config)
        counts = _counts(con)
        if not counts["count_pairs"]:
            raise InputError(_no_pairs(counts, config))
        run_checks(con, "checks/pairs/", {})
        for name in ("pairs", "prompts", "responses"):
            copy_query(con, f"marts/{name}", out / f"{name}.parquet", {})
    return counts


def create_tables(con: duckdb.DuckDBPyConnection, snapshot: Path, config: PairsConfig) -> None:
    """Create the views of a snapshot and the table `pairs`.

    Args:
        con: A connection that may read the snapshot.
        snapshot: Directory with the tables of data.snapshot.
        config: Which pairs are built.
    """
    create_views(con, snapshot)
    parameters = {}
    if config.mode == "consensus":
        parameters = {"min_votes": config.min_votes, "min_lean": config.min_lean}
    con.sql(load(f"marts/pairs_{config.mode}"), params=parameters).create("pairs")


def _counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    result = con.execute(load("marts/pair_counts"))
    columns = [column[0] for column in result.description or ()]
    return dict(zip(columns, result.fetchone() or (), strict=True))


def _no_pairs(counts: dict[str, int], config: PairsConfig) -> str:
    found = ", ".join(f"{name.removeprefix('count_')} {count}" for name, count in counts.items())
    mend = "rank some responses above others"
    if config.mode == "consensus":
        mend += ', or set pairs.mode = "raw"'
    return f"no strict pair can be built ({found}); {mend}"
