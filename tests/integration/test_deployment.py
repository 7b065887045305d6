"""`rlhf serve` and prefect.yaml: deployments on a real server and worker, and the human step."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from pydantic import BaseModel

from flows.api import free_port
from flows.config import RunConfig
from flows.environment import environment_defaults
from flows.human_step import TRAIN_DEPLOYMENT
from flows.locks import lock_holder
from flows.run_records import finished_runs
from flows.serve import NAMES, POOL
from flows.spine import repository_root
from flows.stages import pipeline_stages
from tests.integration.people import rank

SERVER_SECONDS, RUN_SECONDS, REPORT_SECONDS = 400.0, 400.0, 60.0
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]


def read_yaml() -> dict[str, Any]:
    text = (repository_root() / "prefect.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def unknown_keys(given: dict[str, Any], model: type[BaseModel]) -> set[str]:
    fields = model.model_fields
    return given.keys() - fields.keys() - {it.alias for it in fields.values() if it.alias}


def test_prefect_yaml_has_no_key_that_prefect_would_ignore() -> None:
    whole = read_yaml()
    assert unknown_keys(whole, PrefectYamlModel) == set()
    for deployment in whole["deployments"]:
        assert unknown_keys(deployment, DeploymentConfig) == set()
        assert unknown_keys(deployment["work_pool"], WorkPoolConfig) == set()
        assert unknown_keys(deployment["concurrency_limit"], ConcurrencyLimitSpec) == set()
        for schedule in deployment.get("schedules", []):
            RawScheduleConfig.model_validate(schedule)
        for trigger in deployment.get("triggers", []):
            assert unknown_keys(trigger, DeploymentEventTrigger) == set()
        if config := deployment["parameters"].get("config"):
            assert RunConfig.model_validate(config).name == config["base"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A served var/, and the environment that finds it."""

    url: str
    environment: dict[str, str]
    var: Path
    options: list[str]

    @property
    def log(self) -> Path:
        return self.var / "serve" / "worker.log"

    def rlhf(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=repository_root(),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SERVER_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def prefect(self, *arguments: str) -> str:
        done = subprocess.run(
            [*PREFECT, *arguments],
            cwd=repository_root(),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, question: Callable[[PrefectClient], Any]) -> Any:
        async def answer() -> Any:
            async with PrefectClient(self.url) as client:
                return await question(client)

        return asyncio.run(answer())

    def start(self, deployment: str, parameters: dict[str, Any] | None = None) -> Any:
        """Start a deployment by hand."""
        found = self.ask(lambda client: client.read_deployment_by_name(deployment))
        return self.ask(
            lambda client: client.create_flow_run_from_deployment(found.id, parameters=parameters)
        )

    def runs_of(self, flow: str) -> list[Any]:
        """Runs of a flow that have begun or ended."""
        named = FlowFilter(name=FlowFilterName(any_=[flow]))
        runs = self.ask(lambda client: client.read_flow_runs(flow_filter=named))
        return [run for run in runs if not run.state.is_scheduled()]

    def wait_for(self, run: Any) -> None:
        """Wait until a flow run has ended well."""

        def state() -> Any:
            return self.ask(lambda client: client.read_flow_run(run.id)).state

        wait_until(lambda: state().is_final(), RUN_SECONDS, self.log)
        text = self.log.read_text(encoding="utf-8", errors="replace")[-4000:]
        assert state().name == "Completed", text


def wait_until(is_done: Callable[[], bool], seconds: float, log: Path) -> None:
    end = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < end, log.read_text(encoding="utf-8", errors="replace")[-4000:]
        time.sleep(0.5)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All that `rlhf serve` starts, on free ports; `rlhf stop` ends it."""
    var = tmp_path_factory.mktemp("site") / "var"
    ports = {name: free_port() for name in ("prefect", "mlflow", "page")}
    own = {name: v for name, v in os.environ.items() if not name.startswith("PREFECT_")}
    site = Site(
        url=f"http://127.0.0.1:{ports['prefect']}/api",
        environment={
            **environment_defaults(var),
            **own,
            "PREFECT_API_URL": f"http://127.0.0.1:{ports['prefect']}/api",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "RLHF_VAR": str(var),
        },
        var=var,
        options=[it for name, port in ports.items() for it in (f"--{name}-port", str(port))],
    )
    try:
        site.rlhf("serve", *site.options)
        yield site
    finally:
        site.rlhf("stop")


@pytest.mark.server
def test_serve_leaves_alone_what_runs(site: Site) -> None:
    # Guards: a second server, worker or page on the same var/.
    known = {name: lock_holder(site.var / "serve" / f"{name}.lock") for name in NAMES}
    assert all(known.values())
    said = site.rlhf("serve", *site.options)
    assert {name: lock_holder(site.var / "serve" / f"{name}.lock") for name in NAMES} == known
    for holder in known.values():
        assert (holder or "").rpartition(" ")[2] in said
    status = json.loads(site.rlhf("status", "--json"))
    assert status["page"] == (known["page"] or "").rpartition(" ")[2]


@pytest.mark.server
def test_deployments_are_what_the_file_says(site: Site) -> None:
    nightly = site.ask(lambda client: client.read_deployment_by_name("rlhf/nightly"))
    smoke = site.ask(lambda client: client.read_deployment_by_name("rlhf/smoke"))
    collect = site.ask(lambda client: client.read_deployment_by_name("rlhf/collect"))
    train = site.ask(lambda client: client.read_deployment_by_name(TRAIN_DEPLOYMENT))
    assert [(it.schedule.cron, it.schedule.timezone, it.active) for it in nightly.schedules] == [
        ("0 2 * * *", "UTC", True)
    ]
    assert smoke.schedules == []
    assert [it.schedule.interval.total_seconds() for it in train.schedules] == [600.0]
    human = {"config": {"base": "human"}, "until_stage": "collect_rankings"}
    for deployment, parameters in (
        (nightly, {"config": {"base": "demo"}}),
        (smoke, {"config": {"base": "smoke"}}),
        (collect, human),
        (train, {}),
    ):
        assert deployment.parameters == parameters
        assert deployment.enforce_parameter_schema
        assert deployment.global_concurrency_limit.limit == 1
        assert deployment.concurrency_options.collision_strategy == "ENQUEUE"
        assert deployment.work_pool_name == POOL


@pytest.mark.server
def test_a_wrong_parameter_is_refused_before_anything_runs(site: Site) -> None:
    for config in ('{"seed": -1}', '{"sede": 1}', '{"ppo": {"learning_rat": 1.0}}'):
        with pytest.raises(AssertionError, match=r"(?i)validation|not valid|schema"):
            site.prefect("deployment", "run", "rlhf/smoke", "--param", f"config={config}")


@pytest.mark.server
def test_smoke_runs_through_the_worker_with_all_its_stages(site: Site) -> None:
    run = site.start("rlhf/smoke")

    def stages_done() -> list[str]:
        mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        task_runs = site.ask(lambda client: client.read_task_runs(flow_run_filter=mine))
        return [it.name.rpartition("-")[0] for it in task_runs if it.state_name == "Completed"]

    site.wait_for(run)
    # Task runs reach the API by way of its event queue, later than the flow's own state.
    expected = sorted(stage.name for stage in pipeline_stages())
    wait_until(lambda: sorted(stages_done()) == expected, REPORT_SECONDS, site.log)
    assert [run.name for run in finished_runs(site.var)] == ["smoke"]


@pytest.mark.server
def test_collect_ends_and_enough_rankings_start_train(site: Site) -> None:
    # Guards: a flow run that waits for people; an event that nobody hears; training twice.
    var = site.var
    before = len(finished_runs(var))
    people = {
        "base": "smoke",
        "name": "people",
        "rank": {"ranker": "human"},
        "annotate": {"wanted_rankings": 4, "gold_fraction": 0.0, "retest_fraction": 0.0},
    }
    site.wait_for(site.start("rlhf/collect", {"config": people, "until_stage": "collect_rankings"}))
    assert len(finished_runs(var)) == before
    # What the schedule starts ends at once where nothing is ready.
    site.wait_for(site.start(TRAIN_DEPLOYMENT))
    assert len(finished_runs(var)) == before
    rows = rank(var, "ada", 4)

    # The page of the site sees it and tells the server.
    def started_by_the_event() -> list[Any]:
        return [run for run in site.runs_of("rlhf-train") if run.parameters.get("batch_id")]

    wait_until(lambda: bool(started_by_the_event()), REPORT_SECONDS, site.log)
    (run,) = started_by_the_event()
    site.wait_for(run)
    assert len(finished_runs(var)) == before + 1
    newest = finished_runs(var)[-1]
    assert newest.name == "people"
    assert newest.summary_of("collect_rankings")["rankings_accepted"] == len(rows)
    assert newest.artifact_of("evaluate") is not None
    assert run.parameters == {"batch_id": newest.summary_of("collect_rankings")["batch_id"]}
