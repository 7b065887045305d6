"""What the figures are computed from: small tables of numbers that DuckDB makes of a snapshot.

Annotators and families are numbers from 0, so that numpy can add up by them. Only sums over
families leave DuckDB, and what concerns sets that several annotators ranked; what DuckDB has no
room for it writes into a temporary folder.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from data.hardening import harden
from data.queries import load, names
from data.views import create_views

Columns = dict[str, NDArray[Any]]

MEMORY_LIMIT = "1GB"


class Tables:
    """The tables of data/sql/statistics over a snapshot.

    Attributes:
        annotator_ids: Id of each annotator, by number.
        counts: Of answers, rankings, annotators, shared sets and families. Families are numbered
            below the last of these.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, snapshot: Path) -> None:
        self._con = con
        create_views(con, snapshot)
        for name in names("statistics/tables/"):
            table = name.rpartition("/")[2].partition("_")[2]
            con.sql(load(name)).create(table)
        self.annotator_ids = [row["annotator_id"] for row in self.rows("annotator_ids")]
        self.counts = self.rows("counts")[0]

    def columns(self, name: str) -> Columns:
        """The columns of a statement of data/sql/statistics, whole numbers as int64."""
        found = self._con.execute(load(f"statistics/{name}")).fetchnumpy()
        columns = {column: np.asarray(values) for column, values in found.items()}
        return {
            column: values.astype(np.int64) if values.dtype.kind in "iu" else values
            for column, values in columns.items()
        }

    def rows(self, name: str, **parameters: int) -> list[dict[str, Any]]:
        """The rows of a statement of data/sql/statistics."""
        result = self._con.execute(load(f"statistics/{name}"), parameters)
        columns = [column[0] for column in result.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


@contextmanager
def open_tables(snapshot: Path) -> Iterator[Tables]:
    """The tables of a snapshot, a directory with the Parquet files of data.snapshot."""
    with (
        tempfile.TemporaryDirectory(prefix="rlhf-statistics-") as spilt,
        duckdb.connect(
            ":memory:",
            config={"threads": 2, "memory_limit": MEMORY_LIMIT, "temp_directory": spilt},
        ) as con,
    ):
        harden(con, [snapshot])
        yield Tables(con, snapshot)
