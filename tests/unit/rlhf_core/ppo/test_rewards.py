"""Per-token rewards: where the score sits, and what the penalty costs."""

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.collate import is_within
from rlhf_core.ppo.rewards import episode_scores, rewarded_positions, token_rewards
from tests.unit.rlhf_core.builders import random

LENGTHS = torch.tensor([4, 1, 3])
IS_RESPONSE = is_within(LENGTHS, 4)
SCORES = random(0, 3)
KL = random(1, 3, 4).masked_fill(~IS_RESPONSE, 0.0)


@pytest.mark.parametrize("kl_coef", [0.0, 0.05, 2.0])
@pytest.mark.parametrize("score_position", ["last", "after_eos"])
def test_rewards_add_up_to_score_minus_penalty(kl_coef: float, score_position: str) -> None:
    # Guards: a score counted twice or never, a penalty with the wrong sign.
    is_rewarded = rewarded_positions(LENGTHS, 4, score_position)
    rewards = token_rewards(SCORES, KL, is_rewarded, kl_coef=kl_coef)
    assert_close(rewards.sum(1), SCORES - kl_coef * KL.sum(1), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("score_position", "where"), [("last", [3, 0, 2]), ("after_eos", [3, 1, 3])]
)
def test_score_sits_at_one_position(score_position: str, where: list[int]) -> None:
    # Guards: a score at the last column, or one token off. After EOS the longest response has no
    # room, so that its score stays on its last token.
    is_rewarded = rewarded_positions(LENGTHS, 4, score_position)
    rewards = token_rewards(SCORES, torch.zeros(3, 4).double(), is_rewarded, kl_coef=0.1)
    for row, position in enumerate(where):
        expected = torch.zeros(4, dtype=torch.float64)
        expected[position] = SCORES[row]
        assert torch.equal(rewards[row].abs(), expected.abs())
        assert rewards[row, position] == SCORES[row]


@pytest.mark.parametrize("width", [4, 5, 7])
def test_rewarded_positions_are_those_of_the_response_and_one_more_after_eos(width: int) -> None:
    # Guards: values trained on padding, or not where the score is.
    last = rewarded_positions(LENGTHS, width, "last")
    after = rewarded_positions(LENGTHS, width, "after_eos")
    assert last.sum(1).tolist() == [4, 1, 3]
    assert after.sum(1).tolist() == [min(5, width), 2, 4]
    for mask in (last, after):
        assert mask.shape == (3, width)
        assert not (mask[:, 1:] & ~mask[:, :-1]).any()


def test_penalty_stays_on_its_token() -> None:
    # Guards: a penalty paid by another token than the one that moved away.
    rewards = token_rewards(torch.zeros(3).double(), KL, IS_RESPONSE, kl_coef=2.0)
    assert_close(rewards, -2.0 * KL, atol=0, rtol=0)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf])
def test_padding_is_inert(garbage: float) -> None:
    # Guards: KL of padding in the reward.
    expected = token_rewards(SCORES, KL, IS_RESPONSE, kl_coef=0.1)
    found = token_rewards(SCORES, KL.masked_fill(~IS_RESPONSE, garbage), IS_RESPONSE, kl_coef=0.1)
    assert torch.equal(found, expected)
    assert not found[~IS_RESPONSE].any()


@pytest.mark.parametrize(
    ("missing_eos", "expected"), [("replace", [5.0, -1.5, -1.5]), ("add", [5.0, -8.5, 0.5])]
)
def test_a_missing_end_replaces_the_score_or_is_added_to_it(
    missing_eos: str, expected: list[float]
) -> None:
    # Guards: the two modes exchanged; a penalty on responses that did end.
    raw, ended = torch.tensor([5.0, -7.0, 2.0]), torch.tensor([True, False, False])
    found = episode_scores(raw, ended, missing_eos=missing_eos, value=-1.5)
    assert found.tolist() == expected
    assert raw.tolist() == [5.0, -7.0, 2.0]
