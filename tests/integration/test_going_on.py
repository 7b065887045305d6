"""Stages killed in the middle of a real run: the next run goes on where they were."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.run_records import finished_runs
from rlhf_core.resume import Checkpoints

RLHF = Path(sys.executable).with_name("rlhf")
# {stage: step whose checkpoint has to be there when it is killed}
KILLED_AFTER = {"sft": 50, "train_reward_model": 10, "train_policy": 10}
RUN = [
    *(RLHF, "run", "--config", "smoke", "--until", "train_policy"),
    *("--set", "sft.num_steps=150", "--set", "ppo.num_iterations=30"),
    *("--set", "reward.num_epochs=30", "--set", "reward.batch_size=2"),
]
SECONDS = 300.0
MARK = "test/before_the_kill"

pytestmark = pytest.mark.server


def start(var: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "RLHF_VAR": str(var)}
    environment.pop("PREFECT_API_URL", None)
    return subprocess.Popen(
        RUN,
        env=environment,
        cwd=var.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(run: "subprocess.Popen[str]") -> None:
    text, _ = run.communicate(timeout=SECONDS)
    assert run.returncode == 0, text


def newest(var: Path, stage: str) -> Path | None:
    """The newest checkpoint of a stage."""
    found = var.glob(f"checkpoints/{stage}-*/**/step-*.safetensors")
    return max(found, key=lambda path: path.name, default=None)


def step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.split("-")[1]) if checkpoint else -1


def kill_in(var: Path, stage: str) -> None:
    """Start the run and kill it as soon as `stage` has gone a part of its way."""
    run, end = start(var), time.monotonic() + SECONDS
    while step_of(newest(var, stage)) < KILLED_AFTER[stage]:
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    checkpoint = newest(var, stage)
    assert checkpoint is not None, "the stage was killed too late"
    mark(checkpoint)


def mark(checkpoint: Path) -> None:
    """Add a metric to the first step that a checkpoint remembers: a run that begins again has none.

    Nothing else of it changes.
    """
    checkpoints = Checkpoints(checkpoint.parent)
    found = checkpoints.load()
    assert found is not None
    state, history = found
    history[0][MARK] = 1.0
    training: Any = SimpleNamespace(step=step_of(checkpoint), state=lambda: state)
    checkpoints.save(training, history)


@pytest.fixture(scope="module")
def whole_and_killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The var/ of a run that was never stopped, and of one that was killed in three stages."""
    whole, killed = (tmp_path_factory.mktemp(name) / "var" for name in ("whole", "killed"))
    undisturbed = start(whole)
    for stage in KILLED_AFTER:
        kill_in(killed, stage)
    finish(start(killed))
    finish(undisturbed)
    return whole, killed


def metrics(var: Path, stage: str) -> list[dict[str, Any]]:
    (path,) = var.glob(f"artifacts/{stage}/*.made/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_artifact_is_that_of_the_undisturbed_run(
    whole_and_killed: tuple[Path, Path],
) -> None:
    # Guards: a model that depends on when the machine was switched off.
    expected, found = (
        {row["stage"]: row["sha256"] for row in finished_runs(var)[-1].stages}
        for var in whole_and_killed
    )
    assert KILLED_AFTER.keys() <= expected.keys()
    assert found == expected


@pytest.mark.parametrize("stage", KILLED_AFTER)
def test_the_stage_went_on_and_logged_each_step_once(
    whole_and_killed: tuple[Path, Path], stage: str
) -> None:
    # Guards: a stage that begins again behind a resumed progress bar; curves with a step twice.
    expected, found = (metrics(var, stage) for var in whole_and_killed)
    assert found[0]["values"].pop(MARK) == 1.0
    assert [line["step"] for line in found] == list(range(len(expected)))
    assert [line["values"] for line in found] == [line["values"] for line in expected]


@pytest.mark.parametrize("stage", KILLED_AFTER)
def test_mlflow_has_each_step_once(whole_and_killed: tuple[Path, Path], stage: str) -> None:
    # Guards: the steps of the killed attempt and of the one that went on in one curve.
    from mlflow.tracking.client import MlflowClient

    client = MlflowClient(f"sqlite:///{whole_and_killed[1] / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.stage = '{stage}'")
    assert Counter(run.info.status for run in runs) == {"FINISHED": 1, "KILLED": 1}
    (run,) = [run for run in runs if run.info.status == "FINISHED"]
    history = client.get_metric_history(run.info.run_id, "guard/skipped")
    steps = len(metrics(whole_and_killed[0], stage))
    assert sorted(point.step for point in history) == list(range(steps))


def test_no_checkpoint_stays_behind(whole_and_killed: tuple[Path, Path]) -> None:
    # Guards: a disk that fills with what nobody needs.
    for var in whole_and_killed:
        assert list((var / "checkpoints").iterdir()) == []
