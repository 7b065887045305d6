"""Our own SQL, without the checks and the copies of prompts and responses around it."""

from pathlib import Path

import duckdb

from benchmarks.pairs_child import main
from data.pairs import PairsConfig, create_tables
from data.snapshot import copy_query


def build(snapshot: Path, out: Path, memory_limit: str = "") -> None:
    """Pairs of a snapshot; `memory_limit` as DuckDB writes it, "2GB"."""
    with duckdb.connect(":memory:", config={"threads": 2}) as con:
        con.execute("set temp_directory = $folder", {"folder": str(out / "spilt")})
        if memory_limit:
            con.execute("set memory_limit = $limit", {"limit": memory_limit})
        create_tables(con, snapshot, PairsConfig())
        copy_query(con, "marts/pairs", out / "pairs.parquet", {})


if __name__ == "__main__":
    main(build)
