"""Snapshot: the sets and rankings of one run as Parquet files, the only thing training reads.

It holds exactly what the run's files said and the store accepted, now or earlier as a duplicate;
no times, no order of arrival, so that equal input gives equal bytes.
"""

from pathlib import Path

import duckdb
import polars as pl

from data.queries import load

TABLES = ("prompt", "response", "ranking_set", "ranking_set_item", "ranking", "ranking_item")


def write_snapshot(
    con: duckdb.DuckDBPyConnection, *, run_id: str, prompts: Path, out: Path
) -> dict[str, int]:
    """Write one Parquet file per table of TABLES.

    Args:
        con: An open store that may write to `out`.
        run_id: The run whose sets and rankings are wanted.
        prompts: prompts.parquet of the run: families, splits and strata.
        out: An existing directory.

    Returns:
        Table -> number of rows.
    """
    con.register("run_prompts", pl.read_parquet(prompts, glob=False))
    try:
        return {name: _copy(con, name, run_id, out) for name in TABLES}
    finally:
        con.unregister("run_prompts")


def _copy(con: duckdb.DuckDBPyConnection, name: str, run_id: str, out: Path) -> int:
    # A table between: the writer leaves out the marks of null where the optimiser knows that there
    # is none, and that depends on rows of other runs.
    query = load(f"snapshot/{name}")
    con.execute(f"create or replace temp table snapshot_rows as\n{query}", {"run_id": run_id})
    rows = con.table("snapshot_rows")
    rows.write_parquet(str((out / f"{name}.parquet").resolve()))
    count = rows.shape[0]
    con.execute("drop table snapshot_rows")
    return count


def copy_query(
    con: duckdb.DuckDBPyConnection, name: str, path: Path, parameters: dict[str, str | float]
) -> int:
    """Write the rows of a statement to a Parquet file, in the order that it states.

    Returns:
        The number of rows.
    """
    statement = f"copy (\n{load(name).rstrip().rstrip(';')}\n) to $path (format parquet)"
    row = con.execute(statement, {**parameters, "path": str(path.resolve())}).fetchone()
    return int(row[0]) if row else 0
