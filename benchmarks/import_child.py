"""A file of rankings through the inbox into a new store, in a process of its own.

`python -m benchmarks.import_child FILES OUT` reads the three files of benchmarks/import_data.py
and prints the seconds of each step and the peak of memory. Imports do not count.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.children import peak_memory
from data.inbox.batches import NewBatch, publish
from data.inbox.connection import open_inbox
from data.inbox.events import NewEvent, append
from data.ingest import ingest
from data.intake import read_batch
from data.lines import lines_of_file
from data.store import open_store

BATCH = "b_0000000000000000"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def main() -> None:
    """Import once from the paths of the command line and print what it took."""
    files, out = Path(sys.argv[1]), Path(sys.argv[2])
    parts: dict[str, float] = {}
    with open_inbox(out / "inbox.sqlite") as inbox, open_store(out / "store.duckdb") as store:
        publish(inbox, _batch(), [], now=NOW)
        with _timed(parts, "append"):
            append(inbox, _events(files / "rankings.jsonl"), now=NOW)
        with _timed(parts, "verify"):
            intake = read_batch(inbox, BATCH)
        with _timed(parts, "ingest"):
            report = ingest(
                store,
                prompts=files / "prompts.parquet",
                sets=[files / "sets.jsonl"],
                rankings=intake.rankings,
                head=intake.head,
                run_id="run",
                now=NOW,
                new_role="import",
            )
    counts = report.rankings
    if counts.accepted != counts.read:
        raise AssertionError(f"not all rankings were accepted: {counts}")
    parts["seconds"] = sum(parts.values())
    print(json.dumps({**parts, "bytes": peak_memory()}))


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


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - begin


if __name__ == "__main__":
    main()
