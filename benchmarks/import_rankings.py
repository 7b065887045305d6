"""A file of rankings (K = 4) through inbox and ingest, against DuckDB's COPY of the same JSONL.

Ours: each line becomes an event of the hash-chained inbox; then, in one transaction, the sets that
they rank are checked and stored, the chain is verified, and every ranking is parsed, checked and
stored. COPY only reads the rankings into one table, in a file as well. Each run is a process of its
own; seconds and peak of resident memory are its own. 100,000 rankings; 1,000,000 with --long.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.children import run_child
from benchmarks.command import Options, main
from benchmarks.import_data import RANKINGS_PER_SET, write_files
from benchmarks.rows import Row
from benchmarks.timing import Ratio, ratio

RANKINGS, LONG_RANKINGS = 100_000, 1_000_000
ENGINES = ("import_child", "import_copy")
CHILD_SECONDS = 1800.0
MAX_BYTES = 2 * 2**30
WANTED_A_SECOND = 5_000


def measure(options: Options) -> list[Row]:
    """One row for the rate that is wanted, one for the ratio to COPY."""
    rankings = LONG_RANKINGS if options.long else RANKINGS
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES}
    with TemporaryDirectory() as folder:
        write_files(Path(folder), rankings=rankings)
        begin = time.monotonic()
        for done in range(3):
            if done and (time.monotonic() - begin) * (done + 1) / done > options.budget:
                break
            for name in ENGINES:
                found = _run(name, Path(folder))
                if isinstance(found, str):
                    return [Row(what=_what(rankings), ours="-", peer="-", ratio=None, note=found)]
                runs[name].append(found)
    return _rows(rankings, runs["import_child"], runs["import_copy"])


def _run(name: str, folder: Path) -> dict[str, float] | str:
    """What a child measured, or why it did not."""
    with TemporaryDirectory(dir=folder) as out:
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", str(folder), out]
        outcome = run_child(command, seconds=CHILD_SECONDS, max_bytes=2 * MAX_BYTES)
    if outcome.failure:
        return f"no result of {name}: {outcome.failure}"
    found: dict[str, float] = json.loads(outcome.output)
    return found


def _rows(rankings: int, ours: list[dict[str, float]], copies: list[dict[str, float]]) -> list[Row]:
    seconds, copy_seconds = ([run["seconds"] for run in runs] for runs in (ours, copies))
    rates = [rankings / one for one in seconds]
    parts = {name: median(run[name] for run in ours) for name in ("append", "sets", "rankings")}
    peak = max(run["bytes"] for run in ours)
    cost = f"{median(seconds):.0f} s, {peak / 2**30:.1f} GiB"
    steps = ", ".join(f"{name} {value:.0f} s" for name, value in parts.items())
    within = "within" if peak <= MAX_BYTES else "NOT within"
    shares = [rate / WANTED_A_SECOND for rate in rates]
    return [
        Row(
            what=_what(rankings),
            ours=f"{cost}: {median(rates):,.0f} rankings/s",
            peer=f"{WANTED_A_SECOND:,} rankings/s",
            ratio=Ratio(median(shares), min(shares), max(shares)),
            goal=1.0,
            note=f"{within} 2 GiB; {steps}",
        ),
        Row(
            what=f"{_what(rankings)}, against reading them alone",
            ours=cost,
            peer=f"DuckDB COPY {median(copy_seconds):.1f} s",
            ratio=ratio(copy_seconds, seconds),
            note="COPY checks no row and keeps no log",
        ),
    ]


def _what(rankings: int) -> str:
    sets = rankings // RANKINGS_PER_SET
    return f"Import of {rankings:,} rankings (K = 4) of {sets:,} sets, through the inbox"


if __name__ == "__main__":
    main(measure)
