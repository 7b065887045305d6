"""The MLflow model registry: one version for each payload, whatever is run again.

A version's identity is the sha256 of the stage's payload. Everything goes through MlflowClient
with explicit ids: MLflow's own "active run" and tracking URI are state of the process.

Omitted on purpose: promotion, which is a decision and not a consequence of a run.
"""

import json
import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

from tasks.artifacts import payload_identity
from tasks.served_model.folder import Kind, folder_sha256, save_folder
from tasks.tracking import RUN_FILE, open_experiment, tracking_uri

# By this tag MLflow's pages link a logged model to its versions.
_VERSIONS_TAG = "mlflow.modelVersions"

logger = logging.getLogger(__name__)


class Figure(NamedTuple):
    """One number of an evaluation.

    Attributes:
        value: The estimate.
        low: Lower end of its interval, None where it has none.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """For a version's tag, which people read side by side."""
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model to register.

    Attributes:
        name: Registered model that gets the version.
        kind: What the payload is.
        alias: What the version is called from now on.
        stage: Stage that made it.
        payload: The stage's payload directory.
        seed: Seed of the run.
        figures: {name: figure} of its evaluation.
    """

    name: str
    kind: Kind
    alias: str
    stage: str
    payload: Path
    seed: int
    figures: Mapping[str, Figure]

    @property
    def sha256(self) -> str:
        """Identity of the payload."""
        return payload_identity(self.payload)


class Registered(NamedTuple):
    """A version of a registered model.

    Attributes:
        version: Its number.
        is_new: Whether it was made just now.
    """

    version: str
    is_new: bool


class Registry:
    """The registry beside the tracking store of `var`."""

    def __init__(self, var: Path) -> None:
        from mlflow.tracking.client import MlflowClient

        uri = tracking_uri(var)
        self._client: Any = MlflowClient(uri, uri)
        self._experiment = open_experiment(self._client, var)

    def register(self, candidate: Candidate) -> Registered:
        """The version that holds the candidate's bytes, made where there is none that is whole.

        Its alias, tags and metrics become those of the candidate either way.
        """
        self._ensure_name(candidate.name)
        sha256 = candidate.sha256
        known = self._find(candidate.name, sha256)
        found = known or self._create(candidate, sha256)
        tags = _tags(candidate)
        changed = {k: v for k, v in tags.items() if known is None or known.tags.get(k) != v}
        if changed:
            # Before the tags, by which a rerun after a kill sees whether this was done.
            self._log_figures(found, candidate.figures)
            for key, value in changed.items():
                self._client.set_model_version_tag(candidate.name, found.version, key, value)
        self._client.set_registered_model_alias(candidate.name, candidate.alias, found.version)
        return Registered(str(found.version), known is None)

    def holds(self, name: str, version: str, alias: str) -> bool:
        """Whether a registered model has this version under this alias."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_model_version_by_alias(name, alias).version) == version
        except MlflowException:
            return False

    def _ensure_name(self, name: str) -> None:
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)

    def _find(self, name: str, sha256: str) -> Any:
        """The newest version with this payload whose files are those that were registered."""
        wanted = f"name = '{name}' and tags.sha256 = '{sha256}'"
        versions = self._client.search_model_versions(wanted)
        for version in sorted(versions, key=lambda v: int(v.version), reverse=True):
            if self._is_whole(version):
                return version
            logger.warning("%s/%s is damaged: registering it anew", name, version.version)
            self._client.set_model_version_tag(name, version.version, "damaged", "true")
        return None

    def _is_whole(self, version: Any) -> bool:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            with tempfile.TemporaryDirectory() as scratch:
                # Local files are hashed where they lie.
                target = None if urlparse(version.source).scheme in ("", "file") else scratch
                folder = download_artifacts(artifact_uri=version.source, dst_path=target)
                return folder_sha256(Path(folder)) == version.tags.get("files_sha256")
        except (MlflowException, OSError):
            return False

    def _create(self, candidate: Candidate, sha256: str) -> Any:
        run_id = self._source_run(candidate.payload)
        logged = self._client.create_logged_model(
            self._experiment,
            name=f"{candidate.kind}-{sha256[:12]}",
            source_run_id=run_id,
            model_type=candidate.kind,
            params={"stage": candidate.stage, "seed": str(candidate.seed)},
            tags={"sha256": sha256},
        )
        try:
            files_sha256 = self._upload(candidate, logged, run_id)
        except BaseException:
            self._client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        self._client.finalize_logged_model(logged.model_id, "READY")
        model_id = logged.model_id
        version = self._client.create_model_version(
            candidate.name,
            # A models:/ URI would be looked up in MLflow's global tracking store.
            source=logged.artifact_location,
            run_id=run_id,
            # SQL stores keep no model_id of their own.
            tags={"sha256": sha256, "files_sha256": files_sha256, "model_id": model_id},
            model_id=model_id,
            await_creation_for=0,
        )
        shown = [{"name": candidate.name, "version": version.version}]
        self._client.set_logged_model_tags(model_id, {_VERSIONS_TAG: json.dumps(shown)})
        return version

    def _upload(self, candidate: Candidate, logged: Any, run_id: str) -> str:
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        model = Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            run_id=run_id,
        )
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            save_folder(candidate.kind, candidate.payload, folder, model)
            self._client.log_model_artifacts(logged.model_id, str(folder))
            self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
            return folder_sha256(folder)

    def _source_run(self, payload: Path) -> str:
        """The run that trained the payload, else a run of our own."""
        made = payload.with_name(f"{payload.name}.made")
        notes = sorted(made.glob(f"*/{RUN_FILE}"), key=lambda path: path.stat().st_mtime)
        for note in reversed(notes):
            run_id = str(json.loads(note.read_text(encoding="utf-8"))["run_id"])
            if self._client.search_runs([self._experiment], f"attributes.run_id = '{run_id}'"):
                return run_id
        run = self._client.create_run(self._experiment, run_name="register")
        self._client.set_terminated(run.info.run_id, "FINISHED")
        return str(run.info.run_id)

    def _log_figures(self, version: Any, figures: Mapping[str, Figure]) -> None:
        """Log the figures as metrics of the logged model, where MLflow's charts find them."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [
            Metric(_key(name), figure.value, now, 0, model_id=version.tags["model_id"])
            for name, figure in figures.items()
        ]
        self._client.log_batch(version.run_id, metrics=metrics)


def _tags(candidate: Candidate) -> dict[str, str]:
    figures = {_key(name): str(figure) for name, figure in candidate.figures.items()}
    return {"stage": candidate.stage, "seed": str(candidate.seed), **figures}


def _key(figure: str) -> str:
    return f"evaluate/{figure}"
