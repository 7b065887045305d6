"""MLflow: a parent run for a pipeline run, a child run for each execution of a stage.

MLflow is a view of what the artifact store holds. A child is fed from the stage's log directory
(tasks/stage_log.py), so it can be logged again whenever MLflow has lost it; a failure of MLflow
warns and never fails a stage. Runs are named by explicit ids: MLflow's "active run" is
thread-local and makes orphans.

Omitted on purpose: models and the registry (tasks/served_model.py).
"""

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tasks.metrics_feed import MetricsFeed, read_metrics
from tasks.stage_log import JSON, write_json

EXPERIMENT = "rlhf"
RUN_FILE = "mlflow.json"
_BATCH = {"metrics": 1000, "params": 100}
_MAX_PARAM_CHARACTERS = 6000
_LOGGED = "rlhf.logged"
# Tags of a parent that is open while people rank: the key of its config, their batch, what for.
_WAITING, _BATCH_ID, _WAITS_FOR = "rlhf.waiting", "rlhf.batch", "rlhf.waits_for"

T = TypeVar("T")
logger = logging.getLogger(__name__)


def tracking_uri(var: Path) -> str:
    """MLFLOW_TRACKING_URI where the user set it, else the SQLite file under var/."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{var / 'mlflow.db'}"


def preload() -> None:
    """Import the MLflow client, for callers that have to wait for something else anyway."""
    from mlflow.tracking.client import MlflowClient  # noqa: F401


def open_experiment(client: Any, var: Path) -> str:
    """Id of our experiment, made where it is missing."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return str(experiment.experiment_id)
    # A server knows its artifact folder; a bare SQLite file would use ./mlruns.
    local = tracking_uri(var).startswith("sqlite:")
    where = (var / "mlflow-artifacts").as_uri() if local else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=where))


class Tracker:
    """Logs one pipeline run. Every method may be called whether MLflow works or not.

    Args:
        var: The directory of all mutable state.
    """

    def __init__(self, var: Path) -> None:
        self._var = var
        # Two machines may share one MLflow: each sweeps only what it left behind itself.
        self._owner = f"{socket.gethostname()}:{var}"
        self._client: Any = None
        self._experiment = ""
        self._broken = False
        self.parent = ""

    def open_run(
        self,
        name: str,
        params: Mapping[str, JSON],
        tags: Mapping[str, str] | None = None,
        *,
        key: str = "",
        waiting_batches: Collection[str] = (),
    ) -> None:
        """Close what killed runs left open, and start the parent run, or go on with one that waits.

        Args:
            name: Name of the run for people.
            params: Every parameter of the config under its dotted key.
            tags: Links to the Prefect run and the like.
            key: Names the config: a run that waits under the same key is opened again.
            waiting_batches: Batches that no run has finished. Runs that wait for others are closed.
        """
        self._try("open the tracking store", self._connect)
        waits = self._try("close old runs", lambda: self._sweep(key, waiting_batches)) or ""
        if waits:
            self.parent = waits
            self._try("open the run again", lambda: self._reopen(waits, tags or {}))
            return
        self.parent = self._try("start the run", lambda: self._create(name, tags or {})) or ""
        if self.parent:
            self._try("log parameters", lambda: self._log_params(self.parent, params))

    def close_run(self, status: str) -> None:
        """End the parent run: FINISHED, FAILED or KILLED."""
        if self.parent:
            self._try("end the run", lambda: self._client.set_terminated(self.parent, status))

    def leave_open(self, key: str, batch_id: str, waits_for: str) -> None:
        """Mark the parent as waiting for people instead of ending it; `key` as in `open_run`."""
        tags = {_BATCH_ID: batch_id, _WAITS_FOR: waits_for, _WAITING: key}
        if self.parent:
            self._try("mark the run as waiting", lambda: self._set_tags(self.parent, tags))

    def start_stage(self, stage: str, cache_key: str) -> str:
        """Start a child run. Returns its id, empty where MLflow fails."""
        tags = {"mlflow.parentRunId": self.parent, "stage": stage, "cache_key": cache_key}
        return self._try(f"start {stage}", lambda: self._create(stage, tags)) or ""

    def live_metrics(self, run_id: str, metrics: Path) -> MetricsFeed:
        """Context in which the lines of a stage's metrics.jsonl reach MLflow as they come."""

        def send(lines: list[dict[str, Any]]) -> None:
            if run_id:
                self._try("log metrics", lambda: self._log_metrics(run_id, lines))

        return MetricsFeed(metrics, send)

    def end_stage(self, run_id: str, status: str) -> None:
        """End a child run that did not finish: FAILED or KILLED."""
        if run_id:
            self._try("end a stage", lambda: self._client.set_terminated(run_id, status))

    def finish_stage(self, run_id: str, made: Path) -> None:
        """Log all that a finished stage left in `made` but its metrics, and end its child run."""
        if run_id:
            self._try("log a stage", lambda: self._log_made(run_id, made))

    def ensure_stage(self, stage: str, cache_key: str, made: Path) -> str:
        """Id of the run that produced `made`, logged again where MLflow has it no more.

        Returns:
            The run's id; empty where MLflow fails or `made` is gone.
        """
        if not made.is_dir():
            return ""
        known = self._try("look up a run", lambda: self._known_run(made))
        if known is None or known:
            return known or ""
        run_id = self.start_stage(stage, cache_key)
        if run_id:
            lines, _ = read_metrics(made / "metrics.jsonl")
            self._try("log metrics", lambda: self._log_metrics(run_id, lines))
            self.finish_stage(run_id, made)
        return run_id

    def link_stage(
        self, stage: str, state: str, run_id: str, sha256: str, summary: Mapping[str, JSON]
    ) -> None:
        """Put a stage's summary and the run that produced it on the parent, cached or not."""
        if not self.parent:
            return
        link = json.dumps({"state": state, "run_id": run_id, "sha256": sha256})
        # The time decides which value counts where a run that waited links a stage again.
        numbers = [_summary_line(stage, summary) | {"time_ms": time.time_ns() // 1_000_000}]
        self._try(
            f"link {stage}", lambda: self._client.set_tag(self.parent, f"stage.{stage}", link)
        )
        self._try(f"link {stage}", lambda: self._log_metrics(self.parent, numbers))

    def _try(self, what: str, call: Callable[[], T]) -> T | None:
        """Do `call`; warn once and go on without MLflow where it raises."""
        if self._broken:
            return None
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - tracking must not fail a stage, whatever it is
            logger.warning("MLflow: cannot %s: %s", what, error)
            self._broken = self._client is None
            return None

    def _connect(self) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        # Alembic announces each of MLflow's migrations when the file is new.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking.client import MlflowClient

        client = MlflowClient(tracking_uri(self._var))
        self._experiment = open_experiment(client, self._var)
        self._client = client

    def _sweep(self, key: str, waiting_batches: Collection[str]) -> str:
        """Close our open runs but those that wait. Returns that which waits under `key`, or ""."""
        mine = f"tags.`rlhf.owner` = '{self._owner}' and attributes.status = 'RUNNING'"
        ours = ""
        for run in self._client.search_runs([self._experiment], mine):
            waits = run.data.tags.get(_WAITING)
            if waits and waits == key and not ours:
                ours = str(run.info.run_id)
            elif not waits or run.data.tags.get(_BATCH_ID) not in waiting_batches:
                why = "its batch is finished or gone" if waits else "its process was killed"
                self._client.set_tag(run.info.run_id, "rlhf.swept", why)
                self._client.set_terminated(run.info.run_id, "KILLED")
        return ours

    def _reopen(self, run_id: str, tags: Mapping[str, str]) -> None:
        # From here on a death of this process leaves a run like any other.
        self._client.delete_tag(run_id, _WAITING)
        self._client.delete_tag(run_id, _WAITS_FOR)
        self._set_tags(run_id, tags)

    def _set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._client.set_tag(run_id, name, value)

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(
            self._experiment, run_name=name, tags={"rlhf.owner": self._owner, **tags}
        )
        return str(run.info.run_id)

    def _known_run(self, made: Path) -> str:
        """The run named beside `made` if MLflow holds all of it, else an empty string."""
        from mlflow.exceptions import MlflowException

        if not (made / RUN_FILE).is_file():
            return ""
        run_id = str(json.loads((made / RUN_FILE).read_text(encoding="utf-8"))["run_id"])
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return ""
        whole = run.info.lifecycle_stage == "active" and run.data.tags.get(_LOGGED) == "whole"
        return run_id if whole else ""

    def _log_params(self, run_id: str, params: Mapping[str, JSON]) -> None:
        from mlflow.entities import Param

        entries = [Param(k, _short(v)) for k, v in params.items()]
        for chunk in _chunks(entries, _BATCH["params"]):
            self._client.log_batch(run_id, params=chunk)

    def _log_metrics(self, run_id: str, lines: Sequence[Mapping[str, Any]]) -> None:
        from mlflow.entities import Metric

        entries = [
            Metric(name, value, line["time_ms"], line["step"])
            for line in lines
            for name, value in line["values"].items()
            if value is not None
        ]
        for chunk in _chunks(entries, _BATCH["metrics"]):
            self._client.log_batch(run_id, metrics=chunk)

    def _log_made(self, run_id: str, made: Path) -> None:
        record = _read(made / "made.json")
        self._log_params(run_id, record["params"])
        self._log_metrics(run_id, [_summary_line("", _read(made / "summary.json"))])
        self._log_datasets(run_id, made, record["payload"])
        for table in sorted((made / "tables").glob("*.json")):
            self._log_table(run_id, table)
        if (made / "plots").is_dir():
            self._client.log_artifacts(run_id, str(made / "plots"), "plots")
        self._client.log_artifact(run_id, str(made / "made.json"))
        self._client.log_artifact(run_id, str(made / "summary.json"))
        payload = (self._var / record["payload"]).as_uri()
        tags = {
            "sha256": record["sha256"],
            "payload": payload,
            "rows": json.dumps(record["rows"]),
            "mlflow.note.content": f"Payload: [{record['payload']}]({payload})",
            _LOGGED: "whole",
        }
        self._set_tags(run_id, tags)
        self._client.set_terminated(run_id, "FINISHED")
        write_json(made / RUN_FILE, {"run_id": run_id})

    def _log_datasets(self, run_id: str, made: Path, payload: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        datasets = [
            DatasetInput(
                dataset=Dataset(
                    name=entry["name"],
                    # MLflow takes at most 36 characters; the whole hash stands in the tag.
                    digest=entry["digest"][:32],
                    source_type="local",
                    source=json.dumps({"uri": entry["name"], "stage_payload": payload}),
                    profile=json.dumps({"num_rows": entry["rows"]}),
                ),
                tags=[
                    InputTag("mlflow.data.context", entry["context"]),
                    InputTag("sha256", entry["digest"]),
                ],
            )
            for entry in _read(made / "datasets.json", default=[])
        ]
        if datasets:
            self._client.log_inputs(run_id, datasets=datasets)

    def _log_table(self, run_id: str, table: Path) -> None:
        rows = json.loads(table.read_text(encoding="utf-8"))
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {name: [_cell(row.get(name)) for row in rows] for name in names}
        if columns:
            self._client.log_table(run_id, columns, artifact_file=f"tables/{table.name}")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, JSON]:
    """Nested mappings as {dotted key: value}, for parameters."""
    flat: dict[str, JSON] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _summary_line(stage: str, summary: Mapping[str, JSON]) -> dict[str, Any]:
    """The numbers of a summary as one metrics line; text and truth values are not metrics."""
    prefix = f"{stage}/" if stage else ""
    numbers = {
        prefix + key: float(value)
        for key, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {"step": 0, "time_ms": 0, "values": numbers}


def _read(path: Path, default: Any = None) -> Any:
    if not path.is_file():
        return {} if default is None else default
    return json.loads(path.read_text(encoding="utf-8"))


def _short(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:_MAX_PARAM_CHARACTERS]


def _cell(value: JSON) -> JSON:
    """A table cell that MLflow's viewer shows: nested values as JSON text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _chunks(entries: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
