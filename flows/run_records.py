"""What is kept of each finished run: one line of var/runs.jsonl, which `rlhf report` reads.

The DuckDB ledger says how artifacts were made, and a wholly cached run makes none; this file says
which artifacts a run ended with. Omitted on purpose: failed runs, which have nothing to report.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.outcome import StageRow
from tasks.artifacts import ArtifactRef

RUNS_FILE = "runs.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One finished run.

    Attributes:
        finished_at: ISO 8601, UTC.
        flow_run_id: Prefect's id of the run.
        config: The whole config, nested tables.
        stages: StageRow objects as plain dicts, in order.
        machine: How busy and fast the machine was when the run began, see flows/machine.py.
    """

    finished_at: str
    flow_run_id: str
    config: dict[str, Any]
    stages: list[dict[str, Any]]
    machine: dict[str, float]

    @property
    def name(self) -> str:
        """The config's name."""
        return str(self.config["name"])

    @property
    def seconds(self) -> float:
        """Time that the stages took."""
        return float(sum(stage["seconds"] for stage in self.stages))

    def artifact_of(self, stage: str) -> ArtifactRef | None:
        """What the run ended with for a stage; None where it did not do it."""
        row = self._row(stage)
        return ArtifactRef(kind=stage, sha256=row["sha256"]) if row.get("sha256") else None

    def summary_of(self, stage: str) -> dict[str, Any]:
        """What a stage said of its result; empty where it said nothing."""
        return dict(self._row(stage).get("summary", {}))

    def _row(self, stage: str) -> dict[str, Any]:
        return next((row for row in self.stages if row["stage"] == stage), {})


def append_run(
    var: Path,
    *,
    finished_at: str,
    flow_run_id: str,
    config: Mapping[str, Any],
    rows: Sequence[StageRow],
    machine: Mapping[str, float],
) -> None:
    """Add a finished run; the caller holds var/."""
    record = RunRecord(
        finished_at=finished_at,
        flow_run_id=flow_run_id,
        config=dict(config),
        stages=[row.as_json() for row in rows],
        machine=dict(machine),
    )
    # A killed writer's half line must not swallow this one.
    path = var / RUNS_FILE
    start = "" if _ends_whole(path) else "\n"
    with path.open("a", encoding="utf-8") as lines:
        lines.write(start + json.dumps(asdict(record), ensure_ascii=False) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


def finished_runs(var: Path) -> list[RunRecord]:
    """All finished runs, the newest last; a line that a killed process cut short is passed over."""
    path = var / RUNS_FILE
    if not path.is_file():
        return []
    records = []
    # Not splitlines: a name may hold U+2028, which JSON leaves as it is.
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            records.append(RunRecord(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            continue
    return records


def _ends_whole(path: Path) -> bool:
    return not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")
