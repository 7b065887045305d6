"""Runs the stages of a pipeline in order inside a Prefect flow.

Omitted on purpose: which stages there are (flows/stages.py) and what they do (tasks/).
"""

import hashlib
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from data.errors import InputError
from flows.machine import measure_machine
from flows.outcome import Span, StageFailedError, StageRow
from flows.run_records import append_run
from tasks.artifacts import ArtifactRef
from tasks.code_digest import SourceTree
from tasks.engine import run_stage
from tasks.produce import Workshop, sweep_checkpoints
from tasks.stage import Stage, order_stage
from tasks.tracking import flatten


def run_stages(
    stages: Sequence[Stage],
    config: BaseModel,
    shop: Workshop,
    source: SourceTree,
    *,
    not_needed: Mapping[str, str] | None = None,
    span: Span | None = None,
) -> list[StageRow]:
    """Do the stages in their order; the caller is a Prefect flow.

    A stage whose summary has `waits_for` is the last one: those after it are "waiting".

    Args:
        stages: The table.
        config: The run's config.
        shop: Where stages are made.
        source: Where the code lies, for the cache keys.
        not_needed: {stage that this config makes superfluous: why}.
        span: Which part of the table to do.

    Raises:
        StageFailedError: A stage raised; its record stays out of the cache.
    """
    span = span or Span()
    run = _Run(config=config, shop=shop, source=source, not_needed=not_needed or {})
    refresh = False
    for index, stage in enumerate(stages):
        refresh = refresh or stage.name == span.first
        start = time.monotonic()
        try:
            row = replace(run.do(stage, refresh=refresh), seconds=_since(start))
        except Exception as error:
            failed = StageRow(stage=stage.name, state="failed", seconds=_since(start))
            left = [StageRow(stage=s.name, state="not run") for s in stages[index + 1 :]]
            raise StageFailedError(stage.name, error, [*run.rows, failed, *left]) from error
        run.rows.append(row)
        _say(row)
        if stage.name == span.last:
            break
        if row.waits_for:
            run.rows += _waiting(stages[index + 1 :], span.last, row.waits_for)
            break
    return run.rows


@dataclass(slots=True, kw_only=True)
class _Run:
    """A run on its way: what the stages so far have left for those to come."""

    config: BaseModel
    shop: Workshop
    source: SourceTree
    not_needed: Mapping[str, str]
    rows: list[StageRow] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    refs: dict[str, ArtifactRef | None] = field(default_factory=dict)

    def do(self, stage: Stage, *, refresh: bool) -> StageRow:
        """Make one stage, or take it from the cache."""
        if stage.name in self.not_needed:
            self.refs[stage.name] = None
            return StageRow(stage=stage.name, state="not needed", why=self.not_needed[stage.name])
        inputs = _inputs_of(stage, self.refs)
        order = order_stage(stage, self.config, inputs, self.source)
        upstream = {name: self.records[name] for name, ref in inputs.items() if ref is not None}
        outside = stage.reads_outside is not None and stage.reads_outside(order.config)
        outcome = run_stage(order, self.shop, upstream, refresh=refresh or outside)
        self.refs[stage.name] = outcome.record.ref
        self.records[stage.name] = outcome.record.as_json()
        return StageRow(
            stage=stage.name,
            state=outcome.state,
            artifact=str(outcome.record.ref),
            sha256=outcome.record.sha256,
            summary=outcome.record.summary,
        )


def run_tracked(
    stages: Sequence[Stage],
    config: Any,
    shop: Workshop,
    source: SourceTree,
    *,
    flow_run_id: str,
    not_needed: Mapping[str, str] | None = None,
    span: Span | None = None,
    waiting_batches: Collection[str] = (),
) -> list[StageRow]:
    """`run_stages` under an MLflow parent run; sweeps before it, notes the finished run after.

    The parent of a run that waits stays open, and the next run of the same config goes on with it.
    """
    machine = measure_machine()
    shop.store.sweep()
    key = hashlib.sha256(shop.run_config.encode()).hexdigest()[:16]
    shop.tracker.open_run(
        config.name,
        flatten(config.model_dump(mode="json")),
        {"prefect.flow_run_id": flow_run_id},
        key=key,
        waiting_batches=waiting_batches,
    )
    status = "KILLED"
    try:
        rows = run_stages(stages, config, shop, source, not_needed=not_needed, span=span)
        gate = next((row for row in rows if row.waits_for), None)
        if gate is not None:
            shop.tracker.leave_open(key, str(gate.summary["batch_id"]), gate.waits_for)
            status = "RUNNING"
            return rows
        append_run(
            shop.var,
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            flow_run_id=flow_run_id,
            config=config.model_dump(mode="json"),
            rows=rows,
            machine=machine,
        )
        status = "FINISHED"
        sweep_checkpoints(shop.var)
    except Exception:
        status = "FAILED"
        raise
    finally:
        if status != "RUNNING":
            shop.tracker.close_run(status)
    return rows


def repository_root() -> Path:
    """The folder that holds our four packages."""
    return Path(__file__).resolve().parents[1]


def _inputs_of(
    stage: Stage, refs: Mapping[str, ArtifactRef | None]
) -> dict[str, ArtifactRef | None]:
    inputs = {name: refs[name] for name in stage.inputs}
    for name, ref in inputs.items():
        if ref is None and not stage.inputs[name]:
            raise InputError(f"stage {stage.name} needs {name}, which this config leaves out")
    return inputs


def _waiting(stages: Sequence[Stage], last: str, why: str) -> list[StageRow]:
    """Rows of stages, up to the one named `last`, that a gate before them holds back."""
    names = [stage.name for stage in stages]
    end = names.index(last) + 1 if last else len(names)
    return [StageRow(stage=name, state="waiting", why=why) for name in names[:end]]


def _since(start: float) -> float:
    return round(time.monotonic() - start, 1)


def _say(row: StageRow) -> None:
    detail = row.why or f"{row.seconds:.1f} s  {row.artifact}"
    sys.stderr.write(f"  {row.stage:<20} {row.state:<10} {detail}\n")
    sys.stderr.flush()
