"""The Prefect flows: the whole pipeline as cached tasks, and its rest once people have ranked.

They work the same under `rlhf run`, a worker or a notebook; the command line adds an API where
there is none and words the outcome.
"""

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

from data.inbox.batches import Progress
from flows.config import RunConfig, portable_json
from flows.environment import prepare_environment, var_directory
from flows.human_step import (
    COLLECT_STAGE,
    batches_for_people,
    finish_batch,
    is_unfinished,
    note_failure,
    ready_batches,
    untried_batches,
)
from flows.locks import run_lock
from flows.outcome import Span, StageFailedError
from flows.spine import repository_root, run_tracked
from flows.stages import pipeline_stages, stages_not_needed
from flows.user_files import check_user_files
from tasks.artifacts import ArtifactStore
from tasks.code_digest import SourceTree
from tasks.ledger import ledger_of
from tasks.produce import Workshop
from tasks.tracking import Tracker

FLOW_NAME, TRAIN_FLOW_NAME = "rlhf", "rlhf-train"


@flow(name=FLOW_NAME, flow_run_name="{config.name}", validate_parameters=True)
def rlhf(
    config: RunConfig = RunConfig(),  # noqa: B008 - frozen
    from_stage: str = "",
    until_stage: str = "",
) -> list[dict[str, Any]]:
    """Train a policy from human preferences: corpus, rankings, reward model, PPO, evaluation.

    Args:
        config: All that the run can be told.
        from_stage: Make this stage and those after it again, cached or not.
        until_stage: Stop after this stage.

    Returns:
        One object a stage: name, state, seconds, artifact, summary.
    """
    return _run(config, Span(first=from_stage, last=until_stage))


@flow(name=TRAIN_FLOW_NAME, validate_parameters=True)
def train(batch_id: str = "") -> list[dict[str, Any]]:
    """Go on with batches that people have ranked; ends at once where none is ready.

    Args:
        batch_id: Go on with this batch alone, also where that has failed before; empty for every
            ready batch whose rest has not failed since its last ranking.

    Returns:
        As `rlhf`, of one run after the other.
    """
    var = var_directory()
    prepare_environment(var)
    if not _to_train(var, batch_id):
        return []
    rows: list[dict[str, Any]] = []
    with run_lock(var, wait=runtime.deployment.id is not None):
        # Anew: while we waited another run may have finished or withdrawn what was ready. To run
        # it again would publish it again, and withdraw the batch in work.
        for progress in _to_train(var, batch_id):
            try:
                rows += _run(RunConfig.model_validate_json(progress.batch.config), Span())
            except StageFailedError as error:
                note_failure(var, progress, str(error))
                raise
    return rows


def _to_train(var: Path, batch_id: str) -> list[Progress]:
    """Ready batches: those whose rest has not failed, or the one that is named."""
    if not batch_id:
        return untried_batches(var)
    return [it for it in ready_batches(var) if it.batch.batch_id == batch_id]


def _run(config: RunConfig, span: Span) -> list[dict[str, Any]]:
    """The body of both flows."""
    var = var_directory()
    prepare_environment(var)
    stages = pipeline_stages()
    span.check(stages)
    check_user_files(config)
    flow_run_id = str(runtime.flow_run.id or uuid.uuid4())
    # Deployments share one var/: they wait for each other. A person is told who holds it.
    with run_lock(var, wait=runtime.deployment.id is not None):
        shop = Workshop(
            var=var,
            store=ArtifactStore(root=var / "artifacts"),
            tracker=Tracker(var),
            record_artifact=ledger_of(var, flow_run_id),
            run_config=portable_json(config),
        )
        unfinished = [it.batch.batch_id for it in batches_for_people(var) if is_unfinished(it)]
        rows = run_tracked(
            stages,
            config,
            shop,
            SourceTree(root=repository_root()),
            flow_run_id=flow_run_id,
            not_needed=stages_not_needed(config),
            span=span,
            waiting_batches=unfinished,
        )
        collected = next((row for row in rows if row.stage == COLLECT_STAGE), None)
        if collected and rows[-1].stage == stages[-1].name and not collected.waits_for:
            finish_batch(var, collected.summary)
    return [row.as_json() for row in rows]


def close_dead_runs(names: Iterable[str] = (FLOW_NAME,)) -> int:
    """Mark flow runs that killed processes left RUNNING as crashed; the caller holds the lock.

    Only for an API of our own: on a shared one they may run elsewhere.
    """
    running = FlowRunFilterStateType(any_=[StateType.RUNNING])
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=list(names))),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=running)),
        )
        for run in runs:
            state: Any = Crashed(message="The process of this run was killed.")
            client.set_flow_run_state(run.id, state, force=True)
    return len(runs)
