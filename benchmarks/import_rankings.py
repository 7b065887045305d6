"""A file of rankings (K = 4) through inbox and ingest, against DuckDB's COPY of the same JSONL.

Ours: each line becomes an event of the hash-chained inbox; then, in one transaction, the sets that
they rank are checked and stored, the chain is verified, and every ranking is parsed, checked and
stored. COPY only reads the rankings into one table, in a file as well. Each run is a process of its
own; seconds and peak of resident memory are its own. The rate is over the rankings' own seconds; a
second row counts those of their sets as well. 100,000 rankings; 1,000,000 with --long.
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
    """The rate that is wanted, the same with the sets, and the ratio to COPY."""
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
                    what = _what(rankings)
                    return [Row(what=what, ours="-", peer="-", ratio=None, goal=1.0, note=found)]
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
    parts = {name: [run[name] for run in ours] for name in ("append", "rankings", "sets")}
    alone = [sum(each) for each in zip(parts["append"], parts["rankings"], strict=True)]
    with_sets = [sum(each) for each in zip(alone, parts["sets"], strict=True)]
    copy_seconds = [run["seconds"] for run in copies]
    peak = max(run["bytes"] for run in ours)
    within = "within" if peak <= MAX_BYTES else "NOT within"
    steps = ", ".join(f"{name} {median(parts[name]):.0f} s" for name in ("append", "rankings"))
    what = _what(rankings)
    cost = f"{median(alone):.0f} s, {peak / 2**30:.1f} GiB"
    wanted = f"{WANTED_A_SECOND:,} rankings/s"
    return [
        Row(
            what=what,
            ours=f"{cost}: {rankings / median(alone):,.0f} rankings/s",
            peer=wanted,
            ratio=_share_of_wanted(rankings, alone),
            goal=1.0,
            note=f"{within} 2 GiB; {steps}",
        ),
        Row(
            what=f"{what}, with their {rankings // RANKINGS_PER_SET:,} sets",
            ours=f"{median(with_sets):.0f} s: {rankings / median(with_sets):,.0f} rankings/s",
            peer=wanted,
            ratio=_share_of_wanted(rankings, with_sets),
            note=f"sets {median(parts['sets']):.0f} s",
        ),
        Row(
            what=f"{what}, against reading them alone",
            ours=cost,
            peer=f"DuckDB COPY {median(copy_seconds):.1f} s",
            ratio=ratio(copy_seconds, alone),
            note="COPY checks no row and keeps no log",
        ),
    ]


def _what(rankings: int) -> str:
    return f"Import of {rankings:,} rankings (K = 4) through the inbox"


def _share_of_wanted(rankings: int, seconds: list[float]) -> Ratio:
    shares = [rankings / one / WANTED_A_SECOND for one in seconds]
    return Ratio(median(shares), min(shares), max(shares))


if __name__ == "__main__":
    main(measure)
