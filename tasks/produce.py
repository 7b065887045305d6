"""Runs a stage's body once: load the inputs, call it, keep the payload, log it.

Order of truth: first the artifact (fsynced, renamed), then how it was made, then the ledger row,
then MLflow. A kill in between leaves only what the next run sweeps or finds whole.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from data.errors import InputError
from tasks.artifacts import ArtifactError, ArtifactRef, ArtifactStore
from tasks.caching import config_identity
from tasks.context import StageContext
from tasks.outputs import log_inputs, log_outputs
from tasks.stage import Order, StageRecord
from tasks.stage_log import JSON, StageLog, Summary, write_json
from tasks.tracking import Tracker, flatten

DAYS_KEPT = 14  # for checkpoints of stages that were not finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where stages are made.

    Attributes:
        var: The directory of all mutable state.
        store: The artifact store.
        tracker: MLflow.
        record_artifact: Writes the ledger's row about an artifact; called once per execution.
        run_config: The whole config of the run as JSON, see StageContext.
    """

    var: Path
    store: ArtifactStore
    tracker: Tracker
    record_artifact: Callable[[StageRecord, Order], None]
    run_config: str = "{}"


def produce(order: Order, shop: Workshop, *, refresh: bool = False) -> StageRecord:
    """Run the body of one stage and keep what it makes.

    What an earlier execution under the same key finished is taken instead, unless `refresh`: a
    kill, or a store that was held, may have come between the artifact and Prefect's record of it.

    Raises:
        ArtifactError: An input is missing or damaged.
        Exception: Whatever the body raises; nothing of it stays in the store then.
    """
    name = order.stage.name
    checkpoints = checkpoints_of(order, shop.var)
    finished = None if refresh else find_finished(order, shop)
    if finished is not None:
        shop.record_artifact(finished, order)
        shutil.rmtree(checkpoints, ignore_errors=True)
        return finished
    inputs = {n: None if ref is None else shop.store.load(ref) for n, ref in order.inputs.items()}
    if refresh:
        shutil.rmtree(checkpoints, ignore_errors=True)
    scratch = shop.store.scratch(name)
    payload, log = _prepare(scratch)
    run_id = shop.tracker.start_stage(name, order.key.hex)
    try:
        start = time.monotonic()
        with shop.tracker.live_metrics(run_id, log.directory / "metrics.jsonl"):
            summary = _call_body(order, shop, payload, log, inputs)
        seconds = round(time.monotonic() - start, 3)
        log.summary(summary)
        log_inputs(log, {n: path for n, path in inputs.items() if path is not None})
        rows = log_outputs(log, name, payload)
        ref = shop.store.publish(name, payload)
        _write_made(log, order, ref, seconds, rows)
        made = shop.store.publish_made(ref, order.key.hex, log.directory)
        record = StageRecord(
            kind=name,
            sha256=ref.sha256,
            cache_key=order.key.hex,
            mlflow_run_id=run_id,
            seconds=seconds,
            summary=summary,
        )
        shop.record_artifact(record, order)
    except BaseException as error:
        shop.tracker.end_stage(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(checkpoints, ignore_errors=True)
    shop.tracker.finish_stage(run_id, made)
    return record


def find_finished(order: Order, shop: Workshop) -> StageRecord | None:
    """The record of a whole artifact that was made under the order's key and holds, else None."""
    pattern = f"{order.stage.name}/*.made/{order.key.hex[:16]}/made.json"
    for path in shop.store.root.glob(pattern):
        made = json.loads(path.read_text(encoding="utf-8"))
        record = StageRecord(
            kind=order.stage.name,
            sha256=made["sha256"],
            cache_key=made["cache_key"],
            mlflow_run_id="",
            seconds=made["seconds"],
            summary=json.loads(path.with_name("summary.json").read_text(encoding="utf-8")),
        )
        try:
            shop.store.load(record.ref)
        except ArtifactError:
            continue
        if record.cache_key == order.key.hex and holds_outside(order, record, shop.var):
            return record
    return None


def holds_outside(order: Order, record: StageRecord, var: Path) -> bool:
    """Whether what the stage left outside its artifact is still as it left it."""
    still_holds = order.stage.still_holds
    return still_holds is None or still_holds(var, record.summary)


def _prepare(scratch: Path) -> tuple[Path, StageLog]:
    payload, log = scratch / "payload", scratch / "log"
    payload.mkdir()
    log.mkdir()
    return payload, StageLog(log)


def checkpoints_of(order: Order, var: Path) -> Path:
    """Where the trainings of one stage under one key keep their checkpoints."""
    return var / "checkpoints" / f"{order.stage.name}-{order.key.hex[:16]}"


def sweep_checkpoints(var: Path) -> None:
    """Remove checkpoints that no run went on from for DAYS_KEPT: their config was given up.

    Called after a run, not before: whoever comes back late still finds those of his own run.
    """
    oldest = time.time() - DAYS_KEPT * 86400
    for stage in list((var / "checkpoints").glob("*")):
        if max(path.stat().st_mtime for path in (stage, *stage.rglob("*"))) < oldest:
            shutil.rmtree(stage, ignore_errors=True)


def _call_body(
    order: Order, shop: Workshop, payload: Path, log: StageLog, inputs: dict[str, Path | None]
) -> Summary:
    if order.uses_torch:
        import torch

        if order.device == "cuda" and not torch.cuda.is_available():
            raise InputError('device is "cuda", but torch finds no GPU here; set device = "cpu"')
        torch.set_num_threads(order.threads)
    context = StageContext(
        out=payload,
        seed=order.seed,
        threads=order.threads,
        device=order.device,
        var=shop.var,
        checkpoints=checkpoints_of(order, shop.var),
        log=log,
        run_config=shop.run_config,
    )
    return order.stage.body(context, order.config, **inputs)


def _write_made(
    log: StageLog, order: Order, ref: ArtifactRef, seconds: float, rows: dict[str, JSON]
) -> None:
    """Write made.json: what went in, what came out, with what and when."""
    config = config_identity(order.config)
    made: dict[str, JSON] = {
        "stage": order.stage.name,
        "sha256": ref.sha256,
        "payload": f"artifacts/{ref.kind}/{ref.sha256[:12]}",
        "cache_key": order.key.hex,
        "key_parts": order.key.parts,
        "params": flatten(config) if isinstance(config, dict) else {},
        "rows": rows,
        "seconds": seconds,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("torch", "polars", "duckdb", "prefect")},
    }
    write_json(log.directory / "made.json", made)
