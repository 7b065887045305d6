"""The loss of DPO by hand, by its published gradient, and by its symmetries."""

import math

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.dpo.losses import dpo_loss, implicit_rewards
from tests.unit.rlhf_core.builders import random

PAIRS = torch.tensor([(0, 1), (0, 2), (4, 3)])
WEIGHTS = torch.tensor([0.5, 0.5, 1.0], dtype=torch.float64)


def minus_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def test_one_pair_by_hand() -> None:
    # Guards: a lost beta, policy and reference exchanged, means for sums.
    logprobs = torch.tensor([-2.0, -5.0], dtype=torch.float64)
    ref_logprobs = torch.tensor([-4.0, -3.0], dtype=torch.float64)
    rewards = implicit_rewards(logprobs, ref_logprobs, 0.1)
    assert rewards.tolist() == pytest.approx([0.2, -0.2])
    one = torch.ones(1, dtype=torch.float64)
    loss = dpo_loss(rewards, torch.tensor([(0, 1)]), one, 1, label_smoothing=0.0)
    assert float(loss) == pytest.approx(minus_log_sigmoid(0.4), abs=1e-12)
    smoothed = dpo_loss(rewards, torch.tensor([(0, 1)]), one, 1, label_smoothing=0.2)
    expected = 0.8 * minus_log_sigmoid(0.4) + 0.2 * minus_log_sigmoid(-0.4)
    assert float(smoothed) == pytest.approx(expected, abs=1e-12)


def test_an_untrained_policy_loses_ln_2_a_prompt() -> None:
    # Guards: a divisor other than the number of prompts.
    logprobs = random(0, 5)
    rewards = implicit_rewards(logprobs, logprobs, 0.3)
    for smoothing in (0.0, 0.25):
        loss = dpo_loss(rewards, PAIRS, WEIGHTS, 2, label_smoothing=smoothing)
        assert float(loss) == pytest.approx(math.log(2), abs=1e-12)


def test_the_gradient_is_the_published_one() -> None:
    # Guards: a loss of the right value whose gradient is cut. Source: arXiv:2305.18290, section 4:
    # a pair moves log pi(y_w) by beta sigmoid(r_l - r_w), and log pi(y_l) by as much downwards.
    beta = 0.7
    logprobs, ref_logprobs = random(1, 5).requires_grad_(), random(2, 5)
    rewards = implicit_rewards(logprobs, ref_logprobs, beta)
    dpo_loss(rewards, PAIRS, WEIGHTS, 2, label_smoothing=0.0).backward()
    expected = torch.zeros(5, dtype=torch.float64)
    for (chosen, rejected), weight in zip(PAIRS.tolist(), WEIGHTS.tolist(), strict=True):
        wrong = torch.sigmoid(rewards[rejected] - rewards[chosen]).detach()
        expected[chosen] -= weight * beta * wrong / 2
        expected[rejected] += weight * beta * wrong / 2
    assert logprobs.grad is not None
    assert_close(logprobs.grad, expected, atol=1e-12, rtol=0)


def test_smoothing_stops_where_the_margin_says_what_the_labels_say() -> None:
    # Guards: smoothing that pulls towards margin 0, or the wrong way. Its least loss is where
    # sigmoid(r_w - r_l) = 1 - smoothing.
    margin = math.log(0.9 / 0.1)
    rewards = torch.tensor([margin, 0.0], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, dtype=torch.float64)
    dpo_loss(rewards, torch.tensor([(0, 1)]), one, 1, label_smoothing=0.1).backward()
    assert rewards.grad is not None
    assert_close(rewards.grad, torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)


def test_a_constant_a_prompt_changes_nothing() -> None:
    # Guards: a loss that sees log Z(x), which no pair can know.
    rewards = random(3, 5)
    shifted = rewards + torch.tensor([1.0, 1.0, 1.0, -2.0, -2.0])
    first, second = (
        dpo_loss(it, PAIRS, WEIGHTS, 2, label_smoothing=0.1) for it in (rewards, shifted)
    )
    assert_close(first, second, atol=1e-12, rtol=0)
