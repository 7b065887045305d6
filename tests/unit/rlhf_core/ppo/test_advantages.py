"""Generalised advantage estimation."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.collate import is_within
from rlhf_core.ppo.advantages import gae
from tests.oracles.gae_quadratic import advantages_of_episode
from tests.unit.rlhf_core.builders import random

LENGTHS = torch.tensor([6, 1, 4])
IS_RESPONSE = is_within(LENGTHS, 6)
REWARDS, VALUES = random(0, 3, 6), random(1, 3, 6)


def estimate(
    rewards: Tensor, values: Tensor, *, discount: float = 1.0, gae_lambda: float = 0.95
) -> tuple[Tensor, Tensor]:
    return gae(rewards, values, IS_RESPONSE, discount=discount, gae_lambda=gae_lambda)


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
    rewards = REWARDS.masked_fill(~IS_RESPONSE, 0.0)
    future = rewards.flip(1).cumsum(1).flip(1)
    advantages, _ = estimate(rewards, future)
    assert_close(advantages, torch.zeros_like(advantages), atol=1e-12, rtol=0)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e9])
def test_padding_is_inert_and_comes_out_zero(garbage: float) -> None:
    # Guards: the critic's value of padding taken for the value of the end.
    expected = estimate(REWARDS, VALUES)
    found = estimate(
        REWARDS.masked_fill(~IS_RESPONSE, garbage), VALUES.masked_fill(~IS_RESPONSE, garbage)
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
        assert not ours[~IS_RESPONSE].any()


def test_inputs_are_not_written_to() -> None:
    # Guards: in-place masking of what the losses read again.
    rewards, values = REWARDS.clone(), VALUES.clone()
    estimate(rewards, values)
    assert torch.equal(rewards, REWARDS)
    assert torch.equal(values, VALUES)
