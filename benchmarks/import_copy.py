"""DuckDB's own reader on the rankings of benchmarks/import_data.py, in a process of its own.

`python -m benchmarks.import_copy FILES OUT` prints its seconds and its peak of memory.
"""

import json
import sys
import time
from pathlib import Path

import duckdb

from benchmarks.children import peak_memory

TABLE = """
create table rankings (
    schema varchar, event_id uuid, set_id varchar, annotator_id varchar, revision integer,
    outcome varchar, coverage varchar, tiers map(varchar, utinyint), skip_reason varchar,
    display_order varchar[], touched boolean, started_at timestamptz, submitted_at timestamptz,
    active_ms uinteger, ui_version varchar
)
"""


def main() -> None:
    """Copy once from the paths of the command line and print what it took."""
    path, out = str(Path(sys.argv[1]) / "rankings.jsonl"), Path(sys.argv[2])
    settings = {"threads": 2, "memory_limit": "1GB"}
    begin = time.perf_counter()
    with duckdb.connect(str(out / "copied.duckdb"), config=settings) as con:
        con.execute(TABLE)
        con.execute("copy rankings from $path (format json)", {"path": path})
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "bytes": peak_memory()}))


if __name__ == "__main__":
    main()
