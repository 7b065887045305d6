"""What a stage body is given, and all that a body may import of the stage machinery.

A body is a plain function:

    def build_pairs(
        context: StageContext, config: BuildPairsConfig, *, collect_rankings: Path
    ) -> Summary:

* it writes its payload into `context.out`, an empty directory, and returns a flat summary;
* `config` is a frozen dataclass whose fields are named after the sections of RunConfig that the
  stage reads, and no others: they enter its cache key;
* each keyword-only argument is the payload directory of the stage of that name. `Path | None`
  marks one that a run may not need (None then);
* the function's name is the stage's name and the kind of its artifact.

No Prefect, MLflow or torch here: bodies run without them in tests.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tasks.progress import track
from tasks.stage_log import JSON, StageLog, Summary

__all__ = ["JSON", "StageContext", "StageLog", "Summary"]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """The surroundings of one execution of one stage.

    Attributes:
        out: Empty directory for the payload. Only what decides the result goes in: no times, no
            absolute paths, rows in a stated order.
        seed: The run's seed.
        threads: CPU threads torch may use; already set when the body starts.
        device: "cpu" or "cuda".
        var: The directory of all mutable state (store.duckdb, inbox.sqlite, ...).
        checkpoints: Directory for the checkpoints of this very work; it outlives a death and goes
            when the artifact is there.
        log: Where metrics, tables, plots and datasets go.
        run_config: The whole config of the run as JSON, for what has to start the rest of it
            later. It is in no cache key: no payload may depend on it.
    """

    out: Path
    seed: int
    threads: int
    device: str
    var: Path
    checkpoints: Path
    log: StageLog
    run_config: str = "{}"

    def progress(
        self, items: Iterable[Item], description: str, *, total: int | None = None
    ) -> Generator[Item]:
        """Yield `items` behind a progress bar with time left; `range(n)` serves for a bare count.

        Args:
            items: What to iterate over.
            description: A few words before the bar.
            total: Number of items, for generators, which have no length.
        """
        return track(items, description, total=total)
