"""A file of rankings through the inbox into a new store, in a process of its own.

`python -m benchmarks.import_child FILES OUT` reads the three files of benchmarks/import_data.py
and prints the seconds of each step and the peak of memory. Imports do not count.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.children import peak_memory
from data.inbox.batches import NewBatch, publish
from data.inbox.connection import open_inbox
from data.inbox.events import NewEvent, append
from data.ingest import ingest
from data.intake import read_batch
from data.lines import SourceLine, lines_of_file
from data.store import open_store

BATCH = "b_0000000000000000"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def main() -> None:
    """Import once from the paths of the command line and print what it took."""
    files, out = Path(sys.argv[1]), Path(sys.argv[2])
    with open_inbox(out / "inbox.sqlite") as inbox, open_store(out / "store.duckdb") as store:
        publish(inbox, _batch(), [], now=NOW)
        clock = [time.perf_counter()]
        append(inbox, _events(files / "rankings.jsonl"), now=NOW)
        clock.append(time.perf_counter())
        intake = read_batch(inbox, BATCH)
        report = ingest(
            store,
            prompts=files / "prompts.parquet",
            sets=[files / "sets.jsonl"],
            rankings=intake.rankings._replace(lines=_clocked(intake.rankings.lines, clock)),
            head=intake.head,
            run_id="run",
            now=NOW,
            new_role="import",
        )
        clock.append(time.perf_counter())
    counts = report.rankings
    if counts.accepted != counts.read:
        raise AssertionError(f"not all rankings were accepted: {counts}")
    seconds = (end - begin for begin, end in pairwise(clock))
    parts = dict(zip(("append", "sets", "rankings"), seconds, strict=True))
    print(json.dumps({**parts, "bytes": peak_memory()}))


def _clocked(lines: Iterable[SourceLine], clock: list[float]) -> Iterator[SourceLine]:
    """Note when the first ranking is asked for: the sets are stored then."""
    clock.append(time.perf_counter())
    yield from lines


def _batch() -> NewBatch:
    return NewBatch(
        batch_id=BATCH,
        name="benchmark",
        campaign="benchmark",
        guideline_version="1",
        wanted=0,
        deadline=None,
        allow_top=True,
        config="{}",
    )


def _events(path: Path) -> Iterator[NewEvent]:
    """Each line of the file under an id of its own, as the pipeline gives it."""
    for line in lines_of_file(path).lines:
        yield NewEvent(f"{BATCH}-{line.seq}", BATCH, "ranking", line.raw, line.origin)


if __name__ == "__main__":
    main()
