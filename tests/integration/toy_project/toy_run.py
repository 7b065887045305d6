"""Runs the toy pipeline once: `toy_run.py VAR` prints its rows and whether torch was imported."""

import json
import sys
from pathlib import Path
from typing import Any

from prefect import flow, runtime
from pydantic import BaseModel
from toy.bodies import numbers, scaled, total
from toy.settings import NumbersConfig, ScaleConfig

from flows.outcome import Span
from flows.spine import run_tracked
from tasks.artifacts import ArtifactStore
from tasks.code_digest import SourceTree
from tasks.ledger import ledger_of
from tasks.produce import Workshop
from tasks.stage import stage_of
from tasks.tracking import Tracker


class ToyConfig(BaseModel, frozen=True):
    name: str = "toy"
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    numbers: NumbersConfig = NumbersConfig()
    scale: ScaleConfig = ScaleConfig()


@flow(name="toy")
def toy_flow(
    config: ToyConfig, var: str, root: str, span: Span, waiting: tuple[str, ...]
) -> list[dict[str, Any]]:
    flow_run_id = str(runtime.flow_run.id)
    shop = Workshop(
        var=Path(var),
        store=ArtifactStore(root=Path(var) / "artifacts"),
        tracker=Tracker(Path(var)),
        record_artifact=ledger_of(Path(var), flow_run_id),
        run_config=config.model_dump_json(),
    )
    asked = stage_of(scaled, reads_outside=lambda own: own.scale.by_people)
    rows = run_tracked(
        [stage_of(numbers), asked, stage_of(total)],
        config,
        shop,
        SourceTree(root=Path(root), packages=("toy",)),
        flow_run_id=flow_run_id,
        span=span,
        waiting_batches=waiting,
    )
    return [row.as_json() for row in rows]


def run_toy(
    var: Path,
    config: ToyConfig | None = None,
    root: Path | None = None,
    first: str = "",
    last: str = "",
    *,
    waiting: tuple[str, ...] = (),
) -> dict[str, str]:
    """Run once; returns {stage: state}."""
    root = root or Path(__file__).parent
    rows = toy_flow(
        config or ToyConfig(), str(var), str(root), Span(first=first, last=last), waiting
    )
    return {row["stage"]: row["state"] for row in rows}


if __name__ == "__main__":
    states = run_toy(Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"states": states, "torch": "torch" in sys.modules}) + "\n")
