"""Training on rankings: batches, determinism, metrics."""

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.collate import join
from rlhf_core.guard import DivergedError
from rlhf_core.resume import run
from rlhf_core.reward import training as reward_training
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.losses import ranking_loss
from rlhf_core.reward.model import RewardModel, score
from rlhf_core.reward.training import (
    RankedPrompt,
    RewardTraining,
    batch_pairs,
    batch_scores,
    mean_pair_accuracy,
    score_prompts,
)
from tests.oracles.ranking_loops import loss_of_prompt
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    are_equal,
    tiny_reward_model,
    token_rows,
    weights_of,
)

TIERS = [[1, 2, 3], [2, 1], [1, 1, 2, 3], [1, 1]]


def ranked(seed: int, tiers: list[int]) -> RankedPrompt:
    """A random prompt whose responses have the given tiers."""
    pairs = [(i, j) for i in range(len(tiers)) for j in range(len(tiers)) if tiers[i] < tiers[j]]
    responses = [[*r, EOS] for r in token_rows(seed, [1 + i for i in range(len(tiers))])]
    weights = [1 / len(pairs) for _ in pairs]
    return RankedPrompt(token_rows(seed + 50, [2 + seed])[0], responses, pairs, weights)


PROMPTS = [ranked(seed, tiers) for seed, tiers in enumerate(TIERS)]
CONFIG = RewardConfig(num_epochs=2, batch_size=2, learning_rate=1e-2)


def train(seed: int) -> tuple[list[dict[str, float]], RewardModel]:
    model = tiny_reward_model()
    return list(run(RewardTraining(model, PROMPTS, CONFIG, pad_id=PAD, seed=seed))), model


@torch.no_grad()
def test_a_batch_of_prompts_is_the_mean_of_its_prompts() -> None:
    # Guards: pairs that point into another prompt's responses.
    model = tiny_reward_model(dtype=torch.float64)
    prompts = PROMPTS[:3]
    scores = batch_scores(model, prompts, PAD)
    pairs, weights = batch_pairs(prompts)
    expected = []
    for prompt, tiers in zip(prompts, TIERS, strict=False):
        own = score(model, join([prompt.prompt] * len(tiers), prompt.responses, PAD))
        expected.append(loss_of_prompt(own.tolist(), tiers))
    loss = ranking_loss(scores, pairs, weights.double(), len(prompts))
    assert float(loss) == pytest.approx(sum(expected) / 3, abs=1e-6)


def test_gradients_are_those_of_the_pairs_scored_apart() -> None:
    # Guards: sharing K forward passes among C(K, 2) terms changing the gradient.
    together, apart = (tiny_reward_model(dtype=torch.float64) for _ in range(2))
    prompt = PROMPTS[0]
    pairs, weights = batch_pairs([prompt])
    scores = batch_scores(together, [prompt], PAD)
    ranking_loss(scores, pairs, weights.double(), 1).backward()
    for (chosen, rejected), weight in zip(prompt.pairs, prompt.weights, strict=True):
        duo = [prompt.responses[chosen], prompt.responses[rejected]]
        own = score(apart, join([prompt.prompt] * 2, duo, PAD))
        one = torch.tensor([weight], dtype=torch.float64)
        ranking_loss(own, torch.tensor([(0, 1)]), one, 1).backward()
    for ours, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad, atol=1e-7, rtol=1e-6)


def test_training_repeats_with_the_seed_and_differs_with_another() -> None:
    # Guards: an order from a global generator.
    (first, one), (second, two), (third, three) = train(0), train(0), train(1)
    assert first == second
    assert are_equal(weights_of(one), weights_of(two))
    assert first != third
    assert not are_equal(weights_of(one), weights_of(three))


def test_epochs_visit_every_prompt_with_a_pair_once() -> None:
    # Guards: wholly tied prompts in the divisor, a lost last batch.
    metrics, model = train(0)
    assert [step["epoch"] for step in metrics] == [0.0, 0.0, 1.0, 1.0]
    assert metrics[-1]["reward/loss"] < metrics[0]["reward/loss"]
    assert not model.training


def test_epochs_are_shuffled_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guards: one order for all epochs.
    seen: list[int] = []

    def spy(model: RewardModel, prompts: list[RankedPrompt], pad_id: int) -> torch.Tensor:
        seen.extend(len(p.prompt) for p in prompts)
        return batch_scores(model, prompts, pad_id)

    monkeypatch.setattr(reward_training, "batch_scores", spy)
    prompts = [ranked(seed, [1, 2]) for seed in range(6)]
    config = RewardConfig(num_epochs=4, batch_size=3)
    list(run(RewardTraining(tiny_reward_model(), prompts, config, pad_id=PAD, seed=0)))
    epochs = [seen[start : start + 6] for start in range(0, 24, 6)]
    assert all(sorted(epoch) == list(range(2, 8)) for epoch in epochs)
    assert len({str(epoch) for epoch in epochs}) == 4


def test_nothing_to_train_on_is_an_error() -> None:
    # Guards: an untrained reward model that goes on to PPO.
    with pytest.raises(ValueError, match="no prompt has a strict pair"):
        RewardTraining(tiny_reward_model(), PROMPTS[3:], CONFIG, pad_id=PAD, seed=0)


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_scores_come_back_prompt_by_prompt(batch_size: int) -> None:
    # Guards: a flat list cut at the wrong places.
    model = tiny_reward_model(dtype=torch.float64)
    found = score_prompts(model, PROMPTS, batch_size=batch_size, pad_id=PAD)
    assert [len(scores) for scores in found] == [len(tiers) for tiers in TIERS]
    for prompt, scores in zip(PROMPTS, found, strict=True):
        batch = join([prompt.prompt] * len(scores), prompt.responses, PAD)
        expected = score(model, batch).detach()
        assert_close(torch.tensor(scores, dtype=torch.float64), expected, atol=1e-9, rtol=0)


def test_accuracy_averages_over_prompts_with_a_pair() -> None:
    # Guards: prompts with many pairs that outweigh the rest, wholly tied ones counted.
    scores = [[3.0, 2.0, 1.0], [2.0, 1.0], [1.0, 0.0, 1.0, 2.0], [5.0, 4.0]]
    # Of the third prompt's 5 pairs (0,2) is equal, (0,3), (1,2), (1,3) and (2,3) are wrong.
    assert mean_pair_accuracy(PROMPTS, scores) == pytest.approx((1 + 0 + 0.5 / 5) / 3)


def validated(learning_rate: float, validation: list[RankedPrompt]) -> RewardTraining:
    config = RewardConfig(num_epochs=4, batch_size=2, learning_rate=learning_rate)
    return RewardTraining(
        tiny_reward_model(), PROMPTS, config, validation=validation, pad_id=PAD, seed=0
    )


def reversed_pairs(prompt: RankedPrompt) -> RankedPrompt:
    return prompt._replace(pairs=[(rejected, chosen) for chosen, rejected in prompt.pairs])


@pytest.mark.parametrize("is_reversed", [False, True])
def test_best_epoch_is_the_first_of_the_highest_accuracy(is_reversed: bool) -> None:
    # Guards: the last epoch kept, the worst one, a copy that goes on learning.
    validation = [reversed_pairs(p) for p in PROMPTS[:3]] if is_reversed else PROMPTS
    training = validated(3e-3, validation)
    ends: list[tuple[float, dict[str, torch.Tensor]]] = []
    for _ in range(training.num_steps):
        metrics = training.advance()
        if training.step % training.steps_per_epoch == 0:
            scores = score_prompts(training.model, validation, batch_size=9, pad_id=PAD)
            usable = [(p, s) for p, s in zip(validation, scores, strict=True) if p.pairs]
            accuracy = mean_pair_accuracy([p for p, _ in usable], [s for _, s in usable])
            assert metrics["reward/validation_accuracy"] == pytest.approx(accuracy)
            ends.append((accuracy, weights_of(training.model)))
        else:
            assert "reward/validation_accuracy" not in metrics
    accuracies = [accuracy for accuracy, _ in ends]
    best = accuracies.index(max(accuracies))
    assert len(set(accuracies)) > 1
    assert (best == 0) == is_reversed  # what learns the opposite is best at first
    assert training.best.epoch == best + 1
    assert training.best.accuracy == pytest.approx(accuracies[best])
    assert are_equal(training.best.weights, ends[best][1])
    assert are_equal(weights_of(training.model), ends[-1][1])


def test_without_validation_the_last_epoch_is_kept() -> None:
    # Guards: untrained weights returned where nobody validates.
    for validation in ([], PROMPTS[3:]):
        training = validated(1e-2, validation)
        list(run(training))
        assert (training.best.epoch, training.best.accuracy) == (4, None)
        assert are_equal(training.best.weights, weights_of(training.model))


def test_wholly_tied_prompts_are_neither_learnt_nor_counted() -> None:
    # Guards: a divisor that counts them; a batch without a pair.
    with_tied, without = (tiny_reward_model() for _ in range(2))
    for model, prompts in ((with_tied, [*PROMPTS, PROMPTS[3]]), (without, PROMPTS[:3])):
        list(run(RewardTraining(model, prompts, CONFIG, pad_id=PAD, seed=0)))
    assert are_equal(weights_of(with_tied), weights_of(without))


def test_pair_weights_reach_the_loss() -> None:
    # Guards: a ranking of ten people that counts as one of one.
    light, heavy = (
        [p._replace(weights=[factor * w for w in p.weights]) for p in PROMPTS[:3]]
        for factor in (1.0, 3.0)
    )
    losses = [
        RewardTraining(tiny_reward_model(), prompts, CONFIG, pad_id=PAD, seed=0).advance()
        for prompts in (light, heavy)
    ]
    assert losses[1]["reward/loss"] == pytest.approx(3 * losses[0]["reward/loss"], rel=1e-6)
    assert losses[1]["reward/accuracy"] == losses[0]["reward/accuracy"]


def test_a_model_that_explodes_is_not_learnt_further() -> None:
    # Guards: a reward model of NaN that goes on to PPO.
    training = validated(1e-2, [])
    with torch.no_grad():
        training.model.head.weight.fill_(torch.inf)
    backbone = weights_of(training.model.backbone)
    with pytest.raises(DivergedError, match="not finite"):
        list(run(training))
    assert training.guard.skipped == 4
    assert are_equal(weights_of(training.model.backbone), backbone)
