"""The ranking loss against loops, against the seed, and by its symmetries."""

import math
from itertools import combinations, permutations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.reward.losses import pair_accuracy, ranking_loss
from tests.oracles.ranking_loops import loss_function, loss_of_prompt
from tests.unit.rlhf_core.builders import random

SEED_ORDER = [3, 2, 0, 1]  # y4 > y3 > y1 > y2
SEED_PAIRS = [(3, 2), (3, 0), (3, 1), (2, 0), (2, 1), (0, 1)]
SIXTH = torch.full((6,), 1 / 6, dtype=torch.float64)


def pairs_of(tiers: list[int]) -> tuple[Tensor, Tensor]:
    """Strict pairs of a ranking and their weights, 1 / number of pairs."""
    pairs = [(i, j) for i in range(len(tiers)) for j in range(len(tiers)) if tiers[i] < tiers[j]]
    return torch.tensor(pairs), torch.full((len(pairs),), 1 / len(pairs), dtype=torch.float64)


def test_the_six_pairs_of_the_seed_give_its_loss_function() -> None:
    # Guards: a reversed pair, a sum for a mean.
    assert list(combinations(SEED_ORDER, 2)) == SEED_PAIRS
    scores = random(0, 4)
    pairs = torch.tensor(SEED_PAIRS)
    expected = loss_function(scores[pairs[:, 0]], scores[pairs[:, 1]])
    assert_close(ranking_loss(scores, pairs, SIXTH, 1), expected, atol=1e-12, rtol=0)


def test_the_ranking_of_the_seed_by_hand() -> None:
    # Guards: an oracle that shares our mistake: its six pairs written out, one logarithm each.
    y1, y2, y3, y4 = 0.3, -1.2, 0.9, 2.0
    margins = [y4 - y3, y4 - y1, y4 - y2, y3 - y1, y3 - y2, y1 - y2]
    assert margins == pytest.approx([1.1, 1.7, 3.2, 0.6, 2.1, 1.5])
    by_hand = -sum(math.log(1 / (1 + math.exp(-margin))) for margin in margins) / 6
    scores = torch.tensor([y1, y2, y3, y4], dtype=torch.float64)
    found = float(ranking_loss(scores, torch.tensor(SEED_PAIRS), SIXTH, 1))
    assert found == pytest.approx(by_hand, abs=1e-12)
    assert found == pytest.approx(0.208249, abs=1e-6)


@pytest.mark.parametrize("tiers", [[1, 2], [4, 3, 1, 2], [1, 1, 2, 3], [2, 1, 2, 2, 3, 1]])
def test_a_ranking_gives_the_mean_of_its_strict_pairs(tiers: list[int]) -> None:
    # Guards: tied pairs that are counted.
    scores = random(1, len(tiers))
    expected = loss_of_prompt(scores.tolist(), tiers)
    assert float(ranking_loss(scores, *pairs_of(tiers), 1)) == pytest.approx(expected, abs=1e-12)


def test_prompts_weigh_alike_whatever_their_number_of_responses() -> None:
    # Guards: a mean over pairs, with which K = 9 weighs 36 times K = 2.
    small, large = [1, 2], [3, 1, 2, 4]
    scores = random(2, 6)
    (first, w_first), (second, w_second) = pairs_of(small), pairs_of(large)
    loss = ranking_loss(scores, torch.cat([first, second + 2]), torch.cat([w_first, w_second]), 2)
    parts = loss_of_prompt(scores[:2].tolist(), small), loss_of_prompt(scores[2:].tolist(), large)
    assert float(loss) == pytest.approx(sum(parts) / 2, abs=1e-12)


def test_order_of_responses_changes_nothing() -> None:
    # Guards: a loss that depends on where a response stands in the batch.
    scores, tiers = random(3, 4), [2, 1, 4, 3]
    expected = ranking_loss(scores, *pairs_of(tiers), 1)
    for order in permutations(range(4)):
        shuffled = ranking_loss(scores[list(order)], *pairs_of([tiers[i] for i in order]), 1)
        assert_close(shuffled, expected, atol=1e-12, rtol=0)


def test_identical_responses_cost_ln_2_and_push_nowhere() -> None:
    # Guards: a gradient between equal texts.
    base = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    loss = ranking_loss(base.expand(4), torch.tensor(SEED_PAIRS), SIXTH, 1)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-12)
    assert float(base.grad) == 0.0


def test_a_common_shift_changes_neither_loss_nor_accuracy() -> None:
    # Guards: a loss on the scores themselves.
    scores, (pairs, weights) = random(4, 4), pairs_of([3, 1, 2, 2])
    expected = ranking_loss(scores, pairs, weights, 1)
    assert_close(ranking_loss(scores + 5.0, pairs, weights, 1), expected, atol=1e-12, rtol=0)
    assert torch.equal(pair_accuracy(scores + 5.0, pairs), pair_accuracy(scores, pairs))


def test_weights_multiply_their_pairs() -> None:
    # Guards: weights that are ignored or normalised away.
    scores, pairs = random(5, 3), torch.tensor([(0, 1), (1, 2)])
    first, second = (
        ranking_loss(scores, pairs[i : i + 1], torch.ones(1).double(), 1) for i in (0, 1)
    )
    loss = ranking_loss(scores, pairs, torch.tensor([0.25, 3.0]).double(), 1)
    assert_close(loss, 0.25 * first + 3 * second, atol=1e-12, rtol=0)


def test_gradient_raises_the_chosen_and_lowers_the_rejected() -> None:
    # Guards: the sign of the whole loss.
    scores = torch.zeros(2, requires_grad=True)
    ranking_loss(scores, torch.tensor([(1, 0)]), torch.ones(1), 1).backward()
    assert_close(scores.grad, torch.tensor([0.5, -0.5]))


@pytest.mark.parametrize("margin", [-1e4, 1e4])
def test_extreme_margins_stay_finite(margin: float) -> None:
    # Guards: log(sigmoid(x)), which is -inf below -104 in float32.
    scores = torch.tensor([margin, 0.0], requires_grad=True)
    loss = ranking_loss(scores, torch.tensor([(0, 1)]), torch.ones(1), 1)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(max(-margin, 0.0))
    assert scores.grad.isfinite().all()


def test_accuracy_counts_ties_half() -> None:
    # Guards: a constant model that is right always, or never.
    scores = torch.tensor([2.0, 1.0, 1.0])
    pairs = torch.tensor([(0, 1), (1, 0), (1, 2)])
    assert pair_accuracy(scores, pairs).tolist() == [1.0, 0.0, 0.5]
