"""Training on rankings: batches, determinism, metrics."""

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.collate import join
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.losses import ranking_loss
from rlhf_core.reward.model import RewardModel, score
from rlhf_core.reward.training import (
    RankedPrompt,
    batch_pairs,
    batch_scores,
    mean_pair_accuracy,
    score_prompts,
    train_reward_model,
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
    return list(train_reward_model(model, PROMPTS, CONFIG, pad_id=PAD, seed=seed)), model


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


def test_nothing_to_train_on_is_an_error() -> None:
    # Guards: an untrained reward model that goes on to PPO.
    with pytest.raises(ValueError, match="no prompt has a strict pair"):
        next(train_reward_model(tiny_reward_model(), PROMPTS[3:], CONFIG, pad_id=PAD, seed=0))


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
