"""Per-token rewards: the KL penalty at every token, the score at one position.

    r_t = -kl_coef * kl_t + [t is the score's position] * score

Tables of who puts the score where: docs/maths.md.

References:
    [1] InstructGPT, arXiv:2203.02155, eq. 2. [2] arXiv:1909.08593, section 2.
    [3] arXiv:2403.17031, the score one position after EOS.
"""

from typing import Literal

import torch
from torch import Tensor

from rlhf_core.collate import is_within


def episode_scores(
    scores: Tensor, ended: Tensor, *, missing_eos: Literal["replace", "add"], value: float
) -> Tensor:
    """Scores (B,); where `ended` (bool, B) is False, replaced by `value` or with it added."""
    without_eos = scores + value if missing_eos == "add" else torch.full_like(scores, value)
    return scores.where(ended, without_eos)


def rewarded_positions(
    response_lengths: Tensor, width: int, score_position: Literal["last", "after_eos"]
) -> Tensor:
    """True at the positions that have a reward and a value, bool (B, width).

    Those of the response tokens; under "after_eos" the position after the last one too, where
    there is room for it: the longest response of a rollout has none, as in TRL [3 pads further].
    """
    extra = int(score_position == "after_eos")
    return is_within((response_lengths + extra).clamp_max(width), width)


def token_rewards(scores: Tensor, kl: Tensor, is_rewarded: Tensor, *, kl_coef: float) -> Tensor:
    """Rewards, float (B, R), zero elsewhere; their sum is score - kl_coef * sum(kl).

    Args:
        scores: Score of each episode, float (B,).
        kl: KL estimate per token, float (B, R), zero at padding.
        is_rewarded: As `rewarded_positions`, bool (B, R); the last True has the score.
        kl_coef: Weight of the penalty, at least 0.
    """
    lengths = is_rewarded.sum(1)
    is_scored = is_rewarded & ~is_within(lengths - 1, kl.shape[1])
    return -kl_coef * kl.masked_fill(~is_rewarded, 0.0) + is_scored * scores.unsqueeze(1)
