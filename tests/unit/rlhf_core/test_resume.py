"""Stopped at any step and resumed elsewhere: equal to the bit. And nothing of the state is idle."""

import copy
import json
import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rlhf_core.guard import DivergedError
from rlhf_core.resume import Checkpoints, Metrics, TrainingState, run
from tests.architecture.sources import ROOT
from tests.unit.rlhf_core.builders import are_equal
from tests.unit.rlhf_core.resumable import NUM_STEPS, TRAININGS, learner, poisoned
from tests.unit.rlhf_core.resume_driver import CASES, NUM_KILLS

# Every name in a state belongs to one of these.
ITEMS = {
    "language": [
        *("model/.*", "optimizer/.*/exp_avg", "optimizer/.*/exp_avg_sq", "optimizer/.*/step"),
        *("step", "in_a_row", "skipped", "rollbacks"),
    ],
    "reward": [
        *("model/.*", "optimizer/.*/exp_avg", "optimizer/.*/exp_avg_sq", "optimizer/.*/step"),
        *("best/.*", "best_epoch", "best_accuracy"),
        *("step", "in_a_row", "skipped", "rollbacks"),
    ],
    "ppo": [
        *("policy/.*", "critic/.*", "average/.*"),
        *(f"optimizer/policy/.*/{name}" for name in ("exp_avg", "exp_avg_sq", "step")),
        *(f"optimizer/critic/.*/{name}" for name in ("exp_avg", "exp_avg_sq", "step")),
        *("kl_coef", "moments/count", "moments/mean", "moments/squares"),
        *("step", "guard/in_a_row", "guard/skipped", "guard/rollbacks"),
    ],
}
STREAK = "in_a_row"  # Zero wherever a checkpoint is written; it has a test of its own.
CONTROLS = [(kind, item) for kind in ITEMS for item in ITEMS[kind] if not item.endswith(STREAK)]


def drive(folder: Path, what: str, names: list[str], hash_seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.rlhf_core.resume_driver", folder, what, *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    assert done.returncode == 0, done.stderr


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results and checkpoints of runs that were never stopped."""
    folder = tmp_path_factory.mktemp("resume")
    drive(folder, "whole", list(CASES), hash_seed=1)
    return folder


@pytest.fixture(scope="module")
def resumed(folder: Path) -> Path:
    drive(folder, "resumed", list(CASES), hash_seed=2)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_stopped_at_any_step_and_resumed_is_the_same_to_the_bit(resumed: Path, name: str) -> None:
    # Guards: state that is not kept, in a new process with other seeds that began with other
    # weights; a rollback that depends on where the run was stopped.
    expected = read(resumed / name / "whole.json")
    found = {int(p.stem[8:]): read(p) for p in (resumed / name).glob("resumed-*.json")}
    assert expected["steps"] == NUM_STEPS
    if CASES[name].every == 1:
        assert sorted(found) == list(range(1, NUM_STEPS + 1))
    else:
        assert len(found) >= NUM_STEPS // CASES[name].every
        assert 1 in [n for key, n in expected["numbers"].items() if key.endswith("rollbacks")]
    assert {step: it for step, it in found.items() if it != expected} == {}


def test_killed_at_random_moments_it_ends_the_same(folder: Path) -> None:
    # Guards: a checkpoint that a kill leaves half-written, a history with a step twice.
    drive(folder, "killed", list(TRAININGS), hash_seed=3)
    for name in TRAININGS:
        assert read(folder / name / "killed.json") == read(folder / name / "whole.json")
    assert sum(read(folder / name / "kills.json") for name in TRAININGS) > NUM_KILLS


class Uninterrupted(NamedTuple):
    """A run in the middle, after a step was skipped and a rollback, and how it ended."""

    state: TrainingState
    before: list[Metrics]
    after: list[Metrics]
    kept: Any


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Uninterrupted]:
    found = {}
    for kind, build in TRAININGS.items():
        bad = range(12, 14) if kind == "ppo" else range(12, 16)
        training = poisoned(build(0), {3, *bad})
        steps = run(training, Checkpoints(tmp_path_factory.mktemp(kind), every=5))
        before = list(islice(steps, 22))
        state = copy.deepcopy(training.state())
        found[kind] = Uninterrupted(state, before, list(steps), kept(training))
    return found


def kept(training: Any) -> Any:
    """What a stage keeps and says of a finished training."""
    weights = learner(training).state_dict()
    if hasattr(training, "best"):
        weights = training.best.weights
    if hasattr(training, "average"):
        weights = training.average
    said = [getattr(training, "best", None) and training.best[:2], training.guard]
    return copy.deepcopy((weights, said))


def goes_on(kind: str, state: TrainingState, expected: Uninterrupted) -> bool:
    """Whether a new training with `state` takes the same steps to the same end."""
    training = TRAININGS[kind](1)
    training.restore(copy.deepcopy(state))
    for metrics in expected.after:
        if training.step >= NUM_STEPS or training.advance() != metrics:
            return False
    weights, said = kept(training)
    return are_equal(weights, expected.kept[0]) and said == expected.kept[1]


def without(state: TrainingState, item: str, begun: TrainingState) -> TrainingState:
    """`state` with `item` as in a training that has just begun; moments begin at zero."""
    tensors = {
        name: begun.tensors.get(name, 0 * tensor) if re.fullmatch(item, name) else tensor
        for name, tensor in state.tensors.items()
    }
    numbers = {
        name: begun.numbers[name] if re.fullmatch(item, name) else number
        for name, number in state.numbers.items()
    }
    return TrainingState(tensors, numbers)


@pytest.mark.parametrize("kind", ITEMS)
def test_each_name_in_a_state_has_its_control(runs: dict[str, Uninterrupted], kind: str) -> None:
    # Guards: a new item that nobody has seen to matter.
    state = runs[kind].state
    for name in (*state.tensors, *state.numbers):
        assert sum(bool(re.fullmatch(item, name)) for item in ITEMS[kind]) == 1, name


@pytest.mark.parametrize("kind", ITEMS)
def test_with_its_whole_state_a_training_goes_on(runs: dict[str, Uninterrupted], kind: str) -> None:
    # Guards: controls that fail whatever is left out.
    assert goes_on(kind, runs[kind].state, runs[kind])


@pytest.mark.parametrize(("kind", "item"), CONTROLS)
def test_without_any_one_item_it_does_not(
    runs: dict[str, Uninterrupted], kind: str, item: str
) -> None:
    # Guards: a comparison that sees nothing; an item that is kept for nothing.
    state = without(runs[kind].state, item, TRAININGS[kind](1).state())
    assert not goes_on(kind, state, runs[kind])


@pytest.mark.parametrize("kind", ITEMS)
def test_a_row_of_skipped_steps_is_counted_on(kind: str) -> None:
    # Guards: a training that is stopped again and again and never gives up.
    bad, stop = ({1, 2}, 2) if kind == "ppo" else ({1, 2, 3, 4}, 4)
    training = poisoned(TRAININGS[kind](0), bad)
    for _ in range(stop):
        training.advance()
    item = next(item for item in ITEMS[kind] if item.endswith(STREAK))
    whole = training.state()
    for state, gives_up in (
        (whole, True),
        (without(whole, item, TRAININGS[kind](0).state()), False),
    ):
        resumed = poisoned(TRAININGS[kind](1), bad)
        resumed.restore(copy.deepcopy(state))
        try:
            resumed.advance()
        except DivergedError:
            assert gives_up
        else:
            assert not gives_up


def test_without_the_history_the_stream_of_metrics_is_another(
    runs: dict[str, Uninterrupted], tmp_path: Path
) -> None:
    # Guards: curves that begin where the run was resumed.
    expected = runs["language"]
    training = TRAININGS["language"](1)
    training.restore(copy.deepcopy(expected.state))
    checkpoints = Checkpoints(tmp_path, every=NUM_STEPS)
    for history, is_whole in (([], False), (expected.before, True)):
        checkpoints.save(training, history)
        steps = list(run(TRAININGS["language"](1), checkpoints))
        assert (steps == [*expected.before, *expected.after]) is is_whole
