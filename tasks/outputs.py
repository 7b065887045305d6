"""What every stage logs of its output without being asked: files, row counts, the first rows.

Bodies add what only they know (metrics, plots, tables of their own).
"""

import json
from pathlib import Path
from typing import Any

from tasks.artifacts import payload_files
from tasks.stage_log import JSON, MAX_TABLE_ROWS, StageLog


def log_outputs(log: StageLog, stage: str, payload: Path) -> dict[str, JSON]:
    """Log each payload file, its rows and its first rows. Returns {file: rows} for tables."""
    files: list[dict[str, JSON]] = []
    counts: dict[str, JSON] = {}
    for name, sha in payload_files(payload).items():
        path = payload / name
        rows = read_rows(path)
        files.append({"file": name, "bytes": path.stat().st_size, "sha256": sha, "rows": rows})
        if rows is not None:
            counts[name] = rows
            log.dataset(f"{stage}/{name}", digest=sha, rows=rows, context="output")
            log.table(name.replace("/", "_").replace(".", "_"), first_rows(path))
    log.table("files", files)
    return counts


def log_inputs(log: StageLog, inputs: dict[str, Path]) -> None:
    """Note each table among the inputs as a dataset that the stage read."""
    for stage, payload in inputs.items():
        for name, sha in payload_files(payload).items():
            rows = read_rows(payload / name)
            if rows is not None:
                log.dataset(f"{stage}/{name}", digest=sha, rows=rows)


def read_rows(path: Path) -> int | None:
    """Number of rows of a Parquet or JSON-lines file, None for any other."""
    if path.suffix == ".parquet":
        import polars as pl

        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    if path.suffix == ".jsonl":
        with path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    return None


def first_rows(path: Path) -> list[dict[str, Any]]:
    """The first 50 rows of a Parquet or JSON-lines file as JSON objects."""
    if path.suffix == ".parquet":
        import polars as pl

        rows: list[dict[str, Any]] = json.loads(
            pl.scan_parquet(path).head(MAX_TABLE_ROWS).collect().write_json()
        )
        return rows
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for _, line in zip(range(MAX_TABLE_ROWS), lines, strict=False)]
