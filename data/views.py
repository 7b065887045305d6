"""The views of staging and marts over a snapshot, which pairs and statistics are both made from.

A module of its own: a change of how pairs are built must not collect the rankings again.
"""

import glob
from pathlib import Path

import duckdb

from data.queries import load, names
from data.snapshot import TABLES

_MARTS = ("marts/training_rankings", "marts/places", "marts/ranked_pairs", "marts/comparisons")


def create_views(con: duckdb.DuckDBPyConnection, snapshot: Path) -> None:
    """Create the views of staging and marts over a snapshot.

    Args:
        con: A connection that may read the snapshot.
        snapshot: Directory with the tables of data.snapshot.
    """
    for table in TABLES:
        path = glob.escape(str((snapshot / f"{table}.parquet").resolve()))
        con.read_parquet(path).create_view(table)
    for name in (*names("staging/"), *_MARTS):
        con.sql(load(name)).create_view(name.rpartition("/")[2])
