"""Per-token rewards: where the score sits, and what the penalty costs."""

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.collate import is_within
from rlhf_core.ppo.rewards import episode_scores, token_rewards
from tests.unit.rlhf_core.builders import random

LENGTHS = torch.tensor([4, 1, 3])
IS_RESPONSE = is_within(LENGTHS, 4)
SCORES = random(0, 3)
KL = random(1, 3, 4).masked_fill(~IS_RESPONSE, 0.0)


@pytest.mark.parametrize("kl_coef", [0.0, 0.05, 2.0])
def test_rewards_add_up_to_score_minus_penalty(kl_coef: float) -> None:
    # Guards: a score counted twice or never, a penalty with the wrong sign.
    rewards = token_rewards(SCORES, KL, LENGTHS, kl_coef=kl_coef)
    assert_close(rewards.sum(1), SCORES - kl_coef * KL.sum(1), atol=1e-12, rtol=0)


def test_score_sits_on_the_last_response_token() -> None:
    # Guards: a score at the last column, or one token after the end.
    rewards = token_rewards(SCORES, torch.zeros(3, 4).double(), LENGTHS, kl_coef=0.1)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = torch.zeros(4, dtype=torch.float64)
        expected[length - 1] = SCORES[row]
        assert torch.equal(rewards[row].abs(), expected.abs())
        assert rewards[row, length - 1] == SCORES[row]


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf])
def test_padding_is_inert(garbage: float) -> None:
    # Guards: KL of padding in the reward.
    expected = token_rewards(SCORES, KL, LENGTHS, kl_coef=0.1)
    found = token_rewards(SCORES, KL.masked_fill(~IS_RESPONSE, garbage), LENGTHS, kl_coef=0.1)
    assert torch.equal(found, expected)
    assert not found[~IS_RESPONSE].any()


def test_a_missing_end_replaces_the_score() -> None:
    # Guards: a penalty that is added, so that a high score hides a missing end.
    scores = episode_scores(
        torch.tensor([5.0, -7.0, 2.0]), torch.tensor([True, False, False]), -1.0
    )
    assert scores.tolist() == [5.0, -1.0, -1.0]
