"""2.5M rankings of K = 4 to pairs: our SQL in DuckDB against the same steps in Polars and pandas.

Each run is a process of its own, from Parquet to Parquet, on two threads; time and peak resident
memory are its own. DuckDB runs again under memory_limit 2 GB. The rows must be equal: count and
the sum of a hash of each row, whatever their order.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
import psutil

from benchmarks.children import run_child
from benchmarks.command import Options, main
from benchmarks.pairs_child import COLUMNS
from benchmarks.pairs_data import write_snapshot
from benchmarks.rows import Row
from benchmarks.timing import Ratio, ratio

RANKINGS = 2_500_000
OURS, LIMITED, PEERS, WHOLE = "duckdb", "duckdb 2GB", ("polars", "pandas"), "whole"
ENGINES = (OURS, LIMITED, *PEERS)  # pairs_ENGINE.py and its arguments
CHILD_SECONDS = 150.0
MEMORY_SHARE = 0.75


class Run(NamedTuple):
    """What one process took; `failure` says why there is no result."""

    seconds: float
    peak: int
    failure: str


def measure(options: Options) -> list[Row]:
    """A row for each peer, one for the memory limit; if long, one for all of build_pairs."""
    with TemporaryDirectory() as folder:
        snapshot = Path(folder) / "snapshot"
        snapshot.mkdir()
        write_snapshot(snapshot, rankings=RANKINGS)
        runs = _all_runs(snapshot, Path(folder), options)
    rows = [_row(name, runs) for name in PEERS]
    return [*rows, _limited_row(runs), *([_whole_row(runs)] if options.long else [])]


def _all_runs(snapshot: Path, folder: Path, options: Options) -> dict[str, list[Run]]:
    """Runs of each engine, in rounds; what failed is not tried again."""
    engines = (*ENGINES, WHOLE) if options.long else ENGINES
    runs: dict[str, list[Run]] = {name: [] for name in engines}
    checksum = None
    begin = time.monotonic()
    for done in range(3 if options.long else 1):
        if done and (time.monotonic() - begin) * (done + 1) / done > options.budget:
            break
        for name in engines:
            if runs[name] and runs[name][-1].failure:
                continue
            with TemporaryDirectory(dir=folder) as out:
                runs[name].append(_run(name, snapshot, Path(out)))
                if runs[name][-1].failure:
                    continue
                found = _checksum(Path(out) / "pairs.parquet")
            checksum = checksum or found
            if found != checksum:
                raise AssertionError(f"{name} built other pairs: {found}, not {checksum}")
    return runs


def _run(name: str, snapshot: Path, out: Path) -> Run:
    engine, *arguments = name.split()
    module = f"benchmarks.pairs_{engine}"
    command = [sys.executable, "-W", "ignore", "-m", module, str(snapshot), str(out), *arguments]
    available = MEMORY_SHARE * psutil.virtual_memory().available
    outcome = run_child(command, seconds=CHILD_SECONDS, max_bytes=available)
    if outcome.failure:
        return Run(float("nan"), 0, outcome.failure)
    found = json.loads(outcome.output)
    return Run(found["seconds"], found["bytes"], "")


def _checksum(path: Path) -> tuple[int, int]:
    with duckdb.connect(":memory:", config={"threads": 2}) as con:
        rows = con.read_parquet(str(path))
        count, total = rows.aggregate(f"count(*), sum(hash({', '.join(COLUMNS)}))").fetchall()[0]
    return int(count), int(total)


def _row(peer: str, runs: dict[str, list[Run]]) -> Row:
    ours, theirs = runs[OURS], runs[peer]
    failed = theirs[-1].failure
    return Row(
        what=_what(),
        ours=f"DuckDB {_cost(ours)}",
        peer=f"{peer} {_cost(theirs)}",
        ratio=None if failed or ours[-1].failure else _ratio(theirs, ours),
        note=_memory_note(theirs, ours) if not failed else "",
    )


def _limited_row(runs: dict[str, list[Run]]) -> Row:
    limited, free = runs[LIMITED], runs[OURS]
    failed = limited[-1].failure or free[-1].failure
    return Row(
        what=f"{_what()}, memory_limit 2 GB",
        ours=f"DuckDB {_cost(limited)}",
        peer=f"DuckDB without a limit {_cost(free)}",
        ratio=None if failed else _ratio(free, limited),
        note="" if failed else _memory_note(free, limited),
    )


def _whole_row(runs: dict[str, list[Run]]) -> Row:
    whole, pairs_alone = runs[WHOLE], runs[OURS]
    failed = whole[-1].failure or pairs_alone[-1].failure
    return Row(
        what=f"{_what()}: all of build_pairs, with its checks, prompts and responses",
        ours=f"DuckDB {_cost(whole)}",
        peer=f"the pairs alone {_cost(pairs_alone)}",
        ratio=None if failed else _ratio(pairs_alone, whole),
    )


def _what() -> str:
    return f"Pairs of {RANKINGS / 1e6:.1f}M rankings of K = 4"


def _ratio(above: Sequence[Run], below: Sequence[Run]) -> Ratio:
    both = list(zip(above, below, strict=False))
    return ratio([run.seconds for run, _ in both], [run.seconds for _, run in both])


def _memory_note(theirs: Sequence[Run], ours: Sequence[Run]) -> str:
    times = max(run.peak for run in theirs) / max(run.peak for run in ours)
    return f"{times:.1f} times our memory"


def _cost(runs: Sequence[Run]) -> str:
    if runs[-1].failure:
        return f"no result: {runs[-1].failure}"
    seconds = median(run.seconds for run in runs)
    return f"{seconds:.0f} s, {max(run.peak for run in runs) / 2**30:.1f} GiB"


if __name__ == "__main__":
    # Equal threads for all: Polars and Arrow take theirs from here.
    os.environ |= {"POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "2"}
    main(measure)
