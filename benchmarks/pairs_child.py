"""One engine's way from a snapshot's rankings to pairs.parquet, in a process of its own.

`python -m benchmarks.pairs_ENGINE SNAPSHOT OUT [MEMORY_LIMIT]` prints its seconds and its peak of
memory. Reading and writing Parquet count, imports do not.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.children import peak_memory

# What data/sql/marts/pairs.sql selects, and the order that it states.
RANKING_COLUMNS = ["split", "family_id", "prompt_id", "set_id", "ranking_id", "annotator_id"]
ORDER = [*RANKING_COLUMNS, "chosen_id", "rejected_id"]
COLUMNS = [*ORDER, "tier_gap", "weight"]
TRAINING = ["main", "overlap"]

Build = Callable[..., object]


def main(build: Build) -> None:
    """Build once from the paths of the command line and print what it took."""
    snapshot, out, *limit = sys.argv[1:]
    begin = time.perf_counter()
    build(Path(snapshot), Path(out), *limit)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "bytes": peak_memory()}))
