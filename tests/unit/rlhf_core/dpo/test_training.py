"""DPO on ranked prompts: what a batch is, what stays constant, and resuming."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.dpo.config import DPOConfig
from rlhf_core.dpo.losses import dpo_loss, implicit_rewards
from rlhf_core.dpo.training import DPOTraining, dialogues_of, sequence_logprobs
from rlhf_core.resume import Checkpoints, TrainingState, run
from rlhf_core.reward.training import RankedPrompt, batch_pairs
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    are_equal,
    constant_policy,
    shaken,
    tiny_policy,
    token_rows,
    weights_of,
)


def ranked(seed: int, tiers: list[int]) -> RankedPrompt:
    """A random prompt whose responses have the given tiers."""
    pairs = [(i, j) for i in range(len(tiers)) for j in range(len(tiers)) if tiers[i] < tiers[j]]
    responses = [[*r, EOS] for r in token_rows(seed, [1 + i for i in range(len(tiers))])]
    weights = [1 / len(pairs) for _ in pairs]
    return RankedPrompt(token_rows(seed + 50, [2 + seed])[0], responses, pairs, weights)


PROMPTS = [ranked(i, tiers) for i, tiers in enumerate([[1, 2, 3], [2, 1], [1, 1], [1, 1, 2, 3]])]


def small(**fields: Any) -> DPOConfig:
    return DPOConfig(**{"num_epochs": 3, "batch_size": 2, "learning_rate": 1e-2, **fields})


def training_of(config: DPOConfig, *, policy_seed: int = 0, seed: int = 0) -> DPOTraining:
    return DPOTraining(tiny_policy(policy_seed), PROMPTS, config, pad_id=PAD, seed=seed)


def test_two_pairs_by_hand() -> None:
    # Guards: PAD in the denominator, EOS left out of the sum, means for sums, a moved reference.
    prompt = RankedPrompt([2], [[2, EOS], [3, 3, EOS], [EOS]], [(0, 1), (0, 2)], [0.5, 0.5])
    policy = constant_policy([5.0, 0.0, 0.0, 0.0])
    training = DPOTraining(policy, [prompt], small(beta=0.5), pad_id=PAD, seed=0)
    now = [9.0, math.log(2.0), math.log(5.0), 0.0]  # EOS 2/8, token 2 5/8, token 3 1/8
    policy.load_state_dict(constant_policy(now).state_dict())
    ratios = [math.log(3 * share) for share in (2 / 8, 5 / 8, 1 / 8)]  # the reference gives 1/3
    eos, two, three = ratios
    margins = [0.5 * (two + eos - (2 * three + eos)), 0.5 * (two + eos - eos)]
    expected = sum(0.5 * math.log1p(math.exp(-margin)) for margin in margins)
    metrics = training.advance()
    assert metrics["dpo/loss"] == pytest.approx(expected, abs=1e-6)
    assert metrics["dpo/margin"] == pytest.approx(sum(margins) / 2, abs=1e-6)
    assert metrics["dpo/chosen_reward"] == pytest.approx(0.5 * (two + eos), abs=1e-6)
    assert metrics["dpo/accuracy"] == 1.0


def test_the_first_step_is_taken_at_the_reference() -> None:
    # Guards: reference log-probs of other responses than those of the batch.
    for epoch_of_one in range(3):
        metrics = training_of(small(num_epochs=1, batch_size=3), seed=epoch_of_one).advance()
        assert metrics["dpo/loss"] == pytest.approx(math.log(2), abs=1e-6)
        assert metrics["dpo/margin"] == pytest.approx(0, abs=1e-6)
        assert metrics["dpo/accuracy"] == pytest.approx(0.5, abs=0.5)


def test_the_reference_stays_when_the_policy_moves() -> None:
    # Guards: a reference that is asked again, or of which a tensor is shared with the policy.
    training = training_of(small())
    before = [x.clone() for x in training.ref_logprobs]
    for _ in range(3):
        training.advance()
    assert all(map(torch.equal, before, training.ref_logprobs))
    prompts = [p for p in PROMPTS if p.pairs]
    expected = sequence_logprobs(tiny_policy(), dialogues_of(prompts, PAD), PAD)
    assert_close(torch.cat(before), expected.detach(), atol=1e-5, rtol=0)


def test_gradients_are_those_of_the_pairs_taken_apart() -> None:
    # Guards: sharing K log-probs among C(K, 2) terms changing the gradient.
    together, apart = (shaken(tiny_policy(dtype=torch.float64), 7, 0.1) for _ in range(2))
    reference = tiny_policy(dtype=torch.float64)
    prompt = PROMPTS[3]

    def add_gradient(policy: Any, part: RankedPrompt) -> None:
        batch = dialogues_of([part], PAD)
        with torch.no_grad():
            theirs = sequence_logprobs(reference, batch, PAD)
        rewards = implicit_rewards(sequence_logprobs(policy, batch, PAD), theirs, 0.5)
        pairs, weights = batch_pairs([part])
        dpo_loss(rewards, pairs, weights.double(), 1, label_smoothing=0.1).backward()

    add_gradient(together, prompt)
    for (chosen, rejected), weight in zip(prompt.pairs, prompt.weights, strict=True):
        duo = [prompt.responses[chosen], prompt.responses[rejected]]
        add_gradient(apart, RankedPrompt(prompt.prompt, duo, [(0, 1)], [weight]))
    for ours, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad, atol=1e-7, rtol=1e-6)


def test_epochs_visit_every_prompt_with_a_pair_once_and_the_loss_falls() -> None:
    # Guards: wholly tied prompts in the batches, a lost last batch.
    metrics = list(run(training_of(small(num_epochs=6))))
    assert [step["epoch"] for step in metrics] == [e for e in map(float, range(6)) for _ in "ab"]
    assert metrics[-1]["dpo/loss"] < 0.8 * metrics[0]["dpo/loss"]


def test_nothing_to_train_on_is_an_error() -> None:
    # Guards: an SFT policy that is reported as the DPO policy.
    with pytest.raises(ValueError, match="no prompt has a strict pair"):
        DPOTraining(tiny_policy(), PROMPTS[2:3], small(), pad_id=PAD, seed=0)


def finish(training: DPOTraining) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    return list(run(training)), weights_of(training.policy)


@pytest.mark.parametrize("stop", range(1, 6))
def test_stopped_at_any_step_and_resumed_is_the_same_to_the_bit(tmp_path: Path, stop: int) -> None:
    # Guards: state that is left out of the checkpoint. The new process begins with another policy.
    expected, weights = finish(training_of(small()))
    checkpoints = Checkpoints(tmp_path, every=1)
    steps = run(training_of(small()), checkpoints)
    for _ in range(stop):
        next(steps)
    resumed = training_of(small(), policy_seed=1)
    assert list(run(resumed, checkpoints)) == expected
    assert are_equal(weights_of(resumed.policy), weights)


@pytest.mark.parametrize("left_out", ["policy/", "optimizer/", "reference", "step"])
def test_each_item_of_the_state_is_needed(left_out: str) -> None:
    # Guards: a resume test that passes whatever the state holds.
    expected, weights = finish(training_of(small()))
    first = training_of(small())
    for _ in range(3):
        first.advance()
    fresh = training_of(small(), policy_seed=1)
    state, start = first.state(), fresh.state()
    tensors = {
        k: start.tensors.get(k, v) if k.startswith(left_out) else v
        for k, v in state.tensors.items()
    }
    if left_out == "optimizer/":
        tensors = {k: v for k, v in state.tensors.items() if not k.startswith(left_out)}
    numbers = {k: start.numbers[k] if k == left_out else v for k, v in state.numbers.items()}
    fresh.restore(TrainingState(tensors, numbers))
    rest = list(run(fresh))
    assert rest != expected[3:] or not are_equal(weights_of(fresh.policy), weights)
