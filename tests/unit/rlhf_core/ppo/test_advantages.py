"""Advantages: generalised estimation, and episodes against the others of their prompt."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.collate import is_within
from rlhf_core.ppo.advantages import gae, group_normalised, leave_one_out
from tests.oracles.gae_quadratic import advantages_of_episode
from tests.unit.rlhf_core.builders import random

LENGTHS = torch.tensor([6, 1, 4])
IS_REWARDED = is_within(LENGTHS, 6)
REWARDS, VALUES = random(0, 3, 6), random(1, 3, 6)


def estimate(
    rewards: Tensor, values: Tensor, *, discount: float = 1.0, gae_lambda: float = 0.95
) -> tuple[Tensor, Tensor]:
    return gae(rewards, values, IS_REWARDED, discount=discount, gae_lambda=gae_lambda)


@pytest.mark.parametrize("discount", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("gae_lambda", [1.0, 0.95, 0.0])
def test_equal_to_the_double_sum_of_the_paper(discount: float, gae_lambda: float) -> None:
    # Guards: a value beyond the end, an episode that reads its padding, a recursion off by one.
    advantages, returns = estimate(REWARDS, VALUES, discount=discount, gae_lambda=gae_lambda)
    for row, length in enumerate(LENGTHS.tolist()):
        rewards, values = REWARDS[row, :length].tolist(), VALUES[row, :length].tolist()
        expected = advantages_of_episode(rewards, values, discount, gae_lambda)
        exact = torch.tensor(expected, dtype=torch.float64)
        assert_close(advantages[row, :length], exact, atol=1e-12, rtol=0)
        assert_close(returns[row, :length], exact + VALUES[row, :length], atol=1e-12, rtol=0)


def test_lambda_1_makes_returns_the_sum_of_future_rewards() -> None:
    # Guards: returns taken after whitening, or without the values.
    _, returns = estimate(REWARDS, VALUES, gae_lambda=1.0)
    for row, length in enumerate(LENGTHS.tolist()):
        for t in range(length):
            future = sum(REWARDS[row, t:length].tolist())
            assert float(returns[row, t]) == pytest.approx(future, abs=1e-12)


def test_a_perfect_critic_leaves_no_advantage() -> None:
    # Guards: a critic read one token late.
    rewards = REWARDS.masked_fill(~IS_REWARDED, 0.0)
    future = rewards.flip(1).cumsum(1).flip(1)
    advantages, _ = estimate(rewards, future)
    assert_close(advantages, torch.zeros_like(advantages), atol=1e-12, rtol=0)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e9])
def test_padding_is_inert_and_comes_out_zero(garbage: float) -> None:
    # Guards: the critic's value of padding taken for the value of the end.
    expected = estimate(REWARDS, VALUES)
    found = estimate(
        REWARDS.masked_fill(~IS_REWARDED, garbage), VALUES.masked_fill(~IS_REWARDED, garbage)
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
        assert not ours[~IS_REWARDED].any()


def test_inputs_are_not_written_to() -> None:
    # Guards: in-place masking of what the losses read again.
    rewards, values = REWARDS.clone(), VALUES.clone()
    estimate(rewards, values)
    assert torch.equal(rewards, REWARDS)
    assert torch.equal(values, VALUES)


def test_leave_one_out_by_hand() -> None:
    # Guards: a mean that holds the episode itself, groups that run across prompts.
    returns = torch.tensor([1.0, 2.0, 6.0, 10.0, 10.0, 40.0])
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2; 10 - 25, 10 - 25, 40 - 10.
    assert leave_one_out(returns, 3).tolist() == [-3.0, -1.5, 4.5, -15.0, -15.0, 30.0]
    assert leave_one_out(returns, 2).tolist() == [-1.0, 1.0, -4.0, 4.0, -30.0, 30.0]


def test_leave_one_out_is_unbiased_by_a_shift_of_its_group() -> None:
    # Guards: a baseline that depends on what it is the baseline of.
    returns = random(0, 8)
    shifted = returns + torch.tensor([3.0, -5.0]).repeat_interleave(4)
    assert_close(leave_one_out(shifted, 4), leave_one_out(returns, 4), atol=1e-12, rtol=0)
    assert_close(leave_one_out(returns, 4).view(2, 4).sum(1), torch.zeros(2).double())


def test_group_normalised_by_hand() -> None:
    # Guards: the biased deviation, one deviation for all groups, an epsilon inside the root.
    returns = torch.tensor([1.0, 2.0, 6.0, 10.0, 10.0, 40.0], dtype=torch.float64)
    # Means 3 and 20; squares 4 + 1 + 9 = 14 and 100 + 100 + 400 = 600, over n - 1 = 2.
    first = [centred / (7**0.5 + 1e-4) for centred in (-2, -1, 3)]
    second = [centred / (300**0.5 + 1e-4) for centred in (-10, -10, 20)]
    assert group_normalised(returns, 3).tolist() == pytest.approx([*first, *second], abs=1e-12)


def test_a_group_of_equal_returns_says_nothing() -> None:
    # Guards: 0 / 0 where all responses of a prompt are alike.
    returns = torch.tensor([5.0, 5.0, 5.0, 5.0])
    assert group_normalised(returns, 2).tolist() == [0.0] * 4
    assert leave_one_out(returns, 2).tolist() == [0.0] * 4
