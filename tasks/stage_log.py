"""What a stage logs, as plain files: metrics, tables, plots, datasets.

The files are the record; MLflow is fed from them (tasks/tracking.py), live while the stage runs
and again whenever MLflow has lost the run. So a body never sees MLflow, and a tracking outage
costs nothing.

    metrics.jsonl   one line a step: {"step", "time_ms", "values": {name: float or null}}
    tables/*.json   at most 50 rows, each an object
    plots/*.png
    datasets.json   [{"name", "digest", "rows", "context"}]
    summary.json    the flat summary that the body returned
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
Summary: TypeAlias = dict[str, JSON]

MAX_TABLE_ROWS = 50


class StageLog:
    """Writes the log of one stage into `directory`, which exists.

    Names may hold `/` in metrics (`ppo/policy/approx_kl`) but not in tables and plots, which are
    file names.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._datasets: list[dict[str, JSON]] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append the metrics of one step. NaN and infinity become null: MLflow garbles them."""
        finite = {name: float(v) if math.isfinite(v) else None for name, v in values.items()}
        line = {"step": step, "time_ms": time.time_ns() // 1_000_000, "values": finite}
        with (self.directory / "metrics.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")

    def table(self, name: str, rows: Sequence[Mapping[str, JSON]]) -> None:
        """Keep the first 50 rows of a table for people to look at."""
        write_json(self.directory / "tables" / f"{name}.json", list(rows[:MAX_TABLE_ROWS]))

    def figure(self, name: str, figure: "Figure") -> None:
        """Keep a matplotlib figure as plots/<name>.png."""
        path = self.directory / "plots" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, bbox_inches="tight")

    def dataset(self, name: str, *, digest: str, rows: int, context: str = "input") -> None:
        """Note a dataset that the stage read (or, with context="output", wrote).

        Args:
            name: For example "build_pairs/pairs.parquet".
            digest: Full sha256 in hex.
            rows: Number of rows.
            context: What the stage did with it, shown by MLflow beside the dataset.
        """
        entry: dict[str, JSON] = {"name": name, "digest": digest, "rows": rows, "context": context}
        self._datasets.append(entry)
        write_json(self.directory / "datasets.json", self._datasets)

    def summary(self, values: Summary) -> None:
        """Keep the summary that the body returned. Called by the stage machinery, not by bodies."""
        write_json(self.directory / "summary.json", values)


def write_json(path: Path, value: JSON) -> None:
    """Write `value` as sorted, indented JSON, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
