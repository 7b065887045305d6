"""Numbers that are not finite: skipped, then rolled back and stepped past, then said to be lost."""

import copy
import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

import rlhf_core.language.training
from rlhf_core.guard import DivergedError
from rlhf_core.resume import Checkpoints, Metrics, run
from rlhf_core.reward.normalisation import Normalisation
from tests.unit.rlhf_core.builders import are_equal
from tests.unit.rlhf_core.resumable import NUM_STEPS, TRAININGS, digest, learner, poisoned
from tests.unit.rlhf_core.toy_training import Toy


def walked(toy: Toy, folder: Path, every: int) -> list[Metrics]:
    return list(run(toy, Checkpoints(folder, every)))


def test_three_in_a_row_are_skipped_and_no_more_is_done(tmp_path: Path) -> None:
    # Guards: a rollback for what a skip mends.
    toy = Toy({12, 13, 14, 20})
    metrics = walked(toy, tmp_path, every=5)
    assert toy.executed == list(range(NUM_STEPS))
    assert float(toy.weight[0]) == 26
    assert metrics[-1] == {"weight": 26.0, "guard/skipped": 4.0}
    assert not [step for step in metrics if "guard/rollbacks" in step]


def test_the_fourth_goes_back_to_the_checkpoint_and_past_them(tmp_path: Path) -> None:
    # Guards: going on with the weights that made the loss explode; the same batches again.
    toy = Toy({12, 13, 14, 15})
    metrics = walked(toy, tmp_path, every=5)
    assert toy.executed == list(range(NUM_STEPS))
    assert [step["weight"] for step in metrics[8:12]] == [9, 10, 11, 12]
    assert metrics[15] == {"guard/skipped": 4.0, "guard/rollbacks": 1.0}
    assert [step["weight"] for step in metrics[16:]] == list(range(11, 25))
    assert len(metrics) == NUM_STEPS
    assert (toy.guard.skipped, toy.guard.rollbacks) == (4, 1)


def test_weights_of_skipped_steps_are_nothing_to_go_back_to(tmp_path: Path) -> None:
    # Guards: a checkpoint of the very weights that explode, with the good one removed for it.
    toy = Toy({8, 9, 10, 11})
    walked(toy, tmp_path, every=5)
    assert float(toy.weight[0]) == 5 + NUM_STEPS - 12


@pytest.mark.parametrize("bad", [{12, 13, 14, 15, 16}, {12, 13, 14, 15, 17, 18, 19, 20}])
def test_a_second_time_before_the_next_checkpoint_is_the_end(tmp_path: Path, bad: set[int]) -> None:
    # Guards: a run that goes back and back to one checkpoint, learns nothing and reports success.
    toy = Toy(bad)
    with pytest.raises(DivergedError, match="lower the learning rate"):
        walked(toy, tmp_path, every=10)
    assert toy.executed[-1] == max(bad)


def test_a_second_time_after_the_next_checkpoint_goes_back_to_that(tmp_path: Path) -> None:
    # Guards: a long run that may fail once only.
    toy = Toy({12, 13, 14, 15, 22, 23, 24, 25})
    metrics = walked(toy, tmp_path, every=5)
    assert [step["guard/rollbacks"] for step in metrics if "guard/rollbacks" in step] == [1, 2]
    # Steps 0 to 9 and 16 to 19 are learnt, those after them undone; then 26 to 29.
    assert float(toy.weight[0]) == 10 + 4 + 4


@pytest.mark.parametrize("bad", [{26, 27, 28, 29}, {24, 25, 26, 27, 28}])
def test_a_run_does_not_end_on_a_rollback(tmp_path: Path, bad: set[int]) -> None:
    # Guards: a model as it was steps ago, or never trained, that is kept as the finished one.
    with pytest.raises(DivergedError, match="lower the learning rate"):
        walked(Toy(bad), tmp_path, every=10)


@pytest.mark.parametrize(("last", "weight"), [(4, 25), (6, 25), (29, None)])
def test_weights_that_are_not_finite_are_not_kept(
    last: int, weight: int | None, tmp_path: Path
) -> None:
    # Guards: a step from finite gradients to weights that are not, just before a checkpoint or as
    # the last of all, which no next step's loss would show.
    class Exploding(Toy):
        def advance(self) -> Metrics:
            metrics = super().advance()
            if self.executed[-1] == last:
                self.weight.fill_(torch.inf)
            return metrics

    toy = Exploding()
    if weight is None:
        with pytest.raises(DivergedError, match="weight is not finite after step 30; lower the"):
            walked(toy, tmp_path, every=5)
        with pytest.raises(DivergedError, match="weight is not finite"):
            list(run(Exploding()))
        return
    metrics = walked(toy, tmp_path, every=5)
    assert toy.executed == list(range(NUM_STEPS))
    assert len(metrics) == NUM_STEPS
    assert float(toy.weight[0]) == weight
    assert toy.guard.rollbacks == 1


def test_without_a_checkpoint_it_ends_at_once(tmp_path: Path) -> None:
    # Guards: a rollback to nowhere.
    toy = Toy(range(5, 9))
    with pytest.raises(DivergedError, match="4 steps in a row"):
        list(run(toy))
    assert toy.executed[-1] == 8
    steps = run(Toy(range(5, 9)), Checkpoints(tmp_path))
    list(islice(steps, 5))
    next(tmp_path.iterdir()).unlink()
    with pytest.raises(DivergedError, match=f"no checkpoint in {tmp_path}"):
        list(steps)


@pytest.mark.parametrize("stop", range(1, NUM_STEPS))
def test_stopped_anywhere_it_rolls_back_in_the_same_way(tmp_path: Path, stop: int) -> None:
    # Guards: a rollback that is forgotten, or done twice, because the process died after it.
    bad = {3, 12, 13, 14, 15, 21, 22, 23, 24}
    whole, resumed = Toy(bad), Toy(bad)
    expected = walked(whole, tmp_path / "whole", every=5)
    stopped = run(Toy(bad), Checkpoints(tmp_path / "stopped", every=5))
    list(islice(stopped, stop))
    stopped.close()
    assert walked(resumed, tmp_path / "stopped", every=5) == expected
    assert torch.equal(resumed.weight, whole.weight)
    assert resumed.guard == whole.guard


def poison_loss(kind: str, training: Any, patch: pytest.MonkeyPatch) -> None:
    """Make the loss itself NaN or infinite, by way of what the training reads."""
    if kind == "language":
        module = rlhf_core.language.training
        whole = module.language_loss
        patch.setattr(module, "language_loss", lambda *args: (whole(*args)[0] * math.inf, 1))
    elif kind == "reward":
        training.prompts = [p._replace(weights=[math.nan] * 3) for p in training.prompts]
    else:
        reference = training.actors.reference._replace(normalisation=Normalisation(math.nan, 0.0))
        training.actors = training.actors._replace(reference=reference)


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("kind", TRAININGS)
def test_a_skipped_step_changes_no_weight_moment_or_average(
    kind: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: NaN that reaches the weights, half of a step, an average that moves towards it.
    training = TRAININGS[kind](0)
    for _ in range(3):
        training.advance()
    before = digest(training.state().tensors)
    if what == "gradient":
        poisoned(training, {3})
    else:
        poison_loss(kind, training, monkeypatch)
    metrics = training.advance()
    assert digest(training.state().tensors) == before
    assert training.step == 4
    assert metrics["guard/skipped"] == (2 if kind == "ppo" else 1)
    assert not [name for name in metrics if "loss" in name or "grad_norm" in name]


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_poisoned_reward_or_batch_ends_in_one_plain_error(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: a loss that is never finite and a run that goes through all its steps.
    training = TRAININGS[kind](0)
    begun = copy.deepcopy(learner(training).state_dict())
    poison_loss(kind, training, monkeypatch)
    with pytest.raises(DivergedError, match="loss or gradient that is not finite; lower the"):
        list(run(training, Checkpoints(tmp_path)))
    assert training.step < 6
    assert are_equal(learner(training).state_dict(), begun)


@pytest.mark.parametrize("kind", TRAININGS)
def test_after_a_rollback_the_models_are_those_of_the_checkpoint(kind: str, tmp_path: Path) -> None:
    # Guards: moments, averages or running scales that stay behind when the weights go back.
    bad = {12, 13} if kind == "ppo" else {12, 13, 14, 15}
    training = poisoned(TRAININGS[kind](0), bad)
    steps = run(training, Checkpoints(tmp_path, every=10))
    list(islice(steps, 10))
    then = copy.deepcopy(training.state())
    list(islice(steps, max(bad) + 1 - 10))
    now = training.state()
    assert are_equal(now.tensors, then.tensors)
    moved = {n for n in now.numbers if now.numbers[n] != then.numbers[n]}
    assert {n.removeprefix("guard/") for n in moved} == {"step", "in_a_row", "skipped", "rollbacks"}
    assert training.step == max(bad) + 1
    assert json.dumps(next(steps))


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_learning_rate_out_of_all_bounds_is_no_success(kind: str, tmp_path: Path) -> None:
    # Guards: a run of finite first steps and rollbacks in turn that ends as finished; an error of
    # torch's where such a policy is sampled.
    training = TRAININGS[kind](0)
    optimizer = training.optimizers["policy"] if kind == "ppo" else training.optimizer
    for group in optimizer.param_groups:
        group["base"] = 1e30
    with pytest.raises(DivergedError, match="lower the learning rate"):
        list(run(training, Checkpoints(tmp_path)))
