"""A stage as a Prefect task: cached by content, retried where a failure is transient, healed.

Prefect keeps only a JSON record for each cache key (no pickle); the store keeps the artifact. A
hit whose artifact is missing or damaged is said and made again.
"""

import errno
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from prefect import Task, task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from tasks.artifacts import ArtifactDamagedError, ArtifactError
from tasks.produce import Workshop, holds_outside, produce
from tasks.stage import Order, StageRecord

logger = logging.getLogger(__name__)

_TRANSIENT_ERRNOS = frozenset({errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT})
RETRY_DELAYS_SECONDS = (1.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one stage went in one run.

    Attributes:
        record: What the stage left.
        state: "made", "cached" or "rebuilt" (a hit whose artifact was unusable).
    """

    record: StageRecord
    state: str


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: some I/O errors. A store that is held was waited for."""
    return isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNOS


def run_stage(
    order: Order, shop: Workshop, upstream: Mapping[str, dict[str, Any]], *, refresh: bool = False
) -> Outcome:
    """Run one stage as a task of the current flow, or take it from the cache.

    Args:
        order: What to make.
        shop: Where to make it.
        upstream: The records of the stages it reads: they draw Prefect's dependency graph.
        refresh: Make it even when it is cached.

    Raises:
        Exception: Whatever the body raised, after the retries.
    """
    stage_task = _as_task(order, shop, refresh=refresh)
    state = _call(stage_task, upstream, order)
    record = StageRecord(**_result(state))
    if state.name != "Cached":
        outcome = Outcome(record=record, state="made")
    elif _is_usable(order, record, shop):
        outcome = Outcome(record=record, state="cached")
    else:
        again = _as_task(order, shop, refresh=True)
        rebuilt = StageRecord(**_result(_call(again, upstream, order)))
        outcome = Outcome(record=rebuilt, state="rebuilt")
    return _link(outcome, shop)


def _as_task(order: Order, shop: Workshop, *, refresh: bool) -> Task[..., Any]:
    @task(
        name=order.stage.name,
        description=order.stage.about,
        cache_policy=CacheKeyFnPolicy(cache_key_fn=_given_key),
        refresh_cache=refresh,
        persist_result=True,
        result_serializer="json",
        result_storage=shop.var / "prefect-results",
        retries=len(RETRY_DELAYS_SECONDS),
        retry_delay_seconds=list(RETRY_DELAYS_SECONDS),
        retry_condition_fn=_should_retry,
    )
    def execute(inputs: dict[str, Any], key: str) -> dict[str, Any]:  # noqa: ARG001 - for Prefect
        return produce(order, shop, refresh=refresh).as_json()

    return execute


def _call(stage_task: Task[..., Any], upstream: object, order: Order) -> State[Any]:
    # Prefect's stubs take every call of a task for an asynchronous one.
    state: Any = stage_task(upstream, order.key.hex, return_state=True)
    return cast("State[Any]", state)


def _result(state: State[Any]) -> dict[str, Any]:
    result: Any = state.result()
    return cast("dict[str, Any]", result)


def _given_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    return str(parameters["key"])


def _should_retry(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


def _is_usable(order: Order, record: StageRecord, shop: Workshop) -> bool:
    """Whether all that a cache hit left is still there; a damaged artifact is moved aside."""
    try:
        shop.store.load(record.ref)
    except ArtifactError as error:
        logger.warning("%s; making it again", error)
        if isinstance(error, ArtifactDamagedError):
            shop.store.set_aside(record.ref)
        return False
    if not holds_outside(order, record, shop.var):
        logger.warning("what %s left outside its artifact changed; making it again", record.kind)
        return False
    return True


def _link(outcome: Outcome, shop: Workshop) -> Outcome:
    """Show the stage on the parent run, logging its child again where MLflow has lost it."""
    record = outcome.record
    run_id = record.mlflow_run_id
    if outcome.state == "cached":
        made = shop.store.made_path(record.ref, record.cache_key)
        run_id = shop.tracker.ensure_stage(record.kind, record.cache_key, made) or run_id
    shop.tracker.link_stage(record.kind, outcome.state, run_id, record.sha256, record.summary)
    return outcome
